"""`wait` as a workflow runs it: processes on another clone, a real agent on the host, GitHub's record, and a webhook."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from support.estate import Estate, until
from support.github_server import running_github
from support.mlflow_server import register
from support.receiver import receiving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wait"), pytest.mark.timeout(600)]

NAME = "acme/models"
WAIT = ("--timeout", "110s", "--interval", "0.3")


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Both versions known, version 1 pinned, nothing deployed; `runner` is a clone that is not the host's."""
    estate = Estate(tmp_path_factory.mktemp("w"), mlflow_uri).create()
    estate.git("clone", "--quiet", "o.git", "runner", cwd=estate.root)
    yield estate
    estate.down()


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A GitHub; the repository's commits come to it when a test pushes them."""
    with running_github(tmp_path_factory.mktemp("hub")) as hub:
        hub.repository(NAME)
        yield hub


@pytest.fixture(autouse=True)
def _told(monkeypatch, receiver):
    """The host is asked to call a webhook."""
    monkeypatch.setenv("MLRELEASE_WEBHOOK_URL", receiver.url)


@pytest.fixture(scope="module")
def receiver():
    """Somebody who takes webhooks."""
    with receiving() as found:
        yield found


def waited(estate, *arguments, expect=0):
    """A wait on the runner; its report."""
    return estate.json("wait", "production", *WAIT, *arguments, cwd=estate.root / "runner", expect=expect)


@contextmanager
def waiting(estate, *arguments):
    """A wait on the runner as a process that goes on while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlrelease.cli", "--output", "json", "wait", "production", *WAIT, *arguments],
        cwd=estate.root / "runner", env=estate.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process):
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, json.loads(out)


def test_a_wait_begun_before_the_agent_lives_ends_with_its_receipt(estate):
    """The runner is faster than the host: it says that nobody ever reported, and ends when the deploy is proved."""
    with waiting(estate) as process, estate.agent(interval=0.5):
        code, report = ended(process)
    assert (code, report["services"]["wine"]["came_to"]) == (0, "succeeded")
    assert report["revision"] == estate.git("rev-parse", "origin/main")
    assert estate.live() == "1"


def test_without_an_agent_it_ends_at_its_time(estate):
    """Exit 1, with what was last seen."""
    estate.pin("2")
    report = waited(estate, "--timeout", "1s", expect=1)
    assert "waits for its update" in report["verdict"]
    assert report["agent"]["exit_code"] == 0


def test_a_wait_that_is_killed_harms_nothing_and_the_next_one_ends(estate):
    """It only looks; the record on the host is the same with or without it."""
    with waiting(estate) as process:
        until(process.stderr.readline, what="its first line")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with estate.agent(interval=0.5):
        report = waited(estate)
    assert report["services"]["wine"]["came_to"] == "succeeded"
    assert estate.live() == "2"


def test_an_interrupted_wait_ends_with_130(estate):
    """A cancelled run: SIGINT, one line, no traceback."""
    estate.pin("1")
    with waiting(estate) as process:
        until(lambda: "waits for its rollback" in process.stderr.readline(), what="the first look")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in out + err


def test_runs_that_were_skipped_are_made_up_for_and_old_ones_end_at_once(estate, hub, monkeypatch):
    """Three pushes, one run: it waits for the tip and records it. The others, started later, find their commits superseded."""
    skipped = estate.git("rev-parse", "HEAD")
    estate.commit("Only words")
    tip = estate.commit("More words")
    estate.git("push", "--quiet", str(hub.git_path(NAME)), "HEAD:refs/heads/main")
    for name, value in hub.environment_variables(NAME).items():
        monkeypatch.setenv(name, value)
    with estate.agent(interval=0.5):
        report = waited(estate, "--record")
        assert (report["revision"], report["services"]["wine"]["came_to"]) == (tip, "succeeded")
        moved = estate.commit("Words alone")
        assert waited(estate)["services"]["wine"]["came_to"] == "in sync"
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_SHA", skipped)
        again = waited(estate)
        assert again["superseded_by"] == tip
        assert waited(estate, "--revision", moved)["revision"] == moved
    (deployment,) = hub.state(NAME).deployments
    assert deployment["sha"] == tip
    assert hub.state(NAME).statuses_of(deployment["id"])[0]["state"] == "success"
    assert estate.live() == "1"


def test_a_scheduled_run_asks_the_agent_and_finds_it_silent_later(estate):
    """While it lives nothing is touched; what it has not come to is 3."""
    with estate.agent(interval=0.5):
        waited(estate)
        report = estate.json("reconcile", "--hosted", cwd=estate.root / "runner")
        assert report["verdict"].endswith(": dealt with")
    estate.commit("Nobody looks")
    estate.git("clone", "--quiet", "o.git", "elsewhere", cwd=estate.root)
    report = estate.json("reconcile", "--hosted", cwd=estate.root / "elsewhere", expect=3)
    assert report["verdict"].endswith("the agent has not looked at it yet")


def test_what_is_held_ends_the_wait_with_five(estate):
    """Nobody needs to live for that answer; lifted, the agent goes on."""
    estate.forgive()
    estate.cli("hold", "production", "--reason", "quarter-end")
    estate.pin("2")
    report = waited(estate, expect=5)
    assert report["services"]["wine"]["blocked_by"] == "hold"
    estate.cli("unhold", "production", "--reason", "over")
    with estate.agent(interval=0.5):
        assert waited(estate)["services"]["wine"]["came_to"] == "succeeded"
    assert estate.live() == "2"


def test_an_automatic_rollback_is_six_and_people_are_told_once(estate, receiver):
    """A version that answers differently each time: 6, one call of the webhook, and one when it is mended."""
    from sklearn.datasets import load_wine
    from sklearn.dummy import DummyClassifier

    rows, classes = load_wine(return_X_y=True, as_frame=True)
    fickle = register(estate.uri, "wine", DummyClassifier(strategy="uniform").fit(rows, classes), input_example=rows.head(40))
    estate.cli("bump", "production", "wine", "--to", fickle.version, "--push")
    assert receiver.deliveries == []
    with estate.agent(interval=0.5):
        report = waited(estate, expect=6)
        assert report["services"]["wine"]["came_to"] == "rolled_back"
        assert report["next"] == "mlrelease rollback production --service wine --last-good"
        until(lambda: receiver.deliveries, what="the call")
        estate.cli("rollback", "production", "--service", "wine", "--last-good")
        assert waited(estate)["exit_code"] == 0
        until(lambda: receiver.kinds() == ["rolled_back", "recovered"], what="the good news")
    assert estate.live() == "2"
