"""The heartbeat as a value: whole there and back, older agents understood, damage told, ages in words."""

from __future__ import annotations

import json

import pytest
from mlrelease.model.beat import BEAT_S, SILENT_S, Beat, Blocked, beat_from_json, in_words

AT = 1_800_000_000.0
WHOLE = Beat(
    at=AT,
    revision="a" * 40,
    height=7,
    exit_code=5,
    verdict="production at aaaaaaaaa: wine blocked (waits for an approval)",
    sync={"wine": "OutOfSync"},
    health={"wine": "Healthy"},
    blocked={"wine": Blocked("approval", "waits for an approval")},
)


def test_what_was_written_is_read():
    """Through JSON and back, nothing is lost."""
    assert beat_from_json(json.loads(json.dumps(WHOLE.to_json()))) == WHOLE


def test_its_keys_are_stable():
    """Other programs read the ref too."""
    said = WHOLE.to_json()
    assert sorted(said) == ["at", "blocked", "exit_code", "health", "height", "revision", "sync", "verdict"]
    assert said["at"] == "2027-01-15T08:00:00.000Z"
    assert said["blocked"] == {"wine": {"by": "approval", "why": "waits for an approval"}}


def test_an_older_agents_beat_says_when_and_where_and_no_more():
    """It lives, and has looked at that revision; what came of it, it does not say."""
    beat = beat_from_json({"at": "2027-01-15T08:00:00.000Z", "revision": "abc"})
    assert (beat.at, beat.revision, beat.says_all) == (AT, "abc", False)
    assert WHOLE.says_all


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        "2027-01-15T08:00:00Z",
        {"at": "yesterday", "revision": "abc"},
        {"at": "2027-01-15T08:00:00", "revision": "abc"},
        {"at": "2027-01-15T08:00:00Z"},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "height": "many"},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "height": float("inf")},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "exit_code": float("nan")},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "exit_code": None},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "sync": ["wine"]},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "blocked": {"wine": "approval"}},
        {"at": "2027-01-15T08:00:00Z", "revision": "abc", "blocked": {"wine": {}}},
    ],
    ids=[
        "nothing in it",
        "a list",
        "nothing",
        "a text",
        "a moment in words",
        "a moment without a zone",
        "no revision",
        "a height that is no number",
        "a height without an end",
        "a code that is no number",
        "a code that is nothing",
        "sync that is a list",
        "a block without a reason",
        "a block without anything",
    ],
)
def test_a_damaged_one_is_a_value_error(data):
    """Whoever reads it decides what a torn heartbeat means."""
    with pytest.raises(ValueError, match=r"."):
        beat_from_json(data)


@pytest.mark.parametrize(
    ("age_s", "silent"),
    [(0.0, False), (BEAT_S, False), (SILENT_S, False), (SILENT_S + 1, True), (86400.0, True)],
    ids=["just now", "a beat ago", "five beats ago", "longer", "a day"],
)
def test_silence_begins_after_five_beats(age_s, silent):
    """A late push or two is no dead agent."""
    assert WHOLE.is_silent(AT + age_s) is silent
    assert WHOLE.age_s(AT + age_s) == age_s


@pytest.mark.parametrize(
    ("height", "exit_code", "says_all"),
    [(0, 0, True), (7, 130, True), (-1, 0, False), (0, -1, False), (-1, -1, False)],
    ids=["the first pass went well", "any pass", "how far is missing", "how it ended is missing", "an older agent"],
)
def test_a_beat_says_all_when_it_says_how_far_and_how_it_ended(height, exit_code, says_all):
    """Half of it proves nothing: whoever waits for that pass goes on waiting."""
    assert Beat(AT, "abc", height=height, exit_code=exit_code).says_all is says_all


def test_a_clock_that_is_behind_makes_no_negative_age():
    """Two hosts' clocks differ."""
    assert WHOLE.age_s(AT - 30.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "119 min"), (7200.0, "2 h"), (200_000.0, "2 d")],
)
def test_an_age_in_words(seconds, words):
    """One figure, in the largest unit of which there are two."""
    assert in_words(seconds) == words
