"""Files that are two things at once, or begin as one and go on as another: each of them is looked for."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib

import pytest
from support.hostile import npy, zipped
from support.scanning import RUNS, told

PACKED = zipped({"notes": b"text"})
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(60)


def kinds(data):
    """Kind and names of what was told."""
    return [(kind, names) for _, kind, names, _ in told(data)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(npy(RUNS) + PACKED, ("pickle", ("posix.system",)), id="an array of objects before a zip"),
        pytest.param(RUNS + PACKED, ("pickle", ("posix.system",)), id="a pickle before a zip"),
        pytest.param(RUNS + zipped({"b": RUNS}), ("pickle", ("posix.system",)), id="a pickle before a zip of pickles"),
        pytest.param(HDF5 + PACKED, ("HDF5", ("file:x",)), id="HDF5 before a zip"),
        pytest.param(b"MZ" + bytes(9) + PACKED, ("native code", ("file:x",)), id="an archive that unpacks itself"),
    ],
)
def test_both_readers_find_what_they_would_run(data, expected):
    """A zip is read from its end, everything else from its beginning."""
    assert expected in kinds(data)


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_packed_pickle_before_a_zip_is_not_passed_over(pack):
    """Whoever unpacks a pickle stops at its end and never sees that other bytes follow."""
    found = told(pack(RUNS) + PACKED)
    assert [(kind, problem.partition(":")[0]) for _, kind, _, problem in found if kind == "compressed"] == [
        ("compressed", "it cannot be unpacked")
    ] or ("x!", "pickle", ("posix.system",), "") in found


def _stored(content):
    """A block of a zlib stream that is not packed (RFC 1951, 3.2.4)."""
    return b"\x00" + len(content).to_bytes(2, "little") + (len(content) ^ 0xFFFF).to_bytes(2, "little") + content


def test_damage_far_behind_a_packed_pickle_hides_nothing_of_it():
    """A loader that unpacks in small pieces has run the pickle before it meets the damage."""
    data = b"x^" + _stored(RUNS.ljust(4096)) + b" " * 9000
    assert zlib.decompressobj().decompress(data[:2048]).startswith(RUNS)
    assert told(data) == [
        ("x", "compressed", (), "it cannot be unpacked: Error -3 while decompressing data: invalid stored block lengths")
    ]


def _as_text():
    """A zlib stream in which each byte is UTF-8 and none is NUL: one stored block, and no end."""
    length = 0x4020
    header = b"x^" + b"`" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")
    return header + RUNS.ljust(length)


def test_a_packed_pickle_without_an_end_that_reads_as_text_is_found():
    """A loader like joblib asks for no byte after the pickle's own end."""
    data = _as_text()
    assert data.decode().startswith("x^")
    assert b"\0" not in data
    assert told(data) == [("x", "compressed", (), "it cannot be unpacked: the compressed data ends in the middle")]


@pytest.mark.parametrize("end", [1, 2, 4, 8], ids="{} bytes short".format)
@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_packed_pickle_that_is_cut_off_never_passes(pack, end):
    """As damage where its pickle came out, else as bytes that nobody knows."""
    assert [kind for _, kind, _, _ in told(pack(RUNS)[:-end])] in (["compressed"], ["unknown format"])


@pytest.mark.parametrize(
    "data",
    [b"x^2 + y^2 = z^2\n", b"x^n grows without bounds\n" * 40, b"BZh is how bzip2 begins\n", b"] closing\n"],
    ids=["a formula", "many of them", "about bzip2", "a bracket"],
)
def test_text_that_begins_like_something_packed_is_text(data):
    """It unpacks to nothing that could run."""
    assert told(data) == []


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"N.", id="None"),
        pytest.param(b"L119547037146038801333356L\n.I1001\n.(dp0\n.", id="what torch writes before its first pickle"),
        pytest.param(b"].", id="an empty list"),
        pytest.param(b"N." * 50, id="fifty times None"),
        pytest.param(b"\x80\x02N.", id="with a protocol"),
    ],
)
def test_a_pickle_behind_others_is_found(first):
    """Whether or not the first says its protocol: who loads several goes on after each."""
    assert told(first + RUNS) == [("x", "pickle", ("posix.system",), "")]
    assert told(first) == []


@pytest.mark.parametrize(
    "data",
    [b"N.B. this is a note\n", b"). A list\n", b"N.N.N. and so on", b"0 1 2\n", b"{\n}\n", b"I.\n"],
    ids=repr,
)
def test_text_that_could_begin_a_pickle_is_text(data):
    """It ends as no pickle, and up to there it imports nothing."""
    assert told(data) == []


def test_a_problem_of_a_later_pickle_is_told_as_it_is():
    """That something hides is not the same as bytes that are none."""
    hides = b"\x80\x02\x82\x01."
    assert told(b"\x80\x02N." + hides) == [
        ("x", "pickle", (), "it uses an extension code, which stands for a name that is not in the file")
    ]
    assert told(b"N." + hides) == told(b"\x80\x02N." + hides)
    assert told(b"\x80\x02N.\xff") == [("x", "pickle", (), "bytes follow the pickle that are none")]


def test_an_array_of_objects_may_hold_several():
    """What follows the first is looked at as well."""
    assert told(npy(b"N." + RUNS)) == [("x", "pickle", ("posix.system",), "")]
    assert told(npy(b"\x00\x01")) == [("x", "numpy", (), "its array of objects is no pickle")]
    assert told(npy(b"N.")) == []
