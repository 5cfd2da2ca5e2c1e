"""Waivers: what a person's word opens, for which version, and until when."""

from __future__ import annotations

import pytest
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Evidence, Signature
from mlrelease.model.gate import GateSpec, GateStatus, SkipReason, Waiver
from support.gating import READY, measured, subject

TOO_HIGH = "m 95: 95 is above the maximum 80"
METRIC = GateSpec("metric", {"metric": "m", "max": 80})
ROWS = GateSpec("metric", {"metric": "m", "max": 80, "min_samples": 5, "samples": "n"})


def waiver(gate="metric", version="8", expires="2027-12-31", metric="", approver="ada"):
    return Waiver(gate, version, "harder test set", approver, expires, metric)


def word(spec, evidence, *waivers):
    result, _rejected = evaluate([spec], subject(), evidence, waivers)
    return result


def test_a_waiver_in_force_opens_with_its_reason_and_approver():
    """What the gate would have said stays in the sentence and in the receipt."""
    result = word(METRIC, measured({"m": 95}), waiver())
    assert (result.status, result.skip_reason, result.opens) == (GateStatus.SKIPPED, SkipReason.WAIVED, True)
    assert result.reason == f"waived by ada until 2027-12-31: harder test set (else failed: {TOO_HIGH})"
    assert result.evidence["waived"] == {
        "status": "failed",
        "reason": "harder test set",
        "approver": "ada",
        "expires": "2027-12-31",
    }
    assert result.evidence["value"] == 95


@pytest.mark.parametrize(
    ("waivers", "opens"),
    [
        ([waiver(expires="2027-01-15")], True),
        ([waiver(expires="2027-01-14")], False),
        ([waiver(expires="2020-01-01"), waiver(expires="2027-02-01")], True),
        ([waiver(version="7")], False),
        ([waiver(version="80")], False),
        ([waiver(gate="signature")], False),
        ([waiver(metric="m")], True),
        ([waiver(metric="n")], False),
        ([], False),
    ],
    ids=[
        "on its last day",
        "the day after",
        "an expired one beside one in force",
        "for another version",
        "for a version that begins alike",
        "for another gate",
        "for this metric",
        "for another metric",
        "none",
    ],
)
def test_only_a_waiver_in_force_for_exactly_this_opens(waivers, opens):
    """Gate, version, metric and day must all fit (today is 2027-01-15)."""
    assert word(METRIC, measured({"m": 95}), *waivers).opens is opens


def test_an_expired_waiver_is_named():
    """Nobody wonders why it does not open any more."""
    result = word(METRIC, measured({"m": 95}), waiver(expires="2026-01-01"), waiver(expires="2026-12-31", approver="bob"))
    assert (result.status, result.reason) == (
        GateStatus.FAILED,
        f"{TOO_HIGH}; the waiver of bob expired on 2026-12-31",
    )


@pytest.mark.parametrize(
    ("spec", "evidence", "gate", "status", "opens"),
    [
        (ROWS, measured({"m": 75, "n": 3}), "metric", "inconclusive", True),
        (METRIC, Evidence(error="down"), "metric", "errored", False),
        (GateSpec("signature"), Evidence(READY, asked=True, signature=Signature(None, None)), "signature", "failed", True),
        (GateSpec("exists"), Evidence(None, asked=True), "exists", "failed", False),
        (GateSpec("digest"), Evidence(None, asked=True), "digest", "failed", False),
        (GateSpec("nonsense"), Evidence(), "nonsense", "errored", False),
    ],
    ids=[
        "inconclusive is waived",
        "errored is not",
        "a signature is waived",
        "a missing version is not",
        "bytes are not",
        "nor what does not exist",
    ],
)
def test_what_can_be_waived(spec, evidence, gate, status, opens):
    """A person may vouch for quality; not for bytes, and not for an answer that has not come."""
    assert word(spec, evidence).status == status
    assert word(spec, evidence, waiver(gate=gate)).opens is opens


def test_a_rejection_is_never_waived():
    """It is lifted with a reason (`unreject`), which the ledger keeps."""
    _metric, rejected = evaluate(
        [METRIC], subject(), measured({"m": 75}, rejection="rejected by ada: bad"), [waiver(gate="rejected")]
    )
    assert (rejected.status, rejected.opens) == (GateStatus.FAILED, False)


def test_a_gate_that_passes_says_nothing_of_a_waiver():
    """It was not needed."""
    result = word(METRIC, measured({"m": 75}), waiver())
    assert (result.status, result.reason) == (GateStatus.PASSED, "m 75: the maximum is 80")
