"""Chains by algebra and with damage: what every growth promises, what each link says of itself, and what is not believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlrelease.ledger.chain import DAMAGED, breaks, grown, link, newest_name, next_name, stored
from mlrelease.model.bundle import sha256_digest
from mlrelease.model.event import UnknownEvent
from mlrelease.model.event_json import event_to_json
from support.repositories import NOW, held

ONE, TWO, THREE = (f"01J0000000000000000000000{letter}.json" for letter in "ABC")

_ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8).map(lambda text: json.loads(json.dumps(text)))
"""Half characters too; two halves that belong together are one character, as JSON reads them."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
moments = st.sampled_from([0.0, 1.0, NOW - 1, NOW, NOW + 1, 2 * NOW])


def read(files, environment="staging"):
    return [link(environment, path.rpartition("/")[2], data) for path, data in files]


def grow(links, numbers, now=NOW):
    return list(grown("staging", links, [event_to_json(held(n)) for n in numbers], now))


@settings(max_examples=60, deadline=None)
@example({"reason": "it said \ud800"})
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_what_is_stored_is_read_back(data):
    """Any JSON object, also with half a character in it, as a server's answer may hold one; equal objects are equal bytes."""
    assert json.loads(stored(data)) == data
    assert stored(dict(reversed(data.items()))) == stored(data)
    assert stored(data).endswith(b"}\n")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(min_value=0, max_value=3), moments), max_size=5))
def test_however_a_chain_grew_it_holds_and_has_the_order_of_its_growth(growths):
    """In one piece or in many, with a clock that jumps: no break, and names in order."""
    links, count = [], 0
    for size, now in growths:
        links += read(grow(links, range(count, count + size), now))
        count += size
    assert list(breaks(links)) == []
    assert [one.event.id for one in links] == [f"E{n}" for n in range(count)]
    assert [one.name for one in links] == sorted({one.name for one in links})


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_single_removal_but_at_the_end_and_no_exchange_goes_unseen(data):
    """The file behind a gap names what is not there; only the newest one has nobody behind it (git's own history has)."""
    files = grow([], range(5))
    gone = data.draw(st.integers(min_value=0, max_value=3))
    without = read(files[:gone] + files[gone + 1 :])
    (found,) = breaks(without)
    behind = without[gone].name
    assert found == f"{behind} does not follow {without[gone - 1].name if gone else 'the beginning'}"
    first, second = sorted(data.draw(st.sets(st.integers(0, 4), min_size=2, max_size=2)))
    mixed = [*files]
    mixed[first], mixed[second] = (files[first][0], files[second][1]), (files[second][0], files[first][1])
    assert list(breaks(read(mixed)))


def test_every_break_is_said_once_oldest_first():
    """Two edits and a repeat: each by its file."""
    files = [(path.rpartition("/")[2], data) for path, data in grow([], range(6))]
    names = [name for name, _ in files]
    for number in (1, 3):
        files[number] = (names[number], files[number][1].replace(b"ann", b"eve"))
    again = json.loads(files[0][1])
    files[5] = (names[5], stored(again))
    assert list(breaks([link("staging", *file) for file in files])) == [
        f"{names[2]} does not follow {names[1]}",
        f"{names[4]} does not follow {names[3]}",
        f"{names[5]} does not follow {names[4]}",
        f"{names[5]} repeats {names[0]}",
    ]


def test_behind_a_damaged_file_the_chain_is_checked_on():
    """The damage is named; who follows it is compared with its bytes as they are."""
    files = [(path.rpartition("/")[2], data) for path, data in grow([], range(3))]
    files[1] = (files[1][0], b"{")
    names = [name for name, _ in files]
    links = [link("staging", *file) for file in files]
    assert list(breaks(links)) == [
        f"{names[1]} is not an event (JSONDecodeError)",
        f"{names[2]} does not follow {names[1]}",
    ]
    healed = read([(names[2], stored(json.loads(files[2][1]) | {"prev": str(sha256_digest(b"{"))}))])
    assert list(breaks([*links[:2], *healed])) == [f"{names[1]} is not an event (JSONDecodeError)"]


