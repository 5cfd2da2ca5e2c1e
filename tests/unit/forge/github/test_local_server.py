"""The local GitHub itself: it must refuse what GitHub refuses, or the tests that stand on it prove nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from mlrelease.forge.github.errors import ForbiddenError, InvalidError
from mlrelease.http.errors import HttpError
from support.github_desk import client
from support.github_server import Problem, bare
from support.repositories import git

TESTS = Path(__file__).parents[3]


@pytest.fixture
def clone(at, tmp_path):
    """A clone over HTTP, without an account."""
    git(tmp_path, "clone", "--quiet", at.hub.git_url(at.name), "clone")
    return tmp_path / "clone"


def committed(clone, branch, text="x\n"):
    """A commit on a new branch of the clone."""
    git(clone, "checkout", "--quiet", "-B", branch)
    (clone / "file").write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", f"on {branch}")
    return git(clone, "rev-parse", "HEAD")


def test_a_push_over_http_moves_the_pull_request(at, clone):
    """Its head is the branch's tip, and `refs/pull/N/head` has it."""
    committed(clone, "change")
    git(clone, "push", "--quiet", "origin", "change")
    number = at.hub.open_pull(at.name, head="change")
    newer = committed(clone, "change", "y\n")
    git(clone, "push", "--quiet", "origin", "change")
    assert at.github.get(f"pulls/{number}")["head"]["sha"] == newer
    git(clone, "fetch", "--quiet", "origin", f"refs/pull/{number}/head:seen")
    assert git(clone, "rev-parse", "seen") == newer


def test_a_squash_is_one_commit_on_the_base(at, clone):
    """Written by the author, committed by GitHub, with the number in its subject."""
    number = at.pull("change", title="Use 8", user="ann")
    before = at.main
    sha = at.hub.merge(at.name, number)
    git(clone, "pull", "--quiet")
    assert git(clone, "log", "-1", "--format=%H %P %an %cn %s") == f"{sha} {before} ann GitHub Use 8 (#{number})"
    assert at.state.pulls[number]["merge_commit_sha"] == sha


def test_a_merge_commit_has_two_parents(at):
    """The base's and the head's."""
    number = at.pull("change")
    head, before = at.state.pulls[number]["head"]["sha"], at.main
    sha = at.hub.merge(at.name, number, method="merge")
    assert bare.git(at.state.git_path, "log", "-1", "--format=%P", sha) == f"{before} {head}"


def test_a_conflict_is_not_merged(at):
    """The base stays where it is."""
    number = at.pull("change")
    at.hub.commit(at.name, "main", {"README.md": "other\n"})
    before = at.main
    with pytest.raises(Problem, match="not mergeable"):
        at.hub.merge(at.name, number)
    assert at.main == before
    assert at.github.get(f"pulls/{number}")["mergeable"] is False


@pytest.mark.parametrize(
    ("done", "words"),
    [
        pytest.param([], "At least 1 approving review is required", id="no review"),
        pytest.param(["approve"], 'Required status check "all-green" is expected', id="no check"),
        pytest.param(["approve", "red"], 'Required status check "all-green" is failing', id="a red check"),
        pytest.param(["approve", "pending"], 'Required status check "all-green" is in progress', id="a pending check"),
        pytest.param(["green"], "At least 1 approving review is required", id="a check alone"),
        pytest.param(["approve", "green", "changes"], "Changes have been requested", id="a no beside a yes"),
        pytest.param(
            ["approve", "push", "green"], "At least 1 approving review is required", id="approved before the last push"
        ),
    ],
)
def test_a_protected_branch_refuses_a_merge(at, done, words):
    """By API and by button, in GitHub's words."""
    number = at.pull("change")
    at.hub.protect(at.name, "main", reviews=1, checks=["all-green"])
    play(at, number, done)
    with pytest.raises(Problem, match=words):
        at.hub.merge(at.name, number)
    with pytest.raises(HttpError, match="Repository rule violations"):
        at.github.put(f"pulls/{number}/merge", {"merge_method": "squash"})


def test_a_protected_branch_takes_a_merge_that_has_everything(at):
    """Approved after the last push, and green."""
    number = at.pull("change")
    at.hub.protect(at.name, "main", reviews=1, checks=["all-green"])
    play(at, number, ["push", "approve", "green"])
    assert at.hub.merge(at.name, number) == at.main


