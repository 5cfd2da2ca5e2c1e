"""The gate `metric`: bounds, regressions, samples, and everything that MLflow's own thresholds get wrong."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.gates.interface import Evidence, Metrics, Origin
from mlrelease.gates.metric import evaluate
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateStatus, SkipReason
from support.gating import READY, measured, subject

NAN, INF = math.nan, math.inf
PASSED, FAILED, ERRORED, INCONCLUSIVE, SKIPPED = GateStatus
FIRST, LOWER, HIGHER = None, "lower", "higher"


def word(options, value, base=FIRST, *, samples=(None, None), **more):
    """The gate's word on metric `m` of version 8 against version 7 (None: a first deploy)."""
    rows = {"n": samples[0]} if samples[0] is not None else {}
    base_rows = {"n": samples[1]} if samples[1] is not None else {}
    evidence = measured({"m": value} | rows, None if base is FIRST else {"m": base} | base_rows, **more)
    return evaluate({"metric": "m"} | options, subject() if base is not FIRST else subject(baseline=None), evidence)


@pytest.mark.parametrize(
    ("options", "value", "status", "reason"),
    [
        ({"max": 80}, 75.2, PASSED, "m 75.2: the maximum is 80"),
        ({"max": 80}, 80, PASSED, "m 80: the maximum is 80"),
        ({"max": 80}, 80.0, PASSED, "m 80: the maximum is 80"),
        ({"max": 80}, 85.25, FAILED, "m 85.25: 85.25 is above the maximum 80"),
        ({"max": 0.1}, 0.1 + 0.2 - 0.2, FAILED, "m 0.1: 0.10000000000000003 is above the maximum 0.1"),
        ({"min": 0.85}, 0.85, PASSED, "m 0.85: the minimum is 0.85"),
        ({"min": 0.85}, 0.849, FAILED, "m 0.849: 0.849 is below the minimum 0.85"),
        ({"min": -1, "max": 1}, -1.0, PASSED, "m -1: the minimum is -1; the maximum is 1"),
        ({"min": -1, "max": 1}, 1.5, FAILED, "m 1.5: 1.5 is above the maximum 1"),
        ({"min": -1, "max": 1}, -1.5, FAILED, "m -1.5: -1.5 is below the minimum -1"),
        ({"min": 0}, -0.0, PASSED, "m 0: the minimum is 0"),
        ({"max": 1e308}, 1.7976931348623157e308, FAILED, "m 1.79769e+308: 1.79769e+308 is above the maximum 1e+308"),
        ({"min": 5e-324}, 0.0, FAILED, "m 0: 0 is below the minimum 4.94066e-324"),
    ],
    ids=str,
)
def test_bounds_are_inclusive_and_exact(options, value, status, reason):
    """On the bound is within it; one bit beyond is not, and both are shown in full."""
    result = word(options, value)
    assert (result.status, result.reason.replace("m -0:", "m 0:")) == (status, reason)


