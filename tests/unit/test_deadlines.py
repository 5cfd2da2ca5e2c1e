"""The table of deadlines: each is asked for by its name, and those of one call fit into each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mlrelease.deadlines import DEADLINES_S

PACKAGE = Path(__file__).parents[2] / "scripts" / "mlrelease"


@pytest.fixture(scope="module")
def code():
    """All code of the package but the table itself."""
    return "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")) if path.name != "deadlines.py")


def test_nobody_asks_for_a_deadline_that_is_not_there(code):
    """A misspelt name would end the first call that needs it."""
    asked = set(re.findall(r'DEADLINES_S\["([^"]+)"\]', code))
    assert len(asked) > 40
    assert asked - set(DEADLINES_S) == set()


def test_every_deadline_is_asked_for(code):
    """One that nobody asks for would be tuned in vain."""
    assert [name for name in DEADLINES_S if f'"{name}"' not in code] == []


def test_each_ends_and_none_is_over_before_it_begins():
    """Seconds, between a tenth and a quarter of an hour."""
    assert {name: seconds for name, seconds in DEADLINES_S.items() if not 0.1 <= seconds <= 900} == {}


def test_the_table_cannot_be_changed():
    """A test or a plugin that wants another deadline says so where it is used."""
    with pytest.raises(TypeError):
        DEADLINES_S["pass"] = 1.0


@pytest.mark.parametrize("server", ["mlflow", "github", "image"])
def test_one_calls_deadlines_fit_into_each_other(server):
    """A connection is given up before an answer, one answer before the call with all its tries."""
    connect, read, total = (DEADLINES_S[f"{server}.{part}"] for part in ("connect", "read", "total"))
    assert connect <= read < total
    assert total >= connect + read / 2


def test_a_dead_mlflow_server_is_reported_soon():
    """In under 15 s; its own client takes 246 s."""
    assert DEADLINES_S["mlflow.total"] < 15


def test_a_pass_outlives_its_parts():
    """Whoever waits for a lock or an agent gives up no later than the pass that holds it; stopping outlasts draining."""
    assert DEADLINES_S["lock.wait"] < DEADLINES_S["pass"]
    assert DEADLINES_S["agent.answer"] >= DEADLINES_S["pass"]
    assert DEADLINES_S["instance.stop"] > DEADLINES_S["instance.drain"]
    assert DEADLINES_S["instance.look"] < DEADLINES_S["instance.answer"] < DEADLINES_S["instance.start"] < DEADLINES_S["pass"]
