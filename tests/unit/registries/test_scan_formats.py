"""What a file is by its first bytes, its text and its name: told, harmless, or unknown."""

from __future__ import annotations

import io
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.registries.scan import formats, numpy_files
from mlrelease.registries.scan.mlmodel import Declared
from support.hostile import npy, zipped
from support.scanning import RUNS, scanned, told, version

BINARY = b"\x00\x01\xfe\xff" * 20


@pytest.mark.parametrize(
    ("name", "head"),
    [
        pytest.param("x.png", b"\x89PNG\r\n\x1a\n", id="PNG"),
        pytest.param("x.jpg", b"\xff\xd8\xff", id="JPEG"),
        pytest.param("x.JPEG", b"\xff\xd8\xff", id="JPEG, written out"),
        pytest.param("x.gif", b"GIF8", id="GIF"),
        pytest.param("x.pdf", b"%PDF-", id="PDF"),
        pytest.param("x.parquet", b"PAR1", id="Parquet"),
        pytest.param("x.arrow", b"ARROW1\x00\x00", id="Arrow"),
        pytest.param("x.feather", b"ARROW1\x00\x00", id="Feather"),
        pytest.param("x.safetensors", struct.pack("<Q", 1000) + b'{"', id="safetensors"),
        pytest.param("x.ubj", b"{L\x00\x00\x00\x00\x00\x00\x00", id="UBJSON of XGBoost"),
        pytest.param("x.xgb", b"{L\x00\x00\x00\x00\x00\x00\x00", id="the same as MLflow names it"),
    ],
)
def test_what_nothing_runs_from_is_not_told(name, head):
    """Binary as it is; with another byte at the end of its mark, or under another name, nobody knows it."""
    assert told(head + BINARY, name) == []
    assert told(head[:-1] + b"\xfe" + BINARY, name) == [(name, "unknown format", (f"file:{name}",), "")]
    for other in ("x", "saved_model.pb", "model.onnx"):
        assert told(head + BINARY, other) == [(other, "unknown format", (f"file:{other}",), "")]


@pytest.mark.parametrize("low", range(256))
def test_a_length_that_is_an_opcode_makes_no_pickle(low):
    """A safetensors file begins with the length of its header: any byte, and PROTO or EXT1 among them."""
    for length in (low, low + (2 << 8), low + (4 << 8) + (1 << 16)):
        assert told(struct.pack("<Q", length) + b'{"a":1}' + BINARY, "x.safetensors") == []


def test_a_pickle_with_the_looks_of_something_else_is_told():
    """What it would import counts, whatever the first bytes say; and where a loader opens the file, a problem does too."""
    data = b"NG" + bytes(6) + b'{"00' + RUNS
    assert pickle.loads(b"NG" + bytes(6) + b'{"00N.') is None
    assert told(data, "x.safetensors") == [("x.safetensors", "pickle", ("posix.system",), "")]
    extended = b"\x82\x01" + bytes(6) + b'{"a":1}'
    opened = Declared(opened=frozenset({"x.safetensors"}))
    assert [(kind, bool(problem)) for _, kind, _, problem in told(extended, "x.safetensors", opened)] == [("pickle", True)]
    assert told(extended, "x.safetensors") == []


def test_nothing_at_all_is_not_told():
    """An empty file runs nothing."""
    assert told(b"") == []


