"""The chain of event files, as values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.ledger.chain import breaks, grown, link, next_name, stored
from mlrelease.model.event_json import event_to_json
from support.repositories import NOW, held


def chain(count, links=()):
    """`count` files after `links`, as (name, bytes)."""
    events = [event_to_json(held(len(links) + n)) for n in range(count)]
    return [(path.rpartition("/")[2], data) for path, data in grown("staging", links, events, NOW)]


def linked(files):
    return [link("staging", name, data) for name, data in files]


def test_a_grown_chain_holds_and_keeps_its_order():
    """Names rise, every file names the digest of the one before, and nothing is found."""
    first = linked(chain(3))
    files = [*chain(3), *chain(4, first)]
    links = linked(files)
    assert [one.event.id for one in links] == [f"E{n}" for n in range(7)]
    assert sorted(one.name for one in links) == [one.name for one in links]
    assert links[0].prev == ""
    assert list(breaks(links)) == []


def _without(files):
    return files[:1] + files[2:]


def _edited(files):
    return [files[0], (files[1][0], files[1][1].replace(b"ann", b"eve")), *files[2:]]


def _swapped(files):
    (a, one), (b, two) = files[1], files[2]
    return [files[0], (a, two), (b, one), files[3]]


def _repeated(files):
    links = linked(files)
    again = json.loads(files[1][1])
    again["prev"] = links[-1].digest
    return [*files, (f"{next_name(NOW, files[-1][0][:-5])}.json", stored(again))]


@pytest.mark.parametrize(
    ("spoil", "name", "text"),
    [
        (_without, 2, "does not follow"),
        (_edited, 2, "does not follow"),
        (_swapped, 1, "does not follow"),
        (_repeated, 4, "repeats"),
        (lambda f: [f[0], (f[1][0], b"{]"), *f[2:]], 1, "is not an event"),
        (lambda f: [(f[0][0], f[0][1].replace(b'"prev": ""', b'"prev": "sha256:0"')), *f[1:]], 0, "the beginning"),
        (lambda f: [*f, ("notes.txt", b"hello")], "notes.txt", "is not an event"),
        (lambda f: [(f[0][0], f[0][1].replace(b"staging", b"production")), *f[1:]], 0, "belongs to production"),
    ],
    ids=[
        "a file taken out",
        "a file edited",
        "two files exchanged",
        "an event twice",
        "a damaged file",
        "the first one names another",
        "a foreign file",
        "a file of another environment",
    ],
)
def test_every_break_is_named(spoil, name, text):
    """Tampering is found and the first break names the file."""
    files = chain(4)
    spoiled = spoil(files)
    expected = name if isinstance(name, str) else [*files, spoiled[-1]][name][0]
    found = list(breaks(linked(spoiled)))
    assert expected in found[0]
    assert text in found[0]


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=2, max_size=30))
def test_names_rise_whatever_the_clock_does(moments):
    """A clock that jumps back or stands still never makes a name that sorts before the last."""
    last = ""
    for moment in moments:
        name = next_name(moment, last)
        assert name > last
        assert len(name) == 26
        last = name


def test_an_event_of_a_newer_version_is_kept_in_the_chain():
    """An unknown kind is a link like any other."""
    content = {**event_to_json(held(1)), "kind": "teleported"}
    (one,) = [link("staging", p.rpartition("/")[2], d) for p, d in grown("staging", [], [content], NOW)]
    assert (one.problem, one.event.kind) == ("", "teleported")
    assert list(breaks([one])) == []
