"""The gate `size`: how large a version may be beside the one that serves now."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.gates.interface import Evidence, Origin
from mlrelease.gates.size import evaluate
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import READY, subject

PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus
MB = 1_000_000
V7 = "of version 7 (recorded)"


def word(options, size, base=None, of=None, **more):
    """The gate's word on a version of `size` bytes beside one of `base` bytes."""
    evidence = Evidence(READY, asked=True, size=size, baseline_size=base, **more)
    return evaluate(options, of or subject(), evidence)


@pytest.mark.parametrize(
    ("options", "size", "base", "status", "reason"),
    [
        ({}, 1000, 1000, PASSED, f"1000 bytes, beside 1000 bytes {V7}"),
        ({}, 2000, 1000, PASSED, f"2000 bytes, beside 1000 bytes {V7}"),
        ({}, 2001, 1000, FAILED, f"2001 bytes, beside 1000 bytes {V7}: grown by more than 100%"),
        ({}, 1, 10**9, PASSED, f"1 bytes, beside 1000.0 MB {V7}"),
        ({"max_growth": "10%"}, 1100, 1000, PASSED, f"1100 bytes, beside 1000 bytes {V7}"),
        ({"max_growth": "10%"}, 1101, 1000, FAILED, f"1101 bytes, beside 1000 bytes {V7}: grown by more than 10%"),
        ({"max_growth": "0%"}, 1000, 1000, PASSED, f"1000 bytes, beside 1000 bytes {V7}"),
        ({"max_growth": "0%"}, 1001, 1000, FAILED, f"1001 bytes, beside 1000 bytes {V7}: grown by more than 0%"),
        ({"max_growth": "0.1%"}, 10010, 10000, PASSED, f"10010 bytes, beside 10000 bytes {V7}"),
        ({"max_growth": "0.1%"}, 10011, 10000, FAILED, f"10011 bytes, beside 10000 bytes {V7}: grown by more than 0.1%"),
        ({"max_growth": "900%"}, 10 * MB, MB, PASSED, f"10.0 MB, beside 1.0 MB {V7}"),
        ({"max_mb": 5}, 5 * MB, 5 * MB, PASSED, f"5.0 MB, beside 5.0 MB {V7}"),
        ({"max_mb": 5}, 5 * MB + 1, 5 * MB, FAILED, "5.0 MB is more than the 5 MB allowed"),
        ({"max_mb": 0.001}, 1001, 1001, FAILED, "1001 bytes is more than the 0.001 MB allowed"),
        ({"max_mb": 5, "max_growth": "10%"}, 2 * MB, MB, FAILED, f"2.0 MB, beside 1.0 MB {V7}: grown by more than 10%"),
        ({}, 0, 0, PASSED, f"0 bytes, beside 0 bytes {V7}"),
        ({}, 1, 0, FAILED, f"1 bytes, beside 0 bytes {V7}: grown by more than 100%"),
    ],
    ids=str,
)  # fmt: skip
def test_bounds_are_inclusive_and_exact(options, size, base, status, reason):
    """On the bound is within it; one byte beyond is not; the reason names both sizes and whose they are."""
    result = word(options, size, base)
    assert (result.status, result.reason) == (status, reason)


def test_the_first_deploy_has_nothing_to_grow_from():
    """Skipped for the reason that opens; a limit of its own is judged all the same."""
    first = subject(baseline=None)
    skipped = word({}, 10 * MB, of=first)
    assert (skipped.status, skipped.skip_reason, skipped.opens) == (SKIPPED, SkipReason.FIRST_DEPLOY, True)
    assert word({"max_mb": 20}, 10 * MB, of=first).status is PASSED
    assert word({"max_mb": 5}, 10 * MB, of=first).status is FAILED


@pytest.mark.parametrize(
    ("direction", "skip"),
    [(Direction.BACK, SkipReason.ROLLBACK), (Direction.NONE, SkipReason.NOT_APPLICABLE)],
    ids=["moving back", "not moving"],
)
def test_only_what_moves_forward_is_judged(direction, skip):
    """However large it is."""
    result = word({"max_mb": 1}, 900 * MB, 1, of=subject(direction))
    assert (result.status, result.skip_reason) == (SKIPPED, skip)


