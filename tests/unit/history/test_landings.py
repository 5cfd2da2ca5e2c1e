"""Which commit brought a digest into a file: by revision, by moment, and through everything that touches a file besides."""

from __future__ import annotations

import pytest
from mlrelease.history.landings import Landings, PinCommit, digests_in, file_of
from mlrelease.model.bundle import IMAGE, SETTINGS, model_key
from support.core import ENVIRONMENT
from support.receipts import Branch, of

MODEL = f"environments/{ENVIRONMENT}/models/A.yaml"
SERVICE = f"environments/{ENVIRONMENT}/services/risk.yaml"
KEY = model_key("A")


def value(version):
    return of(version).components()[KEY]


def brought(branch, version, revision):
    found = branch.landings.bringing(MODEL, value(version), revision)
    return found.sha if found else None


def test_the_commit_that_brought_it_counts_not_the_newest():
    """A file is touched again without its pin moving."""
    branch = Branch()
    first = branch.pin(of("7"), 100.0)
    again = branch.pin(of("7"), 200.0)
    assert brought(branch, "7", again) == first
    assert branch.landings.touching(MODEL, again).sha == again


def test_what_came_after_the_revision_does_not_count():
    """The pass had the branch as it was."""
    branch = Branch()
    first = branch.pin(of("7"), 100.0)
    second = branch.pin(of("8"), 200.0)
    assert brought(branch, "8", first) is None
    assert (brought(branch, "7", second), brought(branch, "8", second)) == (first, second)


def test_a_revision_between_two_pins_is_placed_on_the_line():
    """Most commits touch no pin; a pass may have been at any of them."""
    branch = Branch()
    first = branch.pin(of("7"), 100.0)
    between = branch.other(150.0)
    branch.pin(of("8"), 200.0)
    assert brought(branch, "7", between) == first
    assert brought(branch, "8", between) is None


def test_going_back_brings_it_again():
    """The revert is the commit behind what serves after it."""
    branch = Branch()
    first = branch.pin(of("7"), 100.0)
    branch.pin(of("8"), 200.0)
    revert = branch.pin(of("7"), 300.0)
    assert brought(branch, "7", revert) == revert
    assert brought(branch, "7", first) == first


def test_a_revision_that_is_not_on_the_branch_is_no_place():
    """An unmerged commit, or one of a branch that was rewritten."""
    branch = Branch()
    branch.pin(of("7"), 100.0)
    assert brought(branch, "7", "elsewhere") is None
    assert branch.landings.touching(MODEL, "elsewhere") is None


def test_a_file_that_was_removed_has_no_digest():
    """The same pin in a new file is brought by the commit that wrote it."""
    branch = Branch()
    branch.pin(of("7"), 100.0)
    branch._add("gone", 200.0, None, "", {MODEL: frozenset()})
    again = branch.pin(of("7"), 300.0)
    assert brought(branch, "7", again) == again


def test_by_moment_the_newest_until_then_counts():
    """For approvals, which name no revision."""
    branch = Branch()
    branch.pin(of("7"), 100.0)
    branch.pin(of("8"), 200.0)
    branch.pin(of("7"), 300.0)
    landings = branch.landings
    assert landings.bringing_before(MODEL, value("7"), 99.0) is None
    assert landings.bringing_before(MODEL, value("7"), 250.0).landed_at == 100.0
    assert landings.bringing_before(MODEL, value("7"), 300.0).landed_at == 300.0
    assert landings.bringing_before(MODEL, value("9"), 999.0) is None


def test_settings_have_no_digest_in_the_file():
    """The newest commit of the service's file is what there is."""
    branch = Branch()
    branch.pin(of("7"), 100.0)
    newest = branch.pin(of("7", MODE="fast"), 200.0, only=SERVICE)
    landings = branch.landings
    assert landings.of(ENVIRONMENT, "risk", SETTINGS, of("7", MODE="fast").components()[SETTINGS], newest).sha == newest
    assert landings.of(ENVIRONMENT, "risk", KEY, value("7"), newest).sha == "r1"


def test_nothing_read_is_nothing_found():
    """A clone without the branch."""
    empty = Landings((), ())
    assert empty.bringing(MODEL, value("7"), "r1") is None
    assert empty.bringing_before(MODEL, value("7"), 1e12) is None


@pytest.mark.parametrize(
    ("subject", "number"),
    [
        ("Pin wine 2 (#12)", 12),
        ("Pin wine 2 (#12) ", 12),
        ("Merge pull request #345 from acme/bump", 345),
        ("Pin wine 2", None),
        ("Fixes #12", None),
        ("(#12) Pin wine", None),
        ('Revert "Pin wine 2 (#12)"', None),
        ('Revert "Pin wine 2 (#12)" (#13)', 13),
        ("Pin wine (#12345678901)", None),
        ("see Merge pull request #1 from x", None),
    ],
    ids=[
        "squashed",
        "with a blank behind it",
        "merged",
        "pushed",
        "an issue is named",
        "a number in front",
        "a reverted one's number is not its own",
        "a squashed revert",
        "no number has so many digits",
        "in the middle of a subject",
    ],
)
def test_the_number_of_a_pull_request_is_read_where_github_writes_it(subject, number):
    """Anything else is no number: nothing is guessed."""
    assert PinCommit("r1", subject, "ada", 1.0, 2.0, {}).pull == number


def test_digests_are_read_out_of_a_file_whatever_it_is():
    """Whole ones only."""
    one, other = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
    text = f"# was {one}\nimage: repo:1@{other}\ndigest: sha256:abc\n".encode() + b"\xff\x00"
    assert digests_in(text) == {one, other}
    assert digests_in(b"") == frozenset()


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (IMAGE, "environments/staging/services/risk.yaml"),
        (SETTINGS, "environments/staging/services/risk.yaml"),
        (model_key("wine"), "environments/staging/models/wine.yaml"),
    ],
)
def test_each_component_has_its_file(key, path):
    """As DESIGN §3 lays them out."""
    assert file_of("staging", "risk", key) == path


def test_of_a_component_the_commit_is_that_of_its_value_and_of_settings_the_newest():
    """Settings have no digest in the file: whoever touched it last may have changed them."""
    branch = Branch()
    first = branch.pin(of("7"), 100.0)
    again = branch.pin(of("7"), 200.0)

    def behind(key):
        return branch.landings.of(ENVIRONMENT, "risk", key, of("7").components()[key], again).sha

    assert (behind(KEY), behind(IMAGE), behind(SETTINGS)) == (first, first, again)


def test_a_commit_that_is_not_on_the_line_is_before_all_of_it():
    """A shallow clone has commits whose place nobody knows: they are as old as can be, never newer than the revision."""
    lost = PinCommit("lost", "Pin", "ada", 1.0, 1.0, {MODEL: frozenset({value("7")})})
    landings = Landings([lost], ["r0", "r1"])
    assert landings.bringing(MODEL, value("7"), "r0") == lost
    assert landings.bringing(MODEL, value("7"), "elsewhere") is None
