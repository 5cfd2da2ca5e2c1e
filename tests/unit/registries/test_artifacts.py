"""Where a version's files lie and what may be written of a listing: names, places, copies, and listings without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.model.version import VersionFacts
from mlrelease.registries import artifacts
from mlrelease.registries.interface import FileFacts

FACTS = VersionFacts("risk", "3", "READY", "models:/m-1")
HERE = ("mlflow.example", 5000)


NAMES = st.one_of(
    st.text(max_size=8), st.sampled_from(["..", ".", "", "a/b", "a\\b", "a\0", " ", "..."]), st.none(), st.integers()
)


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_a_name_is_let_through_or_names_nothing_else(name):
    """What comes back lies directly below the folder that it is joined to; what would not is refused."""
    own = isinstance(name, str) and os.path.normpath(f"/root/{name}") == f"/root/{name}" and "/" not in name
    if own and not set(name) & {"\\", "\0"}:
        assert artifacts.safe_name(name, "here") == name
    else:
        with pytest.raises(Error, match="the registry lists a file under the unsafe name"):
            artifacts.safe_name(name, "here")


def test_an_unsafe_name_is_shown_short():
    """Whole texts: what it was, what happened, what to do."""
    with pytest.raises(Error) as caught:
        artifacts.safe_name("../" + "x" * 500, "mlflow-artifacts:/0")
    assert caught.value.message == f"the registry lists a file under the unsafe name '../{'x' * 57}'"
    assert caught.value.hint == "nothing was written; look at the version's artifacts on the server"


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("/models/1", "file"),
        ("models/1", "file"),
        ("", "file"),
        ("file:///models", "file"),
        ("FILE:/models", "file"),
        ("S3://bucket", "s3"),
        ("mlflow-artifacts:/0", "mlflow-artifacts"),
        ("dbfs:/x:y", "dbfs"),
    ],
)
def test_the_scheme_of_an_address(uri, scheme):
    """A bare path is a file's."""
    assert artifacts.scheme_of(uri) == scheme


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/models/1", "/models/1"),
        ("file:/models/1", "/models/1"),
        ("file:///models/a%20b", "/models/a b"),
        ("FILE:///models/1", "/models/1"),
        ("/models/a%20b", "/models/a%20b"),
        ("models/1", "models/1"),
        ("file:models", "models"),
        ("file:///a%00b", "."),
        ("/a\0b", "."),
        ("file://[half", "."),
    ],
    ids=repr,
)
def test_the_folder_of_a_local_address(uri, path):
    """Only an address is decoded; what can name no folder names none, and is refused for having no full path."""
    assert artifacts.local_root(uri) == Path(path)


REGISTER = "register it again"
STORES = "start the server with --serve-artifacts, so that it hands the files on; or keep them in s3, gs, wasbs, abfss"


@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("", "risk version 3: its logged model or run was deleted, so its files are gone", REGISTER),
        ("models/1", "risk version 3: its files lie in a folder without a full path", "register the version again"),
        ("file://[half", "risk version 3: its files lie in a folder without a full path", "register the version again"),
        ("/a\0b", "risk version 3: its files lie in a folder without a full path", "register the version again"),
        ("dbfs:/x", "risk version 3: its files lie at dbfs:, which cannot be read from here", STORES),
        ("hdfs://u:secret@h/x", "risk version 3: its files lie at hdfs:, which cannot be read from here", STORES),
    ],
    ids=["gone", "a relative folder", "half an address", "NUL", "another store", "another store with a password"],
)
def test_a_place_that_cannot_be_read_says_why(uri, message, hint):
    """And what to do; the address itself may hold a password."""
    with pytest.raises(Error) as caught:
        artifacts.readable(FACTS, uri)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("uri", ["mlflow-artifacts:/0/a", "/a", "file:///a", "s3://b", "gs://b", "wasbs://b", "abfss://b"])
