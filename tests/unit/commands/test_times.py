"""A moment as people write it, at its edges: dates that are tags, years that nobody can write, units, rounding, and spans."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.times import Moment, moment_of, span_of
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Tracked
from mlrelease.errors import UsageError
from mlrelease.forge.git import Git
from mlrelease.model.when import iso
from support.pair import identity
from support.repositories import git, repository

pytestmark = pytest.mark.xdist_group("times")
NOW = 1_800_000_000.25
HINT = "say 2026-11-21T03:52Z, 2h ago, a commit or a tag"


@dataclass(frozen=True, slots=True)
class Then(Workspace):
    """A workspace whose clock stands."""

    @property
    def now(self) -> Callable[[], float]:
        return lambda: NOW


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """One commit of 2026, with tags that look like other things."""
    with identity(), pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
            patch.setenv(name, "2026-02-03T04:05:06Z")
        folder = repository(tmp_path_factory.mktemp("times") / "clone")
        for tag in ("2026-11-21-audit", "2026-11-21", "2h", "now", "v1.0.0", "2026-99"):
            git(folder, "tag", tag)
        git(folder, "tag", "--annotate", "--message=signed off", "annotated")
    return Then(Git(folder), Tracked("", "main"), "ada", "run", {})


COMMITTED = 1_770_091_506.0


@pytest.mark.parametrize("name", ["v1.0.0", "annotated", "main", "HEAD", "2026-11-21-audit", "2026-99", "{sha}", "{short}"])
def test_a_name_of_git_is_the_moment_of_its_commit(here, name):
    """Also one that begins like a date and is none; the commit stands beside it, whole."""
    sha = here.git.head()
    found = moment_of(here, name.format(sha=sha, short=sha[:9]))
    assert found == Moment(COMMITTED, sha)


@pytest.mark.parametrize(
    ("text", "at"),
    [("2026-11-21", 1_795_219_200.0), ("2h", NOW - 7200), ("now", NOW)],
    ids=["a whole date", "so long ago", "now"],
)
def test_a_time_comes_before_a_tag_of_that_name(here, text, at):
    """Nobody who writes a time means a tag."""
    assert moment_of(here, text).at == at
    assert moment_of(here, text).revision == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("1 s", 1),
        ("1s ago", 1),
        ("1 m ago", 60),
        ("1h", 3600),
        ("1d", 86_400),
        ("1w", 604_800),
        ("0s", 0),
        ("1.125h", 4050),
        ("  2h  ", 7200),
        ("999999999s", 999_999_999),
    ],
)
def test_so_long_ago_has_a_number_and_a_unit(here, text, seconds):
    """Blanks around it do not matter."""
    assert moment_of(here, text).at == NOW - seconds


@pytest.mark.parametrize("text", ["999999999w", "999999999d"])
def test_longer_ago_than_the_beginning_is_the_beginning(here, text):
    """Never below zero: that is no moment that could be printed."""
    assert moment_of(here, text).at == 0.0


@pytest.mark.parametrize(
    "text",
    ["1", "h", "1x", "1 hour", "1h1m", "1h  ago", "1hago", "1,5h", ".5h", "1.h", "1.2345h", "1234567890s", "1e3s", "+1h", "1H"],
)
def test_what_is_not_written_so_is_refused(here, text):
    """With the forms that there are, and what was written."""
    with pytest.raises(UsageError) as refused:
        moment_of(here, text, option="--since")
    assert (refused.value.message, refused.value.hint) == (f"--since: {text!r} is neither a time nor a commit here", HINT)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01", "2026-02-30", "2026-01-01T25:00", "10000-01-01"],
    ids=["before the first year", "after the last", "a year that is none", "a day that is none", "an hour", "five digits"],
)
def test_a_time_that_no_calendar_has_is_refused(here, text):
    """In UTC it may lie outside of the years that can be written: not an error of ours that is to be reported."""
    with pytest.raises(UsageError, match="is neither a time nor a commit here"):
        moment_of(here, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("9999-12-31T00:00Z", "9999-12-31T00:00:00.000Z"), ("2027-01-15T08:00:01Z", "2027-01-15T08:00:01.000Z")],
    ids=["the end of time", "a second ahead"],
)
def test_what_is_to_come_is_named_as_it_was_read(here, text, said):
    """In UTC, so that a slip of the zone is seen."""
    with pytest.raises(UsageError) as refused:
        moment_of(here, text, option="--until")
    assert refused.value.message == f"--until: {said} is still to come"
    assert moment_of(here, "2027-01-15T08:00:00Z").at == math.floor(NOW)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("2026-11-21T03:52", "2026-11-21T03:52 has no time zone: taken as UTC"),
        ("2026-11-21T03:52Z", ""),
        ("2026-11-21T04:52+01:00", ""),
    ],
)
def test_a_zone_is_taken_for_granted_only_with_a_word(here, text, note):
    """All three are one moment."""
    assert moment_of(here, text) == Moment(1_795_233_120.0, note=note)


@settings(max_examples=50, deadline=None)
@given(st.floats(min_value=0.0, max_value=NOW))
def test_what_is_printed_can_be_asked_for(here, at):
    """`iso` writes what `at` reads: to the millisecond, downwards (a clock has microseconds)."""
    found = moment_of(here, iso(at)).at
    assert -1e-6 <= at - found < 0.001 + 1e-6


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_no_text_breaks_it(here, text):
    """Whatever an argument can hold is a moment, or a refusal that names it: nothing is run, nothing is an option of git."""
    with contextlib.suppress(UsageError):
        assert moment_of(here, text).at <= NOW


@pytest.mark.parametrize(
    ("since", "until", "span"),
    [
        ("", "", (0.0, math.inf)),
        ("1h", "", (NOW - 3600, math.inf)),
        ("", "1h", (0.0, NOW - 3600)),
        ("2h", "1h", (NOW - 7200, NOW - 3600)),
        ("v1.0.0", "now", (COMMITTED, NOW)),
    ],
    ids=["all of it", "a beginning", "an end", "both", "from a tag to now"],
)
def test_a_span_is_open_where_nothing_is_said(here, since, until, span):
    """From the beginning on, to the end of time."""
    assert span_of(here, since, until) == span


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("1h", "1h"), ("now", "now"), ("", "999999999w")])
def test_a_span_without_a_second_in_it_is_refused(here, since, until):
    """Ends in the wrong order look like an empty history."""
    with pytest.raises(UsageError) as refused:
        span_of(here, since, until)
    assert (refused.value.message, refused.value.hint) == ("--since must lie before --until", "--since 30d --until 7d")


@pytest.mark.parametrize(("since", "until", "option"), [("x", "y", "--since"), ("1h", "y", "--until")])
def test_the_wrong_end_is_named(here, since, until, option):
    """The first of two."""
    with pytest.raises(UsageError) as refused:
        span_of(here, since, until)
    assert refused.value.message.startswith(f"{option}: ")