UNKNOWN = {
    "the registry did not answer": (Evidence(error="MLflow did not answer"), ERRORED, "MLflow did not answer"),
    "the files could not be read": (
        Evidence(READY, asked=True, digest_error="a file is missing"), ERRORED, "a file is missing",
    ),
    "nobody looked": (Evidence(READY, asked=True), ERRORED, "its files were not looked at"),
    "it does not exist": (Evidence(None, asked=True), FAILED, "risk version 8 does not exist: it has no files"),
    "the baseline cannot be asked for": (
        Evidence(READY, asked=True, size=1, baseline_error="MLflow did not answer"), ERRORED,
        "the baseline, version 7 (recorded), cannot be asked for: MLflow did not answer",
    ),
    "nobody looked at the baseline": (
        Evidence(READY, asked=True, size=1), ERRORED,
        "the baseline, version 7 (recorded), cannot be asked for: its files were not looked at",
    ),
    "the baseline is gone": (
        Evidence(READY, asked=True, size=1, baseline_gone="is no longer in MLflow"), INCONCLUSIVE,
        "nothing to compare with: the baseline, version 7 (recorded), is no longer in MLflow",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("evidence", "status", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_does_not_open(evidence, status, reason):
    """Errored where we could not tell, inconclusive where nobody can, failed where there is nothing."""
    result = evaluate({}, subject(), evidence)
    assert (result.status, result.reason, result.opens) == (status, reason, False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max": 5}, "the gate has no option 'max'"),
        ({"max_growth": "5"}, "max_growth is no share: '5'"),
        ({"max_growth": 5}, "max_growth is no share: 5"),
        ({"max_growth": "-5%"}, "max_growth is no share: '-5%'"),
        ({"max_growth": "much%"}, "max_growth is no share: 'much%'"),
        ({"max_growth": "1/0%"}, "max_growth is no share: '1/0%'"),
        ({"max_mb": 0}, "max_mb is a number above zero"),
        ({"max_mb": -1}, "max_mb is a number above zero"),
        ({"max_mb": math.nan}, "max_mb is a number above zero"),
        ({"max_mb": math.inf}, "max_mb is a number above zero"),
        ({"max_mb": True}, "max_mb is a number above zero"),
        ({"max_mb": "5"}, "max_mb is a number above zero"),
    ],
    ids=str,
)
def test_options_that_no_file_can_hold_are_errored(options, reason):
    """The files' types keep them out; a receipt of another version may not."""
    result = word(options, 1, 1)
    assert (result.status, result.reason) == (ERRORED, reason)


@pytest.mark.parametrize("origin", [Origin.RECORDED, Origin.MERGE_BASE])
def test_the_evidence_names_the_baseline_and_is_json(origin):
    """Both sizes in bytes, and where the baseline comes from."""
    result = word({}, 10, 7, of=subject(origin=origin))
    assert json.loads(json.dumps(result.to_json()))["evidence"] == {
        "bytes": 10,
        "baseline": {"version": "7", "origin": origin.value, "bytes": 7},
    }


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 1000))
def test_a_smaller_version_never_fails_where_a_larger_one_passes(size, other, base, percent):
    """The gate is monotone in the size."""
    small, large = sorted((size, other))
    options = {"max_growth": f"{percent}%"}
    if word(options, large, base).opens:
        assert word(options, small, base).opens


@given(st.integers(1, 10**12), st.integers(0, 1000), st.integers(0, 1000))
def test_a_wider_bound_never_shuts_what_a_narrower_one_opens(size, percent, other):
    """And monotone in the tolerance."""
    narrow, wide = sorted((percent, other))
    if word({"max_growth": f"{narrow}%"}, size, 1000).opens:
        assert word({"max_growth": f"{wide}%"}, size, 1000).opens