def play(at, number, done):
    """Reviews, checks and pushes of a test's case."""
    for what in done:
        head = at.state.pulls[number]["head"]["sha"]
        match what:
            case "approve":
                at.hub.review(at.name, number, "bob")
            case "changes":
                at.hub.review(at.name, number, "cat", "CHANGES_REQUESTED")
            case "push":
                at.branch("change")
            case "pending":
                at.github.post("check-runs", {"name": "all-green", "head_sha": head, "status": "in_progress"})
            case _:
                conclusion = "success" if what == "green" else "failure"
                body = {"name": "all-green", "head_sha": head, "status": "completed", "conclusion": conclusion}
                at.github.post("check-runs", body)


@pytest.mark.parametrize("by", ["http", "path"])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param(["push", "origin", "HEAD:main"], "Changes must be made through a pull request", id="a push"),
        pytest.param(["push", "--force", "origin", "HEAD~1:main"], "Cannot force-push", id="a force push"),
        pytest.param(["push", "origin", ":main"], "Cannot delete", id="a deletion"),
    ],
)
def test_a_protected_branch_refuses_pushes(at, clone, by, command, words):
    """Over HTTP and by path, with GitHub's code for it."""
    at.hub.commit(at.name, "main")
    git(clone, "pull", "--quiet")
    at.hub.protect(at.name, "main")
    git(at.state.git_path, "config", "receive.denyDeleteCurrent", "ignore")
    if by == "path":
        git(clone, "remote", "set-url", "origin", str(at.hub.git_path(at.name)))
    if "HEAD:main" in command:
        committed(clone, "other")
    done = subprocess.run(["git", *command], cwd=clone, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "GH013" in done.stderr
    assert words in done.stderr


def test_who_may_bypass_may_push(at, clone):
    """An account that the rule names, with its token."""
    at.hub.protect(at.name, "main", bypass=["deploy[bot]"])
    committed(clone, "main")
    for login, accepted in (("ann", False), ("deploy[bot]", True)):
        url = at.hub.git_url(at.name, token=at.hub.make_token(login))
        done = subprocess.run(["git", "push", "--quiet", url, "main"], cwd=clone, check=False, capture_output=True)
        assert (done.returncode == 0) is accepted


def test_a_wrong_token_pushes_nothing(at, clone):
    """Not even where anybody may."""
    committed(clone, "other")
    url = at.hub.git_url(at.name, token="ghp_wrong")
    env = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(["git", "push", url, "other"], cwd=clone, check=False, capture_output=True, text=True, env=env)
    assert done.returncode != 0
    assert "Authentication failed" in done.stderr


def test_a_ledger_that_is_append_only_takes_only_what_follows(at, clone):
    """No force push and no deletion; a new event on top goes through."""
    body = {
        "name": "ledger",
        "target": "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": ["refs/heads/mlrelease/ledger"], "exclude": []}},
        "rules": [{"type": "deletion"}, {"type": "non_fast_forward"}],
    }
    client(at.hub, at.name, token=at.hub.token).post("rulesets", body)
    committed(clone, "ledger")
    git(clone, "push", "--quiet", "origin", "ledger:mlrelease/ledger")
    committed(clone, "ledger", "more\n")
    git(clone, "push", "--quiet", "origin", "ledger:mlrelease/ledger")
    for refspec in ("+main:mlrelease/ledger", ":mlrelease/ledger"):
        done = subprocess.run(["git", "push", "origin", refspec], cwd=clone, check=False, capture_output=True, text=True)
        assert "GH013" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"enforcement": "on"}, id="an enforcement that there is not"),
        pytest.param({"rules": [{"type": "no_such_rule"}]}, id="a rule that there is not"),
        pytest.param({"conditions": {"ref_name": {"include": ["main"], "exclude": []}}}, id="a ref without refs/"),
        pytest.param({"conditions": {"ref_name": {"include": ["refs/heads/main"]}}}, id="no exclude"),
        pytest.param({"bypass_actors": [{"actor_type": "Bot", "actor_id": 1}]}, id="an actor that there is not"),
        pytest.param({"colour": "red"}, id="an unknown key"),
    ],
)
def test_a_ruleset_that_github_would_refuse_is_refused(at, change):
    """So that the JSON files of the project are really checked."""
    body = {"name": "x", "target": "branch", "enforcement": "active", "rules": []} | change
    with pytest.raises(InvalidError):
        client(at.hub, at.name, token=at.hub.token).post("rulesets", body)
    assert at.state.rulesets == {}


