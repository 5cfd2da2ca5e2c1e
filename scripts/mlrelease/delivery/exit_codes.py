"""What a pass came to, as the exit code of the verb that ran it (DESIGN §5.4)."""

from __future__ import annotations

from collections.abc import Mapping

from mlrelease.delivery.passes import PassResult
from mlrelease.model.change import Change, Outcome


def exit_code(result: PassResult) -> int:
    """The worst over the services, as `worst` has it."""
    codes = {0}
    for receipt in result.receipts.values():
        codes.add(OUTCOME_CODE[receipt.outcome])
    for change in result.plan.changes:
        if change.service not in result.receipts:
            codes.add(blocked_code(change))
    return worst(codes)


def blocked_code(change: Change) -> int:
    """The exit code of a Change that may not be done: findings 4, an errored gate 1, any other no 5; 0 when it may."""
    if not change.blocked:
        return 0
    if change.blocked_by in ("findings", "undeclared"):
        return 4
    return 1 if change.blocked_by.endswith(":errored") else 5


OUTCOME_CODE: Mapping[Outcome, int] = {
    Outcome.SUCCEEDED: 0,
    Outcome.RUNNING: 0,
    Outcome.ROLLED_BACK: 6,
    Outcome.FAILED: 1,
    Outcome.ERRORED: 1,
    Outcome.ABORTED: 130,
    Outcome.BLOCKED: 5,
}


def worst(codes: set[int]) -> int:
    """The exit code that wins over several environments or services; one that nobody here knows (a newer agent's) is 1."""
    return next((code for code in (130, 1, 6, 5, 4, 3) if code in codes), 0 if codes <= {0} else 1)
