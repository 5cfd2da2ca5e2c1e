"""Plans under holds and halts, as values: what is said of each Change, and which of them moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.delivery.pinned import Obeyed, Pinned, explained, obey
from mlrelease.delivery.staleness import BLOCKED_BY, halted
from mlrelease.history.fold import fold
from mlrelease.model.change import Change, ChangeKind, Plan
from mlrelease.model.event import Held
from support import core

COMMIT = "0123456789" * 4
HOLD = Held("H1", "production", core.START, "ada", "at three in the morning", "wine", 0.0, COMMIT)
WHERE = "held at 012345678 by ada until origin/main has its pins"


def plan(*changes):
    return Plan("production", "r1", 0, changes)


def change(kind=ChangeKind.ROLLBACK, service="wine", **other):
    return Change(service, kind, "moves back", None, None, **other)


@pytest.fixture
def obeyed(place):
    """One hold on `wine` whose commit can be read."""
    return Obeyed(place.site(), place.history(), {"wine": Pinned(HOLD)})


def test_a_hold_that_decides_is_named_with_its_reason(obeyed):
    """Who, which commit, until when, why; the service beside it is left as it was."""
    other = change(service="tea")
    found = explained(plan(other, change()), obeyed)
    assert found.changes == (other, replace(change(), reason=f"moves back; {WHERE}: at three in the morning"))


@pytest.mark.parametrize("kind", [kind for kind in ChangeKind if kind is not ChangeKind.REPAIR])
def test_a_commit_that_cannot_be_read_blocks_whatever_would_move(obeyed, kind):
    """Errored, not refused: it is tried again at the next look. Also a no-op says so."""
    broken = replace(obeyed, pinned={"wine": Pinned(HOLD, "origin does not have it")})
    (found,) = explained(plan(change(kind)), broken).changes
    assert (found.reason, found.blocked, found.blocked_by) == (
        WHERE,
        f"{WHERE}, and that commit cannot be read: origin does not have it",
        "hold:errored",
    )


def test_a_repair_goes_on_while_the_commit_cannot_be_read(obeyed):
    """What is recorded is kept as it should be, and nothing moves."""
    broken = replace(obeyed, pinned={"wine": Pinned(HOLD, "origin does not have it")})
    (found,) = explained(plan(change(ChangeKind.REPAIR)), broken).changes
    assert (found.reason, found.blocked) == (f"keeps what is recorded: {WHERE}, and that commit cannot be read", "")


def test_without_a_hold_the_plan_is_the_plan(obeyed):
    """The very same."""
    one = plan(change())
    assert explained(one, replace(obeyed, pinned={})) is one


@pytest.mark.parametrize(
    "hold",
    [
        replace(HOLD, pinned_to=""),
        replace(HOLD, service=""),
        replace(HOLD, until=core.START + 1),
    ],
    ids=["it names no commit", "it is on the whole environment", "its time is over"],
)
def test_holds_that_name_nothing_to_run_are_left_to_the_plan(place, hold):
    """Git is not even asked: what is desired is what the branch has."""
    history = fold("production", [hold])
    found = obey(replace(place.site(), git=None), history, "r1")
    assert (found.site.environment, found.pinned, found.over) == (place.environment, {}, ())
    assert found.history is history


@pytest.mark.parametrize("kind", list(ChangeKind))
@pytest.mark.parametrize("blocked", ["", "held"])
def test_a_halt_stops_what_acts_and_moves(kind, blocked):
    """A repair and a no-op are as before, and so is what something else blocks already; twice is once."""
    one = change(kind, blocked=blocked, blocked_by="hold" if blocked else "")
    found = halted(plan(one), "nobody can tell")
    moves = not blocked and kind not in (ChangeKind.REPAIR, ChangeKind.NOOP)
    expected = replace(one, blocked="nobody can tell", blocked_by=BLOCKED_BY) if moves else one
    assert found.changes == (expected,)
    assert halted(found, "another reason") == found
    assert halted(plan(one), "nobody can tell", but=frozenset({"wine"})).changes == (one,)
