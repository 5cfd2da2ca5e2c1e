"""Files of a repository as values: safe names, what git lists, what lies on a disk. Nothing is followed or waited for."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.forge.files import LARGE_BYTES, batched, listed, on_disk, safe_prefix
from mlrelease.model.spec import SourceFile

SHA = "a" * 40


@pytest.mark.parametrize(
    ("prefix", "plain"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("a", "a"),
        ("a/", "a"),
        ("a//b/./c/", "a/b/c"),
        ("./a", "a"),
        ("...", "..."),
        ("a..b/..c", "a..b/..c"),
        ("a b/é\n", "a b/é\n"),
    ],
    ids=repr,
)
def test_a_prefix_has_one_plain_form(prefix, plain):
    """The root is the empty one. Twice is once."""
    assert safe_prefix(prefix) == plain
    assert safe_prefix(plain) == plain


@pytest.mark.parametrize("prefix", ["/", "/etc", "..", "a/..", "a/../b", "../a", "a\0b", "./.."], ids=repr)
def test_a_prefix_that_leaves_the_root_is_refused(prefix):
    """Also one that would come back."""
    with pytest.raises(Error) as raised:
        safe_prefix(prefix)
    assert raised.value.message == f"{prefix!r} is not a folder inside the repository"
    assert raised.value.hint == "name it from the top of the repository"


def row(path, *, mode="100644", kind="blob", size="3"):
    return f"{mode} {kind} {SHA} {size:>7}\t".encode() + path + b"\0"


def test_what_git_lists_is_path_object_size_and_what_is_not_read():
    """Links, submodules and large files are known by the listing alone: their bytes are never asked for."""
    output = b"".join(
        (
            row(b"a.yaml"),
            row(b"a b\tc.yaml", mode="100755", size="0"),
            row(b"link.yaml", mode="120000", size="11"),
            row(b"sub", mode="160000", kind="commit", size="-"),
            row(b"just.bin", size=str(LARGE_BYTES)),
            row(b"large.bin", size=str(LARGE_BYTES + 1)),
            row(b"absent.yaml", size="BAD"),
            row(b"\xff\xfe.yaml"),
        )
    )
    assert list(listed(output)) == [
        ("a.yaml", SHA, 3, None),
        ("a b\tc.yaml", SHA, 0, None),
        ("link.yaml", SHA, 11, SourceFile(b"", "symlink")),
        ("sub", SHA, 0, SourceFile(b"", "submodule")),
        ("just.bin", SHA, LARGE_BYTES, None),
        ("large.bin", SHA, LARGE_BYTES + 1, SourceFile(b"", "too large")),
        ("absent.yaml", SHA, 0, None),
        ("\\xff\\xfe.yaml", SHA, 3, None),
    ]
    assert list(listed(b"")) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20), st.just(b"x missing\n"), st.just(b"\n")), max_size=6))
def test_a_batch_is_read_back_whatever_the_objects_hold(contents):
    """Sizes separate, not line ends: an object may look like the head of the next one."""
    output = b"".join(
        f"{SHA} missing\n".encode() if data is None else f"{SHA} blob {len(data)}\n".encode() + data + b"\n"
        for data in contents
    )
    assert list(batched(output)) == contents


# -- on a disk -----------------------------------------------------------------------------------------------------


def problems(found):
    return {path: file.problem for path, file in found.items()}


def test_everything_below_the_root_is_there_but_git_s_own(tmp_path):
    """The empty prefix is all of it; `.git` of the root and of any folder is left out, other dot files are not."""
    for name in ("a.yaml", ".hidden", "d/b.yaml", "d/e/c.yaml", ".git/config"):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    found = on_disk(tmp_path, "")
    assert {path: file.data.decode() for path, file in found.items()} == {
        name: name for name in (".hidden", "a.yaml", "d/b.yaml", "d/e/c.yaml")
    }
    assert list(found) == sorted(found)


def test_a_prefix_may_name_one_file(tmp_path):
    """Then it is that one."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.yaml").write_bytes(b"a")
    (tmp_path / "d/ab.yaml").write_bytes(b"ab")
    assert on_disk(tmp_path, "d/a.yaml") == {"d/a.yaml": SourceFile(b"a")}
    assert on_disk(tmp_path, "d/b.yaml") == {}
    assert on_disk(tmp_path, "d/a.yaml/below") == {}


def test_a_link_anywhere_on_the_way_is_not_entered(tmp_path):
    """The first of the way is named, and nothing behind it is looked at, there or not."""
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/a.yaml").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert on_disk(tmp_path, "link/deep") == {"link": SourceFile(b"", "symlink")}
    assert on_disk(tmp_path, "dangling") == {"dangling": SourceFile(b"", "symlink")}
    assert problems(on_disk(tmp_path, "")) == {"dangling": "symlink", "link": "symlink", "real/deep/a.yaml": ""}


def test_what_is_no_file_is_named_and_not_opened(tmp_path):
    """Opening a pipe waits for ever, and a device may do something."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(tmp_path)  # the name of a socket may have 108 characters
        try:
            listener.bind("sock")
        finally:
            os.chdir(before)
        assert problems(on_disk(tmp_path, "")) == {"pipe": "a pipe", "sock": "a socket"}
        assert problems(on_disk(tmp_path, "pipe")) == {"pipe": "a pipe"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_a_device_is_named(tmp_path):
    """`/dev/zero` never ends."""
    try:
        os.mknod(tmp_path / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container may not make devices")
    assert problems(on_disk(tmp_path, "")) == {"zero": "a device"}


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path):
    """The limit is inclusive, as in a commit."""
    (tmp_path / "just").write_bytes(b"x" * LARGE_BYTES)
    (tmp_path / "over").write_bytes(b"x" * (LARGE_BYTES + 1))
    found = on_disk(tmp_path, "")
    assert problems(found) == {"just": "", "over": "too large"}
    assert (len(found["just"].data), found["over"].data) == (LARGE_BYTES, b"")


def test_a_nested_repository_is_a_submodule(tmp_path):
    """By a `.git` folder, or the file that a worktree has; what lies in it is another repository's."""
    for name, is_folder in (("one", True), ("two", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text("a")
        (tmp_path / name / ".git").mkdir() if is_folder else (tmp_path / name / ".git").write_text("gitdir: x")
    assert problems(on_disk(tmp_path, "")) == {"one": "submodule", "two": "submodule"}


def test_a_name_that_is_no_text_is_written_out(tmp_path):
    """A path is a key here and a place in a finding there: it must print."""
    folder = os.fsencode(tmp_path) + b"/\xffdir"
    os.mkdir(folder)
    with open(folder + b"/\xfe.yaml", "wb") as file:
        file.write(b"a")
    assert on_disk(tmp_path, "") == {"\\xffdir/\\xfe.yaml": SourceFile(b"a")}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_unreadable(tmp_path):
    """A folder as a whole, a file by itself; the rest is there."""
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.yaml").touch(mode=0)
    (tmp_path / "b.yaml").write_text("b")
    try:
        assert problems(on_disk(tmp_path, "")) == {"a.yaml": "unreadable", "b.yaml": "", "closed": "unreadable"}
    finally:
        (tmp_path / "closed").chmod(0o700)
