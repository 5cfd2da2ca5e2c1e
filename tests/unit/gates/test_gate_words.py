"""What gates say in full: the sentence, the receipt's evidence, and which of two troubles is told."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Evidence, Promotion, SmokeReport
from mlrelease.model.bundle import Digest
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec, GateStatus, SkipReason, Waiver
from mlrelease.model.version import VersionFacts
from support.gating import NOW, PIN, READY, judge, measured, subject

PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus
STAYS = subject(Direction.NONE)
FIRST = subject(baseline=None)
MB = 1_000_000


def said(result):
    """Status, reason and evidence."""
    return result.status, result.reason, dict(result.evidence)


# -- exists and digest -------------------------------------------------------------------------------------------------


def facts(status):
    return Evidence(VersionFacts("risk", "8", status, "models:/m-8"), asked=True)


@pytest.mark.parametrize(
    ("of", "evidence", "expected"),
    [
        (STAYS, facts("READY"), (PASSED, "risk version 8 is READY", {"found": "READY", "source": "registry"})),
        (STAYS, Evidence(None, asked=True), (FAILED, "risk version 8 does not exist in the registry", {})),
        (
            subject(),
            facts("FAILED_REGISTRATION"),
            (
                FAILED,
                "risk version 8 is not READY: its status is FAILED_REGISTRATION",
                {"found": "FAILED_REGISTRATION"},
            ),
        ),
        (subject(), facts(""), (FAILED, "risk version 8 is not READY: its status is unknown", {"found": "unknown"})),
        (subject(), facts("ready"), (FAILED, "risk version 8 is not READY: its status is ready", {"found": "ready"})),
    ],
    ids=[
        "a model that stays is judged where somebody asked",
        "and fails where it is gone",
        "another status",
        "no status",
        "the same in small letters",
    ],
)
def test_exists_in_full(of, evidence, expected):
    """The status as the registry has it."""
    assert said(judge("exists", {}, of, evidence)) == expected


@pytest.mark.parametrize(
    ("of", "evidence", "expected"),
    [
        (
            subject(),
            Evidence(READY, asked=True, found_digest=PIN.digest),
            (PASSED, "the artifacts have the pinned digest", {"source": "registry", "found": PIN.digest}),
        ),
        (
            subject(),
            Evidence(READY, asked=True, found_digest=PIN.digest, cached=True),
            (PASSED, "the artifacts have the pinned digest", {"source": "cache", "found": PIN.digest}),
        ),
        (subject(), Evidence(), (SKIPPED, "files are read for changed pins only", {})),
        (subject(), Evidence(error="down", digest_error="a file is missing"), (ERRORED, "a file is missing", {})),
        (
            STAYS,
            Evidence(READY, asked=True, cached=True),
            (SKIPPED, "files are read for changed pins only", {}),
        ),
    ],
    ids=["from the registry", "from the cache", "nobody asked", "the nearer trouble is told", "a cache is no digest"],
)
def test_digest_in_full(of, evidence, expected):
    """With where the bytes were read."""
    assert said(judge("digest", {}, of, evidence)) == expected


# -- size and smoke ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "of", "evidence", "expected"),
    [
        (
            {"max_mb": 20},
            FIRST,
            Evidence(READY, asked=True, size=MB),
            (PASSED, "1.0 MB; first deploy here: nothing to compare with", {"bytes": MB}),
        ),
        (
            {},
            FIRST,
            Evidence(READY, asked=True, size=MB - 1),
            (SKIPPED, "999999 bytes; first deploy here: nothing to compare with", {"bytes": MB - 1}),
        ),
        (
            {"max_mb": 1},
            subject(),
            Evidence(READY, asked=True, size=2 * MB, baseline_error="down"),
            (FAILED, "2.0 MB is more than the 1 MB allowed", {"bytes": 2 * MB}),
        ),
        (
            {},
            subject(),
            Evidence(READY, asked=True, size=5, baseline_gone="was overwritten", baseline_error="down"),
            (
                INCONCLUSIVE,
                "nothing to compare with: the baseline, version 7 (recorded), was overwritten",
                {"bytes": 5, "baseline": {"version": "7", "origin": "recorded", "bytes": None}},
            ),
        ),
        ({}, subject(), Evidence(error="down", digest_error="a file is missing"), (ERRORED, "down", {})),
        (
            {},
            subject(),
            Evidence(None, asked=True, error="down"),
            (FAILED, "risk version 8 does not exist: it has no files", {}),
        ),
    ],
    ids=[
        "a first deploy within its limit",
        "a first deploy without one",
        "beyond its limit no baseline is needed",
        "a baseline that is gone is gone for good",
        "the registry's trouble comes first",
        "what does not exist has no trouble",
    ],
)
def test_size_in_full(options, of, evidence, expected):
    """The sizes stand in the receipt in bytes."""
    assert said(judge("size", options, of, evidence)) == expected


REPORT = SmokeReport(rows=2, seconds_to_load=0.5, seconds_to_predict=0.1, isolation="no network")


@pytest.mark.parametrize(
    ("report", "options", "reason"),
    [
        (REPORT, {}, "it loads in 0.5 s and predicts the 2 rows of its own example"),
        (SmokeReport(error="it ran out of memory", rows=2), {}, "it ran out of memory"),
        (SmokeReport(rows=1, seconds_to_load=9.0), {"max_seconds": 5}, "it took 9 s to load, more than 5 s"),
        (SmokeReport(rows=1, seconds_to_load=-math.inf), {"max_seconds": 5}, "it took -inf s to load, more than 5 s"),
        (SmokeReport(rows=0, finite=False), {}, "it answers no rows for its own example"),
        (SmokeReport(rows=-1), {"allow_nan": True}, "it answers no rows for its own example"),
        (SmokeReport(rows=1, finite=False), {"allow_nan": "yes"}, "it answers NaN or infinity for its own example"),
    ],
    ids=[
        "well",
        "an error before anything else",
        "too late",
        "a time that is none",
        "no rows before their values",
        "fewer than none",
        "only a yes allows NaN",
    ],
)
def test_a_trial_in_full(report, options, reason):
    """The whole report is its evidence, however it came out."""
    result = judge("smoke", options, subject(), Evidence(READY, asked=True, smoke=report))
    assert (result.reason, result.evidence) == (reason, asdict(report))


def test_a_version_without_an_example_has_no_evidence():
    """Nothing was tried."""
    result = judge("smoke", {}, subject(), Evidence(READY, asked=True, smoke=SmokeReport(example=False, error="x")))
    assert said(result) == (SKIPPED, "the version has no input example", {})
    assert result.skip_reason is SkipReason.NOT_APPLICABLE


# -- promoted_from -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "promotion", "expected"),
    [
        (
            subject(Direction.BACK),
            None,
            (SKIPPED, "it was verified here before: moving back needs no promotion", {}),
        ),
        (STAYS, None, (SKIPPED, "neither the model nor the image under it moves", {})),
        (
            subject(),
            Promotion("staging"),
            (
                FAILED,
                "risk 8 was never verified in staging under the image that it would run with here",
                {"source": "staging", "verified_at": "", "not_before": "", "exercised": []},
            ),
        ),
        (
            subject(),
            Promotion("staging", NOW - 60, ("image", "model")),
            (
                PASSED,
                "verified in staging at 2027-01-15T07:59:00.000Z",
                {
                    "source": "staging",
                    "verified_at": "2027-01-15T07:59:00.000Z",
                    "not_before": "",
                    "exercised": ["image", "model"],
                },
            ),
        ),
    ],
    ids=["back", "nothing moves", "never verified", "verified, no soak"],
)
def test_promotion_in_full(of, promotion, expected):
    """Moments as text; empty is what has not been or never comes."""
    assert said(judge("promoted_from", {}, of, Evidence(promotion=promotion))) == expected


# -- the list of gates and its waivers ---------------------------------------------------------------------------------


def test_no_gates_and_unknown_gates_say_what_to_do():
    """Both are closed, with the whole reason."""
    (none,) = evaluate([], subject(), Evidence())
    assert (none.gate, none.reason) == ("none", "no gates are configured, so nothing vouches for this model")
    unknown, _ = evaluate([GateSpec("exist")], subject(), Evidence())
    assert unknown.reason == (
        "there is no gate 'exist'; known are exists, digest, metric, signature, size, scan, smoke, promoted_from, rejected"
    )


def waiver(expires, approver="ada", metric=""):
    return Waiver("metric", "8", "harder test set", approver, expires, metric)


@pytest.mark.parametrize(
    ("waivers", "reason"),
    [
        (
            [waiver("2027-02-01"), waiver("2027-03-01", "bob")],
            (
                "waived by bob until 2027-03-01: harder test set (else inconclusive: m 1: nothing to compare with: "
                "the baseline, version 7 (recorded), has no metric m)"
            ),
        ),
        (
            [waiver("2026-02-01", metric="m"), waiver("2026-03-01", "bob", "n")],
            (
                "m 1: nothing to compare with: the baseline, version 7 (recorded), has no metric m; "
                "the waiver of ada expired on 2026-02-01"
            ),
        ),
    ],
    ids=["of two in force the longer is named", "only one for this metric is said to have expired"],
)
@pytest.mark.parametrize("turn", [1, -1], ids=["as written", "the other way round"])
def test_the_order_of_waivers_is_nothing(waivers, reason, turn):
    """What is said of them is the same."""
    spec = GateSpec("metric", {"metric": "m", "max_regression": 1, "direction": "lower"})
    result, _ = evaluate([spec], subject(), measured({"m": 1}, {"n": 1}), waivers[::turn])
    assert result.reason == reason


def test_a_waived_result_keeps_its_evidence_and_no_other_is_touched():
    """The pin's bytes are judged as before."""
    specs = [GateSpec("metric", {"metric": "m", "max": 1}), GateSpec("digest")]
    evidence = measured({"m": 2}, found_digest=Digest("sha256:" + "f" * 64))
    plain = evaluate(specs, subject(), evidence)
    waived = evaluate(specs, subject(), evidence, [waiver("2027-02-01"), Waiver("digest", "8", "x", "ada", "2027-02-01")])
    assert waived[1:] == plain[1:]
    assert {k: v for k, v in waived[0].evidence.items() if k != "waived"} == plain[0].evidence
    assert [result.opens for result in waived] == [True, False, True]
