"""The frame of the story: how it begins, what it times, how it says goodbye, and what it leaves to signals."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlrelease.demo.load import Answered, Summary
from mlrelease.demo.models import FORECASTS
from mlrelease.demo.models.forecasts import NAMES
from mlrelease.demo.place import ENVIRONMENTS, STAGING, Place
from mlrelease.demo.server import server_command
from mlrelease.demo.story import Story, _farewell, _interrupt, _signals, demo
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

LISTEN = {"staging": "127.0.0.1:20001", "production": "127.0.0.1:20002"}


class Scene:
    """Keeps what it is asked to do; `seen` are the answers that the clients of each environment got."""

    def __init__(self, root, variables=(), seen=()):
        self.place = Place(root, LISTEN, 20003, made=True)
        self.teller = Teller(100, styled=False)
        self.runner = SimpleNamespace(variables=dict(variables), steps=[])
        self.crew = SimpleNamespace(end=lambda name: self.done.append(f"end {name}"))
        self.rollbacks = {"staging/wine": 1.5}
        self.done = []
        self.seen = dict(seen)

    def say(self, text):
        self.teller.say(text)

    def run(self, name, *argv, cwd, expected=0):
        self.done.append(f"{cwd.name}: {' '.join(argv)} ({name}, {expected})")

    def quiet(self, *argv):
        self.done.append(" ".join(argv))

    def load(self, environment):
        answers = self.seen.get(environment, ())
        return Summary(len(answers), sum(a.failed for a in answers), (), tuple(answers))


@pytest.fixture
def scene(tmp_path):
    """One in a folder of its own."""
    return Scene(tmp_path)


def test_it_ends_as_a_person_would_end_it(scene):
    """The agent first, or it would bring back what is taken down; then each environment, where it is served."""
    Story(scene).close()
    assert scene.done == [
        "end agent",
        "host: mlrelease down staging (down staging, 0)",
        "host: mlrelease down production (down production, 0)",
    ]


def test_a_chapter_that_fails_is_timed_too(scene):
    """The report says where the time went, however it ended."""
    story = Story(scene)

    def breaks(_):
        raise Error("out of wine")

    story._timed("well", lambda given: given.done.append("told"))
    with pytest.raises(Error, match="out of wine"):
        story._timed("badly", breaks)
    assert scene.done == ["told"]
    assert list(story.seconds) == ["well", "badly"]
    assert all(seconds >= 0 for seconds in story.seconds.values())


def test_the_outcome_adds_both_environments_up(tmp_path):
    """Requests of all clients, and how long rollbacks and chapters took."""
    good, bad = Answered(1, 1, 2, 200), Answered(1, 1, 2, 503)
    story = Story(Scene(tmp_path, seen={"staging": (good, bad), "production": (good,)}), {"staging": 2.0})
    found = story.outcome("interrupted")
    assert (found.problem, found.sent, found.failed) == ("interrupted", 3, 1)
    assert (found.rollbacks, found.chapters) == ({"staging/wine": 1.5}, {"staging": 2.0})


def test_what_keeps_running_is_told_with_how_to_ask_and_stop_it(scene, capsys):
    """Every address and path in it is that of this demo, and what is to be typed can be typed."""
    Story(scene).keep()
    told = capsys.readouterr().out
    root = scene.place.root
    payload = shlex.split(re.search(r"-d ('.*') ", told)[1])[0]
    assert json.loads(payload)["dataframe_split"]["columns"] == ["start", "end"]
    assert f"http://{LISTEN[STAGING]}/{FORECASTS}/models/{NAMES[0]}/invocations\n" in told
    assert f"  MLflow  http://127.0.0.1:20003\n  logs    {root}/logs\n  stop    {root}/stop && rm -r {root}\n" in told
    assert f" -C {root}/laptop status\n" in told
    assert os.access(root / "stop", os.X_OK)
    assert scene.done == []


def test_a_lent_name_stays_with_the_clone(tmp_path):
    """Who commits there later has one, where this machine knows none."""
    scene = Scene(tmp_path, {"GIT_AUTHOR_NAME": "Demo"})
    Story(scene).keep()
    assert scene.done == ["git config user.name Demo", "git config user.email demo@example.com"]


@pytest.mark.parametrize(
    ("problem", "left", "kept", "lines"),
    [
        ("", [], False, ["", "Every step ended as it should, no process is left, and the folder is gone."]),
        ("", [], True, []),
        ("interrupted", [], True, ["", "Interrupted. Everything that was started has ended, and the folder is gone."]),
        (
            "a step failed",
            ["7 sleep 600"],
            False,
            ["", "The demo failed: a step failed", "  7 sleep 600", "  logs  ROOT/logs", "        ROOT/staging/logs"],
        ),
        (
            "7 sleep 600",
            ["7 sleep 600"],
            False,
            ["", "The demo failed: 7 sleep 600", "  logs  ROOT/logs", "        ROOT/staging/logs"],
        ),
    ],
    ids=["well", "well, and kept", "interrupted", "a step failed, and one was left", "one was left, which is the problem"],
)
def test_the_last_words(scene, capsys, problem, left, kept, lines):
    """That all is well, or what is not, once, and where to read on."""
    _farewell(scene, problem, left, kept=kept)
    assert capsys.readouterr().out.replace(str(scene.place.root), "ROOT").splitlines() == lines


def test_signals_go_to_the_story_while_it_is_told_and_back_afterwards():
    """Ctrl-C, SIGTERM and a closed terminal; also when the block ends with an error."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    for number in numbers:
        with pytest.raises(KeyboardInterrupt), _signals(_interrupt):
            signal.raise_signal(number)
        assert [signal.getsignal(n) for n in numbers] == before


