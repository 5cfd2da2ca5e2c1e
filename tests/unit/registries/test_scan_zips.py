"""Zips that lie about themselves: what `zipfile` chokes on is a problem of that file, and no size is believed unread."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import pytest
from mlrelease.registries.scan import archives
from support.hostile import npy, zipped
from support.scanning import RUNS, scanned, told, version

PLAIN = zipped({"a": b"text", "b": b"more text"})
END, DIRECTORY = PLAIN.rfind(b"PK\x05\x06"), PLAIN.find(b"PK\x01\x02")


def with_end(*, size=None, at=None, comment=b"", before=b""):
    """The plain zip with another end record, and records of zip64 before it."""
    end = bytearray(PLAIN[END:])
    end[12:16] = struct.pack("<I", END - DIRECTORY if size is None else size)
    end[16:20] = struct.pack("<I", DIRECTORY) if at is None else at
    end[20:22] = struct.pack("<H", len(comment))
    return PLAIN[:END] + before + bytes(end) + comment


def zip64(size, *, disks=1, at=None):
    """A zip64 end record that claims a directory of that size, and its locator."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, size, DIRECTORY)
    return record + struct.pack("<4sLQL", b"PK\x06\x07", 0, END if at is None else at, disks)


def member(name, *, offset=None, method=0, flags=0):
    """A zip of one member whose entry in the directory is like that; `offset` as zip64 writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"text")
    data = buffer.getvalue()
    start, end = data.rfind(b"PK\x01\x02"), data.rfind(b"PK\x05\x06")
    entry = bytearray(data[start:end])
    entry[8:10], entry[10:12] = struct.pack("<H", flags), struct.pack("<H", method)
    extra = b"" if offset is None else struct.pack("<HHQ", 1, 8, offset)
    entry[28:30], entry[30:32] = struct.pack("<H", len(name)), struct.pack("<H", len(extra))
    if offset is not None:
        entry[42:46] = b"\xff" * 4
    entry[46:] = name + extra
    record = bytearray(data[end:])
    record[12:16] = struct.pack("<I", len(entry))
    return data[:start] + bytes(entry) + bytes(record)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(
            with_end(before=zip64(100, disks=2)), "zipfiles that span multiple disks are not supported", id="of several disks"
        ),
        pytest.param(member(b"a", offset=2**64 - 1), "Python int too large", id="a member past any file's end"),
        pytest.param(member(b"a", offset=2**40), "Truncated file header", id="a member past this file's end"),
        pytest.param(member(b"b"), "File name in directory 'b' and header b'a' differ.", id="two names for one member"),
        pytest.param(member(b"a", flags=1), "is encrypted, password required for extraction", id="encrypted"),
        pytest.param(member(b"a", flags=0x20), "compressed patched data (flag bit 5)", id="a patch of a file"),
        pytest.param(member(b"a", method=99), "That compression method is not supported", id="a method nobody knows"),
        pytest.param(member(b"a", method=8), "Bad CRC-32 for file 'a'", id="not so packed"),
        pytest.param(member(b"a", method=12), "Invalid data stream", id="not so packed with bzip2"),
        pytest.param(with_end(size=5), "Truncated central directory", id="half a directory"),
        pytest.param(with_end(size=1 << 20), "Bad offset for central directory", id="a directory before the beginning"),
    ],
)
def test_a_zip_that_cannot_be_read_is_a_problem_of_that_file(data, problem):
    """And never an exception: the other files of the version are still told."""
    ((path, kind, names, said),) = told(data)
    assert (path, kind, names) == ("x", "zip", ())
    assert said.startswith("it cannot be unpacked: ")
    assert problem in said


def test_a_member_without_a_name_is_a_member():
    """Python's own question whether it is a folder fails on it with an `IndexError` before 3.13."""
    assert told(member(b""))[0][3].startswith("it cannot be unpacked: File name in directory '' and header")