def test_a_branch_that_is_deleted_closes_its_pull_request(at):
    """Unmerged; and it cannot be opened again."""
    number = at.pull("change")
    at.hub.delete_branch(at.name, "change")
    assert at.github.get(f"pulls/{number}")["state"] == "closed"
    with pytest.raises(InvalidError):
        at.github.patch(f"pulls/{number}", {"state": "open"})


def test_a_branch_whose_commits_land_by_a_push_is_merged(at):
    """As GitHub marks it."""
    number = at.pull("change")
    bare.set_ref(at.state.git_path, "refs/heads/main", at.state.pulls[number]["head"]["sha"])
    pull = at.github.get(f"pulls/{number}")
    assert (pull["state"], pull["merged"]) == ("closed", True)


def test_a_stale_sha_is_not_merged(at):
    """409: somebody pushed meanwhile."""
    number = at.pull("change")
    old = at.state.pulls[number]["head"]["sha"]
    at.branch("change")
    with pytest.raises(HttpError, match="Head branch was modified") as caught:
        at.github.put(f"pulls/{number}/merge", {"merge_method": "squash", "sha": old})
    assert caught.value.status == 409


def test_a_workflow_s_token_cannot_approve_an_environment(at):
    """Only people can."""
    run = at.hub.add_run(at.name)
    with pytest.raises(ForbiddenError):
        at.github.post(f"actions/runs/{run}/pending_deployments", {"environment_ids": [], "state": "approved", "comment": ""})


def test_a_list_is_paged_as_documented(at):
    """Thirty at a time unless asked, a hundred at most, with links."""
    for n in range(205):
        at.hub.environment(at.name, f"e{n:03}")

    def asked(**query):
        url = f"{at.hub.api_url}/repos/{at.name}/environments"
        return requests.get(url, query, headers={"Authorization": f"token {at.hub.token}"}, timeout=10)

    assert len(asked().json()["environments"]) == 30
    answer = asked(per_page=500, page=2)
    assert len(answer.json()["environments"]) == 100
    assert set(answer.links) == {"prev", "next", "first", "last"}
    assert f"/repositories/{at.state.id}/environments?" in answer.links["next"]["url"]
    assert set(asked(per_page=100, page=3).links) == {"prev", "first"}


@pytest.mark.parametrize(
    ("authorization", "message"),
    [(None, "Requires authentication"), ("Bearer nonsense", "Bad credentials"), ("Bearer a.b.c", "could not be decoded")],
)
def test_a_token_is_always_checked(hub, authorization, message):
    """401 in GitHub's form."""
    headers = {"Authorization": authorization} if authorization else {}
    answer = requests.get(f"{hub.api_url}/user", headers=headers, timeout=10)
    assert answer.status_code == 401
    assert message in answer.json()["message"]


def test_an_unknown_path_is_not_found(at):
    """And never an empty success."""
    for path in (f"/repos/{at.name}/no-such-thing", "/repos/acme/unknown"):
        answer = requests.get(at.hub.api_url + path, headers={"Authorization": f"Bearer {at.hub.token}"}, timeout=10)
        assert answer.status_code == 404


def test_a_body_that_is_no_json_is_a_bad_request(at):
    """400."""
    headers = {"Authorization": f"Bearer {at.hub.token}", "Content-Type": "application/json"}
    answer = requests.post(f"{at.hub.api_url}/repos/{at.name}/issues", b"{", headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["message"]) == (400, "Problems parsing JSON")


def test_it_runs_as_a_process_of_its_own(tmp_path):
    """It says where it is, answers, and ends when its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.github_server", str(tmp_path), "acme/models"],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        said = json.loads(process.stdout.readline())
        answer = requests.get(
            f"{said['api_url']}/repos/acme/models", headers={"Authorization": f"Bearer {said['token']}"}, timeout=10
        )
        assert answer.json()["full_name"] == "acme/models"
        assert said["repositories"]["acme/models"]["variables"]["GITHUB_REPOSITORY"] == "acme/models"
        process.stdin.close()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
