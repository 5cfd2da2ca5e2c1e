"""The Git class on real repositories."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time

import psutil
import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from support.repositories import bare_with_clones, git, repository


@pytest.fixture
def repo(tmp_path):
    """A repository with two files and one commit."""
    return repository(tmp_path / "repo", {"environments/a.yaml": "a: 1\n", "other.txt": "other\n"})


def test_root_from_a_subfolder(repo):
    """The top folder is found from below."""
    assert Git(repo / "environments").root() == repo


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p: p.mkdir(), "not a git repository"),
        (lambda p: None, "no such folder"),
        (lambda p: (p.mkdir(), git(p, "init", "-q", "--bare")), "without a checkout"),
    ],
    ids=["an empty folder", "no folder", "a bare repository"],
)
def test_root_says_what_is_wrong(tmp_path, prepare, message):
    """Each way of not being in a checkout has its own line and a hint."""
    prepare(tmp_path / "x")
    with pytest.raises(Error, match=message) as caught:
        Git(tmp_path / "x").root()
    assert caught.value.hint


def test_git_missing(repo, monkeypatch, tmp_path):
    """Without a git program the error names what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Error, match="git is not installed"):
        Git(repo).head()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_dubious_ownership_has_the_command_as_hint(repo):
    """Somebody else's repository is refused with the git command that allows it."""
    for path in (repo, repo / ".git"):
        os.chown(path, 12345, 12345)
    for ask in (lambda g: g.root(), lambda g: g.head(), lambda g: g.config_user() and g.root()):
        with pytest.raises(Error, match="belongs to another user") as caught:
            ask(Git(repo))
        assert "safe.directory" in caught.value.hint


def test_variables_of_a_surrounding_git_do_not_lead_elsewhere(repo, tmp_path, monkeypatch):
    """Run from a hook of another repository, this one is still the one that is read."""
    other = repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_TRACE", "1")
    assert Git(repo).root() == repo
    assert set(Git(repo).tree("HEAD")) == {"environments/a.yaml", "other.txt"}


def test_before_the_first_commit(tmp_path):
    """An unborn branch has a name, no commit, no log."""
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q", "--initial-branch=main")
    new = Git(tmp_path / "new")
    assert (new.head(), new.branch(), new.log(), new.upstream()) == (None, "main", [], None)


def test_revisions(repo):
    """Commits resolve, compare and meet; what is not there is None or an error by name."""
    it = Git(repo)
    first = it.head()
    second = it.commit_paths({"other.txt": b"new\n"}, "second")
    assert it.resolve("HEAD~1") == first
    assert it.resolve("nothing") is None
    assert it.resolve("--all") is None
    assert it.is_ancestor(first, second)
    assert not it.is_ancestor(second, first)
    assert it.merge_base(first, second) == first
    with pytest.raises(Error, match="could not compare"):
        it.is_ancestor("0" * 40, second)
    git(repo, "checkout", "--quiet", "--detach")
    assert it.branch() is None


def test_log_names_the_commits_that_touched_a_path(repo):
    """Newest first, with author and time, only those of the paths asked."""
    it = Git(repo)
    sha = it.commit_paths({"environments/a.yaml": b"a: 2\n"}, "Pin a 2\n\nbody")
    it.commit_paths({"other.txt": b"x\n"}, "unrelated")
    (newest, oldest) = it.log(["environments"])
    assert (newest.sha, newest.subject, newest.author) == (sha, "Pin a 2", "Test")
    assert newest.at > 1.7e9
    assert oldest.subject == "start"
    assert len(it.log(limit=1)) == 1


def test_tree_reads_a_commit_without_following_anything(repo, tmp_path):
    """Links, submodules and large files come as problems, the rest as bytes."""
    (repo / "environments/link.yaml").symlink_to("/etc/passwd")
    (repo / "environments/large.yaml").write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    (repo / "environments/ünï code.yaml").write_bytes(b"\x00\nbinary\n")
    (repo / "environments/empty.yaml").write_bytes(b"")
    repository(repo / "environments/sub")
    git(repo, "-c", "advice.addEmbeddedRepo=false", "add", "--all")
    git(repo, "commit", "-q", "-m", "all kinds")
    found = Git(repo / "environments").tree("HEAD", "environments/")
    assert {name: file.problem for name, file in found.items()} == {
        "environments/a.yaml": "",
        "environments/empty.yaml": "",
        "environments/large.yaml": "too large",
        "environments/link.yaml": "symlink",
        "environments/sub": "submodule",
        "environments/ünï code.yaml": "",
    }
    assert found["environments/a.yaml"].data == b"a: 1\n"
    assert found["environments/ünï code.yaml"].data == b"\x00\nbinary\n"
    assert found["environments/link.yaml"].data == b""
    with pytest.raises(Error, match="list the files at nothing"):
        Git(repo).tree("nothing")


