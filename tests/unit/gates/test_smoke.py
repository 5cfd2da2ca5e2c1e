"""The gate `smoke`: how a version did in its trial, and what is said where there was none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from mlrelease.gates.interface import Evidence, SmokeReport
from mlrelease.gates.smoke import evaluate
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import READY, subject

PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus
BACK = "it moves back to what was verified here before"
GOOD_REASON = "it loads in 1.2 s and predicts the 32 rows of its own example"
GOOD = SmokeReport(rows=32, seconds_to_load=1.25, seconds_to_predict=0.01, isolation="no network")


def word(report, options=None, of=None, **more):
    """The gate's word on a version that did so."""
    return evaluate(options or {}, of or subject(), Evidence(READY, asked=True, smoke=report, **more))


@pytest.mark.parametrize(
    ("report", "options", "status", "reason"),
    [
        (GOOD, {}, PASSED, GOOD_REASON),
        (replace(GOOD, rows=1), {}, PASSED, "it loads in 1.2 s and predicts the 1 row of its own example"),
        (replace(GOOD, rows=0), {}, FAILED, "it answers no rows for its own example"),
        (replace(GOOD, finite=False), {}, FAILED, "it answers NaN or infinity for its own example"),
        (replace(GOOD, finite=False), {"allow_nan": False}, FAILED, "it answers NaN or infinity for its own example"),
        (replace(GOOD, finite=False), {"allow_nan": True}, PASSED, GOOD_REASON),
        (GOOD, {"max_seconds": 1.25}, PASSED, GOOD_REASON),
        (GOOD, {"max_seconds": 1.2}, FAILED, "it took 1.25 s to load, more than 1.2 s"),
        (replace(GOOD, seconds_to_load=math.nan), {"max_seconds": 1.2}, FAILED, "it took nan s to load, more than 1.2 s"),
        (SmokeReport(error="it cannot be loaded: x"), {}, FAILED, "it cannot be loaded: x"),
        (SmokeReport(error="cannot start python", errored=True), {}, ERRORED, "cannot start python"),
        (SmokeReport(example=False), {}, SKIPPED, "the version has no input example"),
        (SmokeReport(example=False), {"max_seconds": 1}, SKIPPED, "the version has no input example"),
    ],
    ids=["good", "one row", "no rows", "NaN", "NaN forbidden", "NaN allowed", "in time", "too late", "no time", "does not load",
         "the place", "no example", "no example, with a limit"],
)  # fmt: skip
def test_the_trial_is_judged(report, options, status, reason):
    """A broken model fails, a broken place errs; the bound is inclusive; NaN opens nothing unasked."""
    result = word(report, options)
    assert (result.status, result.reason) == (status, reason)
    assert result.opens is (status in (PASSED, SKIPPED))


def test_the_evidence_says_how_it_was_tried():
    """What it was kept from stands in the receipt."""
    assert word(GOOD).evidence["isolation"] == "no network"
    assert word(GOOD).evidence["seconds_to_load"] == 1.25


@pytest.mark.parametrize(
    ("of", "evidence", "status", "skip", "reason"),
    [
        (subject(may_load=False), {}, SKIPPED, SkipReason.DRY_RUN, "no model is loaded here: it is tried where it will run"),
        (subject(Direction.BACK), {}, SKIPPED, SkipReason.ROLLBACK, BACK),
        (subject(Direction.BACK, may_load=False), {}, SKIPPED, SkipReason.ROLLBACK, BACK),
        (subject(Direction.NONE), {}, SKIPPED, SkipReason.NOT_APPLICABLE, "this model does not move"),
        (subject(), {"error": "down"}, ERRORED, None, "down"),
        (subject(), {"digest_error": "other bytes"}, ERRORED, None, "other bytes"),
        (subject(), {}, ERRORED, None, "it was not tried, since what comes before did not open"),
    ],
    ids=["a pull request", "back", "back, in a pull request", "stays", "registry down", "no files", "nobody tried"],
)  # fmt: skip
def test_where_there_was_no_trial_the_reason_says_why(of, evidence, status, skip, reason):
    """Skipped opens for its reasons only; not tried is errored."""
    result = word(None, of=of, **evidence)
    assert (result.status, result.skip_reason, result.reason) == (status, skip, reason)


def test_a_bad_trial_counts_for_a_way_forward_only():
    """What moves back passed when it was live: a report of a bad try does not stop it."""
    bad = SmokeReport(error="it cannot be loaded")
    assert word(bad, of=subject(Direction.BACK)).opens
    assert not word(bad).opens


def test_an_unknown_option_is_errored():
    """It is no silent wish."""
    assert word(GOOD, {"min_rows": 1}).reason == "the gate has no option 'min_rows'"
