"""What `Git` writes: commits that touch nothing else and can be taken back, branches that only move on, calls to a remote."""

from __future__ import annotations

import os
import shutil
import stat

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import git as module
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import FETCH_TRIES, Git
from support.git_program import standing_in
from support.repositories import git, repository

pytestmark = pytest.mark.xdist_group("git_writes")

FILES = {"environments/a.yaml": "a: 1\n", "environments/b.yaml": "b: 1\n", ".gitignore": "*.log\n"}


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """One repository and its bare remote, made once; every test has a copy."""
    home = tmp_path_factory.mktemp("seed")
    (home / ".gitconfig").write_text("[user]\n\tname = Seed\n\temail = seed@example.com\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        repository(home / "repo", FILES)
        git(home, "clone", "--quiet", "--bare", "repo", "remote.git")
    return home


@pytest.fixture
def repo(seed, tmp_path):
    """A checkout with three files, and `origin` beside it."""
    shutil.copytree(seed / "repo", tmp_path / "repo", symlinks=True)
    shutil.copytree(seed / "remote.git", tmp_path / "remote.git")
    git(tmp_path / "repo", "remote", "add", "origin", str(tmp_path / "remote.git"))
    return tmp_path / "repo"


def contents(repo):
    """Every file of the checkout but git's own."""
    return {p.relative_to(repo).as_posix(): p.read_bytes() for p in repo.rglob("*") if p.is_file() and ".git/" not in f"{p}/"}


# -- commit_paths --------------------------------------------------------------------------------------------------


def test_an_ignored_file_that_is_named_is_committed(repo):
    """Who names it means it."""
    sha = Git(repo).commit_paths({"notes.log": b"n"}, "Keep the notes")
    assert Git(repo).tree(sha)["notes.log"].data == b"n"


def test_names_are_literal_and_in_their_plain_form(repo):
    """No name is a pattern; `./` and double slashes make no other file."""
    sha = Git(repo / "environments").commit_paths({"./environments//[ab].yaml": b"x", "*": b"y"}, "odd")
    assert git(repo, "show", "--format=", "--name-only", sha).splitlines() == ["*", "environments/[ab].yaml"]


def test_a_message_is_whatever_it_is(repo):
    """Lines that begin with a dash or a quote of a shell; the subject is its first line."""
    sha = Git(repo).commit_paths({"environments/a.yaml": b"a: 2\n"}, "--amend $(id) 'x'\n\nbody: é\n- item\n")
    assert git(repo, "show", "-s", "--format=%B", sha) == "--amend $(id) 'x'\n\nbody: é\n- item"


def test_a_hook_that_refuses_without_a_word_is_not_taken_for_nothing_to_commit(repo):
    """Somebody who is told that it is committed already looks no further."""
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = contents(repo)
    with pytest.raises(Error) as raised:
        Git(repo).commit_paths({"environments/a.yaml": b"a: 2\n", "new/c.yaml": b"c"}, "no")
    assert raised.value.message == "git made no commit and did not say why"
    assert raised.value.hint == "a hook may have refused: see .git/hooks, or the folder that git config core.hooksPath names"
    assert raised.value.where == str(repo)
    assert contents(repo) == before
    assert Git(repo).dirty_paths() == []


@pytest.mark.parametrize("beside", ["nothing", "untracked", "edited", "staged"])
def test_what_is_committed_already_is_said_whatever_lies_beside_it(repo, beside):
    """Git words it in another way for each."""
    if beside == "untracked":
        (repo / "other").write_text("o")
    elif beside != "nothing":
        (repo / "environments/b.yaml").write_text("b: 2\n")
    if beside == "staged":
        git(repo, "add", "environments/b.yaml")
    with pytest.raises(Error) as raised:
        Git(repo).commit_paths({"environments/a.yaml": b"a: 1\n"}, "again")
    assert raised.value.message == "nothing to commit: the files are committed as they are"
    assert (raised.value.hint, raised.value.where) == ("git log -1", str(repo))


def test_a_write_that_fails_midway_is_taken_back(repo):
    """The first file is as it was, the new one is gone, and git knows nothing of it."""
    before = contents(repo)
    files = {"environments/a.yaml": b"a: 2\n", "new.yaml": b"n", "environments/b.yaml/below": b"x"}
    with pytest.raises(Error) as raised:
        Git(repo).commit_paths(files, "m")
    assert raised.value.message.startswith(f"cannot read {repo}/environments/b.yaml/below: Not a directory")
    assert contents(repo) == before
    (repo / "environments/b.yaml").unlink()
    (repo / "environments/b.yaml").mkdir()
    with pytest.raises(Error) as raised:
        Git(repo).commit_paths({"environments/a.yaml": b"a: 2\n", "new.yaml": b"n", "environments/b.yaml": b"x"}, "m")
    assert raised.value.message == f"cannot read {repo}/environments/b.yaml: Is a directory"
    assert (repo / "environments/a.yaml").read_bytes() == b"a: 1\n"
    assert not (repo / "new.yaml").exists()


def test_a_file_below_another_file_that_is_new_is_taken_back_too(repo):
    """Found out only while writing: both names were free before."""
    before = contents(repo)
    with pytest.raises(Error) as raised:
        Git(repo).commit_paths({"environments/a.yaml": b"a: 2\n", "x": b"x", "x/y": b"y"}, "m")
    assert raised.value.message.startswith(f"cannot write {repo}/x/y: ")
    assert raised.value.where == f"{repo}/x/y"
    assert contents(repo) == before
    assert Git(repo).dirty_paths() == []


def test_a_link_is_not_written_through_at_its_end_either(repo, tmp_path):
    """The file that it points at is another's."""
    (tmp_path / "theirs").write_text("theirs")
    (repo / "environments/link.yaml").symlink_to(tmp_path / "theirs")
    with pytest.raises(Error) as raised:
        Git(repo).commit_paths({"environments/link.yaml": b"x"}, "m")
    assert raised.value.message == f"{repo}/environments/link.yaml is a symlink"
    assert raised.value.hint == "replace it by a real file or folder"
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_no_temporary_file_stays(repo):
    """Whole or not at all, with the mode that it had; a new one has that of any new file."""
    (repo / "environments/a.yaml").chmod(0o640)
    Git(repo).commit_paths({"environments/a.yaml": b"a: 2\n", "environments/c.yaml": b"c"}, "m")
    assert sorted(os.listdir(repo / "environments")) == ["a.yaml", "b.yaml", "c.yaml"]
    assert stat.S_IMODE((repo / "environments/a.yaml").stat().st_mode) == 0o640
    assert stat.S_IMODE((repo / "environments/c.yaml").stat().st_mode) == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# -- commits beside the checkout -----------------------------------------------------------------------------------


def test_a_graft_on_nothing_is_a_first_commit(repo):
    """Without parents, of these files alone, by the author named."""
    who = {f"GIT_{one}_{what}": value for one in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Bot"), ("EMAIL", "b@c"))}
    extra = who | {"GIT_AUTHOR_DATE": "@5 +0000"}
    sha = Git(repo).graft(None, {"deep/er/x": b"\x00x", "y": b""}, "first\n", extra=extra, durable=True)
    assert git(repo, "show", "-s", "--format=%P|%an|%ae|%cn|%at|%s", sha) == "|Bot|b@c|Bot|5|first"
    assert {path: file.data for path, file in Git(repo).tree(sha).items()} == {"deep/er/x": b"\x00x", "y": b""}
    assert Git(repo).dirty_paths() == []


def test_a_commit_on_another_keeps_its_files_and_their_modes(repo):
    """Only those named change; no branch and no index knows it."""
    git(repo, "update-index", "--chmod=+x", "environments/b.yaml")
    git(repo, "commit", "-q", "-m", "executable")
    base = Git(repo).head()
    (repo / "environments/b.yaml").chmod(0o755)
    sha = Git(repo).commit_on(base, {"./environments/a.yaml": b"a: 9\n"}, "beside")
    assert git(repo, "diff-tree", "-r", "--name-status", base, sha) == "M\tenvironments/a.yaml"
    assert git(repo, "rev-parse", f"{sha}^") == base
    assert (Git(repo).head(), Git(repo).dirty_paths()) == (base, [])
    with pytest.raises(Error, match="is not a folder inside the repository"):
        Git(repo).commit_on(base, {"../x": b""}, "m")


def test_a_base_that_is_not_here_is_named_by_the_command_that_missed_it(repo):
    """Flags and settings before it are not its name."""
    with pytest.raises(Error, match=r"^could not run git read-tree: "):
        Git(repo).graft("0" * 40, {}, "m")
    with pytest.raises(Error, match=r"^could not run git commit-tree: "):
        Git(repo).graft(None, {"a": b""}, "m", extra={"GIT_AUTHOR_DATE": "no date"}, durable=True)


def test_no_folder_for_the_index_is_said(repo, monkeypatch, tmp_path):
    """With the variable that names where such folders are made."""
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(Error) as raised:
        Git(repo).commit_on("HEAD", {"a": b""}, "m")
    assert raised.value.message == "no temporary folder could be made: No such file or directory"
    assert raised.value.hint == "see to the disk behind TMPDIR"


# -- branches ------------------------------------------------------------------------------------------------------


def test_a_branch_that_is_checked_out_elsewhere_is_left_alone(repo, tmp_path):
    """Moved, that checkout would look edited."""
    it = Git(repo)
    sha = it.commit_on("HEAD", {"c": b""}, "m")
    git(repo, "worktree", "add", "-q", "-b", "other", str(tmp_path / "w"))
    assert not it.follow("other", sha)
    assert it.resolve("other") == it.head()
    git(repo, "branch", "-q", "oth")
    assert it.follow("oth", sha)
    assert it.resolve("oth") == sha


def test_the_branch_here_follows_with_its_files_and_keeps_edits_beside(repo):
    """A second time there is nothing to do, which is as good; back it never goes."""
    it = Git(repo / "environments")
    first = it.head()
    sha = it.commit_on("HEAD", {"environments/a.yaml": b"a: 2\n"}, "m")
    (repo / "environments/b.yaml").write_text("mine\n")
    assert it.follow("main", sha)
    assert it.follow("main", sha)
    assert (it.head(), (repo / "environments/a.yaml").read_text()) == (sha, "a: 2\n")
    assert it.dirty_paths() == ["environments/b.yaml"]
    assert it.follow("main", first)  # it has that one already
    assert it.head() == sha


# -- remotes -------------------------------------------------------------------------------------------------------


BUSY = "error: cannot lock ref 'refs/remotes/origin/main': is at 1 but expected 2"


@pytest.mark.parametrize(("busy", "calls"), [(0, 1), (1, 2), (FETCH_TRIES - 1, FETCH_TRIES)])
def test_a_fetch_that_meets_another_one_is_tried_again(repo, tmp_path, monkeypatch, busy, calls):
    """The other moved the same ref meanwhile: the remote did answer."""
    count = standing_in(tmp_path, monkeypatch, "fetch", f'[ $calls -gt {busy} ] || {{ echo "{BUSY}" >&2; exit 1; }}')
    Git(repo).fetch("origin", "+refs/heads/main:refs/remotes/origin/main")
    assert count() == calls
    assert Git(repo).resolve("origin/main") == Git(repo).head()


def test_a_fetch_that_always_meets_another_one_ends(repo, tmp_path, monkeypatch):
    """With git's own words."""
    count = standing_in(tmp_path, monkeypatch, "fetch", f'echo "{BUSY}" >&2; exit 1')
    with pytest.raises(UnavailableError, match="could not fetch from origin: cannot lock ref"):
        Git(repo).fetch("origin")
    assert count() == FETCH_TRIES


def test_any_other_trouble_of_a_fetch_is_said_at_once(repo, tmp_path, monkeypatch):
    """Trying again is for the pass to decide."""
    count = standing_in(tmp_path, monkeypatch, "fetch", "echo 'fatal: early EOF' >&2; exit 128")
    with pytest.raises(UnavailableError, match="could not fetch from origin: early EOF"):
        Git(repo).fetch("origin")
    assert count() == 1


def test_a_fetch_leaves_a_person_s_fetch_head_alone(repo):
    """`git pull` in the same clone reads it."""
    (repo / ".git/FETCH_HEAD").write_text("mine\n")
    Git(repo).fetch("origin")
    assert (repo / ".git/FETCH_HEAD").read_text() == "mine\n"


def test_a_push_is_of_the_revision_named_and_never_by_force(repo, tmp_path):
    """Beside what is checked out; a branch that has more is not cut back."""
    it = Git(repo)
    first, sha = it.head(), it.commit_on("HEAD", {"c": b""}, "m")
    it.push("origin", "mlrelease/bump/x", revision=sha)
    assert git(tmp_path / "remote.git", "rev-parse", "mlrelease/bump/x") == sha
    it.push("origin", "mlrelease/bump/x", revision=sha)
    with pytest.raises(PushRefusedError) as raised:
        it.push("origin", "mlrelease/bump/x", revision=first)
    assert raised.value.message == "origin refused the push: non-fast-forward"
    assert raised.value.stale
    with pytest.raises(Error) as nowhere:
        it.push("", "main")
    assert (nowhere.value.message, nowhere.value.hint) == ("there is no remote to push to", "git remote add origin URL")


@pytest.mark.parametrize(
    ("variables", "settings", "command"),
    [
        ({}, (), "ssh -oBatchMode=yes -oConnectTimeout=10"),
        ({"GIT_SSH_COMMAND": "ssh -i mine"}, (), "ssh -i mine"),
        ({"GIT_SSH": "/usr/bin/mine"}, (), ""),
        ({}, ("core.sshCommand", "ssh -i theirs"), ""),
    ],
    ids=["nothing set", "a command of the person's", "a program of the person's", "a setting of the clone"],
)
def test_ssh_asks_nothing_unless_somebody_configured_it(repo, tmp_path, monkeypatch, variables, settings, command):
    """A question that nobody sees would wait until the deadline; only for calls to a remote."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if settings:
        git(repo, "config", *settings)
    standing_in(tmp_path, monkeypatch, "fetch", f'printf %s "$GIT_SSH_COMMAND" > {tmp_path}/ssh')
    Git(repo).fetch("origin")
    assert (tmp_path / "ssh").read_text() == command