def test_a_place_that_can_be_read_is_given_back(uri):
    """As it was."""
    assert artifacts.readable(FACTS, uri) == uri


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/0/models/m-1", "0/models/m-1"),
        ("mlflow-artifacts:/0/models/m-1/", "0/models/m-1"),
        ("mlflow-artifacts:///0/a", "0/a"),
        ("mlflow-artifacts://mlflow.example:5000/0/a", "0/a"),
        ("mlflow-artifacts://MLFLOW.example/0/a", "0/a"),
    ],
)
def test_the_path_at_the_proxy(uri, path):
    """Without slashes around it, at this server by any of its spellings."""
    assert artifacts.proxied_path(uri, HERE) == path


ELSEWHERE = "point tracking_uri at that server, or register the version from here"


@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("mlflow-artifacts://other/0", "the version's artifacts lie on another MLflow server (other)", ELSEWHERE),
        (
            "mlflow-artifacts://u:secret@mlflow.example:1/0",
            "the version's artifacts lie on another MLflow server (mlflow.example)",
            ELSEWHERE,
        ),
        ("mlflow-artifacts://h:99999/0", "the version's artifacts lie at what is no address", "register the version again"),
        ("mlflow-artifacts://h:port/0", "the version's artifacts lie at what is no address", "register the version again"),
        ("mlflow-artifacts://[::1/0", "the version's artifacts lie at what is no address", "register the version again"),
    ],
    ids=["another host", "another port", "a port that is none", "a port in words", "half an address"],
)
def test_a_path_at_another_proxy_is_refused(uri, message, hint):
    """Credentials of one server would go to another. Whatever the registry has stored is said, never raised through."""
    with pytest.raises(Error) as caught:
        artifacts.proxied_path(uri, HERE)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("path", ["", "/", "/0//a", "/0/../a", "/./a", "/a\\b"])
def test_a_path_with_steps_that_are_no_names_is_refused(path):
    """It would be asked for as another than it looks."""
    with pytest.raises(Error, match="unsafe name"):
        artifacts.proxied_path(f"mlflow-artifacts:{path}", HERE)


# ---- listings


def listing(tree):
    """`children` of a tree: folders are dictionaries, files their sizes."""

    def children(folder):
        here = tree
        for step in filter(None, folder.split("/")):
            here = here[step]
        return [(name, isinstance(what, dict), 0 if isinstance(what, dict) else what) for name, what in here.items()]

    return children


TREES = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=12
).filter(lambda tree: isinstance(tree, dict))


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_every_file_of_a_tree_is_listed_once(tree):
    """With its whole path and its size; folders are no files."""

    def files(here, path):
        for name, what in here.items():
            yield from files(what, f"{path}{name}/") if isinstance(what, dict) else [(f"{path}{name}", what)]

    found = artifacts.listed(listing(tree), "here")
    assert sorted((file.path, file.size) for file in found) == sorted(files(tree, ""))


def deep(count):
    """A tree of so many folders in each other, with a file in the last."""
    tree = {"f": 1}
    for _ in range(count):
        tree = {"d": tree}
    return tree


def test_a_listing_is_as_deep_as_it_may_be_and_no_deeper():
    """Thirty-two folders in each other, as on this machine's own disk."""
    assert [file.path for file in artifacts.listed(listing(deep(32)), "here")] == ["d/" * 32 + "f"]
    with pytest.raises(Error, match="the version's artifacts have no end: too many files or folders"):
        artifacts.listed(listing(deep(33)), "here")


@pytest.mark.parametrize(
    "children",
    [
        pytest.param(lambda folder: [(str(n), False, 1) for n in range(51)], id="files"),
        pytest.param(lambda folder: [("a", True, 0), ("b", True, 0)], id="folders in folders, each with two more"),
        pytest.param(lambda folder: [(str(n), True, 0) for n in range(51)] if not folder else [], id="empty folders"),
        pytest.param(lambda folder: ((str(n), False, 1) for n in range(10**9)), id="a listing that never ends itself"),
    ],
)
def test_a_listing_without_end_is_given_up(children, monkeypatch):
    """After so many names, whether they are of files or of folders."""
    monkeypatch.setattr(artifacts, "MOST_FILES", 50)
    asked = []
    with pytest.raises(Error, match="have no end") as caught:
        artifacts.listed(lambda folder: asked.append(folder) or children(folder), "mlflow-artifacts:/0")
    assert caught.value.where == "mlflow-artifacts:/0"
    assert len(asked) <= 51


