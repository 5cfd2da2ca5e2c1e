"""Numbers as people write them: what is one, how it is compared, and how two that differ are told apart."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mlrelease.gates.decimals import apart, exact, is_number, text

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, True),
        (-0.0, True),
        (1e308, True),
        (5e-324, True),
        (10**308, True),
        (10**309, False),
        (-(10**5000), False),
        (math.nan, False),
        (math.inf, False),
        (-math.inf, False),
        (True, False),
        (False, False),
        (None, False),
        ("1", False),
        (Decimal(1), False),
        ([1], False),
    ],
    ids=[
        "zero",
        "minus zero",
        "a large one",
        "the smallest",
        "an integer that a float holds",
        "an integer of too many digits",
        "one below zero of thousands of digits",
        "NaN",
        "infinity",
        "minus infinity",
        "a yes",
        "a no",
        "nothing",
        "a text",
        "another kind of number",
        "a list",
    ],
)
def test_what_is_a_number(value, number):
    """Finite, no truth value, and not larger than a float: nothing else is compared, and asking never raises."""
    assert is_number(value) is number


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.333333"),
        (Fraction(1, 3), "0.333333"),
        (1234567, "1.23457e+06"),
        (123456, "123456"),
        (-5.0, "-5"),
        (1e-7, "1e-07"),
        (Fraction(10**400), "over 1e+308"),
        (-Fraction(10**400), "under -1e+308"),
    ],
    ids=str,
)
def test_a_number_in_a_sentence_has_six_digits(number, shown):
    """And words where no float holds it, on either side of zero."""
    assert text(number) == shown


@pytest.mark.parametrize(
    ("left", "right", "shown"),
    [
        (0.1, 0.2, ("0.1", "0.2")),
        (0.1, 0.10000000000000003, ("0.1", "0.10000000000000003")),
        (1 / 3, 1 / 3, ("0.333333", "0.333333")),
        (1234567, 1234568, ("1234567", "1234568")),
        (80, 80.0, ("80", "80")),
    ],
    ids=["different", "different in the last digit", "equal", "large", "an integer and its float"],
)
def test_two_numbers_look_different_if_and_only_if_they_are(left, right, shown):
    """Six digits where they do, all of them where six would hide it."""
    assert apart(left, right) == shown


@given(finite, finite)
@settings(max_examples=60, deadline=None)
def test_different_numbers_never_look_alike(left, right):
    """A reader is never told that 80 is above 80."""
    assume(left != right)
    first, second = apart(left, right)
    assert first != second


@given(finite)
@settings(max_examples=60, deadline=None)
def test_exact_is_the_shortest_decimal(number):
    """Reading it back gives the float, and no digit is made up."""
    assert float(exact(number)) == number
    assert exact(number) == Fraction(Decimal(repr(number)))


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_sums_of_decimals_are_what_they_are_on_paper(left, right, places):
    """0.80 + 0.05 is 0.85, for any decimals of up to six places."""
    scale = 10**places
    assert exact(left / scale) + exact(right / scale) == Fraction(left + right, scale)
