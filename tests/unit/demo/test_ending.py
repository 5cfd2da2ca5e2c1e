"""How a demo ends: what it started is ended and named, its report is whole, and a folder that is none is left alone."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import psutil
import pytest
from mlrelease.demo.crew import Crew, marked, remembered, sweep
from mlrelease.demo.ending import Outcome, main, stop_all, write_report, write_stop_script
from mlrelease.demo.place import Place, environment, make_place
from mlrelease.demo.steps import Step
from mlrelease.errors import Error

SLEEP = ["sleep", "600"]


@pytest.fixture
def place():
    """A place of its own, removed with what runs in it."""
    place = make_place("")
    yield place
    sweep(place)
    place.remove()


@pytest.fixture
def crew(place):
    """Who starts processes there."""
    return Crew(place, environment(place, columns=96))


def test_what_was_remembered_is_ended_in_order(place, crew, capsys):
    """Load, agent, models and MLflow: nothing is left to say, and the folder stays."""
    for name in ("mlflow", "agent", "load-staging"):
        crew.start(name, SLEEP, cwd=place.root)
    assert main([str(place.root)]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == (f"everything has ended; the folder stays: rm -r {place.root}\n", "")
    assert marked(place) == []
    assert [process.wait(5) for process in crew.started.values()] == [-15, -15, -15]


def test_what_has_just_begun_is_known_at_once(place, crew, monkeypatch):
    """The kernel has its variables a moment after it runs; whoever ended it in that moment waited for ever."""
    read, looks = psutil.Process.environ, []

    def environ(process):
        looks.append(process.pid)
        return read(process) if len(looks) > 2 else {}

    monkeypatch.setattr(psutil.Process, "environ", environ)
    pid = crew.start("new", SLEEP, cwd=place.root)
    assert looks == [pid] * 3


def test_what_nobody_remembers_is_swept_up_and_named(place, crew, capsys):
    """A process of the demo that no list knows: it ends too, and the exit code says that it was not in order."""
    crew.start("stray", SLEEP, cwd=place.root)
    pid = crew.started["stray"].pid
    assert main([str(place.root)]) == 1
    assert capsys.readouterr().err == f"had to be ended one by one: {pid} sleep 600\n"
    assert crew.started["stray"].wait(5) == -15


def test_a_pid_that_is_somebody_elses_by_now_is_not_touched(place, crew):
    """Numbers are used again: only what carries the demo's mark is ended."""
    crew.start("agent", SLEEP, cwd=place.root)
    crew.end("agent")
    with subprocess.Popen(SLEEP, start_new_session=True) as other:
        try:
            (place.root / "processes.json").write_text(json.dumps({"agent": other.pid, "mlflow": other.pid}))
            assert stop_all(place, environment(place, columns=96)) == []
            assert other.poll() is None
        finally:
            other.kill()


