"""The tool's own branches at a real remote: looked up, moved by compare-and-swap, told from people's work."""

from __future__ import annotations

import pytest
from mlrelease.errors import UnavailableError
from mlrelease.forge import branches
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from support.repositories import bare_with_clones, git

BRANCH = "mlrelease/bump/production/wine"


@pytest.fixture
def two(tmp_path):
    """A bare remote, and two clones of it."""
    bare, one, other = bare_with_clones(tmp_path, "one", "other")
    return bare, Git(one), Git(other)


def commit(repository, text="x", *, base=None, ours=True):
    """A commit that no branch has."""
    trailer = f"\n\n{branches.TRAILER}\n" if ours else "\n"
    return repository.graft(base or repository.head(), {"pin": text.encode()}, f"Pin {text}{trailer}")


def test_a_branch_that_is_not_there_is_none(two):
    """And nothing was fetched for it."""
    assert branches.find(two[1], "origin", BRANCH) is None


def test_a_branch_is_made_moved_and_found(two):
    """By whoever knows where it stands; the other clone gets its commit."""
    _, one, other = two
    first, second = commit(one, "1"), commit(one, "2")
    assert branches.put(one, "origin", BRANCH, first, expected=None)
    assert branches.find(other, "origin", BRANCH) == first
    assert branches.put(one, "origin", BRANCH, second, expected=first), "not a fast-forward: a lease, no ancestry"
    assert branches.find(other, "origin", BRANCH) == second
    assert git(other.path, "cat-file", "-t", second) == "commit"


@pytest.mark.parametrize("expected", ["nothing", "an older commit"])
def test_somebody_faster_is_not_overwritten(two, expected):
    """False, and the branch is as the other left it."""
    _, one, other = two
    first = commit(one, "1")
    assert branches.put(one, "origin", BRANCH, first, expected=None)
    theirs = commit(other, "2")
    if expected == "an older commit":
        assert branches.put(other, "origin", BRANCH, theirs, expected=first)
        late, lease = commit(one, "3"), first
    else:
        late, lease = theirs, None
    before = branches.find(one, "origin", BRANCH)
    repository = one if expected == "an older commit" else other
    assert not branches.put(repository, "origin", BRANCH, late, expected=lease)
    assert branches.find(one, "origin", BRANCH) == before


def test_a_rule_that_says_no_is_an_error(two):
    """It is not "somebody was faster"."""
    bare, one, _ = two
    hook = bare / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRefusedError) as refused:
        branches.put(one, "origin", BRANCH, commit(one), expected=None)
    assert not refused.value.stale


def test_a_remote_that_is_away_is_unavailable(two):
    """Both ways."""
    bare, one, _ = two
    bare.rename(bare.with_name("away.git"))
    with pytest.raises(UnavailableError):
        branches.find(one, "origin", BRANCH)
    with pytest.raises(UnavailableError):
        branches.put(one, "origin", BRANCH, commit(one), expected=None)


def test_nothing_of_the_clone_is_touched(two):
    """No branch, no FETCH_HEAD, no checkout: a person works there."""
    _, one, other = two
    branches.put(one, "origin", BRANCH, commit(one), expected=None)
    before = git(other.path, "for-each-ref", "refs/heads", "refs/remotes")
    branches.find(other, "origin", BRANCH)
    assert git(other.path, "for-each-ref", "refs/heads", "refs/remotes") == before
    assert git(other.path, "status", "--porcelain") == ""
    assert not (other.path / ".git/FETCH_HEAD").exists()


def test_a_person_s_hook_before_pushing_is_not_asked(two):
    """It is about the person's own branches."""
    _, one, _ = two
    hook = one.path / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert branches.put(one, "origin", BRANCH, commit(one), expected=None)


def test_our_own_commit_is_ours_and_a_person_s_on_top_is_not(two):
    """By the line that every commit of the tool ends with."""
    one = two[1]
    mine = commit(one)
    assert branches.is_ours(one, mine)
    theirs = commit(one, "by hand", base=mine, ours=False)
    assert not branches.is_ours(one, theirs)
    assert not branches.is_ours(one, one.head())


def test_a_merge_of_the_tracked_branch_leaves_it_ours(two):
    """GitHub's button "Update branch"."""
    one = two[1]
    mine, moved = commit(one), commit(one, "elsewhere", ours=False)
    tree = git(one.path, "rev-parse", f"{mine}^{{tree}}")
    merged = git(one.path, "commit-tree", tree, "-p", mine, "-p", moved, "-m", "Merge main")
    assert branches.is_ours(one, merged)


NAMES = ["wine", "credit-risk_2", "a.b", "a..b", "a.lock", "a.", "a%2E", "A"]


def test_every_model_has_a_branch_of_its_own_that_git_takes(two):
    """Also names that git would refuse."""
    names = [branches.branch_name("bump", "production", name) for name in NAMES]
    assert len(set(names)) == len(NAMES)
    for name in names:
        git(two[1].path, "check-ref-format", "--branch", name)
