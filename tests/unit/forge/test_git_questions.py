"""What is asked of a repository: every question of `Git` on one real history, with its none, its error and its order."""

from __future__ import annotations

import os
import subprocess

import pytest
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.forge.reader import Commit
from support.repositories import git, repository

pytestmark = pytest.mark.xdist_group("git_questions")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A repository whose history forks and merges, with tags, odd names and a branch that never met the others. Only read."""
    home = tmp_path_factory.mktemp("world")
    variables = {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
           (("NAME", "Ada Löve"), ("EMAIL", "ada@example.com"))},
    }  # fmt: skip
    path = home / "repo"
    script = """
        git init -q --initial-branch=main repo && cd repo
        commit() { GIT_AUTHOR_DATE="@$2 +0000" GIT_COMMITTER_DATE="@$3 +0000" git commit -q --allow-empty -m "$1"; }
        mkdir a && echo 1 > a/one && echo 1 > b && git add -A && commit 'first

with a body' 1000 2000
        git tag -a -m note v1
        git tag blob $(git rev-parse HEAD:b)
        echo 2 > a/one && git add -A && commit 'second: a' 3000 3000
        git branch side
        echo 2 > b && git add -A && commit 'third: b' 4000 4000
        git checkout -q side && echo s > 'a/[x] *.yaml' && git add -A && commit 'fourth: side' 5000 5000
        git checkout -q --orphan lonely && git rm -rfq . && commit 'alone' 6000 6000
        git checkout -q main
        git remote add origin https://bob:s3cret@host.example/r.git?k=s3cret
        git config branch.main.remote origin && git config branch.main.merge refs/heads/release
        git config branch.side.remote . && git config branch.side.merge refs/heads/main
        git config branch.lonely.remote origin
    """
    subprocess.run(["bash", "-euc", script], cwd=home, env=os.environ | variables, check=True, timeout=60)
    return path


@pytest.fixture
def it(world):
    return Git(world)


@pytest.mark.parametrize(
    ("revision", "same_as"),
    [
        ("main", "main"),
        ("HEAD", "main"),
        ("v1", "main~2"),
        ("v1^{}", "main~2"),
        ("refs/tags/v1", "main~2"),
        ("main~2", "main~2"),
        ("blob", None),
        ("main:a", None),
        ("nothing", None),
        ("main~9", None),
        ("", None),
        ("-", None),
        ("--all", None),
        ("main ", None),
        ("0" * 40, None),
        ("main..side", None),
    ],
    ids=repr,
)
def test_a_revision_is_the_full_id_of_its_commit_or_none(world, it, revision, same_as):
    """A tag leads to its commit; what is no commit is none, and nothing is taken for an option."""
    assert it.resolve(revision) == (git(world, "rev-parse", f"{same_as}^{{commit}}") if same_as else None)


@pytest.mark.parametrize(
    ("one", "other", "is_before", "met_at"),
    [
        ("main", "main", True, "main"),
        ("main~2", "main", True, "main~2"),
        ("main", "main~2", False, "main~2"),
        ("main", "side", False, "main~1"),
        ("side", "main", False, "main~1"),
        ("main", "lonely", False, None),
    ],
)
def test_two_commits_are_compared(it, one, other, is_before, met_at):
    """A commit is its own ancestor; histories that never met have no common one."""
    assert it.is_ancestor(one, other) is is_before
    assert it.merge_base(one, other) == (it.resolve(met_at) if met_at else None)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda it: it.is_ancestor("main", "nothing"), "could not compare main with nothing: Not a valid object name nothing"),
        (
            lambda it: it.merge_base("nothing", "main"),
            "could not find where nothing and main part: Not a valid object name nothing",
        ),
        (lambda it: it.tree("nothing"), "could not list the files at nothing: Not a valid object name nothing"),
        (lambda it: it.run("show", "nothing", "--"), "could not run git show: bad revision 'nothing'"),
    ],
    ids=["is_ancestor", "merge_base", "tree", "run"],
)  # fmt: skip
def test_what_is_not_here_is_an_error_by_name(world, it, ask, message):
    """One line, and the repository that was asked."""
    with pytest.raises(Error) as raised:
        ask(it)
    assert (raised.value.message, raised.value.where) == (message, str(world))


def test_run_without_check_leaves_the_failure_to_the_caller(it):
    """The output, whatever it is."""
    assert it.run("rev-parse", "--verify", "--quiet", "nothing", check=False) == ""


def test_the_log_is_newest_first_and_of_the_paths_asked(it):
    """With the committer's date and the author's name; a body is no part of the subject."""
    third, second, first = it.log()
    assert first == Commit(it.resolve("main~2"), "first", "Ada Löve", 2000.0)
    assert (second.subject, third.subject) == ("second: a", "third: b")
    assert [c.subject for c in it.log(["a"])] == ["second: a", "first"]
    assert [c.subject for c in it.log(["b"])] == ["third: b", "first"]
    assert [c.subject for c in it.log(["a", "b"])] == ["third: b", "second: a", "first"]
    assert [c.subject for c in it.log(limit=2)] == ["third: b", "second: a"]
    assert [c.subject for c in it.log(revision="side")] == ["fourth: side", "second: a", "first"]
    assert it.log(["gone"]) == []
    assert it.log(revision="nothing") == []


def test_a_path_of_the_log_is_no_pattern(it):
    """Brackets and stars are characters of a name."""
    assert [c.subject for c in it.log(["a/[x] *.yaml"], revision="side")] == ["fourth: side"]
    assert it.log(["a/*"], revision="side") == []
    with pytest.raises(Error, match="is not a folder inside the repository"):
        it.log(["../etc"])


def test_a_tree_is_of_its_folder_whole_names_only(it):
    """As it was at that commit."""
    assert {path: file.data for path, file in it.tree("side").items()} == {
        "a/[x] *.yaml": b"s\n",
        "a/one": b"2\n",
        "b": b"1\n",
    }
    assert list(it.tree("side", "a")) == ["a/[x] *.yaml", "a/one"]
    assert list(it.tree("side", "a/one")) == ["a/one"]
    assert it.tree("side", "a/o") == {}
    assert it.tree("v1")["a/one"].data == b"1\n"


def test_objects_come_in_the_order_asked(world, it):
    """Twice asked is twice there; one that is not here is None; nothing asked runs nothing."""
    one, two = git(world, "rev-parse", "main:b"), git(world, "rev-parse", "main~2:b")
    assert it.blobs([one, "0" * 40, two, one]) == [b"2\n", None, b"1\n", b"2\n"]
    assert Git(world / "no such folder").blobs([]) == []


@pytest.mark.parametrize(
    ("branch", "upstream"),
    [("main", ("origin", "release")), ("side", None), ("lonely", None), ("other", None), (None, None)],
    ids=["of another name", "a branch of this clone", "a remote without a branch", "nothing set", "no branch at all"],
)
def test_the_upstream_is_a_remote_and_its_branch(world, tmp_path, branch, upstream):
    """What another branch of this same clone follows is no remote's."""
    folder = tmp_path / "worktree"
    where = ["--detach", str(folder), "main"] if branch is None else ["--force", str(folder), branch]
    git(world, "worktree", "add", "-q", *(["-b", "other", str(folder), "main"] if branch == "other" else where))
    try:
        assert Git(folder).upstream() == upstream
        assert Git(folder).branch() == branch
        assert Git(folder).root() == folder
    finally:
        git(world, "worktree", "remove", "--force", str(folder))
        if branch == "other":
            git(world, "branch", "-qD", "other")


