from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.serving.compare import differences

NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param([1.0, 2.0], [1.0 + 5e-7, 2.0], id="within the relative tolerance"),
        pytest.param([0.0], [1e-13], id="near zero the absolute tolerance holds"),
        pytest.param([1], [1.0], id="an integer and a float of the same value"),
        pytest.param([10**400], [10**400], id="integers beyond floats"),
        pytest.param([NAN, None], [None, NAN], id="NaN and null are the same"),
        pytest.param([INF], [INF], id="equal infinities"),
        pytest.param([{"a": [1.0, "x"], "b": True}], [{"b": True, "a": [1.0, "x"]}], id="nested, keys in any order"),
        pytest.param([], [], id="no rows on both sides"),
    ],
)
def test_equal_predictions_have_no_differences(expected, actual):
    """Values that differ in form only are equal."""
    assert differences(expected, actual, 1e-6) == ""


@pytest.mark.parametrize(
    ("expected", "actual", "text"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.1], "row 1: expected 2, got 2.1", id="a number too far off"),
        pytest.param([1.0], [1.00001], "row 0: expected 1, got 1.00001", id="just beyond the tolerance"),
        pytest.param([0.0], [1e-9], "row 0: expected 0, got 1e-09", id="beyond the absolute tolerance"),
        pytest.param([True], [1], "row 0: expected True, got 1", id="a boolean is no number"),
        pytest.param(["a"], ["b"], "row 0: expected 'a', got 'b'", id="strings are exact"),
        pytest.param(["1"], [1], "row 0: expected '1', got 1", id="a string is no number"),
        pytest.param([1.0], [None], "row 0: expected 1, got None", id="a number became null"),
        pytest.param([INF], [-INF], "row 0: expected inf, got -inf", id="infinities of other sign"),
        pytest.param([10**400], [1.5], "row 0: expected 10000", id="an integer beyond floats"),
        pytest.param([1.0], [1.0, 2.0], "expected 1 rows, got 2", id="more rows"),
        pytest.param([[1.0, 2.0]], [[1.0]], "row 0: expected 2 values, got 1", id="fewer values in a row"),
        pytest.param([{"p": 0.5}], [{"p": 0.6}], "row 0['p']: expected 0.5, got 0.6", id="a field of a row"),
        pytest.param([{"p": 0.5}], [{"q": 0.5}], "row 0: expected keys ['p'], got ['q']", id="other keys"),
        pytest.param(
            [1.0, 2.0, 3.0], [9.0, 9.0, 9.0], "row 0: expected 1, got 9 (and 2 more)", id="several: the first, counted"
        ),
        pytest.param([1.0], "boom", "expected [1.0], got 'boom'", id="no list at all"),
    ],
)
def test_a_difference_names_the_row_and_both_values(expected, actual, text):
    """The text is short and says where."""
    found = differences(expected, actual, 1e-6)
    assert found.startswith(text)
    assert len(found) < 200


def test_the_tolerance_is_the_callers():
    """A looser tolerance accepts what a tighter one refuses."""
    assert differences([100.0], [100.5], 0.01) == ""
    assert differences([100.0], [100.5], 0.001)


@pytest.mark.parametrize(
    ("expected", "actual", "rtol", "text"),
    [
        ([1.0], [1.0000000001], 0.0, "row 0: expected 1.0, got 1.0000000001"),
        ([0.1], [0.1 + 1e-11], 1e-12, "row 0: expected 0.1, got 0.10000000001"),
        ([1.0], [1.1], 0.0, "row 0: expected 1, got 1.1"),
        ([[1.0], [[2.0, 3.0]]], [[1.0], [[2.0, 4.0]]], 1e-6, "row 1[0][1]: expected 3, got 4"),
        ({"p": [1.0, 2.0]}, {"p": [1.0, 3.0]}, 1e-6, "'p'[1]: expected 2, got 3"),
        ({"p": [1.0]}, {"p": [1.0, 2.0]}, 1e-6, "'p': expected 1 values, got 2"),
        ({"p": 1.0}, [1.0], 1e-6, "expected {'p': 1.0}, got [1.0]"),
        ([None], [0.0], 1e-6, "row 0: expected None, got 0"),
        ([float("nan")], ["nan"], 1e-6, "row 0: expected nan, got 'nan'"),
        ([False], [None], 1e-6, "row 0: expected False, got None"),
        (["x" * 100], ["y"], 1e-6, "row 0: expected '" + "x" * 58 + "…, got 'y'"),
        ([1.0, [2.0], "a"], [9.0, [9.0], "b"], 1e-6, "row 0: expected 1, got 9 (and 2 more)"),
        ([10**400], [10**400 + 1], 1.0, "row 0: expected 1000"),
    ],
    ids=[
        "a tight tolerance shows the digits that differ",
        "also where they are few",
        "and no more digits than needed",
        "deep inside a row",
        "a column",
        "the length of a column",
        "columns against rows",
        "null is no zero",
        "NaN is no word",
        "null is no falsehood",
        "a long word is cut",
        "differences of every kind are counted",
        "integers beyond floats are exact",
    ],
)
def test_a_difference_can_be_seen_in_its_text(expected, actual, rtol, text):
    """Whole, or as far as a person reads."""
    found = differences(expected, actual, rtol)
    assert found == text if "1000" not in text else found.startswith(text)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**20), 10**20) | st.none()
VALUES = st.recursive(
    NUMBERS | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES, st.sampled_from([0.0, 1e-6, 0.5]))
def test_equal_is_equal_both_ways(a, b, rtol):
    """Everything equals itself, and whether two are equal does not depend on which was expected."""
    assert differences(a, a, rtol) == ""
    assert (differences(a, b, rtol) == "") == (differences(b, a, rtol) == "")


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-2, 1e6), st.floats(1e-7, 0.1), st.sampled_from([-1, 1]))
def test_the_tolerance_is_relative_to_the_larger(value, rtol, sign):
    """Half of it is near enough, twice of it is not."""
    assert differences([value], [value * (1 + sign * rtol / 2)], rtol) == ""
    assert differences([value], [value * (1 + 2.5 * rtol)], rtol).startswith("row 0: expected ")
