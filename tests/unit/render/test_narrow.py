"""The layout of tables on narrow terminals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.render.narrow import narrow_table, natural_width

HEADERS = ("when", "service", "what", "reason")
ROWS = (
    ("05:16", "wine", "update: blocked", "gate digest failed: the artifacts were changed after the pin was written"),
    ("05:15", "credit-risk", "update: succeeded", ""),
)


def test_what_fits_stays_in_columns():
    """A terminal as wide as the table shows every column beside the others."""
    assert narrow_table(HEADERS, ROWS, natural_width(HEADERS, ROWS)) == [
        "when   service      what               reason",
        "05:16  wine         update: blocked    gate digest failed: the artifacts were changed after the pin was written",
        "05:15  credit-risk  update: succeeded",
    ]


def test_last_columns_go_below_their_row():
    """What does not fit is named and wrapped below; an empty cell takes no line."""
    assert narrow_table(HEADERS, ROWS, 60) == [
        "when   service      what",
        "05:16  wine         update: blocked",
        "    reason: gate digest failed: the artifacts were changed",
        "    after the pin was written",
        "05:15  credit-risk  update: succeeded",
    ]


@given(
    rows=st.lists(st.lists(st.text("abc xyz", max_size=30).map(str.strip), min_size=4, max_size=4), min_size=1, max_size=4),
    width=st.integers(1, 120),
)
def test_no_word_is_lost(rows, width):
    """At any width every word of every cell is printed."""
    printed = " ".join(narrow_table(HEADERS, rows, width)).replace(";", " ").split()
    for row in rows:
        for word in " ".join(row).split():
            assert word in printed


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_lines_keep_within_the_width(width):
    """With words shorter than the terminal no line is wider than it."""
    assert all(len(line) <= width for line in narrow_table(HEADERS, ROWS, width))
