"""`gc` as it is asked for: each place is worked on once, the next command frees what was shown, bytes are in words."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.commands.gc import LEDGER, GcOptions, gc, in_words
from mlrelease.commands.workspace import cache_folder
from mlrelease.registries.cache import ArtifactCache
from support.newcomer import newcomer, text
from support.pair import identity

pytestmark = pytest.mark.xdist_group("gc-names")
OLD_S = 40 * 86400.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The example; its environment does not run here."""
    with identity():
        yield newcomer(tmp_path_factory.mktemp("gc"), remote=True)


@pytest.fixture
def person(made, tmp_path):
    """With a cache of her own, in which a version lies that no verb asked for in forty days."""
    facts = made.fake.add("wine", "9", {"model.bin": b"x" * 2000})
    here = replace(made, variables=dict(made.variables) | {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    _, folder = ArtifactCache(cache_folder(here.variables)).fetch(facts, made.fake)
    for path in (folder, *folder.parent.iterdir()):
        os.utime(path, (here.now() - OLD_S, here.now() - OLD_S))
    return here


def entries(person):
    return list(ArtifactCache(cache_folder(person.variables)).entries())


def test_a_name_that_is_said_twice_is_one_place(person):
    """One line for it, and once in the next command."""
    report = gc(person, ("production", "production"), GcOptions(dry_run=True))
    assert [row[0] for row in report.rows] == ["production", "user cache"]
    assert report.next == "mlrelease gc production"


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (GcOptions(dry_run=True), "mlrelease gc production"),
        (GcOptions(dry_run=True, days=7.0), "mlrelease gc production --days 7"),
        (GcOptions(dry_run=True, days=0.5), "mlrelease gc production --days 0.5"),
        (GcOptions(dry_run=True, days=90.0), "mlrelease status"),
        (GcOptions(days=7.0), "mlrelease status"),
    ],
    ids=["a dry run", "with days", "with half a day", "with nothing to free", "in earnest"],
)
def test_the_next_command_frees_what_the_dry_run_showed(person, options, command):
    """With the same days: without them it would free something else."""
    assert gc(person, (), options).next == command


def test_what_was_freed_is_gone_and_the_second_time_there_is_nothing(person, capsys):
    """Whole, as people see it; the cache of a person goes by age alone."""
    first, second = gc(person, (), GcOptions()), gc(person, (), GcOptions())
    away = "does not run on this host (no "
    assert first.verdict == "2.0 kB freed of 1 items"
    assert second.verdict == "nothing to free"
    assert [row[:4] for row in first.rows] == [
        ("production", "everything", "0", "0 B"),
        ("user cache", first.rows[1][1], "1", "2.0 kB"),
    ]
    assert first.rows[0][4].startswith(away)
    assert (first.data["freed_bytes"], first.data["dry_run"], first.exit_code) == (2000, False, 0)
    assert entries(person) == []
    assert text(second, capsys).splitlines()[-3:] == [f"  {LEDGER}", "next: mlrelease status", "exit 0"]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999_999, "1.0 GB"),
        (999_960_000_000, "1.0 TB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_bytes_are_rounded_before_their_unit_is_chosen(size, words):
    """Never a thousand of one unit: that is one of the next."""
    assert in_words(size) == words


@given(st.floats(0, 1e15), st.floats(0, 1e15))
def test_more_bytes_are_never_fewer_words(one, two):
    """What reads as more is more."""
    units = ["B", "kB", "MB", "GB", "TB"]

    def rank(size):
        number, unit = in_words(size).split(" ")
        return units.index(unit), float(number)

    assert (rank(one) <= rank(two)) or one > two
