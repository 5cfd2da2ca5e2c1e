"""The tool's own branches at a real remote: looked up, moved by compare-and-swap, told from people's work."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import branches
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from support.git_program import standing_in
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


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("wine", "wine"),
        ("a.b", "a.b"),
        ("a..b", "a%2E.b"),
        ("a...b", "a%2E%2E.b"),
        ("a.", "a%2E"),
        ("a.lock", "a%2Elock"),
        ("a.lock.b", "a.lock.b"),
        ("a.locks", "a.locks"),
        ("50%", "50%25"),
    ],
)
def test_the_name_of_a_branch_is_its_subject_written_so_that_git_takes_it(subject, name):
    """What git takes stays as it is: people read it."""
    assert branches.branch_name("bump", "production", subject) == f"mlrelease/bump/production/{name}"


def test_a_branch_that_moves_under_every_look_is_an_outage(two, tmp_path, monkeypatch):
    """After so many tries somebody else is at work there; a commit that never comes is not made up."""
    one = two[1]
    sha = "1" * 40
    calls = standing_in(tmp_path, monkeypatch, "ls-remote", f"printf '{sha}\\trefs/heads/{BRANCH}\\n'; exit 0")
    with pytest.raises(UnavailableError) as raised:
        branches.find(one, "origin", BRANCH)
    assert raised.value.message == f"{BRANCH} at origin moves under every look"
    assert (raised.value.hint, raised.value.where) == ("try again", "origin")
    assert calls() == branches.TRIES


def test_a_branch_that_was_deleted_between_look_and_fetch_is_none(two, tmp_path, monkeypatch):
    """The second look says so."""
    gone = f"[ $calls -gt 1 ] || {{ printf '{'1' * 40}\\trefs/heads/{BRANCH}\\n'; exit 0; }}"
    calls = standing_in(tmp_path, monkeypatch, "ls-remote", gone)
    assert branches.find(two[1], "origin", BRANCH) is None
    assert calls() == 2


def test_a_fetch_that_fails_otherwise_is_an_outage(two, tmp_path, monkeypatch):
    """It is no "not there": with what git said."""
    one, other = two[1:]
    assert branches.put(one, "origin", BRANCH, commit(one), expected=None)
    standing_in(tmp_path, monkeypatch, "fetch", "echo 'fatal: early EOF' >&2; exit 128")
    with pytest.raises(UnavailableError, match=r"^could not fetch from origin: early EOF$"):
        branches.find(other, "origin", BRANCH)


def test_what_the_remote_lists_is_by_its_ref(two):
    """Only what matches; none is an empty answer."""
    _, one, other = two
    sha = commit(one)
    for name in ("mlrelease/a", "mlrelease/b", "theirs"):
        assert branches.put(one, "origin", name, sha, expected=None)
    assert branches.listed(other, "origin", "refs/heads/mlrelease/*") == {
        "refs/heads/mlrelease/a": sha,
        "refs/heads/mlrelease/b": sha,
    }
    assert branches.listed(other, "origin", "refs/heads/nothing") == {}


def test_bringing_what_the_remote_has_not_is_left_to_the_caller(two):
    """A commit that nobody has, a branch that is not there: nothing is brought, nothing is raised."""
    one = two[1]
    branches.bring(one, "origin", "refs/heads/nothing")
    branches.bring(one, "origin", "1" * 40)
    assert one.resolve("1" * 40) is None


def test_whose_commit_it_is_cannot_be_told_of_one_that_is_not_here(two):
    """That is an error, not "a person's"."""
    with pytest.raises(Error) as raised:
        branches.is_ours(two[1], "1" * 40)
    assert raised.value.message == f"commit 111111111 cannot be read: fatal: bad object {'1' * 40}"
    assert raised.value.hint == "git fsck"


def test_the_line_alone_makes_it_ours(two):
    """Words around it are somebody's who quotes it."""
    one = two[1]
    for message in (f"x\n\n{branches.TRAILER} and me", f"x\n\nnot {branches.TRAILER}", f"{branches.TRAILER}."):
        assert not branches.is_ours(one, one.graft(one.head(), {"pin": b"x"}, message))
    assert branches.is_ours(one, one.graft(one.head(), {"pin": b"x"}, f"x\n\n{branches.TRAILER}\nSigned-off-by: a"))
