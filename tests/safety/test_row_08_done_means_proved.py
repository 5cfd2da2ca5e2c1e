"""A tool said "rollback finished" while the old workload still served.

Done is: every instance and the proxy answer as the pins say, so many times in a row, and predict what they should.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.probes import PROOFS
from mlrelease.model.change import ChangeKind, Outcome

ALSO = ("tests/integration/test_proven_rollback.py::test_three_deploys_and_three_rollbacks_lose_no_request",)


@pytest.fixture
def going_back(deployed):
    """Version 2 runs; the revert is pushed, not applied."""
    bump = deployed.bump("wine", "2")
    deployed.run()
    deployed.revert(bump)
    return deployed


@pytest.mark.parametrize(
    "break_it",
    [
        lambda w, old: w.target.wrong_through_proxy.add(old.id),
        lambda w, old: w.target.lie.add(old.id),
        lambda w, old: setattr(w.target, "predictions", {old.models[0].digest: [99.0]}),
        lambda w, old: w.target.break_route.add(old.id),
    ],
    ids=["the proxy does not answer", "it answers as another bundle", "it predicts otherwise", "the route is refused"],
)
def test_row_08_a_rollback_without_proof_never_exits_0(going_back, break_it):
    """Whatever stands in the way of the proof, the receipt does not say succeeded and the ledger does not record it."""
    old = going_back.history().verified["wine"][0].bundle
    newest = going_back.history().bundle("wine")
    for name in [n for n, i in going_back.target.instances.items() if i.bundle == old.id]:
        going_back.target.instances.pop(name)  # nothing warm: it must start again, with the fault
    break_it(going_back, old)
    result = going_back.run()
    receipt = result.receipts["wine"]
    assert receipt.change is ChangeKind.ROLLBACK
    assert receipt.outcome in (Outcome.FAILED, Outcome.ERRORED)
    assert exit_code(result) == 1
    assert going_back.history().bundle("wine") == newest


def test_row_08_the_proof_asks_the_proxy_and_every_instance_several_times(going_back):
    """The receipt of a rollback that succeeded holds the proofs, and says how many there were of whom."""
    receipt = going_back.run().receipts["wine"]
    assert (receipt.change, receipt.outcome) == (ChangeKind.ROLLBACK, Outcome.SUCCEEDED)
    by_name = {}
    for probe in receipt.probes:
        by_name.setdefault(probe.name, []).append((probe.status, probe.instance))
    assert by_name["identity"] == [("passed", "wine-1"), ("passed", "wine-2")]
    assert by_name["golden:wine"] == [("passed", "wine-1"), ("passed", "wine-2")]
    proof = next(p for p in receipt.probes if p.name == "proof")
    assert proof.reason == f"{PROOFS} in a row through the proxy and of 2 instances"


def test_row_08_after_the_switch_a_failed_rollback_stays_on_its_target(going_back):
    """A person asked to leave version 2: the traffic is not given back to it, and the exit code says that it is not proved."""
    old = going_back.history().verified["wine"][0].bundle
    going_back.target.wrong_through_proxy.add(old.id)
    assert exit_code(going_back.run()) == 1
    assert set(going_back.target.routes["wine"].weights) == {old.id}
