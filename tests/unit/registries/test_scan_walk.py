"""The walk beside the real unpickler: whatever that one imports of any bytes, the walk has named before."""

from __future__ import annotations

import io
import pickle
import pickletools
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.registries.scan import pickles
from support.hostile import text


class Watched(pickle.Unpickler):
    """The C unpickler, with imports that are noted down and give a harmless class instead."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.imported: list[str] = []

    def find_class(self, module, name):
        if not all(part.isidentifier() for part in module.split(".")):
            raise ImportError(module)
        self.imported.append(f"{module}.{name}")
        return Harmless


class Harmless:
    """Takes anything and does nothing."""

    def __new__(cls, *arguments, **more):
        return object.__new__(cls)

    def __init__(self, *arguments, **more) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass

    def __setitem__(self, key, value) -> None:
        pass

    def append(self, item) -> None:
        pass

    def extend(self, items) -> None:
        pass

    def add(self, item) -> None:
        pass


def imported(data: bytes) -> list[str]:
    """What the real unpickler imports, up to where it ends."""
    watched = Watched(data)
    try:
        watched.load()
    except Exception:
        return watched.imported
    return watched.imported


def walked(data: bytes) -> pickles.Walk:
    """What the walk finds."""
    return pickles.walk(io.BytesIO(data), len(data), until=time.monotonic() + 30)


ALLOCATING = frozenset(b"rp\x96")
"""LONG_BINPUT, PUT and BYTEARRAY8 make the real unpickler take as much memory as their number says."""

NAMES = st.sampled_from(["posix", "system", "numpy", "dtype", "sklearn.pipeline", "Pipeline", "a.b.c", "restore_x", "é", ""])
PIECES = st.one_of(
    NAMES.map(text),
    NAMES.map(lambda name: text(name) + b"\x94"),
    st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: b"h%ch%c\x93" % pair),
    NAMES.map(lambda name: b"V" + name.encode("raw-unicode-escape") + b"\n"),
    NAMES.map(lambda name: b"S'" + name.encode("ascii", "ignore") + b"'\n"),
    st.tuples(NAMES, NAMES).map(lambda pair: b"c" + pair[0].encode() + b"\n" + pair[1].encode() + b"\n"),
    st.tuples(NAMES, NAMES).map(lambda pair: b"(i" + pair[0].encode() + b"\n" + pair[1].encode() + b"\n"),
    st.integers(0, 4).map(lambda n: b"q" + bytes([n])),
    st.integers(0, 4).map(lambda n: b"h" + bytes([n])),
    st.integers(0, 4).map(lambda n: b"p%d\n" % n),
    st.integers(0, 4).map(lambda n: b"g%d\n" % n),
    st.integers(-4, 400).map(lambda n: b"I%d\n" % n),
    st.sampled_from([b"I0x1f\n", b"I01\n", b"F1.5\n", b"L12L\n", b"G" + b"\x00" * 8, b"\x8a\x01\x05", b"C\x02ab", b"K\x07"]),
    st.sampled_from([b"(", b")", b"]", b"}", b"0", b"1", b"2", b"t", b"l", b"d", b"N", b"\x88", b"\x85", b"\x86", b"\x87"]),
    st.sampled_from([b"R", b"b", b"o", b"a", b"e", b"s", b"u", b"\x81", b"\x92", b"\x8f", b"\x90", b"\x91", b"\x93", b"\x94"]),
    st.sampled_from([b"\x80\x02", b"\x80\x04", b"\x95" + b"\x00" * 8]),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=24).map(b"".join))
def test_what_the_unpickler_imports_the_walk_has_named(data):
    """Every import is named, or the walk says that it could not follow; it never says less than what runs."""
    data += b"."
    real, found = imported(data), walked(data)
    missed = set(real) - set(found.globals)
    assert not missed or found.hidden, (data, real, found)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=64).filter(lambda data: not set(data) & ALLOCATING))
def test_any_bytes_end_the_walk_and_nothing_is_raised(data):
    """Whatever the bytes are."""
    real, found = imported(data), walked(data)
    assert not set(real) - set(found.globals) or found.hidden


def test_a_place_in_the_memo_that_only_costs_memory_is_a_problem():
    """Eight bytes for each number below it: no pickler writes such a one."""
    assert walked(b"Nr\xff\xff\xff\x7f.").hidden
    assert walked(b"Np2000000000\n.").hidden
    assert walked(pickle.dumps(list(range(2000)), protocol=1)).problem == ""


def test_every_opcode_of_this_python_is_one_that_the_walk_knows():
    """A new protocol would bring opcodes with effects of their own: then this says so."""
    assert max(opcode.proto for opcode in pickletools.opcodes) == pickle.HIGHEST_PROTOCOL == 5
    assert len(pickletools.opcodes) == 68
