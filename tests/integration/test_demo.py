"""The demo, whole: nothing in it is a stand-in, and nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from mlrelease.demo.chapters import CHAPTERS
from mlrelease.demo.crew import marked
from mlrelease.demo.place import Place
from mlrelease.demo.scene import RATE

DEADLINE_S = 580.0

_FINE = (
    "remote, init, add, commit, push files, clone, validate offline, bump all 1, push all 1, deploy staging 1, promote 1,"
    " push promotion 1, approve 1, deploy production 1, bump third, push third, revert third, push revert of the third,"
    " bump better, push better, deploy staging 2, promote 2, push promotion 2, approve 2,"
    " deploy production 2, revert one, push revert of one, bump fleet, push fleet, rollback fleet, rollback without MLflow,"
    " status, history, predict, down staging, down production"
)
_BLOCKED = "deploy production blocked, validate third, deploy third, bump hostile, promote again, bump again"
STEPS = dict.fromkeys(_FINE.split(", "), 0) | dict.fromkeys(_BLOCKED.split(", "), 5)
"""Every step with the exit code that it has to have: 5 is blocked."""

STAYS = [
    ("staging/tumour", "1"),
    ("staging/tumour", "2"),
    ("staging/progression", "1"),
    ("staging/progression", "2"),
    ("staging/forecasts", "1"),
    ("staging/forecasts", "2"),
    ("staging/forecasts", "1"),
    ("production/tumour", "1"),
    ("production/tumour", "2"),
    ("production/tumour", "1"),
    ("production/progression", "1"),
    ("production/progression", "2"),
    ("production/progression", "1"),
    ("production/forecasts", "1"),
]
"""Which version of what answered, in order, as the tables at the end have it."""

ROLLBACKS = {"production/progression", "staging/forecasts", "production/tumour"}


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """The demo as a person without a git identity starts it."""
    home = folder / "home"
    home.mkdir()
    command = [sys.executable, "-m", "mlrelease.cli", "demo", "--report", str(folder / "report.json"), *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"HOME": str(home)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_in(root: str) -> list[str]:
    """The command lines of the processes of a demo in this folder, told in two ways."""
    found = []
    for process in marked(Place(Path(root), {}, 0, made=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended since it was listed
            found.append(" ".join(process.cmdline()))
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if f"{root}/" in line:
            found.append(line)
    return found


def place_of(text: str) -> str:
    """The scratch folder that the first sentence names."""
    return re.search(r"Everything happens in (\S+)\.\s", text)[1]


def read_until(demo: subprocess.Popen[str], awaited: str) -> str:
    """The output up to the line that holds `awaited`."""
    text, end = "", time.monotonic() + DEADLINE_S
    for line in demo.stdout:
        text += line
        if awaited in line:
            return text
        assert time.monotonic() < end, text
    raise AssertionError(text)


def kept(demo: subprocess.Popen[str]) -> None:
    """Ends a demo that a failed test left; it cleans up by itself."""
    if demo.poll() is None:
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=120)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_story(tmp_path):
    """Every step ends as it should, no request fails, every rollback is proved, and no process is left."""
    demo = start(tmp_path)
    try:
        text, _ = demo.communicate(timeout=DEADLINE_S)
    finally:
        kept(demo)
    report = json.loads((tmp_path / "report.json").read_text())
    assert demo.returncode == 0, text
    assert {step["name"]: step["exit"] for step in report["steps"]} == STEPS
    assert {step["name"]: step["expected_exit"] for step in report["steps"]} == STEPS
    assert all(step["seconds"] > 0 and step["command"] for step in report["steps"])
    assert (report["schema"], report["ok"], report["problem"]) == (2, True, "")
    # both loads run through every chapter after the first deploy of production
    loaded = sum(report["chapter_seconds"][name] for name, _ in CHAPTERS[3:])
    assert report["requests_sent"] > 0.9 * 2 * RATE * loaded > 0
    assert report["requests_failed"] == 0
    assert report["rollback_seconds"].keys() == ROLLBACKS
    for seconds in report["rollback_seconds"].values():
        assert 0 < seconds < 120
        assert f"proved on every instance: {seconds:.2f} seconds" in text
    assert list(report["chapter_seconds"]) == [*(name for name, _ in CHAPTERS), "the count"]
    rows = re.findall(r"^ +(\w+/\w+) +(\d) +[\d.]+ s +[\d.]+ s +\d+ ", text, re.MULTILINE)
    assert sorted(rows) == sorted(STAYS)
    assert max(map(len, text.splitlines())) <= 160
    assert left_in(place_of(text)) == []
    assert not Path(place_of(text)).exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_in_the_middle_of_a_deploy_leaves_nothing(tmp_path):
    """Supervisor, proxy, instances, MLflow: all have ended, the folder is gone, the exit code is 130."""
    demo = start(tmp_path)
    try:
        text = read_until(demo, "forecasts: start done")
        root = place_of(text)
        assert any("supervisord" in line for line in left_in(root))
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=120)
    finally:
        kept(demo)
    assert demo.returncode == 130, rest
    assert left_in(root) == []
    assert not Path(root).exists()
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["ok"], report["problem"]) == (False, "interrupted")
    assert report["steps"][-1]["name"] == "deploy staging 1"


@pytest.fixture
def place():
    """A folder whose path is short enough for unix sockets, as those of pytest may not be."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


def test_a_step_that_fails_ends_the_demo(tmp_path, place):
    """The reason and the place of the logs are said, the logs stay, and what ran in the background has ended."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    fake.write_text(f'#!/bin/sh\n[ "$1" = clone ] && echo "the network is down" && exit 9\nexec {real} "$@"\n')
    fake.chmod(0o755)
    demo = start(tmp_path, "--in", str(place), PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    try:
        text, _ = demo.communicate(timeout=120)
    finally:
        kept(demo)
    assert demo.returncode == 1, text
    assert "    the network is down\n" in text
    assert "(clone) ended with 9 where 0" in " ".join(text.split())
    assert str(place / "logs") in text
    assert (place / "logs" / "mlflow.log").exists()
    assert left_in(str(place)) == []
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["ok"], report["requests_sent"], report["rollback_seconds"]) == (False, 0, {})
    assert report["steps"][-1] | {"seconds": 0} == {
        "name": "clone",
        "command": "git clone --quiet origin.git host",
        "exit": 9,
        "expected_exit": 0,
        "seconds": 0,
    }