@pytest.mark.parametrize(
    ("tolerance", "direction", "base", "value", "status", "reason"),
    [
        ("5%", LOWER, 100, 105, PASSED, "5% worse than the 100 of version 7 (recorded), 5% allowed"),
        ("5%", LOWER, 100, 105.001, FAILED, "5.001% worse than the 100 of version 7 (recorded), 5% allowed"),
        ("5%", LOWER, 100, 90, PASSED, "10% better than the 100 of version 7 (recorded)"),
        ("5%", LOWER, 100, 100, PASSED, "equal to version 7 (recorded)"),
        ("5%", HIGHER, 0.8, 0.76, PASSED, "5% worse than the 0.8 of version 7 (recorded), 5% allowed"),
        ("5%", HIGHER, 0.8, 0.7599, FAILED, "5.0125% worse than the 0.8 of version 7 (recorded), 5% allowed"),
        (0.05, HIGHER, 0.85, 0.8, PASSED, "0.05 worse than the 0.85 of version 7 (recorded), 0.05 allowed"),
        (0.1, LOWER, 0.2, 0.3, PASSED, "0.1 worse than the 0.2 of version 7 (recorded), 0.1 allowed"),
        (0.1, LOWER, 0.2, 0.30000000000000004, FAILED, "0.1 worse than the 0.2 of version 7 (recorded), 0.1 allowed"),
        (0, LOWER, 3, 3, PASSED, "equal to version 7 (recorded)"),
        (0, LOWER, 3, 3.0000001, FAILED, "1e-07 worse than the 3 of version 7 (recorded), 0 allowed"),
        ("0%", HIGHER, 3, 2.9, FAILED, "3.33333% worse than the 3 of version 7 (recorded), 0% allowed"),
        ("5%", HIGHER, -1.0, -1.05, PASSED, "5% worse than the -1 of version 7 (recorded), 5% allowed"),
        ("5%", HIGHER, -1.0, -1.2, FAILED, "20% worse than the -1 of version 7 (recorded), 5% allowed"),
        ("5%", HIGHER, -1.0, -0.8, PASSED, "20% better than the -1 of version 7 (recorded)"),
        ("5%", LOWER, -1.0, -0.95, PASSED, "5% worse than the -1 of version 7 (recorded), 5% allowed"),
        ("5%", LOWER, -1.0, 1.0, FAILED, "200% worse than the -1 of version 7 (recorded), 5% allowed"),
        ("5%", LOWER, 0, 0, PASSED, "equal to version 7 (recorded)"),
        ("5%", LOWER, 0, -0.1, PASSED, "0.1 better than the 0 of version 7 (recorded)"),
        (
            "5%",
            LOWER,
            0,
            1e-9,
            FAILED,
            "1e-09 worse than the 0 of version 7 (recorded), where a share of 0 allows nothing (5%)",
        ),
        (0.1, LOWER, 0, 0.1, PASSED, "0.1 worse than the 0 of version 7 (recorded), 0.1 allowed"),
        ("250%", LOWER, 2, 7, PASSED, "250% worse than the 2 of version 7 (recorded), 250% allowed"),
        ("0.5%", LOWER, 200, 201, PASSED, "0.5% worse than the 200 of version 7 (recorded), 0.5% allowed"),
        ("5%", LOWER, 1e308, 1.04e308, PASSED, "4% worse than the 1e+308 of version 7 (recorded), 5% allowed"),
        ("5%", LOWER, 1e-308, 1.7e308, FAILED, "over 1e+308% worse than the 1e-308 of version 7 (recorded), 5% allowed"),
    ],
    ids=str,
)
def test_a_regression_is_what_exceeds_the_tolerance(tolerance, direction, base, value, status, reason):
    """A share is of the baseline's size; a share of zero allows only equal or better; the sign changes nothing."""
    result = word({"max_regression": tolerance, "direction": direction}, value, base)
    assert result.status is status
    if reason:
        assert result.reason.partition(": ")[2] == reason


@pytest.mark.parametrize(
    ("options", "worse", "better"),
    [
        ({"max": 1000, "max_regression": "5%"}, 110, 90),
        ({"min": 0, "max_regression": "5%"}, 90, 110),
        ({"max": 1000, "max_regression": "5%", "direction": "higher"}, 90, 110),
        ({"min": 0, "max": 1000, "max_regression": 5, "direction": "lower"}, 110, 90),
    ],
    ids=["max says that lower is better", "min says that higher is better", "direction wins over max", "direction decides"],
)
def test_which_way_is_better(options, worse, better):
    """One bound alone tells the direction; else it is said."""
    assert word(options, worse, 100).status is FAILED
    assert word(options, better, 100).status is PASSED


