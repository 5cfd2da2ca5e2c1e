"""Tags here and at the remote, objects that nothing points at, and pushes of several refs that are one."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import tags
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from mlrelease.forge.tags import Tag
from support.repositories import bare_with_clones, git, repository


@pytest.fixture
def clones(tmp_path):
    """A bare remote and two clones."""
    return bare_with_clones(tmp_path, "a", "b")


def head(path):
    return git(path, "rev-parse", "HEAD")


def test_tags_here_lead_to_their_commits(tmp_path):
    """Annotated or not, also a tag of a tag; one of a file is none."""
    path = repository(tmp_path / "r")
    git(path, "tag", "light")
    git(path, "tag", "-a", "-m", "x", "v1.0.0")
    git(path, "tag", "-a", "-m", "x", "nested", "v1.0.0")
    git(path, "tag", "blob", git(path, "rev-parse", "HEAD:README.md"))
    found = tags.here(Git(path))
    assert {name: tag.commit for name, tag in found.items()} == dict.fromkeys(("light", "v1.0.0", "nested"), head(path))
    assert {name: tag.annotated for name, tag in found.items()} == {"light": False, "v1.0.0": True, "nested": True}


def test_tags_at_the_remote_are_the_same(clones):
    """Asked without fetching anything."""
    bare, a, b = clones
    git(a, "tag", "light")
    git(a, "tag", "-a", "-m", "x", "v1.0.0")
    git(a, "push", "--quiet", "--tags")
    assert tags.at_remote(Git(b), "origin") == tags.here(Git(a))
    assert tags.here(Git(b)) == {}
    assert bare.is_dir()


def test_without_any_tag_there_is_none(clones):
    """Neither here nor there."""
    assert tags.here(Git(clones[1])) == tags.at_remote(Git(clones[1]), "origin") == {}


def test_a_remote_that_does_not_answer_is_unavailable(clones):
    """Not: it has no tags."""
    git(clones[1], "remote", "set-url", "origin", "../nowhere.git")
    with pytest.raises(UnavailableError):
        tags.at_remote(Git(clones[1]), "origin")


def test_a_made_tag_is_an_object_that_no_ref_names(tmp_path):
    """With message, tagger and date; it becomes a tag when it is kept."""
    path = repository(tmp_path / "r")
    target = tags.make(Git(path), "v1.0.0", head(path), "v1.0.0\n\nChanged:\n\n- x\n")
    assert git(path, "tag") == ""
    assert git(path, "cat-file", "-t", target) == "tag"
    text = git(path, "cat-file", "-p", target)
    assert text.startswith(f"object {head(path)}\ntype commit\ntag v1.0.0\ntagger Test <test@example.com> ")
    tags.keep(Git(path), "v1.0.0", target)
    assert tags.here(Git(path)) == {"v1.0.0": Tag("v1.0.0", target, head(path))}
    assert git(path, "fsck", "--strict") == ""


def test_a_tag_is_kept_once(tmp_path):
    """Again the same is as good; another is an error, and the first stays."""
    path = repository(tmp_path / "r")
    one = tags.make(Git(path), "v1.0.0", head(path), "one")
    two = tags.make(Git(path), "v1.0.0", head(path), "two")
    tags.keep(Git(path), "v1.0.0", one)
    tags.keep(Git(path), "v1.0.0", one)
    with pytest.raises(Error):
        tags.keep(Git(path), "v1.0.0", two)
    assert git(path, "rev-parse", "v1.0.0") == one


def test_nobody_tags_without_a_name(tmp_path, monkeypatch):
    """Said as for commits."""
    path = repository(tmp_path / "r")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Error, match="git does not know who commits"):
        tags.make(Git(path), "v1.0.0", head(path), "x")


@pytest.mark.parametrize("name", ["has space", "v1\ntype tree"], ids=["a blank", "a line break"])
def test_a_name_that_git_refuses_is_an_error(tmp_path, name):
    """No object with a forged header comes into being."""
    path = repository(tmp_path / "r")
    with pytest.raises(Error):
        tags.make(Git(path), name, head(path), "x")


def commit(path, message="More"):
    git(path, "commit", "--quiet", "--allow-empty", "-m", message)
    return head(path)


def test_branch_and_tag_are_pushed_together(clones):
    """Both are there."""
    bare, a, _ = clones
    sha = commit(a)
    target = tags.make(Git(a), "v1.0.0", sha, "x")
    tags.push(Git(a), "origin", {"refs/heads/main": sha, "refs/tags/v1.0.0": target})
    assert git(bare, "rev-parse", "main") == sha
    assert git(bare, "rev-parse", "v1.0.0") == target


@pytest.mark.parametrize("first", ["branch", "tag"])
def test_where_one_is_refused_neither_is_taken(clones, first):
    """Somebody was faster with the branch, or with the tag."""
    bare, a, b = clones
    sha = commit(a)
    target = tags.make(Git(a), "v1.0.0", sha, "x")
    if first == "branch":
        commit(b, "Meanwhile")
        git(b, "push", "--quiet")
    else:
        git(bare, "tag", "v1.0.0", "main")
    before = git(bare, "for-each-ref")
    with pytest.raises(PushRefusedError) as refused:
        tags.push(Git(a), "origin", {"refs/heads/main": sha, "refs/tags/v1.0.0": target})
    assert refused.value.stale
    assert "atomic" not in refused.value.message  # why the one was refused, not that the other went with it
    assert git(bare, "for-each-ref") == before


def test_without_a_remote_there_is_nothing_to_push_to(tmp_path):
    """With what to do about it."""
    with pytest.raises(Error, match="no remote"):
        tags.push(Git(repository(tmp_path / "r")), "", {})


def test_a_fetched_tag_is_the_remotes(clones):
    """Another of its name here is an error, and stays."""
    _, a, b = clones
    git(a, "tag", "-a", "-m", "x", "v1.0.0")
    git(a, "push", "--quiet", "--tags")
    tags.fetch(Git(b), "origin", "v1.0.0")
    assert tags.here(Git(b)) == tags.here(Git(a))
    mine = git(b, "rev-parse", "v1.0.0")
    git(b, "tag", "-f", "v1.0.0", commit(b))
    with pytest.raises(Error):
        tags.fetch(Git(b), "origin", "v1.0.0")
    assert git(b, "rev-parse", "v1.0.0^{commit}") == head(b)
    assert mine != head(b)


def test_the_remote_lists_every_tag_and_cannot_say_what_it_leads_to(clones):
    """That of a file looks like one without annotation; one of a tag leads to its commit there as here."""
    _, a, _ = clones
    git(a, "tag", "-a", "-m", "one", "one")
    git(a, "tag", "-a", "-m", "two", "two", "one")
    git(a, "tag", "file", git(a, "hash-object", "-w", "--stdin"))
    git(a, "push", "--quiet", "--tags")
    there = tags.at_remote(Git(a), "origin")
    assert {name: there[name] for name in ("one", "two")} == tags.here(Git(a))
    assert there["file"] == Tag("file", git(a, "rev-parse", "file"), git(a, "rev-parse", "file"))


def test_a_remote_that_is_away_is_not_a_refusal(clones):
    """Whether the push arrived, nobody knows: it is looked up later."""
    bare, a, _ = clones
    bare.rename(bare.with_name("away.git"))
    with pytest.raises(UnavailableError, match=r"^could not push to origin: "):
        tags.push(Git(a), "origin", {"refs/heads/main": head(a)})


@pytest.mark.parametrize("message", ["x", "\n\n x \n\n", "x\n"], ids=repr)
def test_the_message_of_a_tag_has_one_line_end(clones, message):
    """The same message is the same text, whatever stood around it."""
    _, a, _ = clones
    target = tags.make(Git(a), "v1", head(a), message)
    assert git(a, "cat-file", "tag", target).split("\n\n", 1)[1] == "x"
    assert git(a, "cat-file", "-s", target) == str(len(git(a, "cat-file", "tag", target)) + 1)
