"""What `doctor` prints: the verdict with its reach, the next step by weight, one line per line, the same in JSON."""

from __future__ import annotations

import time

import pytest
from mlrelease.commands.doctor.checks import WHY, WHY_GITHUB, Line, State, bad, ok, skipped, unknown, warn
from mlrelease.commands.doctor.verb import HEADERS, NOWHERE, Reach, report
from support.doctor_hub import NAME, found
from support.github_server import slow
from support.newcomer import as_json

pytestmark = pytest.mark.xdist_group("doctor-report")

LINES = {
    "bad": Line("tag-rules", "", bad("tags v* can be moved", "a ruleset")),
    "warn": Line("merge-settings", "", warn("two ways", "leave one")),
    "unknown": Line("actions-token", "", unknown("not shown", "a token")),
    "skipped": Line("approval-gate", "production", skipped("not required")),
    "ok": Line("github", "", ok("there")),
}


@pytest.mark.parametrize(
    ("states", "following"),
    [
        (("ok", "unknown", "warn", "bad"), "a ruleset"),
        (("ok", "unknown", "warn"), "leave one"),
        (("ok", "unknown", "skipped"), "a token"),
        (("ok", "skipped"), "mlrelease plan production"),
        (("ok",), "mlrelease plan ENV"),
    ],
    ids=["what is bad", "then a warning", "then what is not known", "then the plan", "of any environment"],
)
def test_the_next_step_is_that_of_the_heaviest_line(states, following):
    """Whatever the order of the lines."""
    assert report([LINES[state] for state in states]).next == following


@pytest.mark.parametrize(
    ("reach", "verdict", "scope", "notes"),
    [
        (NOWHERE, "local: 1 ok", "local", ["GitHub was not asked: the remote is not on GitHub"]),
        (Reach(name=NAME, reason="no token", fix="set one"), "local: 1 ok", "local", ["GitHub was not asked: no token"]),
    ],
    ids=["no GitHub", "no token"],
)
def test_what_was_not_asked_is_said(capsys, reach, verdict, scope, notes):
    """One line, and in the JSON."""
    made = report([LINES["ok"]], reach)
    assert (made.verdict, made.notes) == (verdict, notes)
    said = as_json(made, capsys)
    assert (said["scope"], said["github"]["asked"], said["github"]["repository"]) == (scope, False, reach.name)


def test_counts_of_every_state(capsys):
    """Also of those that are not there."""
    assert as_json(report([LINES["ok"], LINES["bad"]]), capsys)["counts"] == {
        "ok": 1,
        "warn": 0,
        "bad": 1,
        "unknown": 0,
        "skipped": 0,
    }


def test_why_stands_beside_what_is_not_well():
    """Not beside what is, so that the eye finds it."""
    rows = {row[2]: row for row in report(list(LINES.values())).rows}
    why = HEADERS.index("why it matters")
    assert {id_ for id_, row in rows.items() if row[why]} == {"tag-rules", "merge-settings", "actions-token"}
    assert rows["tag-rules"][why] == WHY_GITHUB["tag-rules"]


def test_a_line_is_one_line():
    """Names of others stand in it: a line break is shown, not made; what is endless is cut."""
    made = report([Line("workflows", "", bad("a\n::error::b", "x\ny" + "z" * 5000))])
    (row,) = made.rows
    assert row[3] == "a\\n::error::b"
    assert row[5].startswith("x\\ny")
    assert len(row[5]) < 1100
    assert "\n" not in made.next


@pytest.mark.parametrize("id_", [*WHY, *WHY_GITHUB])
def test_every_reason_is_short_and_plain(id_):
    """It stands in a column."""
    why = (WHY | WHY_GITHUB)[id_]
    assert 10 < len(why) < 90
    assert not why.endswith(".")


def test_a_github_that_is_slow_leaves_unknown_behind(ward):
    """At the deadline each line that waits is unknown, not bad; the call does not wait for them."""
    ward.hub.fault(f"GET /repos/{NAME}/actions/workflows", slow(3), forever=True)
    begun = time.monotonic()
    lines = {line.id: line.found for line in ward.lines("workflows", "actions-policy", deadline_s=1.5)}
    assert time.monotonic() - begun < 20
    assert (lines["workflows"].state, lines["workflows"].what) == (State.UNKNOWN, "no answer within 1.5 s")
    ward.hub.faults.clear()
    assert found(ward, "workflows")[0] is State.OK