@pytest.mark.parametrize(
    ("case", "options", "value", "base", "status"),
    [
        ("relative gate, candidate NaN", {"max_regression": "5%", "direction": HIGHER}, NAN, 0.8, FAILED),
        ("relative gate, baseline NaN", {"max_regression": "5%", "direction": HIGHER}, 0.8, NAN, INCONCLUSIVE),
        ("relative gate, both infinite", {"max_regression": "5%", "direction": LOWER}, INF, INF, FAILED),
        ("relative gate, baseline infinite", {"max_regression": "5%", "direction": LOWER}, 1.0, INF, INCONCLUSIVE),
        ("relative gate, baseline minus infinity", {"max_regression": 1, "direction": LOWER}, 1.0, -INF, INCONCLUSIVE),
        ("absolute change, candidate NaN", {"max_regression": 0.01, "direction": HIGHER}, NAN, 0.8, FAILED),
        ("plain threshold, NaN", {"min": 0.5}, NAN, FIRST, FAILED),
        ("plain threshold, infinity", {"min": 0.5}, INF, FIRST, FAILED),
        ("plain threshold, minus infinity", {"max": 0.5}, -INF, FIRST, FAILED),
        ("a drop of 0.01 is allowed", {"max_regression": 0.01, "direction": HIGHER}, 0.79, 0.8, PASSED),
        ("a tolerance of 0", {"max_regression": 0, "direction": HIGHER}, 0.8, 0.8, PASSED),
        ("an integer tolerance", {"max_regression": 1, "direction": HIGHER}, 4, 5, PASSED),
        ("baseline without the metric, threshold only", {"min": 0.5}, 0.8, "missing", PASSED),
        ("baseline without the metric", {"max_regression": "5%", "direction": HIGHER}, 0.8, "missing", INCONCLUSIVE),
        ("a tolerance of 0% without a baseline", {"max_regression": "0%", "direction": HIGHER}, 0.8, FIRST, SKIPPED),
        ("0.05 better than 0.80 is 0.85", {"min": 0.85}, 0.85, 0.8, PASSED),
        ("0.1 worse than 0.2 is 0.3", {"max_regression": 0.1, "direction": LOWER}, 0.3, 0.2, PASSED),
        ("no thresholds at all", {}, 0.8, 0.8, ERRORED),
        ("negative baseline, worse", {"max_regression": "5%", "direction": HIGHER}, -1.2, -1.0, FAILED),
        ("negative baseline, better", {"max_regression": "5%", "direction": HIGHER}, -0.8, -1.0, PASSED),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) > 8 else "",
)
def test_what_mlflow_s_thresholds_get_wrong_is_right_here(case, options, value, base, status):
    """Each row is a case in which MetricThreshold opens, crashes, or cannot be written at all."""
    if base == "missing":
        result = evaluate({"metric": "m"} | options, subject(), measured({"m": value}, {"other": 1.0}))
    else:
        result = word(options, value, base)
    assert result.status is status
    assert result.opens is (status in (PASSED, SKIPPED))


@pytest.mark.parametrize(
    ("samples", "status", "reason"),
    [
        ((500, 500), PASSED, "m 75: the maximum is 80; 25% better than the 100 of version 7 (recorded)"),
        ((500.0, 501), PASSED, None),
        ((499, 500), INCONCLUSIVE, "m 75: it was measured on 499 rows, fewer than 500"),
        ((0, 500), INCONCLUSIVE, "m 75: it was measured on 0 rows, fewer than 500"),
        ((None, 500), INCONCLUSIVE, "m 75: on how many rows it was measured is not known: n is not logged"),
        ((NAN, 500), INCONCLUSIVE, "m 75: on how many rows it was measured is not known: n is nan"),
        ((INF, 500), INCONCLUSIVE, "m 75: on how many rows it was measured is not known: n is inf"),
        (
            (500, 499),
            INCONCLUSIVE,
            "m 75: that of the baseline, version 7 (recorded), was measured on 499 rows, fewer than 500",
        ),
        (
            (500, None),
            INCONCLUSIVE,
            "m 75: on how many rows that of the baseline, version 7 (recorded), was measured is not known: n is not logged",
        ),
    ],
    ids=str,
)
def test_too_few_rows_are_inconclusive(samples, status, reason):
    """Of the version and of the baseline: nothing is proved by a number on too few rows, whatever it is."""
    result = word({"max": 80, "max_regression": "5%", "min_samples": 500, "samples": "n"}, 75, 100, samples=samples)
    assert result.status is status
    if reason:
        assert result.reason == reason