EVENT = event_to_json(held(1)) | {"prev": ""}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (ONE, EVENT, ""),
        (ONE, {k: v for k, v in EVENT.items() if k != "prev"}, ""),
        (ONE, EVENT | {"environment": "production"}, "belongs to production"),
        ("one.json", EVENT, "is not named by a ULID"),
        (ONE.lower(), EVENT, "is not named by a ULID"),
        ("8" + ONE[1:], EVENT, "is not named by a ULID"),
        (ONE.replace("A", "I"), EVENT, "is not named by a ULID"),
        (f"{ONE}.json", EVENT, "is not named by a ULID"),
        (f"sub/{ONE}", EVENT, "is not named by a ULID"),
        ("one.json", EVENT | {"environment": "x"}, "belongs to x"),
        (ONE, [], "is not an event (TypeError)"),
        (ONE, {}, "is not an event (KeyError)"),
        (ONE, EVENT | {"at": "yesterday"}, "is not an event (ValueError)"),
        (ONE, EVENT | {"kind": "deploy_finished"}, "is not an event (KeyError)"),
        (ONE, b"[" * 100_000, "is not an event (RecursionError)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_link_says_of_itself(name, content, problem):
    """Whatever is wrong with a file, it is a link with a digest, so that the height counts it."""
    data = (
        content
        if isinstance(content, bytes)
        else stored(content)
        if isinstance(content, dict)
        else json.dumps(content).encode()
    )
    one = link("staging", name, data)
    assert (one.name, one.digest, one.problem) == (name, str(sha256_digest(data)), problem)
    if problem.startswith("is not an event"):
        assert one.event == UnknownEvent(DAMAGED, name, "staging", 0.0, "")
        assert one.prev == ""


def test_an_empty_chain_holds_and_grows_from_nothing():
    """No link, no break; the first file names nobody."""
    assert list(breaks([])) == []
    ((_, data),) = grow([], [1])
    assert json.loads(data)["prev"] == ""
    assert list(grown("staging", [], [], NOW)) == []


def test_a_new_event_cannot_bring_a_prev_of_its_own():
    """What it says of the chain before it is the ledger's word."""
    ((_, data),) = grown("staging", [], [EVENT | {"prev": "sha256:" + "0" * 64}], NOW)
    assert json.loads(data)["prev"] == ""


def test_a_foreign_file_at_the_end_is_followed_all_the_same():
    """It stands in the chain, so the next event names it: taking it out later is seen."""
    links = [*read(grow([], range(2))), link("staging", "zzz.txt", b"hello")]
    ((path, data),) = grow(links, [2])
    assert json.loads(data)["prev"] == links[-1].digest
    assert path.rpartition("/")[2] > links[1].name


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], ""),
        (["notes.txt", "x.json"], ""),
        ([TWO, ONE], TWO.removesuffix(".json")),
        ([ONE, "zzz.json", f".{THREE}.12", THREE.replace(".json", ".damaged")], ONE.removesuffix(".json")),
    ],
    ids=["nothing", "nothing of ours", "the highest, in any order", "temporary and foreign files do not count"],
)
def test_the_newest_name(files, expected):
    """Only ULIDs count, else a stray file would move the order of all that comes."""
    assert newest_name(files) == expected


@pytest.mark.parametrize("last", ["", "01J0000000000000000000000A", "01J000000000000000000000ZZ"])
def test_a_clock_before_1970_still_names(last):
    """A board without a battery starts there: the name is the next one, or that of 1970."""
    name = next_name(-1e9, last)
    assert len(name) == 26
    assert name > last


def test_right_after_the_last_is_one_more():
    """Also where a digit carries over."""
    assert next_name(0, "01J000000000000000000000ZZ") == "01J00000000000000000000100"
