"""A whole scan: which files it looks at, in which order, what it says when it has to stop, and the second opinion."""

from __future__ import annotations

import io
import os
import pickle

import pytest
from mlrelease.gates.scan import refusal
from mlrelease.registries.scan import found, known, scan
from support.hostile import calling, text, zipped
from support.scanning import RUNS, looked, scanned, told, version


def test_every_file_is_looked_at_in_the_order_of_its_path(tmp_path):
    """Folders where they stand among the files, hidden ones too."""
    names = ["b/z", "b/a", "a", "c", ".hidden/x", "b.x"]
    found_files = scanned(version(tmp_path, dict.fromkeys(names, RUNS)))
    assert [path for path, *_ in found_files] == [".hidden/x", "a", "b/a", "b/z", "b.x", "c"]


def test_what_is_harmless_is_not_told(tmp_path):
    """But for `MLmodel`, which every version has."""
    report = scan(version(tmp_path, {"a.txt": b"text", "model.pkl": pickle.dumps({"a": [1, 2]}), "empty": b""}))
    assert [(file.path, file.globals) for file in report.files] == [("MLmodel", ("loader:mlflow.sklearn",))]
    assert refusal(report, ()) == ""


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(lambda folder: (folder / "link").symlink_to("MLmodel"), "link", id="a link to a file"),
        pytest.param(lambda folder: (folder / "dir").symlink_to("."), "dir", id="a link to its own folder"),
        pytest.param(lambda folder: (folder / "dead").symlink_to("nowhere"), "dead", id="a link to nothing"),
        pytest.param(lambda folder: os.mkfifo(folder / "pipe"), "pipe", id="a pipe"),
    ],
)
def test_what_is_no_file_is_a_problem_and_never_opened(tmp_path, make, name):
    """A pipe would wait for ever, a link could be another file by the time that it is loaded."""
    make(version(tmp_path))
    assert scanned(tmp_path) == [(name, "link", (), "it is no regular file")]


def test_what_was_told_before_the_limit_stays_told(tmp_path, monkeypatch):
    """The last entry, without a path, says that this is not all."""
    monkeypatch.setattr(found, "MOST_FILES", 3)
    assert scanned(version(tmp_path, {"a": RUNS, "b": RUNS, "c": RUNS})) == [
        ("a", "pickle", ("posix.system",), ""),
        ("b", "pickle", ("posix.system",), ""),
        ("", "the version", (), "there are more than 3 files"),
    ]


def test_a_folder_that_is_gone_is_a_problem(tmp_path):
    """Nothing is raised, and nothing passes."""
    report = scan(tmp_path / "gone")
    assert [(file.path, file.format, file.problem) for file in report.files] == [
        ("MLmodel", "MLmodel", "there is no such file"),
        ("", "the version", "a folder cannot be read: no such file or directory"),
    ]


def test_what_comes_out_of_archives_counts_together(tmp_path, monkeypatch):
    """Two of half the limit pass, a byte more does not."""
    monkeypatch.setattr(found, "MOST_UNPACKED", 2000)
    half = zipped({"a": b" " * 1000})
    assert scanned(version(tmp_path / "1", {"a.zip": half, "b.zip": half})) == []
    more = scanned(version(tmp_path / "2", {"a.zip": half, "b.zip": zipped({"a": b" " * 1001})}))
    assert more == [("", "the version", (), "more than 0 GiB come out of its archives")]


def test_names_are_told_up_to_a_bound(monkeypatch):
    """Exactly so many are no problem."""
    monkeypatch.setattr(found, "MOST_GLOBALS_TOLD", 3)
    body = b"".join(b"ca\nn%d\n0" % n for n in range(4))
    assert told(body[: 7 * 3] + b"N.") == [("x", "pickle", ("a.n0", "a.n1", "a.n2"), "")]
    assert told(body + b"N.") == [("x", "pickle", ("a.n0", "a.n1", "a.n2"), "it names more than 3 globals")]
    assert told(body + b"\xff")[0][3].startswith("byte "), "its own problem comes first"


# ---- the second opinion


def test_names_from_attacks_are_told_apart():
    """All that the file names, not the first: no pattern of a policy allows those."""
    ((file),) = looked(calling("posix", "system", "x")[:-1] + b"0" + calling("numpy", "dtype", "f8")[2:])
    assert (file.globals, file.known) == (("posix.system", "numpy.dtype"), ("posix.system",))


def test_names_that_only_the_second_reader_finds_are_told_too():
    """It reads on where the unpickler would end."""
    data = b"\x80\x04" + text("numpy") + text("dtype") + b"\x930" + b"\x80\x04cposix\nsystem\n0N."
    ((file),) = looked(data)
    assert set(file.globals) == {"numpy.dtype", "posix.system"}


@pytest.mark.parametrize(
    ("size", "opcodes", "reads"),
    [
        (known.LARGEST, known.MOST_OPCODES, True),
        (known.LARGEST + 1, 1, False),
        (1, known.MOST_OPCODES + 1, False),
    ],
    ids=["at its bounds", "too large", "too many opcodes"],
)
def test_the_second_reader_reads_what_is_bounded(size, opcodes, reads):
    """Our own names it always judges: those of a large file are judged as well."""
    stream = io.BytesIO(RUNS)
    more, dangerous = known.second_opinion(stream, size, opcodes, ["builtins.eval"])
    assert (stream.tell() > 0) is reads
    assert (more, dangerous) == ((("posix.system",), ("builtins.eval", "posix.system")) if reads else ((), ("builtins.eval",)))


@pytest.mark.parametrize("name", ["käse.x", "a.b\nc", "nodots", "", ".", "a.", ".b"])
def test_a_name_that_no_opcode_can_hold_does_not_break_the_second_opinion(name):
    """It has none about that one; the others are judged."""
    assert known.second_opinion(io.BytesIO(b""), known.LARGEST + 1, 0, [name, "builtins.eval"])[1] == ("builtins.eval",)


@pytest.mark.parametrize(
    ("data", "names", "problem"),
    [
        (b"\x80\x04\x95" + b"\xff" * 8, (), "the pickle has no end"),
        (b"cposix\nsystem\n\xff", ("posix.system",), "byte 14 is no opcode of a pickle"),
        (b"\x80\x02(S'a\n", (), "a text of the pickle is not in quotes"),
        (b"\x80\x02\x8b\xff\xff\xff\xff.", (), "a length in the pickle goes past its end"),
    ],
    ids=["a frame past the end", "no opcode", "no quotes", "a negative length"],
)
def test_bytes_that_break_the_second_reader_are_told_by_the_first(data, names, problem, caplog):
    """Whatever it raises; and it logs nothing of its own."""
    assert told(data) == [("x", "pickle", names, problem)]
    assert caplog.records == []
