"""Searches for many versions: each is asked for once, none reads more than its share, names are never misread."""

from __future__ import annotations

import re
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.registries.batches import batches, can_be_searched, can_exist


def test_neighbouring_versions_share_a_search():
    """By version number first: the bounds stay narrow."""
    found = list(batches([("b", "2"), ("a", "2"), ("a", "3"), ("b", "10")]))
    assert [(batch.filter, batch.keys, batch.rows) for batch in found] == [
        (
            "name IN ('a','b') AND version_number >= 2 AND version_number <= 10",
            (("a", "2"), ("b", "2"), ("a", "3"), ("b", "10")),
            18,
        )
    ]


def test_a_version_far_away_is_asked_for_by_another_search():
    """One model has version 100,000: the others' hundred thousand versions are not read for it."""
    keys = [(f"m{n}", "1") for n in range(50)] + [("m0", "100000")]
    assert [(len(batch.keys), batch.rows) for batch in batches(keys)] == [(50, 50), (1, 1)]


def test_a_search_stays_below_the_line_length_of_common_proxies():
    """8 KiB for the whole request line; long names share fewer searches."""
    keys = [(f"häufige-vorhersage-{n:05d}" * 4, "1") for n in range(500)]
    found = list(batches(keys))
    assert max(len(quote_plus(batch.filter)) for batch in found) < 7000
    assert len(found) < 100


def test_nothing_asked_is_no_search():
    """No keys, no filters."""
    assert list(batches([])) == []


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(can_be_searched)


@given(st.lists(st.tuples(NAMES, st.integers(0, 999_999_999).map(str)), max_size=200, unique=True))
def test_every_version_is_in_exactly_one_search_that_finds_it(keys):
    """Its name is listed, its number is within the bounds, and what may be read is bounded by what was asked."""
    found = list(batches(keys))
    assert sorted(key for batch in found for key in batch.keys) == sorted(keys)
    for batch in found:
        listed, lowest, highest = re.fullmatch(
            r"name IN \((.*)\) AND version_number >= (\d+) AND version_number <= (\d+)", batch.filter, re.DOTALL
        ).groups()
        for name, version in batch.keys:
            assert f"'{name}'" in listed
            assert int(lowest) <= int(version) <= int(highest)
        assert batch.rows <= max(200, 4 * len(batch.keys))


@pytest.mark.parametrize(
    ("key", "possible"),
    [
        pytest.param(("risk", "1"), True, id="a number"),
        pytest.param(("risk", "007"), True, id="a number in another spelling, which MLflow would answer"),
        pytest.param(("risk", "9" * 9), True, id="nine digits"),
        pytest.param(("risk", "9" * 10), False, id="more than the column holds"),
        pytest.param(("risk", ""), False, id="nothing"),
        pytest.param(("risk", "-1"), False, id="a sign"),
        pytest.param(("risk", "1.0"), False, id="a fraction"),
        pytest.param(("risk", "latest"), False, id="a word"),
        pytest.param(("risk", "\u0661"), False, id="another script's digit"),
        pytest.param(("", "1"), False, id="no name"),
    ],
)
def test_what_can_be_a_version(key, possible):
    """Anything else is answered without asking."""
    assert can_exist(key) is possible


@pytest.mark.parametrize(
    "name",
    [
        *("it's", 'so "called"', "back\\slash", "tick`", "semi;colon", "(bracket", "bracket)", "a\0b", "line\nbreak", "100%"),
        *("comment--here", "comment/*here"),
    ],
    ids=repr,
)
def test_a_name_that_a_filter_could_misread_is_asked_for_by_itself(name):
    """The filter's parser has no escapes."""
    assert not can_be_searched(name)


@pytest.mark.parametrize("name", ["risk", "credit risk & co+1", "main.models.käse", "a,b", "IN", "a AND b", "a=b", "a-b_c.d"])
def test_usual_names_are_searched(name):
    """Spaces, dots, accents, commas and keywords within the quotes are the name's own."""
    assert can_be_searched(name)
