"""One of eight servers kept old code for 45 minutes.

Every instance is asked who it is; one mismatch fails the rollout and restores all.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import ChangeKind, Outcome

ALSO = ("tests/unit/delivery/test_passes.py::test_failed_verification_of_an_update_leaves_the_last_good_serving",)


@pytest.mark.parametrize("liar", ["wine-3", "wine-4"], ids=["the first of two", "the last of two"])
def test_row_01_one_replica_that_answers_as_another_bundle_fails_the_rollout(deployed, liar):
    """One of two new instances says that it is something else: neither gets a request, both are gone, version 1 serves."""
    deployed.bump("wine", "2")
    deployed.target.liars.add(liar)
    result = deployed.run()
    receipt = result.receipts["wine"]
    assert (receipt.change, receipt.outcome, exit_code(result)) == (ChangeKind.UPDATE, Outcome.ROLLED_BACK, 6)
    assert [(p.name, p.status, p.instance) for p in receipt.probes if p.status == "failed"] == [("identity", "failed", liar)]
    assert deployed.live() == {"wine": "1"}
    assert sorted(deployed.target.instances) == ["wine-1", "wine-2"]
    assert not any(call[0] == "route" and receipt.after.id in call[2] for call in deployed.target.calls)


def test_row_01_a_running_instance_that_turns_into_another_is_drift(deployed):
    """An instance that begins to answer as another bundle is replaced; the one that answers rightly stays."""
    deployed.target.become("wine-2", "000000000000")
    result = deployed.run()
    assert result.receipts["wine"].change is ChangeKind.REPAIR
    assert "wine-2: answers as bundle 000000000000" in " ".join(result.plan.changes[0].drift)
    assert "wine-2" not in deployed.target.instances
    assert "wine-1" in deployed.target.instances
    assert deployed.run().finished is None


def test_row_01_an_instance_that_does_not_say_who_it_is_is_no_proof(deployed):
    """Silence is not a match: an instance without identity is replaced."""
    deployed.target.become("wine-1", None)
    result = deployed.run()
    assert result.receipts["wine"].outcome is Outcome.SUCCEEDED
    assert "does not say who it is" in " ".join(result.plan.changes[0].drift)
    assert "wine-1" not in deployed.target.instances