def test_too_few_rows_are_inconclusive_even_out_of_bounds():
    """A bad number on three rows proves as little as a good one."""
    result = word({"max": 80, "min_samples": 500, "samples": "n"}, 95, samples=(3, None))
    assert (result.status, result.reason) == (INCONCLUSIVE, "m 95: it was measured on 3 rows, fewer than 500")


@pytest.mark.parametrize(
    ("logged", "reason"),
    [
        ({}, "risk version 8 has no metric m: no metric was logged with it"),
        ({"rmse_test": 1, "mae": 2}, "risk version 8 has no metric m; it has mae, rmse_test"),
        ({"M": 1}, "risk version 8 has no metric m; it has M"),
        ({str(n): n for n in range(9)}, "risk version 8 has no metric m; it has 0, 1, 2, 3, 4 and 4 more"),
    ],
    ids=["nothing was logged", "others were", "another case", "many others"],
)
def test_a_version_that_never_logged_the_metric_fails(logged, reason):
    """It is not good enough until somebody shows that it is; what it has is named."""
    result = evaluate({"metric": "m", "max": 1}, subject(), measured(logged))
    assert (result.status, result.reason) == (FAILED, reason)


def test_a_likely_spelling_is_offered():
    """One letter off is named alone."""
    result = evaluate({"metric": "rmse_tst", "max": 1}, subject(), measured({"rmse_test": 1, "mae": 2}))
    assert result.reason == "risk version 8 has no metric rmse_tst; did you mean rmse_test?"


@pytest.mark.parametrize(
    ("evidence", "status", "reason"),
    [
        (Evidence(error="MLflow did not answer"), ERRORED, "MLflow did not answer"),
        (Evidence(READY, asked=True, metrics=Metrics(error="MLflow did not answer")), ERRORED, "MLflow did not answer"),
        (Evidence(READY, asked=True), ERRORED, "the metrics were not read"),
        (Evidence(None, asked=True), FAILED, "risk version 8 does not exist: it has no metrics"),
    ],
    ids=["the registry is down", "only the metrics could not be read", "nobody looked", "there is no such version"],
)
def test_numbers_that_could_not_be_read_are_errored(evidence, status, reason):
    """We could not tell is not the same as not good enough."""
    result = evaluate({"metric": "m", "max": 1}, subject(), evidence)
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("more", "value", "status", "reason"),
    [
        (
            {"baseline_error": "MLflow did not answer"},
            *(75, ERRORED, "m 75: the baseline, version 7 (recorded), cannot be asked for: MLflow did not answer"),
        ),
        ({}, 75, ERRORED, "m 75: the baseline, version 7 (recorded), cannot be asked for: its metrics were not read"),
        ({"baseline_error": "MLflow did not answer"}, 95, FAILED, "m 95: 95 is above the maximum 80"),
    ],
    ids=["the baseline could not be asked for", "nobody looked", "a bound that fails is enough"],
)
def test_a_baseline_that_could_not_be_read(more, value, status, reason):
    """The comparison is errored; a bound that is broken stays broken."""
    result = evaluate({"metric": "m", "max": 80, "max_regression": "5%"}, subject(), measured({"m": value}, **more))
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("values", "more", "reason"),
    [
        ({"other": 1}, {}, "nothing to compare with: the baseline, version 7 (recorded), has no metric m"),
        (
            *({}, {"baseline_gone": "is no longer in MLflow"}),
            "nothing to compare with: the baseline, version 7 (recorded), is no longer in MLflow",
        ),
        ({"m": NAN}, {}, "nothing to compare with: it is nan for the baseline, version 7 (recorded)"),
    ],
    ids=["never logged", "deleted", "not a number"],
)
def test_nothing_to_compare_with_is_inconclusive(values, more, reason):
    """A person may waive it; it does not open by itself."""
    result = evaluate({"metric": "m", "max": 80, "max_regression": "5%"}, subject(), measured({"m": 75}, values, **more))
    assert (result.status, result.reason) == (INCONCLUSIVE, f"m 75: {reason}")