def test_settings_and_addresses(it):
    """What is not set is empty; an address has no credentials; a remote that is none is None, and no option."""
    assert it.config("branch.main.merge") == "refs/heads/release"
    assert it.config("branch.main.nothing") == ""
    assert it.remote_url("origin") == "https://host.example/r.git"
    assert it.remote_url("--all") is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda it: it.resolve("HEAD"),
        lambda it: it.branch(),
        lambda it: it.config_user() and it.commit_on("HEAD", {}, "m"),
        lambda it: it.remote_url("origin"),
        lambda it: it.log(),
        lambda it: it.dirty_paths(),
        lambda it: it.root(),
        lambda it: it.worktree(),
        lambda it: it.tree("HEAD"),
        lambda it: it.merge_base("a", "b"),
        lambda it: it.commit_paths({"a": b""}, "m"),
    ],
    ids=["resolve", "branch", "commit_on", "remote_url", "log", "dirty_paths", "root", "worktree", "tree", "merge_base",
         "commit_paths"],
)  # fmt: skip
def test_outside_of_a_repository_every_question_says_so(tmp_path, ask):
    """Not None, which would mean that there is a repository without it."""
    with pytest.raises(Error) as raised:
        ask(Git(tmp_path))
    assert raised.value.message == f"not a git repository: {tmp_path}"
    assert raised.value.hint == "run it in a clone, or make a repository with `mlrelease init`"


def test_outside_of_a_repository_nobody_is_named_first(tmp_path, monkeypatch):
    """Without a name, too, the folder is what is wrong first."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Error, match="not a git repository"):
        Git(tmp_path).commit_paths({"a": b""}, "m")


def test_what_differs_from_the_commit_is_listed_by_path(tmp_path):
    """Edited, staged, removed, moved and untracked, each by itself, sorted; a prefix is a whole name."""
    path = repository(
        tmp_path / "r", {"d/edited": "1\n", "d/gone": "1\n", "from": "long enough to be a move\n", ".gitignore": "x*\n"}
    )
    assert Git(path).dirty_paths() == []
    (path / "d/edited").write_text("2\n")
    (path / "d/gone").unlink()
    (path / "from").rename(path / "to")
    (path / "new/deep").mkdir(parents=True)
    for name in ("new/deep/é", "new/b\tc", "xignored", "dd"):
        (path / name).write_text("n")
    git(path, "add", "to", "from")
    below = Git(path / "d")
    everything = ["d/edited", "d/gone", "dd", "from", "new/b\tc", "new/deep/é", "to"]
    assert below.dirty_paths() == everything
    assert below.dirty_paths("d") == ["d/edited", "d/gone"]
    assert below.dirty_paths("./d/gone/") == ["d/gone"]
    assert below.dirty_paths("*") == []


def test_an_object_that_is_not_in_this_clone_is_a_problem_of_its_file(tmp_path):
    """As in a partial clone without its remote: the other files are there."""
    path = repository(tmp_path / "r", {"a": "a\n", "b": "b\n"})
    sha = git(path, "rev-parse", "HEAD:a")
    (path / ".git/objects" / sha[:2] / sha[2:]).unlink()
    found = Git(path).tree("HEAD")
    assert (found["a"].problem, found["a"].data, found["b"].data) == ("missing from this clone", b"", b"b\n")
