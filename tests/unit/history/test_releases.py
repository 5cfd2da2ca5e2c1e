"""What the ledger proves of a bundle, and what moved back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.history.releases import moved_back, proof_of
from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import Approved, DeployFinished, Held, ServiceReceipt
from mlrelease.model.when import from_iso

IMAGE = ImagePin(f"ghcr.io/acme/serve:0.1.0@sha256:{'ab' * 32}")
AT = from_iso("2027-01-15T08:00:00Z")


def bundle(version="1", service="wine"):
    return Bundle(service, IMAGE, (ModelPin("wine", version, Digest(f"sha256:{int(version):064x}")),))


def gate(name, status="passed", component="model:wine", **more):
    return {"gate": name, "component": component, "status": status, "reason": "x", "evidence": {}, "skip_reason": None, **more}


def finished(
    number, after, *, before=None, outcome=Outcome.SUCCEEDED, change=ChangeKind.UPDATE, gates=(), service="wine", reason="x"
):
    one = ServiceReceipt(
        outcome, change, Direction.FORWARD, reason, before, after, gate_results=tuple(gates), exercised=("model",)
    )
    return DeployFinished(
        f"F{number}", "production", AT + number, "ann", f"rev{number}", "deploy", f"S{number}", AT, {service: one}
    )


def approved(number, after, *, service="wine", approver="grace"):
    components = tuple(sorted(after.components().items()))
    return Approved(f"A{number}", "production", AT, "ann", service, (), components, approver, AT + 99, "https://example.org/7")


def test_the_newest_receipt_that_proved_it_counts():
    """A repair proves it again."""
    events = [finished(1, bundle("1")), finished(2, bundle("1"), change=ChangeKind.REPAIR), finished(3, bundle("2"))]
    proof = proof_of(events, "wine", bundle("1"))
    assert (proof.receipt, proof.revision, proof.at, proof.exercised) == ("F2", "rev2", AT + 2, ("model",))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [finished(1, bundle("2"))],
        [finished(1, bundle("1"), outcome=Outcome.FAILED)],
        [finished(1, bundle("1"), outcome=Outcome.ROLLED_BACK)],
        [finished(1, bundle("1"), service="other")],
        [finished(1, None, before=bundle("1"), change=ChangeKind.REMOVE)],
        [Held("H", "production", AT, "ann", "x"), approved(1, bundle("1"))],
    ],
    ids=["nothing", "another bundle", "failed", "rolled back", "another service", "removed", "words alone"],
)
def test_without_a_receipt_that_succeeded_there_is_no_proof(events):
    """An approval proves nothing."""
    assert proof_of(events, "wine", bundle("1")) is None


def test_a_gates_newest_word_on_these_bytes_counts():
    """Of a receipt in which the model had them, also under another image; not of another version's."""
    other_image = replace(bundle("1"), image=ImagePin(IMAGE.reference.replace("ab", "cd")))
    events = [
        finished(1, other_image, gates=[gate("exists"), gate("smoke", "failed")]),
        finished(2, bundle("1"), gates=[gate("smoke"), gate("digest", component="image")]),
        finished(3, bundle("2"), gates=[gate("exists", "failed")]),
        finished(4, bundle("1"), change=ChangeKind.ROLLBACK),
    ]
    assert proof_of(events, "wine", bundle("1")).gates == {"wine": {"exists": "passed", "smoke": "passed"}}


def test_several_gates_on_metrics_are_told_apart():
    """By the metric's name, where the evidence has it."""
    gates = [gate("metric", evidence={"metric": "rmse"}), gate("metric", "failed", evidence={"metric": "mae"}), gate("metric")]
    proof = proof_of([finished(1, bundle("1"), gates=gates)], "wine", bundle("1"))
    assert proof.gates["wine"] == {"metric rmse": "passed", "metric mae": "failed", "metric": "passed"}


def test_a_skip_says_why():
    """`waived` is not `first_deploy`."""
    events = [finished(1, bundle("1"), gates=[gate("size", "skipped", skip_reason="waived")])]
    assert proof_of(events, "wine", bundle("1")).gates["wine"] == {"size": "skipped: waived"}


def test_approvals_of_exactly_this_bundle_count():
    """Oldest first; of another service or other components none."""
    events = [
        approved(1, bundle("1")),
        approved(2, bundle("2"), approver="mallory"),
        approved(3, bundle("1"), service="other", approver="mallory"),
        finished(1, bundle("1")),
        approved(4, bundle("1"), approver="heidi"),
    ]
    found = proof_of(events, "wine", bundle("1")).approvals
    assert [(a.event, a.approver) for a in found] == [("A1", "grace"), ("A4", "heidi")]
    assert found[0].run_url == "https://example.org/7"
    assert found[0].at == "2027-01-15T08:00:00.000Z"


def test_rollbacks_asked_for_and_automatic_ones_moved_back():
    """Oldest first; what succeeded, failed before the switch, or was repaired did not."""
    events = [
        finished(1, bundle("1")),
        finished(2, bundle("2"), before=bundle("1"), outcome=Outcome.ROLLED_BACK, reason="golden predictions differ"),
        finished(3, bundle("2"), before=bundle("1"), outcome=Outcome.FAILED),
        finished(4, bundle("3"), before=bundle("1")),
        finished(5, bundle("1"), before=bundle("3"), change=ChangeKind.ROLLBACK, reason="moved back"),
        finished(6, bundle("1"), change=ChangeKind.REPAIR),
        finished(7, bundle("1"), before=bundle("3"), change=ChangeKind.ROLLBACK, outcome=Outcome.ERRORED),
    ]
    found = moved_back(events)
    assert [(m.left.versions()["wine"], m.kept.versions()["wine"], m.automatic, m.reason) for m in found] == [
        ("2", "1", True, "golden predictions differ"),
        ("3", "1", False, "moved back"),
    ]
    assert [m.at for m in found] == [AT + 2, AT + 5]


def test_several_services_of_one_pass_have_their_lines_in_order():
    """One receipt may hold many."""
    one = finished(1, bundle("1"), before=bundle("2"), change=ChangeKind.ROLLBACK)
    both = replace(one, services={"z": one.services["wine"], "a": one.services["wine"]})
    assert [m.service for m in moved_back([both])] == ["a", "z"]
