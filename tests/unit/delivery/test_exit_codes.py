"""Exit codes: what each outcome and each reason of a block comes to, and which wins."""

from __future__ import annotations

import itertools

import pytest
from mlrelease.delivery.exit_codes import OUTCOME_CODE, blocked_code, exit_code, worst
from mlrelease.delivery.passes import PassResult, changed_anything
from mlrelease.history.fold import History
from mlrelease.model.change import Change, ChangeKind, Direction, Outcome, Plan
from mlrelease.model.event import ServiceReceipt


def change(**other):
    return Change("wine", ChangeKind.UPDATE, "", None, None, **other)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_worst_code_wins_in_any_order(size):
    """130 over 1 over 6 over 5 over 4 over 3; nothing else than these is ever given."""
    ranks = [130, 1, 6, 5, 4, 3, 0]
    for codes in itertools.combinations(ranks, size):
        assert worst(set(codes)) == min(codes, key=ranks.index)
    assert worst(set()) == 0


@pytest.mark.parametrize(("codes", "code"), [({2}, 1), ({0, 77}, 1), ({77, 5}, 5), ({77, 6}, 6), ({77, 1}, 1), ({0}, 0)])
def test_a_code_that_nobody_knows_is_never_success(codes, code):
    """A heartbeat of a newer agent may carry one: the known ones go before it, and alone it is an error."""
    assert worst(codes) == code


@pytest.mark.parametrize(
    ("by", "code"),
    [
        ("findings", 4),
        ("undeclared", 4),
        ("gate:metric:errored", 1),
        ("order:errored", 1),
        ("hold:errored", 1),
        ("gate:metric:failed", 5),
        ("hold", 5),
        ("approval", 5),
        ("waiting", 5),
        ("rejected", 5),
    ],
)
def test_what_blocks_decides_the_code(by, code):
    """Findings are invalid files, what could not be told is an error, any other no is a no."""
    assert blocked_code(change(blocked="because", blocked_by=by)) == code
    assert blocked_code(change(blocked_by=by)) == 0, "without a reason nothing is blocked"


def receipt(outcome, kind=ChangeKind.UPDATE):
    return ServiceReceipt(outcome, kind, Direction.FORWARD, "", None, None)


@pytest.mark.parametrize(("outcome", "code"), sorted(OUTCOME_CODE.items()))
def test_a_receipt_speaks_for_its_service(outcome, code):
    """What the plan said of it before counts no more; a pass that only wrote that something is blocked touched nothing."""
    plan = Plan("production", "r1", 0, (change(blocked="because", blocked_by="findings"),))
    assert exit_code(PassResult(plan, History("production"), True, {"wine": receipt(outcome)})) == code
    assert exit_code(PassResult(plan, History("production"), True)) == 4
    touched = PassResult(plan, History("production"), True, {"wine": receipt(outcome)})
    assert changed_anything(touched) is (outcome is not Outcome.BLOCKED)


def test_every_outcome_has_a_code():
    """A new one would be a KeyError at the end of a pass."""
    assert set(OUTCOME_CODE) == set(Outcome)