def test_worktree_reads_the_disk_without_following_anything(repo, tmp_path):
    """Links, pipes, nested repositories and large files come as problems; untracked files are there."""
    (tmp_path / "secret").write_text("secret")
    (repo / "environments/link.yaml").symlink_to(tmp_path / "secret")
    (repo / "environments/folder").symlink_to(tmp_path)
    os.mkfifo(repo / "environments/pipe.yaml")
    (repo / "environments/large.yaml").write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    repository(repo / "environments/sub")
    (repo / "environments/deep/er").mkdir(parents=True)
    (repo / "environments/deep/er/b.yaml").write_text("b")
    found = Git(repo).worktree("environments")
    assert {name: file.problem for name, file in found.items()} == {
        "environments/a.yaml": "",
        "environments/deep/er/b.yaml": "",
        "environments/folder": "symlink",
        "environments/large.yaml": "too large",
        "environments/link.yaml": "symlink",
        "environments/pipe.yaml": "a pipe",
        "environments/sub": "submodule",
    }
    assert not any(b"secret" in file.data for file in found.values())


def test_worktree_whose_prefix_is_a_link(repo, tmp_path):
    """A linked folder is not entered, a missing one is empty."""
    shutil.rmtree(repo / "environments")
    assert Git(repo).worktree("environments") == {}
    (repo / "environments").symlink_to(tmp_path)
    assert Git(repo).worktree("environments")["environments"].problem == "symlink"


@pytest.mark.parametrize("prefix", ["..", "/etc", "environments/../.."])
def test_a_prefix_never_leaves_the_root(repo, prefix):
    """Both readers and the writer refuse a path out of the repository."""
    for ask in (Git(repo).worktree, lambda p: Git(repo).tree("HEAD", p), lambda p: Git(repo).commit_paths({p: b""}, "m")):
        with pytest.raises(Error, match="not a folder inside"):
            ask(prefix)


def test_commit_paths_leaves_other_changes_alone(repo):
    """Only the named files are in the commit; staged and unstaged edits of others stay so."""
    (repo / "other.txt").write_text("staged\n")
    git(repo, "add", "other.txt")
    (repo / "other.txt").write_text("and edited\n")
    (repo / "environments/a.yaml").chmod(0o755)
    it = Git(repo)
    sha = it.commit_paths({"environments/a.yaml": b"a: 2\n", "environments/new/b.yaml": b"b\n"}, "Pin a 2")
    assert git(repo, "show", "--format=", "--name-only", sha).splitlines() == ["environments/a.yaml", "environments/new/b.yaml"]
    assert git(repo, "show", ":other.txt") == "staged"
    assert (repo / "other.txt").read_text() == "and edited\n"
    assert it.dirty_paths() == ["other.txt"]
    assert it.dirty_paths("environments") == []
    assert stat.S_IMODE((repo / "environments/a.yaml").stat().st_mode) == 0o755


def test_commit_paths_refused_by_a_hook_puts_everything_back(repo):
    """When the user's hook says no, files and index are as before and the error carries its words."""
    hook = repo / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho 'error: not on a Friday' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Error, match="not on a Friday"):
        Git(repo).commit_paths({"environments/a.yaml": b"a: 2\n", "new.yaml": b"n\n"}, "no")
    assert git(repo, "status", "--porcelain") == ""
    assert (repo / "environments/a.yaml").read_text() == "a: 1\n"
    assert not (repo / "new.yaml").exists()


def test_commit_paths_through_a_link_is_refused(repo, tmp_path):
    """A folder that is a link is not written through."""
    (repo / "out").symlink_to(tmp_path)
    with pytest.raises(Error, match="is a symlink"):
        Git(repo).commit_paths({"out/x.yaml": b"x"}, "m")
    assert not (tmp_path / "x.yaml").exists()


def test_commit_of_what_is_already_committed(repo):
    """Equal content is an error that says so."""
    with pytest.raises(Error, match="nothing to commit"):
        Git(repo).commit_paths({"environments/a.yaml": b"a: 1\n"}, "again")


def test_no_identity(repo, monkeypatch, tmp_path):
    """Without name and address nothing is written and the two commands are the hint."""
    monkeypatch.setenv("HOME", str(tmp_path))
    it = Git(repo)
    assert it.config_user() is None
    with pytest.raises(Error, match="who commits") as caught:
        it.commit_paths({"environments/a.yaml": b"a: 2\n"}, "m")
    assert "user.name" in caught.value.hint
    assert "user.email" in caught.value.hint
    assert (repo / "environments/a.yaml").read_text() == "a: 1\n"


def test_config_user(repo):
    """Name and address as configured."""
    assert Git(repo).config_user() == ("Test", "test@example.com")