def test_a_picture_that_is_opened_as_the_model_is_none(tmp_path):
    """`MLmodel` names the file, and the loader reads past what makes it look like a document."""
    files = dict.fromkeys(("model.pdf", "plot.pdf"), b"%PDF-" + BINARY)
    files["MLmodel"] = b"flavors:\n  onnx:\n    data: model.pdf\n"
    paths = [path for path, *_ in scanned(version(tmp_path, files))]
    assert "model.pdf" in paths
    assert "plot.pdf" not in paths


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x7fELF", "native code"),
        (b"MZ", "native code"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (bytes(257) + b"ustar", "tar"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "RAR"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_read_here_is_told_as_the_file(head, kind):
    """By its kind, once, and so that a reviewer may allow that file."""
    assert told(head + BINARY) == [("x", kind, ("file:x",), "")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"a{suffix}", "python code") for suffix in (".py", ".pyc", ".pyo", ".pyw", ".pyx", ".PY")),
        *((f"a{suffix}", "native code") for suffix in (".so", ".pyd", ".dll", ".dylib", ".so.1.2", ".cpython-311.so")),
        *((f"a{suffix}", "python package") for suffix in (".egg", ".whl", ".pyz", ".WHL")),
    ],
)
def test_what_is_imported_by_its_name_is_told_whatever_it_holds(name, kind):
    """Python and the system's loader go by names."""
    assert told(b"text", f"deep/{name}") == [(f"deep/{name}", kind, (f"file:deep/{name}",), "")]


@pytest.mark.parametrize("name", ["a.pyi", "a.ipynb", "py", "so", "a.sock", "notpy", "a.py.txt", "a.pth"])
def test_names_that_only_look_so_are_told_nothing(name):
    """No import goes by them."""
    assert told(b"text", name) == []


def test_a_source_that_is_a_pickle_too_is_told_as_both():
    """Python imports it, and a loader may open it."""
    assert told(RUNS, "a.py") == [
        ("a.py", "python code", ("file:a.py",), ""),
        ("a.py", "pickle", ("posix.system",), ""),
    ]
    assert told(BINARY, "a.py") == [("a.py", "python code", ("file:a.py",), "")]


@pytest.mark.parametrize(
    ("name", "places", "is_code"),
    [
        ("code/a.txt", ("code",), True),
        ("code/deep/a", ("code",), True),
        ("codes/a.txt", ("code",), False),
        ("a.txt", ("code",), False),
        ("code", ("code",), True),
        ("a.txt", (".",), True),
        ("b/a.txt", ("b/a.txt", "c"), True),
    ],
)
def test_what_lies_on_pythons_path_is_code(name, places, is_code):
    """Below the folder that `MLmodel` names, not beside it."""
    assert bool(told(b"text", name, Declared(code=places))) is is_code


def test_inside_of_an_archive_no_path_is_on_pythons_path():
    """The archive is one file there; its own names count."""
    assert told(zipped({"a": b"text"}), "a.zip", Declared(code=("a.zip!a",))) == []


OPENED = {"requirements.txt": RUNS, "conda.yaml": RUNS, "deep/requirements.txt": RUNS, "python_env.yaml": b"\x80\x02" + RUNS}


def test_texts_that_mlflow_writes_are_read_as_text_in_their_own_place_only(tmp_path):
    """Not further down, and not when they are no text."""
    assert scanned(version(tmp_path, OPENED)) == [
        ("deep/requirements.txt", "pickle", ("posix.system",), ""),
        ("python_env.yaml", "pickle", ("posix.system",), ""),
    ]


@pytest.mark.parametrize("cut", range(1, 9))
def test_text_is_text_wherever_it_is_cut(cut, monkeypatch):
    """Characters of one to four bytes lie across the pieces that are read."""
    monkeypatch.setattr(formats, "_CHUNK", cut)
    assert told("aé€𝄞 é€𝄞a".encode() * 3) == []
    assert told("aé€𝄞".encode()[:-1]) == [("x", "unknown format", ("file:x",), "")]
    assert told(b"a\xc3(") == [("x", "unknown format", ("file:x",), "")]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_bytes_are_told_unless_they_are_text(data):
    """Behind a byte that begins nothing: UTF-8 without NUL or told, never neither."""
    data = b"z" + data  # no opcode, no magic
    try:
        is_text = "\0" not in data.decode()
    except UnicodeDecodeError:
        is_text = False
    assert told(data) == ([] if is_text else [("x", "unknown format", ("file:x",), "")])


# ---- arrays