def test_twice_is_once(place, crew, capsys):
    """A second stop finds nothing, and says the same."""
    crew.start("agent", SLEEP, cwd=place.root)
    assert [main([str(place.root)]), main([str(place.root)])] == [0, 0]
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["missing"], ["{empty}"]], ids=["none", "two", "no folder", "another"])
def test_a_folder_that_is_no_demo_is_refused(arguments, tmp_path, capsys):
    """Usage, exit code 2, and nothing is done."""
    assert main([argument.format(empty=tmp_path) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "usage: python -m mlrelease.demo.ending DIR, the folder of a demo\n")
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_processes_is_whole_at_any_moment(place, crew):
    """Whoever reads it while another process is added reads the list before, or the one after."""
    first = crew.start("mlflow", SLEEP, cwd=place.root)
    with (place.root / "processes.json").open() as before:
        second = crew.start("agent", SLEEP, cwd=place.root)
        assert json.loads(before.read()) == {"mlflow": first}
    assert remembered(place) == {"mlflow": first, "agent": second}
    assert [path.name for path in place.root.iterdir() if "processes" in path.name] == ["processes.json"]


def test_a_process_that_is_started_again_takes_its_place(place, crew):
    """One name, one pid: the newest."""
    first = crew.start("mlflow", SLEEP, cwd=place.root)
    crew.end("mlflow")
    second = crew.start("mlflow", SLEEP, cwd=place.root)
    assert first != second
    assert remembered(place) == {"mlflow": second}
    assert crew.exit_code("mlflow") is None


def test_nobody_started_is_nobody_to_end(place, crew):
    """An end before any beginning does nothing."""
    crew.end("agent")
    assert (remembered(place), marked(place)) == ({}, [])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("echo one; echo two; echo; exit 3", "two"),
        ("exit 3", "it said nothing"),
        ("printf '%400s' x | tr ' ' y; exit 3", "y" * 300),
    ],
    ids=["the last line that says anything", "nothing", "an endless line"],
)
def test_last_words(place, crew, code, said):
    """What a process said before it ended, on one line, with where the rest is."""
    crew.start("agent", ["sh", "-c", code], cwd=place.root)
    crew.started["agent"].wait(20)
    with pytest.raises(Error) as raised:
        crew.check("agent", "the agent")
    assert raised.value.message == f"the agent ended with 3: {said}"
    assert raised.value.where == str(place.logs / "agent.log")


def test_while_it_runs_there_is_nothing_to_say(place, crew):
    """A check of a living process comes back."""
    crew.start("agent", SLEEP, cwd=place.root)
    crew.check("agent", "the agent")


def test_the_stop_script_in_full(tmp_path):
    """It can be run from anywhere, whatever the folder is called."""
    place = Place(tmp_path / "my demo", {}, 0, made=True)
    place.root.mkdir()
    path = write_stop_script(place)
    assert path == place.root / "stop"
    assert path.stat().st_mode & 0o777 == 0o755
    assert path.read_text() == (
        "#!/bin/sh\n# Ends everything that this demo left running. The folder stays.\n"
        f"exec {shlex.quote(sys.executable)} -m mlrelease.demo.ending '{place.root}'\n"
    )


STEPS = [Step("bump", "mlrelease bump staging", 0, 0, 1.25), Step("refused", "mlrelease deploy staging", 4, 4, 2.5)]


@pytest.mark.parametrize(("problem", "ok"), [("", True), ("interrupted", False)], ids=["well", "not well"])
def test_the_report_in_full(tmp_path, problem, ok):
    """As JSON: every step as typed, what the clients saw, how long things took."""
    path = tmp_path / "report.json"
    write_report(str(path), STEPS, Outcome(problem, 100, 2, {"staging/wine": 1.5}, {"staging": 20.0}))
    assert path.read_text().endswith("}\n")
    assert json.loads(path.read_text()) == {
        "schema": 2,
        "ok": ok,
        "problem": problem,
        "requests_sent": 100,
        "requests_failed": 2,
        "rollback_seconds": {"staging/wine": 1.5},
        "chapter_seconds": {"staging": 20.0},
        "steps": [
            {"name": "bump", "command": "mlrelease bump staging", "exit": 0, "expected_exit": 0, "seconds": 1.25},
            {"name": "refused", "command": "mlrelease deploy staging", "exit": 4, "expected_exit": 4, "seconds": 2.5},
        ],
    }


@pytest.mark.parametrize(
    ("name", "why"), [("missing/r.json", "No such file or directory"), ("", "Is a directory")], ids=["no folder", "a folder"]
)
def test_a_report_that_cannot_be_written_is_said(tmp_path, name, why):
    """With the path."""
    path = tmp_path / name
    with pytest.raises(Error) as raised:
        write_report(str(path), [], Outcome("", 0, 0, {}, {}))
    assert (raised.value.message, raised.value.where) == (f"the report cannot be written: {why}", str(path))
