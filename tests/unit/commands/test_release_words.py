"""What `release` says: refused, as it would be, made, ended; and what VERSION may say before one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mlrelease.commands.release.draft import Draft, _written
from mlrelease.commands.release.ground import Ground
from mlrelease.commands.release.told import dry, made, problems_json, refused, unfinished
from mlrelease.delivery.source import Tracked
from mlrelease.forge.tags import Tag
from mlrelease.model.release import Entry, Level, Problem, Release, Section, Version
from mlrelease.render.report import Report

V2 = Version(0, 2, 0)
COMMIT = "c0ffee1234567890"
ENTRIES = (
    Entry(Section.CHANGED, "wine 1 → 2 in production", Level.MINOR),
    Entry(Section.FIXED, "A typo.", Level.PATCH),
)
RECORD = Release(V2, "v0.1.0", "2027-01-15T08:00:00.000Z", "Ada", COMMIT, {"staging": None, "production": None})
SECTION = "### Changed\n\n- wine 1 → 2 in production\n"
FOUND = Draft(V2, (), RECORD, ENTRIES, SECTION)
AS_DATA = [
    {"section": "Changed", "text": "wine 1 → 2 in production", "level": "minor"},
    {"section": "Fixed", "text": "A typo.", "level": "patch"},
]


def at(remote="origin"):
    return SimpleNamespace(branch=Tracked(remote, "main"))


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "counted", "code"),
    [((5,), "1 reason", 5), ((4, 5), "2 reasons", 5), ((5, 1, 4), "3 reasons", 1), ((4,), "1 reason", 4)],
    ids=["one no", "findings beside a no", "what could not be told beside both", "findings alone"],
)
def test_a_refusal_counts_its_reasons_and_the_worst_decides(codes, counted, code):
    """Each with what to do about it, in the order in which they were found."""
    problems = tuple(Problem(f"problem {number}", f"do {number}", one) for number, one in enumerate(codes))
    report = refused(Draft(V2, problems), Level.MINOR)
    assert report.verdict == f"v0.2.0 refused for {counted}; nothing was changed"
    assert report.rows == [(f"problem {number}", f"do {number}") for number in range(len(codes))]
    assert (report.exit_code, report.headers) == (code, ("problem", "what to do"))
    assert report.next == "mlrelease release minor --dry-run"
    assert report.data["problems"] == problems_json(problems)
    assert [problem["exit_code"] for problem in report.data["problems"]] == list(codes)


def test_a_refusal_before_there_is_a_version_says_release():
    """VERSION could not be read; what would be released is told all the same."""
    report = refused(Draft(None, (Problem("VERSION says 'x', which is no version"),), entries=ENTRIES), Level.AUTO)
    assert report.verdict == "release refused for 1 reason; nothing was changed"
    assert report.data == {
        "release": "",
        "problems": [{"message": "VERSION says 'x', which is no version", "hint": "", "exit_code": 5}],
        "entries": AS_DATA,
        "environments": [],
        "commit": "",
        "pushed": False,
    }


# -- done --------------------------------------------------------------------------------------------------------------


def test_a_dry_run_names_the_files_and_shows_the_section():
    """And how to do it."""
    assert dry(FOUND, ["CHANGELOG.md", "VERSION"], Level.MINOR) == Report(
        verdict="v0.2.0 would be released: 2 lines of the changelog; nothing was changed",
        data={
            "release": "v0.2.0",
            "problems": [],
            "entries": AS_DATA,
            "environments": ["production", "staging"],
            "commit": "",
            "pushed": False,
            "files": ["CHANGELOG.md", "VERSION"],
        },
        details=["Changed:", "- wine 1 → 2 in production"],
        notes=["it would change CHANGELOG.md, VERSION"],
        next="mlrelease release minor",
    )


@pytest.mark.parametrize(
    ("remote", "pushed", "where", "command"),
    [
        ("origin", True, "pushed to origin with its tag", "mlrelease release verify v0.2.0"),
        ("origin", False, "tagged here", "git push --atomic origin main v0.2.0"),
        ("", False, "tagged here", "mlrelease release verify v0.2.0"),
    ],
    ids=["pushed", "not pushed: both at once, later", "no remote: there is nothing to push to"],
)
def test_a_release_says_where_it_is_and_what_is_left_to_do(remote, pushed, where, command):
    """One line where only one was released."""
    one = Draft(V2, (), RECORD, ENTRIES[:1], SECTION)
    report = made(at(remote), one, COMMIT, pushed=pushed)
    assert report.verdict == f"v0.2.0 released: 1 line of the changelog; commit c0ffee123, {where}"
    assert (report.next, report.exit_code) == (command, 0)
    assert report.details == ["Changed:", "- wine 1 → 2 in production"]
    assert (report.data["commit"], report.data["pushed"]) == (COMMIT, pushed)


@pytest.mark.parametrize(
    ("remote", "pushed", "where", "command"),
    [
        ("origin", True, "origin has it, and so has this clone", "mlrelease release verify v0.2.0"),
        ("origin", False, "it is tagged here", "git push --atomic origin main v0.2.0"),
        ("", False, "it is tagged here", "mlrelease release verify v0.2.0"),
    ],
    ids=["whole at the remote", "whole here", "whole, without a remote"],
)
def test_an_ended_release_says_that_it_was_begun_before(remote, pushed, where, command):
    """With the same keys as one that was made at once."""
    report = unfinished(at(remote), V2, COMMIT, pushed=pushed)
    assert report.verdict == f"v0.2.0 was begun before and is whole now: commit c0ffee123; {where}"
    assert report.next == command
    assert report.data.keys() == made(at(remote), FOUND, COMMIT, pushed=pushed).data.keys()


# -- VERSION -----------------------------------------------------------------------------------------------------------


class Copy:
    """The copy of the tip with one file."""

    def __init__(self, data):
        self.data = data

    def read(self, path):
        assert path == "VERSION"
        return self.data


def ground(last=None, untagged=()):
    return Ground("h", "h", online=True, last=last, untagged=untagged)


V1 = Version(0, 1, 0)
NO_VERSION = "write it as 1.2.3 and commit it"


@pytest.mark.parametrize(
    ("data", "where", "version", "problem"),
    [
        (None, ground(), None, None),
        (b"0.1.0\n", ground(), V1, None),
        (b"0.1.0", ground(V1), V1, None),
        (b"0.2.0\n", ground(V1, (V2,)), V2, None),
        (None, ground(V1), None, Problem("VERSION is gone, and v0.1.0 was released", "write 0.1.0 into VERSION and commit it")),
        (
            b"0.3.0\n",
            ground(V1, (V2,)),
            Version(0, 3, 0),
            Problem("VERSION says 0.3.0, and the newest tag is v0.1.0", "write 0.1.0 into VERSION and commit it"),
        ),
        (b"v0.1.0\n", ground(), None, Problem("VERSION says 'v0.1.0', which is no version", NO_VERSION)),
        (b"0.1\n", ground(), None, Problem("VERSION says '0.1', which is no version", NO_VERSION)),
        (b"", ground(), None, Problem("VERSION says '', which is no version", NO_VERSION)),
        (b"\xff\xfe", ground(), None, Problem("VERSION says '��', which is no version", NO_VERSION)),
        (b"9" * 100, ground(), None, Problem(f"VERSION says {'9' * 40!r}, which is no version", NO_VERSION)),
    ],
    ids=[
        "none yet",
        "one that is prepared",
        "that of the newest tag",
        "that of a release without a tag",
        "gone",
        "another than the newest tag",
        "with the letter of a tag",
        "too short",
        "empty",
        "no text",
        "very long",
    ],
)
def test_version_must_be_one_that_can_be_raised(data, where, version, problem):
    """Else it is said what stands there, cut, and what should."""
    assert _written(Copy(data), where) == (version, [] if problem is None else [problem])


# -- the ground --------------------------------------------------------------------------------------------------------


def test_the_tag_of_a_version_is_the_remotes_where_there_is_one():
    """Somebody may have made another of that name here."""
    here, there = Tag("v0.1.0", "a" * 40, "b" * 40), Tag("v0.1.0", "c" * 40, "d" * 40)
    both = Ground("h", "h", online=True, here={"v0.1.0": here}, there={"v0.1.0": there}, last=V1)
    assert (both.tag(V1), both.last_commit) == (there, there.commit)
    alone = Ground("h", "h", online=True, here={"v0.1.0": here}, last=V1)
    assert (alone.tag(V1), alone.last_commit, alone.tag(V2)) == (here, here.commit, None)
    assert ground().last_commit == ""