@pytest.mark.parametrize("byte", range(256))
def test_no_zip_is_taken_for_a_pickle_by_chance(byte):
    """Its first letter is an opcode whose argument is a line: what follows a line's end in a time or a checksum is any byte."""
    plain = zipped({"a.json": b"{}"})
    data = plain[:10] + b"\n" + bytes([byte]) + plain[12:]
    assert zipfile.ZipFile(io.BytesIO(data)).read("a.json") == b"{}"
    assert told(data) == told(plain)


def test_an_id_before_a_pickle_ends_every_loader_of_models():
    """Nothing behind it runs; the file is one of an unknown kind, which is told where a model is opened as it."""
    with pytest.raises(pickle.UnpicklingError, match="persistent_load"):
        pickle.loads(b"Pid\n" + RUNS)
    assert told(b"Pid\n" + RUNS) == told(b"?id\n")


def test_one_bad_zip_leaves_the_other_files_of_the_version_told(tmp_path):
    """A scan that broke would say nothing of the rest."""
    files = {"bad.zip": with_end(before=zip64(100, disks=2)), "model.pkl": RUNS, "z.zip": zipped({"n.npy": npy(RUNS)})}
    assert [(path, kind, bool(problem)) for path, kind, _, problem in scanned(version(tmp_path, files))] == [
        ("bad.zip", "zip", True),
        ("model.pkl", "pickle", False),
        ("z.zip!n.npy", "pickle", False),
    ]


LARGE = 5000
TOO_LARGE = [("x", "zip", (), "its directory is larger than 0 MiB")]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_end(size=LARGE), id="as it stands"),
        pytest.param(with_end(size=LARGE, comment=b"a comment"), id="before a comment"),
        pytest.param(with_end(size=LARGE, comment=b"a comment\0\0"), id="before a comment that ends as a record does"),
        pytest.param(with_end(size=LARGE, at=b"PK\x05\x06"), id="with another end record inside of its own"),
        pytest.param(with_end(before=zip64(LARGE)), id="by zip64's record, though the small one is not full"),
        pytest.param(with_end(size=0xFFFFFFFF, before=zip64(LARGE)), id="by zip64's record"),
        pytest.param(with_end(before=zip64(LARGE), comment=b"c"), id="by zip64's record, before a comment"),
        pytest.param(
            with_end(before=zip64(LARGE)[:56] + bytes(100) + zip64(LARGE)[56:]), id="by a zip64 record that lies further ahead"
        ),
    ],
)
def test_a_directory_is_as_large_as_the_reader_would_take_it(data, monkeypatch):
    """All of it becomes objects in memory, before any of it can be counted."""
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 1000)
    assert told(data) == TOO_LARGE


def test_a_directory_of_just_the_limit_is_read(monkeypatch):
    """One byte less, and it is not."""
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", END - DIRECTORY)
    assert told(PLAIN) == []
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", END - DIRECTORY - 1)
    assert told(PLAIN) == TOO_LARGE


def test_members_are_told_by_their_path_in_the_archive():
    """However deep: one name for each step."""
    inner = zipped({"deep/model.pkl": RUNS, "folder/": b"", "evil.py": b"x = 1"})
    assert told(zipped({"a": b"text", "inner.zip": inner}), "m.keras") == [
        ("m.keras!inner.zip!deep/model.pkl", "pickle", ("posix.system",), ""),
        ("m.keras!inner.zip!evil.py", "python code", ("file:m.keras!inner.zip!evil.py",), ""),
    ]


def test_two_members_of_one_name_are_both_looked_at():
    """Readers differ in which of them they take."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", RUNS)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", b"text")
    assert told(buffer.getvalue()) == [("x!a", "pickle", ("posix.system",), "")]


def test_a_name_that_would_break_a_line_is_escaped():
    """Reports are read on terminals: neither a line more nor a cursor moved."""
    data = zipped({"a\nb\x1b[2J.pkl": b"\x80\x04\x8c\x05posix\x8c\x05sys\n\x1b\x93."})
    assert told(data) == [("x!a\\nb\\x1b[2J.pkl", "pickle", ("posix.sys\\n\\x1b",), "")]
    assert told(zipped({"käse.pkl": RUNS}))[0][0] == "x!käse.pkl"
