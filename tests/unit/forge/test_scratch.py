"""A copy of a commit: changed and committed without the checkout, its index or any ref noticing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.forge.scratch import copy_of
from support.repositories import git, repository


@pytest.fixture
def path(tmp_path):
    """A script, a link, a folder and an ignored file."""
    path = repository(tmp_path / "r", {"a.txt": "a\n", "deep/b.txt": "b\n", "run.sh": "#!/bin/sh\n", ".gitignore": "*.log\n"})
    (path / "run.sh").chmod(0o755)
    (path / "link").symlink_to("/etc/hostname")
    git(path, "add", "-A")
    git(path, "commit", "--quiet", "-m", "Mode and link")
    return path


def head(path):
    return git(path, "rev-parse", "HEAD")


def everything(path):
    return git(path, "for-each-ref"), git(path, "status", "--porcelain"), head(path), git(path, "ls-files", "-s")


def test_untouched_it_is_the_commits_tree(path):
    """Modes and links included."""
    with copy_of(Git(path), head(path)) as copy:
        assert copy.tree() == git(path, "rev-parse", "HEAD^{tree}")
        assert copy.changed(copy.tree()) == ()


def test_what_is_written_removed_and_new_is_in_the_tree_and_nowhere_else(path):
    """The checkout, its index and all refs are as before."""
    before = everything(path)
    with copy_of(Git(path), head(path)) as copy:
        copy.write("a.txt", b"A\n")
        copy.write("new/c.txt", b"c\n")
        copy.write("noise.tmp", b"left by a hook\n")
        copy.remove("deep/b.txt")
        tree = copy.tree("new/c.txt")
        assert copy.changed(tree) == ("a.txt", "deep/b.txt", "new/c.txt")
        commit = copy.commit(tree, "Change it\n")
    assert everything(path) == before
    assert git(path, "show", f"{commit}:a.txt") == "A"
    assert git(path, "rev-parse", f"{commit}^") == head(path)
    modes = {line.split("\t")[1]: line.split()[0] for line in git(path, "ls-tree", "-r", commit).splitlines()}
    assert modes["run.sh"] == "100755"
    assert modes["link"] == "120000"
    assert "noise.tmp" not in modes


def test_an_ignored_file_that_is_named_is_in_the_tree(path):
    """A record must not be lost to a pattern in .gitignore."""
    with copy_of(Git(path), head(path)) as copy:
        copy.write("x.log", b"x\n")
        assert copy.changed(copy.tree("x.log")) == ("x.log",)


def test_a_link_is_a_file_in_the_copy(path):
    """Nothing that is written through it leaves the folder."""
    with copy_of(Git(path), head(path)) as copy:
        place = copy.path / "link"
        assert not place.is_symlink()
        assert copy.read("link") == b"/etc/hostname"
        copy.write("link", b"elsewhere")
        assert git(path, "cat-file", "-p", f"{copy.tree()}:link") == "elsewhere"


def test_the_folder_goes_away(path):
    """Also when something fails inside."""
    places = []

    def work():
        with copy_of(Git(path), head(path)) as copy:
            places.append(copy.path)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert not places[0].exists()
    assert Path(tempfile.gettempdir()) in places[0].parents


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_name_leads_outside(path, name):
    """Names come from records and configurations."""
    with copy_of(Git(path), head(path)) as copy:
        for act in (
            lambda: copy.write(name, b"x"),
            lambda: copy.read(name),
            lambda: copy.remove(name),
            lambda: copy.tree(name),
        ):
            with pytest.raises(Error):
                act()


def test_what_is_dirty_in_the_checkout_is_not_in_the_copy(path):
    """It is the commit's."""
    (path / "a.txt").write_text("dirty\n")
    git(path, "add", "a.txt")
    with copy_of(Git(path), head(path)) as copy:
        assert copy.read("a.txt") == b"a\n"
        assert copy.changed(copy.tree()) == ()
    assert git(path, "diff", "--cached", "--name-only") == "a.txt"


