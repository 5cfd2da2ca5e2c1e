"""Files written whole or not at all: what is there at each moment, whose it is, and what is left when it fails."""

from __future__ import annotations

import os
import resource
import stat
import threading

import pytest
from mlrelease import atomic
from mlrelease.errors import Error


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _open_umask():
    """A person who lets everybody read."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("data", [b"", b"one\n", bytes(range(256)) * 5000], ids=["nothing", "a line", "a megabyte of any byte"])
def test_what_was_written_is_read(tmp_path, data):
    """Over what was there, longer or shorter."""
    path = tmp_path / "f"
    for before in (b"", b"x" * 2_000_000):
        path.write_bytes(before)
        atomic.write(path, data)
        assert path.read_bytes() == data
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


@pytest.mark.usefixtures("_open_umask")
@pytest.mark.parametrize(("asked", "expected"), [({}, 0o600), ({"mode": 0o644}, 0o644)], ids=["by default", "as asked"])
def test_it_is_its_owners_unless_more_is_asked_for(tmp_path, asked, expected):
    """State may hold what only its user may read; and a file that was there with more rights does not hand them on."""
    path = tmp_path / "f"
    path.write_bytes(b"before")
    path.chmod(0o666)
    atomic.write(path, b"after", **asked)
    assert mode(path) == expected


@pytest.mark.usefixtures("_open_umask")
def test_folders_are_made_for_their_owner(tmp_path):
    """However deep; one that is there keeps its rights."""
    tmp_path.chmod(0o755)
    atomic.write(tmp_path / "a" / "f", b"1")
    assert mode(tmp_path / "a") == 0o700
    assert mode(tmp_path) == 0o755
    atomic.write(tmp_path / "b" / "c" / "f", b"1")
    assert mode(tmp_path / "b" / "c") == 0o700


def test_a_link_is_replaced_and_not_followed(tmp_path):
    """What it points to is not ours to write."""
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    (tmp_path / "f").symlink_to(other)
    atomic.write(tmp_path / "f", b"ours")
    assert other.read_bytes() == b"theirs"
    assert not (tmp_path / "f").is_symlink()


def test_it_is_on_the_disk_before_it_is_in_place(tmp_path, monkeypatch):
    """While it is synced the old one stands there, and the new one is whole beside it."""
    path = tmp_path / "f"
    path.write_bytes(b"before")
    seen = []
    sync = os.fsync

    def watched(descriptor):
        sync(descriptor)
        (beside,) = (entry for entry in tmp_path.iterdir() if entry != path)
        seen.append((path.read_bytes(), beside.read_bytes(), beside.name.startswith(".f."), mode(beside)))

    monkeypatch.setattr("os.fsync", watched)
    atomic.write(path, b"after")
    assert seen == [(b"before", b"after", True, 0o600)]
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_whoever_is_stopped_in_between_has_changed_nothing(tmp_path, monkeypatch, raised):
    """An interrupt comes at any moment: the file is as it was, and the next write is not kept from its place."""
    path = tmp_path / "f"
    path.write_bytes(b"before")

    def stopped(_):
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", stopped)
        with pytest.raises(raised):
            atomic.write(path, b"after")
    assert path.read_bytes() == b"before"
    atomic.write(path, b"after")
    assert path.read_bytes() == b"after"


def test_a_disk_that_takes_no_more_leaves_what_was_there(tmp_path):
    """Said with the file, what the system says and what to do; no half of it stays behind."""
    path = tmp_path / "f"
    path.write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(Error) as caught:
            atomic.write(path, b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.message == f"{path} cannot be written: File too large"
    assert caught.value.hint == "free some space, or give this user the folder"
    assert caught.value.where == str(tmp_path)
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def in_a_file(folder):
    (folder / "file").write_bytes(b"")
    return folder / "file" / "f", "File exists"


def below_a_file(folder):
    (folder / "file").write_bytes(b"")
    return folder / "file" / "deeper" / "f", "Not a directory"


def in_place_of_a_folder(folder):
    (folder / "f").mkdir()
    return folder / "f", "Is a directory"


def with_a_long_name(folder):
    return folder / ("n" * 250), "File name too long"


@pytest.mark.parametrize(
    "made", [in_a_file, below_a_file, in_place_of_a_folder, with_a_long_name], ids=lambda made: made.__name__.replace("_", " ")
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, made):
    """By the first thing that went wrong; nothing of ours is left."""
    path, said = made(tmp_path)
    before = sorted(entry.name for entry in tmp_path.iterdir())
    with pytest.raises(Error) as caught:
        atomic.write(path, b"1")
    assert caught.value.message == f"{path} cannot be written: {said}"
    assert isinstance(caught.value.__cause__, OSError)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before


def test_many_writers_leave_one_of_their_files_whole(tmp_path):
    """A reader at any moment sees all of one, never of two."""
    path = tmp_path / "f"
    values = [bytes([65 + n]) * 50_000 for n in range(6)]
    atomic.write(path, values[0])
    torn = []
    done = threading.Event()

    def read():
        while not done.is_set():
            if path.read_bytes() not in values:
                torn.append(path.read_bytes())

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=atomic.write, args=(path, value)) for value in values]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join(30)
    done.set()
    reader.join(30)
    assert (torn, path.read_bytes() in values) == ([], True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