def test_a_report_without_a_folder_is_refused_before_anything_begins(tmp_path, capsys):
    """Minutes later would be late."""
    with pytest.raises(Error) as raised:
        demo(keep=False, report=str(tmp_path / "missing" / "r.json"), directory=str(tmp_path / "demo"))
    assert raised.value.message == f"{tmp_path}/missing/r.json: there is no such folder"
    assert raised.value.hint == "make it first, or name another --report"
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_the_server_lets_in_this_machine_alone(scene):
    """The whole command line."""
    assert server_command(scene.place) == [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", "20003"),
        *("--allowed-hosts", "127.0.0.1:20003,localhost:20003,127.0.0.1,localhost"),
        *("--backend-store-uri", f"sqlite:///{scene.place.root}/mlflow/mlflow.db"),
        *("--artifacts-destination", f"{scene.place.root}/mlflow/artifacts"),
    ]


def test_a_place_gives_back_only_what_it_made(tmp_path):
    """Links are removed, not followed; a folder that was the user's stays, empty."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("kept")
    root = tmp_path / "demo"
    for made in (True, False):
        root.mkdir()
        (root / "folder").mkdir()
        (root / "file").write_text("x")
        (root / "link").symlink_to(outside)
        Place(root, LISTEN, 1, made=made).remove()
        assert root.exists() is not made
    assert list(root.iterdir()) == []
    assert (outside / "mine").read_text() == "kept"


def test_each_environment_has_paths_and_addresses_of_its_own(scene):
    """Nothing of one is ever written by the other."""
    place = scene.place
    for of in (place.state, place.requests, place.answers, lambda name: Path(place.url(name, "s", "m"))):
        assert len({of(name) for name in ENVIRONMENTS}) == len(ENVIRONMENTS)


def test_output_is_flushed_line_by_line(monkeypatch):
    """Whoever reads the story through a pipe reads it as it happens."""

    class Pipe(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed += 1

    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    Teller(40, styled=False).lines(["one", "two"])
    assert (pipe.getvalue(), pipe.flushed) == ("one\ntwo\n", 2)
