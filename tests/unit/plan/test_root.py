"""The path `/` belongs to a service only while there is one: a plan says what becomes of it."""

from __future__ import annotations

import pytest
from mlrelease.history.fold import History, Recorded
from mlrelease.model.change import Change, ChangeKind, Plan
from mlrelease.plan.root import root_notes
from support import core


def history(*services: str) -> History:
    """Each of these is recorded as running."""
    recorded = {name: Recorded(core.bundle(name), "r", 0.0, "e") for name in services}
    return History("production", recorded=recorded)


def plan(*changes: tuple[str, ChangeKind], blocked: str = "") -> Plan:
    """These services with these changes; what is created does not run before."""
    made = []
    for name, kind in changes:
        before = None if kind is ChangeKind.CREATE else core.bundle(name)
        after = None if kind is ChangeKind.REMOVE else core.bundle(name)
        made.append(Change(name, kind, "why", before, after, blocked=blocked))
    return Plan("production", "r", 1, tuple(made))


BESIDE = "/ no longer answers for a then: with 2 services each has its own prefix, /a/, /b/"


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        ((), [("a", ChangeKind.CREATE)], ()),
        (("a",), [("a", ChangeKind.UPDATE)], ()),
        (("a",), [("a", ChangeKind.NOOP), ("b", ChangeKind.CREATE)], (BESIDE,)),
        (("a",), [("b", ChangeKind.CREATE), ("a", ChangeKind.REMOVE)], ("/ answers for b then, no longer for a",)),
        (("a",), [("a", ChangeKind.REMOVE)], ()),
        (("a", "b"), [("a", ChangeKind.REMOVE), ("b", ChangeKind.NOOP)], ("/ answers for b then, the only service left",)),
        (("a", "b"), [("a", ChangeKind.UPDATE)], ()),
        (("a", "b"), [("c", ChangeKind.CREATE)], ()),
        (("a", "b"), [("a", ChangeKind.REMOVE), ("b", ChangeKind.REMOVE)], ()),
    ],
    ids=[
        "the first service gets the root",
        "an update of the only one changes nothing",
        "a second service takes the root away",
        "one that replaces the only one takes its root",
        "taking the only one away needs no word",
        "the last one left gets the root",
        "an update among several changes nothing",
        "a third service changes nothing",
        "taking all away needs no word",
    ],
)
def test_the_plan_says_what_becomes_of_the_root(before, changes, expected):
    """The note names who loses or gets `/`, and the prefixes that always answer."""
    assert root_notes(plan(*changes), history(*before)) == expected


def test_a_blocked_change_moves_no_route():
    """What may not be done now takes nothing from anybody."""
    assert root_notes(plan(("b", ChangeKind.CREATE), blocked="held"), history("a")) == ()


def test_what_runs_after_the_pass_makes_no_difference():
    """A report made after the plan was carried out says the same: the plan knows what was there before."""
    assert root_notes(plan(("b", ChangeKind.CREATE)), history("a", "b")) == (BESIDE,)


def test_a_removed_service_holds_no_root():
    """A service whose removal is recorded does not count."""
    gone = History("production", recorded={"a": Recorded(None, "r", 0.0, "e")})
    assert root_notes(plan(("b", ChangeKind.CREATE)), gone) == ()