def test_a_first_deploy_is_judged_by_its_bounds():
    """They need no baseline; that there is none is said."""
    result = word({"max": 80, "max_regression": "5%"}, 75)
    assert (result.status, result.reason) == (PASSED, "m 75: the maximum is 80; first deploy here: nothing to compare with")
    assert word({"max": 80, "max_regression": "5%"}, 81).status is FAILED


def test_a_first_deploy_without_bounds_is_skipped():
    """Nothing was judged, and the reason is one of the closed list."""
    result = word({"max_regression": "5%", "direction": LOWER}, 75)
    assert (result.status, result.skip_reason, result.opens) == (SKIPPED, SkipReason.FIRST_DEPLOY, True)
    assert result.reason == "m 75: first deploy here: nothing to compare with"


@pytest.mark.parametrize(
    ("direction", "skip", "reason"),
    [
        (Direction.BACK, SkipReason.ROLLBACK, "it moves back to what was verified here before"),
        (Direction.NONE, SkipReason.NOT_APPLICABLE, "this model does not move"),
    ],
    ids=["back", "not at all"],
)
def test_only_what_moves_forward_is_judged(direction, skip, reason):
    """A rollback needs no numbers, not even a registry."""
    result = evaluate({"metric": "m", "max": 1}, subject(direction), Evidence(error="down"))
    assert (result.status, result.skip_reason, result.reason) == (SKIPPED, skip, reason)


def test_the_report_names_the_baseline_and_its_origin():
    """In the sentence and in the receipt, with whose numbers they are."""
    evidence = measured({"m": 105}, {"m": 100})
    result = evaluate({"metric": "m", "max": 200, "max_regression": "5%"}, subject(origin=Origin.MERGE_BASE), evidence)
    assert "the 100 of version 7 (merge base)" in result.reason
    assert result.evidence == {
        "metric": "m",
        "value": 105,
        "source": "model",
        "max": 200,
        "max_regression": "5%",
        "baseline": {"version": "7", "origin": "merge base", "value": 100, "source": "model"},
    }


@pytest.mark.parametrize("value", [NAN, INF, -INF], ids=str)
def test_the_receipt_is_json_whatever_the_value(value):
    """JSON has no NaN: it is written as text."""
    for result in (word({"max": 1}, value), word({"max": 1, "max_regression": 1}, 0.5, value)):
        text = json.dumps(result.to_json(), allow_nan=False)
        assert f'"value": "{value}"' in text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metric": "m"}, "the gate needs a metric, and one of min, max and max_regression"),
        ({"max": 1}, "the gate needs a metric, and one of min, max and max_regression"),
        ({"metric": "m", "maximum": 1}, "the gate has no option 'maximum'"),
        ({"metric": "m", "max": NAN}, "min and max are finite numbers"),
        ({"metric": "m", "max": True}, "min and max are finite numbers"),
        ({"metric": "m", "max_regression": 1}, "the gate does not say which way is better: direction: lower, or higher"),
        (
            {"metric": "m", "min": 0, "max": 1, "max_regression": 1},
            "the gate does not say which way is better: direction: lower, or higher",
        ),
        (
            {"metric": "m", "max": 1, "direction": "down"},
            "the gate does not say which way is better: direction: lower, or higher",
        ),
        ({"metric": "m", "max": 1, "min_samples": 5}, "min_samples and samples need each other"),
        ({"metric": "m", "max": 1, "max_regression": "some%"}, "max_regression is no tolerance: 'some%'"),
        ({"metric": "m", "max": 1, "max_regression": "5"}, "max_regression is no tolerance: '5'"),
        ({"metric": "m", "max": 1, "max_regression": True}, "max_regression is no tolerance: True"),
        ({"metric": "m", "max": 10**400}, "min and max are finite numbers"),
        ({"metric": "m", "max": 1, "max_regression": "1/0%"}, "max_regression is no tolerance: '1/0%'"),
        ({"metric": "m", "max": 1, "max_regression": -1}, "max_regression is not below zero"),
    ],
    ids=str,
)
def test_options_that_no_file_can_hold_are_errored(options, reason):
    """The types of the files keep them out; the gate does not open for them either, and does not raise."""
    result = evaluate(options, subject(), measured({"m": 0.5}, {"m": 0.5}))
    assert (result.status, result.reason) == (ERRORED, reason)