@pytest.mark.parametrize(
    "descr",
    [
        *(
            "'<f8'",
            "'|b1'",
            "'|u1'",
            "'>i4'",
            "'<c16'",
            "'|S10'",
            "'<U3'",
            "'<M8[ns]'",
            "'<m8[25us]'",
            "'|V16'",
            "'=f4'",
            "'f8'",
        ),
        *("[('a', '<f8'), ('b', '<i4')]", "[('a', '<f8', (2, 3))]", "[(('a title with O', 'a'), '<f8')]"),
        *("('<f8', (3,))", "[('O', '<f8')]", "[('a', [('b', '|S1')])]"),
    ],
)
def test_an_array_of_numbers_and_texts_runs_nothing(descr):
    """Its content is not even looked at: names of fields are no types."""
    assert told(npy(RUNS, descr)) == []


@pytest.mark.parametrize(
    "descr",
    [
        *("'|O'", "'O'", "'|O8'", "'object'", "'object_'", "'i4,O'", "'V8,object'", "'<f8 '", "'(2,)O'"),
        *("[('a', '<f8'), ('b', '|O')]", "[('a', 'object')]", "[('a', [('b', '|O')])]", "('|O', (2,))", "[('a', '|O', (2,))]"),
        *("[('a',)]", "['O']", "()", "None", "7", "{'a': 'O'}", "[(('O title', 'a'), 'object')]", "b'O'"),
    ],
)
def test_an_array_that_may_hold_objects_is_read_as_a_pickle(descr):
    """However NumPy would spell or accept that: what is no type known to be plain counts as objects."""
    assert told(npy(RUNS, descr)) == [("x", "pickle", ("posix.system",), "")]


def test_numpy_agrees_on_which_types_hold_objects():
    """Every name of a type that the installed NumPy knows, as a header could spell it."""
    import numpy as np

    for name in {str(key) for key in np._core.numerictypes.sctypeDict} | {"O", "|O8", "i4,O", "f8"}:
        try:
            holds = np.dtype(name).hasobject
        except TypeError:
            continue
        found = numpy_files.pickled_from(io.BytesIO(npy(b"", repr(name))))
        assert found is not None or not holds, name


def header(text, version=1, length=None):
    """A `.npy` header of that text, as long as it says or as `length`."""
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + (len(text) if length is None else length).to_bytes(width, "little") + text


OBJECTS = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_the_header_is_read(version):
    """The first has two bytes for its length, the others four."""
    assert told(header(OBJECTS, version) + RUNS) == [("x", "pickle", ("posix.system",), "")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(header(OBJECTS, 4), "its header is of an unknown version", id="of the future"),
        pytest.param(header(OBJECTS, 0), "its header is of an unknown version", id="of no version"),
        pytest.param(b"\x93NUMPY\x01", "its header is of an unknown version", id="cut off in its version"),
        pytest.param(header(OBJECTS, 2, (64 << 10) + 1), "its header is longer than 64 KiB", id="huge"),
        pytest.param(header(b"[" * 1001), "its header is nested too deeply", id="deep"),
        pytest.param(header(b"[" * 1000), "its header cannot be read", id="unbalanced"),
        pytest.param(header(b""), "its header cannot be read", id="empty"),
        pytest.param(header(b"{'shape': (1,)}"), "its header cannot be read", id="without a type"),
        pytest.param(header(b"['descr']"), "its header cannot be read", id="a list"),
        pytest.param(header(b"{'descr': os.system('true')}"), "its header cannot be read", id="a call"),
        pytest.param(header(b"{'descr': '|O', 'shape': (1L,)}"), "its header cannot be read", id="of Python 2"),
        pytest.param(header(OBJECTS, length=4000), "its array of objects is no pickle", id="shorter than it says"),
        pytest.param(header(OBJECTS), "its array of objects is no pickle", id="nothing behind it"),
    ],
)
def test_an_array_that_cannot_be_read_is_a_problem(data, problem):
    """It is not taken for numbers."""
    assert told(data) == [("x", "numpy", (), problem)]
