"""The life of a change on GitHub, from a bot's branch to a release, disturbed at every single call that writes.

The local GitHub is real as far as it goes: commits, merges, rules and refs are git's own. What people do (review, merge)
is played by it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlrelease.errors import UnavailableError
from mlrelease.forge.github import checks, comments, deployments, issues, pulls, releases
from mlrelease.forge.github.auth import credentials_of
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.place import place_of
from mlrelease.http import retries as policy
from support.github_desk import Desk, desk
from support.github_server import Fault, lost, reset, running_github
from support.repositories import git

pytestmark = pytest.mark.xdist_group("github-flow")

BRANCH = "mlrelease/bump/staging/credit-risk"
CHECK = "validate/online"
MARKER = "mlrelease:validate:staging:credit-risk"
INCIDENT = "mlrelease:rolled-back:staging:credit-risk"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The local GitHub."""
    with running_github(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """The same retry policy with a tenth of the waits."""
    monkeypatch.setattr(policy, "FIRST_WAIT_S", 0.02)


def steps(at: Desk) -> list[Callable[[], object]]:
    """The story, step by step, as jobs and people make it."""
    found = {}

    def head() -> str:
        return str(at.state.pulls[1]["head"]["sha"])

    def report(state, *, annotations=()):
        return checks.report(
            at.github, sha=head(), name=CHECK, state=state, title=state, summary="s", annotations=list(annotations)
        )

    def open_pull():
        pulls.open_or_refresh(at.github, head=BRANCH, base="main", title="credit-risk 7 → 8", body="why", labels=["bump"])

    def approve_and_merge():
        at.hub.review(at.name, 1, "bob")
        assert pulls.approvers(at.github, 1) == ("bob",)
        at.hub.merge(at.name, 1)

    def deploy():
        found["id"] = deployments.begin(at.github, sha=at.main, environment="staging", description="x", payload={"n": 1}).number

    def release():
        return releases.draft(at.github, tag="v1.0.0", name="v1.0.0", body="notes", target=at.main)

    remarks = [checks.Annotation("a.yaml", n + 1, "t", f"finding {n}") for n in range(60)]
    return [
        open_pull,
        lambda: report("pending"),
        lambda: report("failure", annotations=remarks),
        lambda: comments.sticky(at.github, 1, marker=MARKER, body="60 findings"),
        lambda: at.branch(BRANCH),
        lambda: report("success"),
        lambda: comments.sticky(at.github, 1, marker=MARKER, body="all good"),
        approve_and_merge,
        deploy,
        lambda: deployments.set_state(at.github, found["id"], "in_progress", description="x"),
        lambda: issues.open_or_refresh(at.github, marker=INCIDENT, title="rolled back", body="why", labels=["incident"]),
        lambda: deployments.finish(at.github, found["id"], "success", description="done"),
        lambda: issues.close(at.github, marker=INCIDENT, comment="well again"),
        release,
        lambda: releases.upload(at.github, release(), "record.yaml", b"schema: 1\n", "application/yaml"),
        lambda: releases.publish(at.github, release().id),
    ]


def begun(hub) -> Desk:
    """A protected repository with a bot's branch."""
    at = desk(hub)
    hub.protect(at.name, "main", reviews=1, checks=[CHECK])
    at.branch(BRANCH)
    return at


def ending(at: Desk) -> dict[str, object]:
    """How GitHub looks in the end, without ids and times."""
    state = at.state
    newest = {run["head_sha"]: run for run in state.check_runs}
    return {
        "pulls": [(p["number"], p["merged"], [label["name"] for label in p["labels"]]) for p in state.pulls.values()],
        "checks": [(run["conclusion"], run["output"]["annotations_count"]) for run in newest.values()],
        "running": [run["name"] for run in state.check_runs if run["status"] != "completed"],
        "comments": [comment["body"] for comment in state.comments],
        "deployments": [[s["state"] for s in state.statuses_of(d["id"])] for d in state.deployments],
        "issues": [(issue["title"], issue["state"]) for issue in state.issues.values()],
        "releases": [(r["tag_name"], r["draft"], [a["name"] for a in r["assets"]]) for r in state.releases],
        "tag": at.github.get("git/ref/tags/v1.0.0")["object"]["sha"] == at.main,
    }


UNDISTURBED = {
    "pulls": [(1, True, ["bump"])],
    "checks": [("failure", 60), ("success", 0)],
    "running": [],
    "comments": [f"<!-- {MARKER} -->\nall good", f"<!-- {INCIDENT}:closed -->\nwell again"],
    "deployments": [["success", "in_progress"]],
    "issues": [("rolled back", "closed")],
    "releases": [("v1.0.0", False, ["record.yaml"])],
    "tag": True,
}

WRITES = 17
"""Calls of the undisturbed story that write."""


def writes_of(at: Desk) -> int:
    """How many calls wrote so far."""
    return sum(c.method != "GET" and c.path.startswith(f"/repos/{at.name}/") for c in at.hub.calls)


def test_the_undisturbed_story(hub):
    """The measure of all that follows; every one of its writes is disturbed below."""
    at = begun(hub)
    for step in steps(at):
        step()
    assert ending(at) == UNDISTURBED
    assert writes_of(at) == WRITES


@pytest.mark.parametrize("fault", [lost, reset], ids=["answer lost", "reset before"])
@pytest.mark.parametrize("write", range(WRITES), ids=lambda n: f"write {n + 1}")
def test_one_fault_at_any_write_changes_nothing(hub, write, fault):
    """Done once, whatever was heard of it."""
    at = begun(hub)
    hub.fault(f"[PD]* /repos/{at.name}/*", *[Fault()] * write, fault())
    for step in steps(at):
        step()
    assert ending(at) == UNDISTURBED


@pytest.mark.parametrize("write", range(WRITES), ids=lambda n: f"write {n + 1}")
def test_a_job_that_ended_at_any_write_is_finished_by_its_next_run(hub, write):
    """GitHub is gone from that write on; the step that failed is run again when it is back."""
    at = begun(hub)
    hub.fault(f"[PD]* /repos/{at.name}/*", *[Fault()] * write, Fault(503), forever=True)
    todo = steps(at)
    while todo:
        try:
            todo[0]()
        except UnavailableError:
            break
        todo.pop(0)
    assert todo, "the fault was not met"
    hub.faults.clear()
    for step in todo:
        step()
    assert ending(at) == UNDISTURBED


OPEN = """
import json, os
from mlrelease.forge.github import pulls
from mlrelease.forge.github.auth import credentials_of
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.place import place_of
github = GitHub(place_of(os.environ, ""), credentials_of(os.environ))
pull, is_new = pulls.open_or_refresh(github, head=os.environ["BRANCH"], base="main", title="t", body=os.environ["BODY"])
print(json.dumps([pull.number, is_new]))
"""


def test_two_jobs_at_once_open_one_pull_request(hub):
    """Real processes, the same branch."""
    at = begun(hub)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN],
            env=os.environ | hub.environment_variables(at.name) | {"BRANCH": BRANCH, "BODY": f"by {n}"},
            stdout=subprocess.PIPE,
        )
        for n in range(3)
    ]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [number for number, _ in results] == [1, 1, 1]
    assert sum(is_new for _, is_new in results) == 1
    assert list(at.state.pulls) == [1]


@pytest.mark.parametrize("root", ["api_url", "enterprise_url"], ids=["public paths", "an Enterprise server's paths"])
def test_a_job_with_a_workflow_s_variables_does_it_all(hub, root, tmp_path):
    """Only what a runner sets, and a branch that was really pushed."""
    name = f"acme/whole-{root.replace('_', '-')}"
    url = hub.repository(name, started=True)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", url, str(clone))
    git(clone, "checkout", "--quiet", "-b", BRANCH)
    (clone / "pin.yaml").write_text('version: "8"\n')
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "credit-risk 8")
    git(clone, "push", "--quiet", hub.git_url(name, token=hub.actions_token), BRANCH)
    variables = hub.environment_variables(name) | {"GITHUB_API_URL": getattr(hub, root)}
    github = GitHub(place_of(variables, ""), credentials_of(variables), now=hub.now)
    at = Desk(hub, name, github, [])
    hub.protect(name, "main", reviews=1, checks=[CHECK])
    for step in steps(at):
        step()
    assert ending(at) == UNDISTURBED
    git(clone, "fetch", "--quiet", "--tags", "origin")
    assert git(clone, "show", "v1.0.0:pin.yaml") == 'version: "8"'
    assert Path(at.state.git_path).is_dir()
