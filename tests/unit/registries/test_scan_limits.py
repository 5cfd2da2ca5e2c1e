"""The scanner's limits: bombs end as problems, soon and within bounds; what is large and good is read to its end."""

from __future__ import annotations

import gzip
import pickle
import struct
import time
import tracemalloc
import zipfile

import pytest
from mlrelease.gates.scan import refusal
from mlrelease.registries.scan import archives, found, pickles, scan
from support.hostile import good_model, model_with, text, zipped


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A real model that the policy lets through."""
    return good_model(tmp_path_factory.mktemp("good") / "model")


def problems(path, **more):
    """What was wrong, file by file."""
    return {file.path: file.problem for file in scan(path, **more).files if file.problem}


def test_what_comes_out_of_archives_is_limited_together(tmp_path, good, monkeypatch):
    """A bomb ends the scan as soon as the limit is passed, not when it is unpacked."""
    monkeypatch.setattr(found, "MOST_UNPACKED", 4 << 20)
    path = model_with(tmp_path / "model", "bomb.gz", gzip.compress(bytes(64 << 20)), good=good)
    assert problems(path) == {"": "more than 0 GiB come out of its archives"}


def test_archives_in_archives_end_somewhere(tmp_path, good):
    """Five deep is one too many."""
    data = b"text"
    for _ in range(found.DEEPEST + 1):
        data = gzip.compress(data)
    assert list(problems(model_with(tmp_path / "model", "a", data, good=good)).values()) == [
        f"archives are packed more than {found.DEEPEST} deep"
    ]


def test_a_zip_with_a_huge_directory_is_not_opened(tmp_path, good, monkeypatch):
    """Its directory would all be in memory at once."""
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 1000)
    data = zipped({f"file-{n}": b"" for n in range(100)})
    assert problems(model_with(tmp_path / "model", "a.zip", data, good=good)) == {"a.zip": "its directory is larger than 0 MiB"}


def test_too_many_files_end_the_scan(tmp_path, good, monkeypatch):
    """Also those inside of a zip."""
    monkeypatch.setattr(found, "MOST_FILES", 50)
    data = zipped({f"file-{n}": b"" for n in range(60)})
    assert problems(model_with(tmp_path / "model", "a.zip", data, good=good)) == {"": "there are more than 50 files"}


def test_the_deadline_ends_the_scan(tmp_path, good):
    """Late is a problem, not an answer."""
    assert problems(good, deadline_s=-1.0) == {"": "the time for scanning is over"}


def test_a_pickle_with_too_many_names_is_a_problem(tmp_path, good, monkeypatch):
    """And its names are told up to a bound."""
    monkeypatch.setattr(found, "MOST_GLOBALS_TOLD", 20)
    body = b"".join(b"cpackage\n" + f"name{n}\n0".encode() for n in range(50))
    report = scan(model_with(tmp_path / "model", "m.pkl", body + b"N.", good=good))
    file = next(f for f in report.files if f.path == "m.pkl")
    assert len(file.globals) == 20
    assert file.problem == "it names more than 20 globals"


def test_a_large_pickle_takes_little_memory(tmp_path, good):
    """Its arrays are stepped over, not read."""
    path = model_with(tmp_path / "model", "m.pkl", b"", good=good)
    with (path / "m.pkl").open("wb") as file:
        file.write(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 30))
        file.seek(1 << 30, 1)
        file.write(b".")
    tracemalloc.start()
    began = time.monotonic()
    assert refusal(scan(path), ()) == ""
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    assert time.monotonic() - began < 5
    tracemalloc.stop()


def test_an_encrypted_or_damaged_zip_is_a_problem(tmp_path, good):
    """What cannot be unpacked cannot be vouched for."""
    data = bytearray(zipped({"a": b"text" * 100}))
    data[40] ^= 0xFF
    told = problems(model_with(tmp_path / "model", "a.zip", bytes(data), good=good))
    assert told["a.zip"].startswith("it cannot be unpacked: ")


def test_yaml_aliases_do_not_multiply(tmp_path, good):
    """Ten lines of aliases would be a billion values."""
    lines = ["flavors:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = model_with(tmp_path / "model", "MLmodel", "\n".join(lines).encode(), good=good)
    assert problems(path) == {"MLmodel": "it holds more than 100,000 values"}


def walked(data):
    """The walk of these bytes."""
    import io

    return pickles.walk(io.BytesIO(data), len(data), until=time.monotonic() + 30)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_plain_data_is_followed_to_its_end(protocol):
    """Data alone imports nothing, or what protocols below 3 need for bytes."""
    value = {"a": [1, 2.5, "é", None, True, (1, 2, 3, 4), {7}], "b": {"c": frozenset([1])}, "n": 10**40, "t": "x" * 5000}
    found = walked(pickle.dumps(value, protocol=protocol))
    assert found.problem == ""
    assert set(found.globals) <= {"builtins.set", "builtins.frozenset"}


def test_a_memo_is_read_as_the_unpickler_reads_it():
    """PUT, BINPUT and MEMOIZE count into one memo."""
    body = text("numpy") + b"\x94" + text("dtype") + b"q\x05" + b"00" + b"h\x00h\x05\x93."
    assert list(walked(b"\x80\x04" + body).globals) == ["numpy.dtype"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b".", "takes more from its stack"),
        (b"(.", ""),
        (b"h\x07.", "has not memorised"),
        (b"\x94.", "memorises nothing"),
        (b"(0N.", ""),
        (b"(\x85.", "takes a mark for a value"),
        (b"pxy\n.", "no number"),
        (b"S'a\n.", "not in quotes"),
        (b"cno module\nx\n.", "can be no module"),
        (b"N", "has no end"),
        (b"\xff", "no opcode"),
    ],
    ids=str,
)
def test_damage_ends_the_walk_where_the_unpickler_would_end(body, problem):
    """And nothing is told that would not run."""
    found = walked(body)
    assert found.globals == {}
    assert problem in found.problem
    assert bool(found.problem) is bool(problem)


def test_a_zip_is_listed_whatever_its_members_are_called(tmp_path, good):
    """Names with `..` are only told: nothing is written by them."""
    path = model_with(tmp_path / "model", "a.zip", zipped({"../../evil.py": b"x", "/etc/x.so": b""}), good=good)
    with zipfile.ZipFile(path / "a.zip") as archive:
        assert len(archive.namelist()) == 2
    assert {f.path for f in scan(path).files} >= {"a.zip!../../evil.py", "a.zip!/etc/x.so"}
    assert not (tmp_path / "evil.py").exists()
