"""Moments: one form in every file, sorted as they came, and nothing that is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.model.when import from_iso, iso

quick = settings(max_examples=100, deadline=None)
LAST = 8_000_000_000
"""In the year 2223: until then a float tells microseconds apart."""
moments = st.floats(-LAST, LAST, allow_nan=False)
milliseconds = st.integers(0, LAST * 1000).map(lambda ms: ms / 1000)


@quick
@given(moments)
def test_a_moment_is_read_to_its_millisecond(moment):
    """Never a later one than was written down, but for what a float cannot hold."""
    read = from_iso(iso(moment))
    assert -0.000_001 <= moment - read < 0.001_001


@quick
@given(milliseconds)
def test_whole_milliseconds_come_back_as_they_went(moment):
    """Twice is once: a moment that was read is written the same."""
    assert from_iso(iso(moment)) == moment
    assert iso(from_iso(iso(moment))) == iso(moment)


@quick
@given(milliseconds, milliseconds)
def test_texts_sort_as_their_moments_do(one, other):
    """Lists of records are sorted by what stands in the files."""
    assert (iso(one) < iso(other)) == (one < other)
    assert len(iso(one)) == len("2026-11-21T03:52:07.125Z")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (-0.001, "1969-12-31T23:59:59.999Z"),
        (0.000_999, "1970-01-01T00:00:00.000Z"),
        (951_827_696.0, "2000-02-29T12:34:56.000Z"),
        (1_800_000_000, "2027-01-15T08:00:00.000Z"),
    ],
    ids=["the first", "before it", "less than a millisecond", "a leap day", "a whole number"],
)
def test_the_form(moment, text):
    """UTC, with three digits and a Z."""
    assert iso(moment) == text


@pytest.mark.parametrize(
    "text",
    ["2027-01-15T08:00:00Z", "2027-01-15T09:30:00+01:30", "2027-01-15T08:00:00.000000Z", "2027-01-14T20:00:00-12:00"],
)
def test_any_zone_is_the_same_moment(text):
    """As other programs write it."""
    assert from_iso(text) == 1_800_000_000.0


@pytest.mark.parametrize(
    "text",
    ["", "now", "1800000000", "2027-01-15", "2027-01-15T08:00:00", "2027-02-30T08:00:00Z", "2027-01-15T25:00:00Z", "\n"],
    ids=["nothing", "a word", "seconds", "a day", "no zone", "no such day", "no such hour", "a line break"],
)
def test_what_is_no_moment_is_a_value_error(text):
    """A moment without a zone would be another one on each host."""
    with pytest.raises(ValueError, match=r"."):
        from_iso(text)


def test_a_moment_without_a_zone_is_named():
    """Whoever wrote it by hand sees what is missing."""
    with pytest.raises(ValueError, match=r"^no time zone in '2027-01-15T08:00:00'$"):
        from_iso("2027-01-15T08:00:00")
