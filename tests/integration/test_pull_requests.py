"""Pull requests end to end: real MLflow, real processes, the target `local`, an agent, and the local GitHub with its rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from support.estate import Estate, until
from support.github_server import Hub, running_github

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pull_requests"), pytest.mark.timeout(600)]

NAME = "acme/wine"
BUMP = "mlrelease/bump/production/wine"
ROLLBACK = "mlrelease/rollback/production/wine"


@dataclass
class OnGitHub(Estate):
    """The estate with its remote on the hub; every process is told so."""

    hub: Hub | None = None
    more: dict[str, str] = field(default_factory=dict)

    def environ(self):
        return {**super().environ(), **(self.hub.environment_variables(NAME) if self.hub else {}), **self.more}

    def move(self, hub: Hub) -> None:
        """Everything to a repository there, the remote of both clones from here on."""
        hub.repository(NAME)
        bare = str(hub.git_path(NAME))
        self.git("push", "--quiet", "--mirror", bare, cwd=self.root / "o.git")
        for folder in (self.laptop, self.host):
            self.git("remote", "set-url", "origin", bare, cwd=folder)
        self.hub = hub

    @property
    def open(self) -> list[dict]:
        return [pull for pull in self.hub.state(NAME).pulls.values() if pull["state"] == "open"]

    def at(self, branch: str) -> str:
        """The commit of a branch there; empty without one."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}", cwd=self.hub.git_path(NAME))

    def holds(self) -> list[str]:
        return [held.pinned_to for held in self.history().holds]

    def start(self, *arguments: str, cwd) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mlrelease.cli", "--output", "json", *arguments],
            cwd=cwd, env=self.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1, then version 2 deployed, so that there is something to go back to; pull requests only on `main`."""
    with running_github(tmp_path_factory.mktemp("hub")) as hub:
        estate = OnGitHub(tmp_path_factory.mktemp("p"), mlflow_uri).create()
        estate.move(hub)
        estate.cli("deploy", "production", cwd=estate.host)
        yield estate
        estate.down()


def test_two_bumps_at_once_make_one_pull_request(estate):
    """Two processes in two clones, one proposal: both end well, and what is open is whole."""
    clones = [estate.laptop, estate.root / "other"]
    estate.git("clone", "--quiet", str(estate.hub.git_path(NAME)), "other", cwd=estate.root)
    running = [estate.start("bump", "production", "wine", "--to", "2", "--pr", cwd=clone) for clone in clones]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, code in ended] == [0, 0], ended
    (pull,) = estate.open
    said = [json.loads(out)["pull_request"] for (out, _), _ in ended]
    assert {one["number"] for one in said} == {pull["number"]}
    assert {one["commit"] for one in said} == {estate.at(BUMP)} == {pull["head"]["sha"]}
    assert sum(one["opened"] for one in said) == 1
    assert pull["title"] == "Pin wine 2 in production"
    assert re.search(r"^\| wine \| 1 \| 2 \| (run \w+, )?logged model m-", pull["body"], re.MULTILINE), pull["body"]
    bare = estate.hub.git_path(NAME)
    assert estate.git("log", "--format=%s", f"main..{BUMP}", cwd=bare) == "Pin wine 2 in production"
    assert estate.git("rev-parse", "main", cwd=bare) == estate.git("rev-parse", "main")


def test_the_check_of_it_says_what_merging_would_do(estate):
    """`validate --pr` in a clone with the head commit, against the real MLflow: green, with the gates it passed."""
    (pull,) = estate.open
    folder = estate.root / "pr"
    estate.git("clone", "--quiet", str(estate.hub.git_path(NAME)), "pr", cwd=estate.root)
    estate.git("fetch", "--quiet", "origin", f"refs/pull/{pull['number']}/head", cwd=folder)
    estate.git("checkout", "--quiet", "--detach", "FETCH_HEAD", cwd=folder)
    report = estate.json("validate", "--pr", str(pull["number"]), cwd=folder)
    assert report["exit_code"] == 0
    (run,) = [r for r in estate.hub.state(NAME).check_runs if r["name"] == "validate/online"]
    assert (run["conclusion"], run["head_sha"]) == ("success", pull["head"]["sha"])
    (comment,) = estate.hub.state(NAME).comments_on(pull["number"])
    assert "| production | wine | update | wine 1 (" in comment["body"]
    assert "| production | wine | 2 | scan | passed |" in comment["body"]


def test_a_rollback_on_a_protected_branch_counts_at_once_and_ends_by_the_merge(estate):
    """From a laptop that may not push to `main`: the agent goes back by the hold, the merge ends it, and the bot does not bring
    the rejected version back.
    """
    number = estate.open[0]["number"]
    estate.hub.merge(NAME, number)
    with estate.agent(interval=0.5):
        until(lambda: (now := estate.history().bundle("wine")) and now.versions()["wine"] == "2", what="version 2 proved")
        estate.hub.protect(NAME)
        tip = estate.at("main")
        done = estate.json("rollback", "production", "--to", "1")
        (pull,) = estate.open
        assert done["pull_request"]["number"] == pull["number"]
        assert estate.at("main") == tip
        assert estate.holds() == [estate.at(ROLLBACK)]
        until(lambda: estate.live() == "1", what="version 1 by the hold")
        until(lambda: estate.state_of()["sync"] == "InSync", what="in sync with the hold")
        assert f"held at {estate.at(ROLLBACK)[:9]}" in estate.state_of()["reason"]
        estate.hub.review(NAME, pull["number"], "grace")
        estate.hub.merge(NAME, pull["number"])
        until(lambda: not estate.holds(), what="the end of the hold")
        assert estate.live() == "1"
    assert estate.open == []
    refused = estate.cli("bump", "production", "wine", "--to", "2", "--pr", expect=5)
    assert "was rejected" in refused.stdout
    assert estate.open == []


def test_a_bump_that_is_killed_is_gone_on_with(estate):
    """Killed while GitHub is asked to open the pull request: the next one opens it for the commit that is there."""
    from support.github_server import slow

    estate.forgive()
    estate.git("push", "--quiet", "origin", "--delete", BUMP)
    # A newer pin than what was merged and taken back is asked for on purpose.
    estate.hub.fault(f"POST /repos/{NAME}/pulls", slow(60.0))
    process = estate.start("bump", "production", "wine", "--to", "2", "--pr", "--reopen", cwd=estate.laptop)
    until(lambda: estate.at(BUMP), seconds=60, what="the branch")
    process.kill()
    process.communicate(timeout=30)
    commit = estate.at(BUMP)
    report = estate.json("bump", "production", "wine", "--to", "2", "--pr", "--reopen")
    (pull,) = estate.open
    assert report["pull_request"]["commit"] == commit == pull["head"]["sha"]
