"""No data counted as good, or as bad.

Minimum samples; `inconclusive` is its own word; an empty list of gates opens nothing.
"""

from __future__ import annotations

import pytest
from mlrelease.commands.deploy import DeployOptions, deploy
from mlrelease.commands.workspace import FindingsError
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Evidence, Subject
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from support.core import model
from support.desk import desk

ALSO = ("tests/unit/gates/test_gates.py::test_no_gates_at_all_fail_closed",)


def test_row_17_all_of_nothing_does_not_open():
    """No gates: one failed result, so that nothing goes live unjudged."""
    (result,) = evaluate((), Subject("production", "wine", model("wine", "1")), Evidence())
    assert (result.status, result.opens) == (GateStatus.FAILED, False)


@pytest.mark.parametrize(
    ("status", "skip", "opens"),
    [
        (GateStatus.PASSED, None, True),
        (GateStatus.FAILED, None, False),
        (GateStatus.ERRORED, None, False),
        (GateStatus.INCONCLUSIVE, None, False),
        (GateStatus.SKIPPED, None, False),
        *((GateStatus.SKIPPED, reason, True) for reason in SkipReason),
    ],
    ids=str,
)
def test_row_17_only_passed_and_reasoned_skips_open(status, skip, opens):
    """Inconclusive and errored are neither good nor bad, and shut all the same."""
    assert GateResult("g", "model:wine", status, "why", skip_reason=skip).opens is opens


def test_row_17_an_environment_without_gates_deploys_nothing(world):
    """Merged all the same, an empty list is a finding that leaves no environment to act on."""
    path = world.laptop / "environments" / "production" / "environment.yaml"
    path.write_text(path.read_text().split("gates:")[0] + "gates: []\n")
    world.commit("Faster deploys")
    assert [f.rule for f in world.desired().spec.blocking("production")] == ["no-gates"]
    with pytest.raises(FindingsError, match="production cannot be read"):
        deploy(desk(world), "production", DeployOptions())
    assert world.target.instances == {}
