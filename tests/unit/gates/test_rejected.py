"""The gate `rejected`: nothing moves to what failed here or was left."""

from __future__ import annotations

import pytest
from mlrelease.gates import rejected
from mlrelease.gates.interface import Evidence
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import subject

SAID = "rejected by ada: golden rows differ"


@pytest.mark.parametrize(
    ("direction", "rejection", "status", "reason"),
    [
        pytest.param(
            Direction.FORWARD, "", GateStatus.PASSED, "nothing is said against risk 8 in production", id="nothing said"
        ),
        pytest.param(Direction.FORWARD, SAID, GateStatus.FAILED, f"risk 8 is {SAID}", id="a move forward to it"),
        pytest.param(Direction.BACK, SAID, GateStatus.FAILED, f"risk 8 is {SAID}", id="a move back to it, by a person's word"),
        pytest.param(Direction.BACK, "", GateStatus.PASSED, "nothing is said against risk 8 in production", id="a move back"),
        pytest.param(
            Direction.NONE, SAID, GateStatus.SKIPPED, f"the pin stands, though risk 8 is {SAID}", id="a pin that stands"
        ),
    ],
)
def test_its_word(direction, rejection, status, reason):
    """It judges pins that move; of one that stands it warns."""
    result = rejected.evaluate({}, subject(direction), Evidence(rejection=rejection))
    assert (result.status, result.reason, result.component) == (status, reason, "model:risk")
    assert result.opens is (status is not GateStatus.FAILED)
    assert result.skip_reason is (SkipReason.NOT_APPLICABLE if status is GateStatus.SKIPPED else None)


def test_it_has_no_options():
    """One that somebody writes is an error, not a way around it."""
    result = rejected.evaluate({"except": "8"}, subject(), Evidence(rejection=SAID))
    assert (result.status, result.reason) == (GateStatus.ERRORED, "the gate has no option 'except'")
