"""Shares and spreads: exact, of nothing nothing, and the same in any order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.history.figures import Share, Spread, seconds, spread

DURATIONS = st.lists(st.decimals(0, 10**7, places=3), max_size=40)


def decimals(*values):
    return [Decimal(value) for value in values]


def test_nothing_has_no_figures():
    """No zero that looks like one."""
    assert Share(0, 0).rate is None
    assert spread([]) == Spread(0)


@pytest.mark.parametrize(
    ("part", "whole", "rate"), [(1, 4, "0.25"), (0, 3, "0"), (1, 3, "0.3333"), (2, 3, "0.6667"), (5, 5, "1")]
)
def test_a_share_is_exact_to_four_places(part, whole, rate):
    """Rounded once, at the end."""
    assert Share(part, whole).rate == Decimal(rate)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("5",), ("5", "5", "5")),
        (("1", "2"), ("1.5", "2", "2")),
        (("3", "1", "2"), ("2", "3", "3")),
        (tuple(map(str, range(1, 11))), ("5.5", "9", "10")),
        (tuple(map(str, range(1, 12))), ("6", "10", "11")),
        (("0.001", "0.002"), ("0.002", "0.002", "0.002")),
    ],
    ids=["one", "two", "three", "ten: the ninth", "eleven: the tenth", "to the millisecond"],
)
def test_median_and_nearest_rank(values, expected):
    """By hand."""
    found = spread(decimals(*values))
    assert (found.median, found.p90, found.longest) == tuple(decimals(*expected))
    assert found.n == len(values)


@pytest.mark.parametrize(
    ("value", "expected"), [(1.23456, "1.235"), (-3.0, "0"), (0.1 + 0.2, "0.300"), (1e9, "1000000000"), (5, "5")]
)
def test_seconds_are_kept_to_the_millisecond_and_never_below_zero(value, expected):
    """Two hosts have two clocks."""
    assert seconds(value) == Decimal(expected)


@given(DURATIONS)
def test_the_figures_lie_among_the_values_and_in_order(values):
    """Whatever they are."""
    found = spread(values)
    if values:
        assert min(values) <= found.p90 <= found.longest == max(values)
        assert found.median <= found.longest
        assert found.p90 in values
        assert sum(value <= found.p90 for value in values) * 10 >= 9 * len(values)


@given(DURATIONS, st.randoms())
def test_the_order_of_the_values_does_not_matter(values, random):
    """Nor that they came in pieces."""
    shuffled = list(values)
    random.shuffle(shuffled)
    assert spread(shuffled) == spread(values)