def test_fetch_push_and_upstream(tmp_path):
    """A push from one clone is there for the other after a fetch."""
    bare, one, two = bare_with_clones(tmp_path, "one", "two")
    sha = Git(one).commit_paths({"x": b"x"}, "x")
    Git(one).push("origin", "main")
    other = Git(two)
    other.fetch("origin", "+refs/heads/main:refs/remotes/origin/main")
    assert other.resolve("origin/main") == sha
    assert other.upstream() == ("origin", "main")
    assert other.remote_url("origin") == str(bare)
    assert other.remote_url("nowhere") is None


def test_push_refused_as_stale_and_by_a_rule(tmp_path):
    """Somebody faster and a rule of the host are told apart."""
    bare, one, two = bare_with_clones(tmp_path, "one", "two")
    Git(one).commit_paths({"x": b"x"}, "x")
    Git(one).push("origin", "main")
    Git(two).commit_paths({"y": b"y"}, "y")
    with pytest.raises(PushRefusedError, match="fetch first") as caught:
        Git(two).push("origin", "main")
    assert caught.value.stale
    hook = bare / "hooks/update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    Git(one).commit_paths({"x": b"xx"}, "x")
    with pytest.raises(PushRefusedError, match="hook declined") as caught:
        Git(one).push("origin", "main")
    assert not caught.value.stale
    with pytest.raises(Error, match="no remote"):
        Git(one).push("", "main")


def test_a_dead_remote_is_unavailable_and_keeps_its_secrets(repo):
    """The error names the host, never the credentials."""
    git(repo, "remote", "add", "origin", "http://bob:hunter2@127.0.0.1:9/repo.git?token=hunter3")
    it = Git(repo)
    for ask in (lambda: it.fetch("origin"), lambda: it.push("origin", "main")):
        with pytest.raises(UnavailableError) as caught:
            ask()
        text = f"{caught.value.message} {caught.value.hint} {caught.value.where}"
        assert "127.0.0.1:9" in text
        assert "hunter" not in text
        assert "bob" not in text
    assert it.remote_url("origin") == "http://127.0.0.1:9/repo.git"


def test_a_remote_that_moved_away(tmp_path):
    """A path remote that is gone counts as not reached."""
    bare, one = bare_with_clones(tmp_path, "one")
    bare.rename(tmp_path / "gone.git")
    with pytest.raises(UnavailableError):
        Git(one).fetch("origin")


def test_a_missing_remote_branch_is_an_error_not_an_outage(tmp_path):
    """The host answered: asking for what it does not have is no reason to try later."""
    _, one = bare_with_clones(tmp_path, "one")
    with pytest.raises(Error, match="remote ref") as caught:
        Git(one).fetch("origin", "refs/heads/nothing")
    assert not isinstance(caught.value, UnavailableError)


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_hanging_remote_ends_with_its_helpers(repo, monkeypatch, tmp_path):
    """The deadline ends git and what git started."""
    script = tmp_path / "ssh"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    monkeypatch.setattr("mlrelease.forge.command.DEADLINES_S", {"git.remote": 1.0, "git.local": 30.0})
    git(repo, "remote", "add", "origin", "ssh://host/repo.git")
    with pytest.raises(UnavailableError, match="did not end within 1 s"):
        Git(repo).fetch("origin")
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_a_lock_left_by_a_killed_git_is_named(repo):
    """An old lock file is named with the command that removes it; a fresh one is another git at work."""
    lock = repo / ".git/index.lock"
    lock.touch()
    with pytest.raises(Error, match="another git is at work"):
        Git(repo).commit_paths({"other.txt": b"x"}, "m")
    os.utime(lock, (1, 1))
    with pytest.raises(Error, match="a git that was killed") as caught:
        Git(repo).commit_paths({"other.txt": b"x"}, "m")
    assert str(lock) in caught.value.hint
    assert (repo / "other.txt").read_text() == "other\n"


def test_commit_on_touches_neither_checkout_nor_branch(repo):
    """A commit beside the branch: pushed or followed later."""
    it = Git(repo)
    head = it.head()
    sha = it.commit_on(head, {"environments/a.yaml": b"a: 9\n"}, "Roll back a")
    assert it.head() == head
    assert it.dirty_paths() == []
    assert it.tree(sha)["environments/a.yaml"].data == b"a: 9\n"
    assert it.tree(sha)["other.txt"].data == b"other\n"
    assert it.follow("main", sha)
    assert (it.head(), (repo / "environments/a.yaml").read_text()) == (sha, "a: 9\n")


def test_follow_leaves_edits_and_other_histories_alone(repo):
    """A local edit in the way, or commits that are not in it, and the branch stays."""
    it = Git(repo)
    head = it.head()
    sha = it.commit_on(head, {"environments/a.yaml": b"a: 9\n"}, "m")
    (repo / "environments/a.yaml").write_text("edited\n")
    assert not it.follow("main", sha)
    git(repo, "checkout", "-q", "-f", "-b", "other")
    assert it.follow("main", sha)
    assert it.resolve("main") == sha
    assert not it.follow("main", it.commit_on(head, {"b": b""}, "beside"))
    assert not it.follow("nothing", sha)
