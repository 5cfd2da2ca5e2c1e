"""A release that is killed after each of its steps: the repository is as before or complete, and the next run converges."""

from __future__ import annotations

import pytest
from mlrelease.commands.release.cut import STEPS
from support.pair import identity
from support.releasing import Shop, problems
from support.world import git

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("release-killed"), pytest.mark.timeout(300)]

BEFORE = ("surveyed", "drafted", "committed", "tagged")
"""Steps after which nobody sees anything of the release."""


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Version 1 released as v0.1.0, then version 2 deployed and a fragment written: v0.2.0 is to be cut."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("killed") / "w").ready()
        shop.fragment("added-first.md", "The first.")
        shop.released()
        shop.deployed("wine", "2", rmse=68.9)
        shop.fragment("fixed-typo.md", "A typo.")
        git(shop.laptop, "pull", "--quiet")
        yield shop


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same without any remote."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("alone") / "w", remote=False).ready()
        shop.fragment("added-first.md", "The first.")
        yield shop


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_a_step_of_a_release_with_a_push(first, tmp_path, step):
    """Before the push all is as it was; from the push on the remote has branch and tag. The next run ends it either way."""
    shop = first.copy(tmp_path / "w")
    before, at_origin = shop.everything(), git(shop.origin, "for-each-ref", "refs/heads/main", "refs/tags")
    shop.killed(step)
    if step in BEFORE:
        assert shop.everything() == before
        assert git(shop.origin, "for-each-ref", "refs/heads/main", "refs/tags") == at_origin
    else:
        assert git(shop.origin, "rev-parse", "main") == git(shop.origin, "rev-parse", "v0.2.0^{commit}")
    again = shop.release("minor")
    assert shop.is_complete("v0.2.0")
    if step == "kept":  # nothing was left to do, and nothing is released twice
        assert "nothing to release since v0.2.0" in problems(again)
    else:
        assert again.exit_code == 0, problems(again)
    assert git(shop.origin, "tag").split() == ["v0.1.0", "v0.2.0"]
    assert "## [0.2.0]" in shop.read("CHANGELOG.md")
    assert shop.read("VERSION") == "0.2.0"


@pytest.mark.parametrize("step", [step for step in STEPS if step in ("tagged", "followed", "kept")])
def test_killed_after_a_step_of_a_release_that_is_not_pushed(first, tmp_path, step):
    """The remote sees nothing; what is here is ended by the next run, which pushes it."""
    shop = first.copy(tmp_path / "w")
    before, at_origin = shop.everything(), git(shop.origin, "for-each-ref", "refs/heads/main", "refs/tags")
    shop.killed(step, push=False)
    assert git(shop.origin, "for-each-ref", "refs/heads/main", "refs/tags") == at_origin
    if step == "tagged":
        assert shop.everything() == before
    assert shop.release("minor").exit_code == 0
    assert shop.is_complete("v0.2.0")


@pytest.mark.parametrize("step", [step for step in STEPS if step != "pushed"])
def test_killed_after_a_step_of_a_release_without_a_remote(alone, tmp_path, step):
    """Until the branch moves all is as it was; a release without its tag gets it from the next run."""
    shop = alone.copy(tmp_path / "w")
    before = shop.everything()
    shop.killed(step)
    if step in BEFORE:
        assert shop.everything() == before
    again = shop.release("minor")
    # The first release of `minor` without VERSION is 0.1.0; killed at the very end there is nothing left to do.
    assert shop.is_complete("v0.1.0")
    assert again.exit_code == (5 if step == "kept" else 0)
    assert git(shop.laptop, "tag").split() == ["v0.1.0"]
