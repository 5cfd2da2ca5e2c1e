"""The command lines of `wait`, `reconcile --hosted` and `approve --run`: what can be said, and what is a slip of the pen."""

from __future__ import annotations

import pytest
import typer
from mlrelease.errors import UsageError
from mlrelease.parsing.arguments import duration
from mlrelease.parsing.boundary import MISUSED
from support.pair import Pair, identity


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Version 1 serves in staging; nothing is written by these tests."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", approval="none").create()
        pair.run("staging")
    return pair


def line(pair, *words):
    """The exit code of a command line in the laptop's clone."""
    from mlrelease.cli import app
    from mlrelease.parsing.app import given

    given.run_id = ""
    try:
        return app(["-C", str(pair.laptop), *words], standalone_mode=False) or 0
    except typer.Exit as done:
        return done.exit_code


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("30m", 1800.0), ("2h", 7200.0), ("1d", 86400.0)], ids=["s", "m", "h", "d"]
)
def test_a_time_is_a_whole_number_and_a_unit(text, seconds):
    """As in the files."""
    assert duration(text, example="--timeout 30m") == seconds


@pytest.mark.parametrize("text", ["", "30", "0s", "-1m", "1.5h", "inf", "nan", "a while", "30 m"])
def test_what_is_no_time_is_usage_with_an_example(text):
    """No wait without an end, and none that is over before it began."""
    with pytest.raises(UsageError, match="is no time") as raised:
        duration(text, example="--timeout 30m")
    assert raised.value.hint == "--timeout 30m"


@pytest.mark.parametrize(
    "words",
    [
        ("wait",),
        ("wait", "staging", "--interval", "0"),
        ("wait", "staging", "--interval", "nan"),
        ("reconcile", "--hosted", "--check"),
        ("reconcile", "--hosted", "--watch"),
        ("approve", "staging", "--run"),
    ],
    ids=[
        "a wait for nothing",
        "a look without a pause",
        "a pause that is no number",
        "hosted and only looking",
        "hosted and for ever",
        "a run without its id",
    ],
)
def test_what_makes_no_sense_is_misuse(pair, words):
    """Before anything is read."""
    with pytest.raises(MISUSED):
        line(pair, *words)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("wait", "staging", "--timeout", "soon"), 2, "'soon' is no time"),
        (("wait", "nowhere", "--timeout", "1s"), 2, "there is no environment 'nowhere'"),
        (("wait", "staging", "--timeout", "1s", "--revision", "nonsense"), 2, "there is no commit 'nonsense'"),
        (("approve", "production", "--run", "seven", "--plan", "x"), 2, "is not the id of a workflow run"),
        (("reconcile", "--hosted", "nowhere"), 2, "there is no environment 'nowhere'"),
    ],
    ids=["no time", "no environment", "no commit", "no run", "no environment on a runner"],
)
def test_what_is_not_there_is_usage(pair, words, code, said, capfd):
    """One line, what to do, no traceback."""
    assert line(pair, *words) == code
    told = capfd.readouterr()
    assert said in told.err + told.out
    assert "Traceback" not in told.err


def test_a_wait_says_the_verdict_first_and_the_story_beside(pair, capfd):
    """What was done is on stdout, what was seen on stderr."""
    assert line(pair, "wait", "staging", "--timeout", "1s", "--interval", "0.2") == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[0].startswith("staging at ")
    assert "wine: succeeded" not in told.out.splitlines()[0]
    assert "wine succeeded: first deploy here" in told.err
    assert told.out.rstrip().endswith("next: mlrelease status staging")