finite = st.floats(allow_nan=False, allow_infinity=False)
anything = st.floats() | st.integers(-10, 10)
tolerances = st.floats(0, 1e6, allow_nan=False) | st.integers(0, 500).map(lambda n: f"{n}%")
OPENNESS = {FAILED: 0, INCONCLUSIVE: 0, ERRORED: 0, PASSED: 1, SKIPPED: 1}


@given(value=finite, other=finite, base=anything | st.none(), tolerance=tolerances, higher=st.booleans())
def test_a_better_value_never_turns_a_pass_into_a_failure(value, other, base, tolerance, higher):
    """Monotone in the direction that the gate names."""
    options = {"max_regression": tolerance, "direction": "higher" if higher else "lower"}
    worse, better = sorted((value, other), reverse=not higher)
    assert OPENNESS[word(options, worse, base).status] <= OPENNESS[word(options, better, base).status]


@given(value=finite, base=finite, less=st.integers(0, 500), more=st.integers(0, 500), higher=st.booleans())
def test_a_wider_tolerance_never_closes(value, base, less, more, higher):
    """What a strict gate lets through, a lenient one does too."""
    strict, lenient = sorted((less, more))
    options = {"direction": "higher" if higher else "lower"}
    strictly = word(options | {"max_regression": f"{strict}%"}, value, base)
    assert OPENNESS[strictly.status] <= OPENNESS[word(options | {"max_regression": f"{lenient}%"}, value, base).status]


@given(value=finite, base=finite, tolerance=tolerances)
def test_higher_is_the_mirror_of_lower(value, base, tolerance):
    """Negating both numbers and the direction changes nothing."""
    lower = word({"max_regression": tolerance, "direction": LOWER}, value, base)
    higher = word({"max_regression": tolerance, "direction": HIGHER}, -value, -base)
    assert lower.status is higher.status


@given(value=finite, tolerance=tolerances, higher=st.booleans())
def test_an_equal_value_always_passes(value, tolerance, higher):
    """Whatever the tolerance, zero included."""
    direction = HIGHER if higher else LOWER
    assert word({"max_regression": tolerance, "direction": direction}, value, value).status is PASSED


@given(cents=st.integers(-(10**6), 10**6), drop=st.integers(0, 10**6))
def test_the_boundary_is_exact_for_decimals(cents, drop):
    """A drop of exactly the tolerance passes, one thousandth more does not, for any numbers of two decimals."""
    base, tolerance = cents / 100, drop / 100
    at, beyond = float(f"{(cents - drop) / 100:.2f}"), float(f"{(cents - drop) / 100 - 0.001:.3f}")
    options = {"max_regression": tolerance, "direction": HIGHER}
    assert (word(options, at, base).status, word(options, beyond, base).status) == (PASSED, FAILED)


@given(value=anything, base=anything | st.none(), tolerance=tolerances, bound=finite)
def test_the_gate_never_raises_and_opens_for_finite_numbers_only(value, base, tolerance, bound):
    """Any two floats: one word, JSON, and no opening without two numbers."""
    result = word({"max": bound, "max_regression": tolerance}, value, base)
    json.dumps(result.to_json(), allow_nan=False)
    if result.opens:
        assert math.isfinite(value)
        assert value <= bound
        assert base is None or math.isfinite(base)