def test_a_submodule_stays(path, tmp_path):
    """It is not cloned, and not taken for removed."""
    other = repository(tmp_path / "other")
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    git(path, "commit", "--quiet", "-m", "Add a submodule")
    with copy_of(Git(path), head(path)) as copy:
        copy.write("a.txt", b"A\n")
        assert copy.changed(copy.tree()) == ("a.txt",)


def test_line_ends_that_git_converts_stay_as_they_are(path):
    """`core.autocrlf` of a person changes nothing in the tree."""
    git(path, "config", "core.autocrlf", "true")
    with copy_of(Git(path), head(path)) as copy:
        copy.write("deep/b.txt", b"B\n")
        assert copy.changed(copy.tree()) == ("deep/b.txt",)


def test_it_works_from_a_folder_below_and_in_another_worktree(path, tmp_path):
    """Wherever the person stands."""
    git(path, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    for place in (path / "deep", tmp_path / "tree"):
        with copy_of(Git(place), head(path)) as copy:
            copy.write("a.txt", b"A\n")
            assert copy.changed(copy.tree()) == ("a.txt",)


def test_nobody_commits_without_a_name(path, tmp_path, monkeypatch):
    """Before anything is made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with copy_of(Git(path), head(path)) as copy, pytest.raises(Error, match="git does not know who commits"):
        copy.commit(copy.tree(), "x")


def test_no_temporary_folder_is_said(path, monkeypatch):
    """A full disk, or a TMPDIR that is none."""
    monkeypatch.setattr(tempfile, "tempdir", str(path / "nowhere"))
    with pytest.raises(Error, match="no temporary folder could be made"), copy_of(Git(path), head(path)):
        pass


def test_a_commit_that_is_not_here_is_an_error(path):
    """Not an empty copy."""
    with pytest.raises(Error), copy_of(Git(path), "0" * 40):
        pass


def test_where_a_file_stands_no_folder_can_be_written_into(path):
    """The name, what the disk said, and where it lies; without the folder's own name, which nobody knows."""
    with copy_of(Git(path), head(path)) as copy:
        with pytest.raises(Error) as raised:
            copy.write("a.txt/below", b"x")
        assert raised.value.message.startswith("cannot write a.txt/below in a temporary folder: ")
        assert raised.value.hint == "see to the disk behind TMPDIR"
        assert copy.read("a.txt") == b"a\n"
        with pytest.raises(Error, match=r"^cannot remove deep in a temporary folder: Is a directory$"):
            copy.remove("deep")


def test_what_is_not_there_is_none_and_removed_twice_is_removed_once(path):
    """A folder is no file."""
    with copy_of(Git(path), head(path)) as copy:
        assert (copy.read("nothing"), copy.read("deep")) == (None, None)
        copy.remove("a.txt")
        copy.remove("a.txt")
        assert copy.changed(copy.tree()) == ("a.txt",)


def test_names_in_a_copy_are_no_patterns(path):
    """And `changed` has them as they are, sorted."""
    with copy_of(Git(path), head(path)) as copy:
        for name in ("*", "[a].txt", "é\n"):
            copy.write(name, b"x")
        assert copy.changed(copy.tree("*")) == ("*",)
        assert copy.changed(copy.tree("é\n", "[a].txt")) == ("*", "[a].txt", "é\n")


def test_a_failed_step_names_itself_and_not_the_copy(path):
    """The repository is what a person can look at."""
    with copy_of(Git(path), head(path)) as copy:
        with pytest.raises(Error) as raised:
            copy.commit("1" * 40, "m")
        assert raised.value.message.startswith("could not run git commit-tree on a copy: ")
        with pytest.raises(Error) as raised:
            copy.tree("not there")
        assert raised.value.message.startswith("could not run git add on a copy: ")
