"""Running one command of the story."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from mlrelease.demo.steps import HEAD, TAIL, Runner, follow, real, shortened
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error


def python(code):
    """A command that runs this."""
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("terminal", [True, False], ids=["on a terminal", "in a pipe"])
def test_lines_come_as_they_are_written(terminal, tmp_path):
    """Both streams, in order, the last line without its end, and the exit code."""
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print('ü', end=''); sys.exit(5)"
    lines = []
    ended = follow(python(code), lines.append, cwd=tmp_path, variables=os.environ, columns=90, terminal=terminal)
    assert (ended, lines) == (5, ["one", "two", "ü"])


def test_the_terminal_is_as_wide_as_asked(tmp_path):
    """Tables of the command fit between our margins."""
    code = "import os; print(os.get_terminal_size().columns, os.isatty(2))"
    lines = []
    follow(python(code), lines.append, cwd=tmp_path, variables=os.environ, columns=77, terminal=True)
    assert lines == ["77 True"]


@pytest.mark.parametrize("terminal", [True, False], ids=["on a terminal", "in a pipe"])
def test_a_daemon_does_not_hold_the_story_up(terminal, tmp_path):
    """A command ends when it ends, although something that it started keeps its output open."""
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " start_new_session=True); print(p.pid, flush=True)"
    )
    lines = []
    began = time.monotonic()
    try:
        assert follow(python(code), lines.append, cwd=tmp_path, variables=os.environ, columns=90, terminal=terminal) == 0
        assert time.monotonic() - began < 20
    finally:
        os.kill(int(lines[0]), signal.SIGKILL)


def test_an_interrupted_command_is_ended(tmp_path):
    """Ctrl-C in the middle of a command leaves no command behind."""
    lines = []

    def show(line):
        lines.append(line)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        follow(python(code), show, cwd=tmp_path, variables=os.environ, columns=90, terminal=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines[0]), 0)


def test_a_step_that_ends_otherwise_ends_the_story(tmp_path, capsys):
    """The error names the command and both exit codes; the step is kept all the same."""
    runner = Runner(Teller(80, styled=False), os.environ)
    with pytest.raises(Error, match=r"`git frobnicate` \(odd\) ended with 1 where 0 was expected"):
        runner.run("odd", ["git", "frobnicate"], cwd=tmp_path)
    assert [(step.name, step.exit, step.expected_exit) for step in runner.steps] == [("odd", 1, 0)]
    assert capsys.readouterr().out.startswith("demo$ git frobnicate\n    git: 'frobnicate'")


def test_an_expected_failure_goes_on(tmp_path, capsys):
    """A step may be meant to fail."""
    runner = Runner(Teller(80, styled=False), os.environ)
    runner.run("refused", ["git", "frobnicate"], cwd=tmp_path, expected=1)
    assert runner.steps[0].expected_exit == 1
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "hidden"),
    [(HEAD - 1, 0), (HEAD, 0), (HEAD + TAIL + 1, 0), (HEAD + TAIL + 2, 2), (400, 400 - HEAD - TAIL)],
    ids=["less than the head", "the head", "one line is not worth a mark", "two are", "a fleet"],
)
def test_a_long_output_is_shortened_with_a_mark(count, hidden, tmp_path, capsys):
    """The first lines as they come, how many are left out, the last ones; the caller gets all of them."""
    runner = Runner(Teller(80, styled=False), os.environ)
    lines = runner.run("long", python(f"for i in range({count}): print(i)"), cwd=tmp_path)
    assert lines == [str(i) for i in range(count)]
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()[-count or None :] if line.startswith("    ")]
    kept = [str(i) for i in range(count)]
    expected = kept if not hidden else [*kept[:HEAD], f"… {hidden} more lines", *kept[-TAIL:]]
    assert shown[-len(expected) :] == expected
    assert list(shortened(kept)) == expected[HEAD:]


def test_mlrelease_is_the_installed_one():
    """Whatever `mlrelease` is first on PATH, the demo shows the one that it belongs to."""
    assert real(["mlrelease", "plan", "production"]) == [sys.executable, "-m", "mlrelease.cli", "plan", "production"]
    assert real(["git", "push"]) == ["git", "push"]