def test_a_name_that_is_listed_twice_is_refused():
    """One of the two would be written over the other."""
    with pytest.raises(Error, match="the registry lists a file of the version twice"):
        artifacts.listed(lambda folder: [("a", False, 1), ("a", False, 2)], "here")


# ---- files on this machine


def test_files_are_checked_by_path():
    """Sorted, whatever their order; none is an error that names the version."""
    files = [FileFacts("b", 1), FileFacts("a/c", 2), FileFacts("a", 3)]
    assert [file.path for file in artifacts.checked(FACTS, "here", iter(files))] == ["a", "a/c", "b"]
    with pytest.raises(Error) as caught:
        artifacts.checked(FACTS, "s3://b", [])
    assert caught.value.message == "risk version 3 has no files where the registry says they are"
    assert caught.value.hint == "they were deleted or never logged: register the version again"
    assert caught.value.where == "s3://b"


@pytest.fixture
def folder(tmp_path):
    """A folder with files, one of them empty."""
    (tmp_path / "m" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "deep" / "a").write_bytes(b"aaa")
    (tmp_path / "m" / "b").write_bytes(b"")
    return tmp_path / "m"


def test_a_folder_is_listed_and_copied_whole(folder, tmp_path):
    """The copy has the same files."""
    files = tuple(artifacts.local_files(folder))
    assert sorted(files, key=lambda file: file.path) == [FileFacts("b", 0), FileFacts("deep/a", 3)]
    artifacts.copy_local(folder, files, tmp_path / "copy")
    assert sorted(artifacts.local_files(tmp_path / "copy"), key=str) == sorted(files, key=str)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: (folder / "link").symlink_to("b"), id="a link"),
        pytest.param(lambda folder: (folder / "dir").symlink_to("deep"), id="a link to a folder"),
        pytest.param(lambda folder: os.mkfifo(folder / "pipe"), id="a pipe"),
        pytest.param(lambda folder: (folder / "/".join(["d"] * 40)).mkdir(parents=True), id="folders without end"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused(folder, spoil):
    """Its content lies elsewhere, or nowhere."""
    spoil(folder)
    with pytest.raises(Error, match="among the version's artifacts is something that is neither file nor folder") as caught:
        list(artifacts.local_files(folder))
    assert caught.value.where.startswith(str(folder))


def test_a_folder_that_is_gone_says_so(tmp_path):
    """With its place."""
    with pytest.raises(Error) as caught:
        list(artifacts.local_files(tmp_path / "gone"))
    assert (caught.value.message, caught.value.where) == (
        "cannot read the version's artifacts: no such file or directory",
        str(tmp_path / "gone"),
    )


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param(lambda into: None, "no such file or directory", id="it is gone"),
        pytest.param(lambda into: into.write_text(""), "not a directory", id="a file in its folder's place"),
    ],
)
def test_a_copy_that_fails_names_the_file(folder, tmp_path, before, why):
    """Not half a version without a word."""
    before(tmp_path / "copy")
    file = FileFacts("deep/gone", 1)
    with pytest.raises(Error) as caught:
        artifacts.copy_local(folder, (file,), tmp_path / "copy")
    assert (caught.value.message, caught.value.where) == (f"cannot copy an artifact: {why}", str(folder / "deep/gone"))


def test_a_link_that_appears_after_the_listing_is_copied_as_a_link_and_refused_then(folder, tmp_path):
    """Its target is never read: the digest refuses the link in the copy."""
    files = tuple(artifacts.local_files(folder))
    (folder / "b").unlink()
    (folder / "b").symlink_to("/etc/hostname")
    artifacts.copy_local(folder, files, tmp_path / "copy")
    assert (tmp_path / "copy" / "b").is_symlink()
