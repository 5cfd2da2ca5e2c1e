"""One file of a version: what it is by its content, and what loading that would run."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import BinaryIO

from mlrelease.registries.scan import archives, numpy_files, pickles
from mlrelease.registries.scan.found import Scan
from mlrelease.registries.scan.known import second_opinion
from mlrelease.registries.scan.mlmodel import FILE, Declared

WRITTEN_BY_MLFLOW = frozenset(
    {
        *(FILE, "conda.yaml", "python_env.yaml", "requirements.txt"),
        *("input_example.json", "serving_input_example.json"),
    }
)
"""Texts that no loader opens as a model, unless `MLmodel` names them: `cloudpickle` and `numpy` on two lines of a
requirements file would be the opcode GLOBAL."""

_SOURCES = frozenset({".py", ".pyc", ".pyo", ".pyw", ".pyx"})
_NATIVE = frozenset({".so", ".pyd", ".dll", ".dylib"})
_PACKAGES = frozenset({".egg", ".whl", ".pyz"})

_HARMLESS = {
    ".png": (b"\x89PNG\r\n\x1a\n", 0),
    ".jpg": (b"\xff\xd8\xff", 0),
    ".jpeg": (b"\xff\xd8\xff", 0),
    ".gif": (b"GIF8", 0),
    ".pdf": (b"%PDF-", 0),
    ".parquet": (b"PAR1", 0),
    ".arrow": (b"ARROW1\x00\x00", 0),
    ".feather": (b"ARROW1\x00\x00", 0),
    ".safetensors": (b'{"', 8),  # eight bytes of length, then JSON
    ".ubj": (b"{L\x00\x00\x00\x00\x00\x00\x00", 0),  # as XGBoost writes it: an object, the first key's length
    ".xgb": (b"{L\x00\x00\x00\x00\x00\x00\x00", 0),
}
"""First bytes, and where they stand, of formats that run nothing, by the suffix that their loaders and viewers go by. Both
must fit: other loaders read past such a beginning, as protobuf does past fields that it does not know."""

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".pdf"})
"""No model lies in one of these: what `MLmodel` names is opened as something else."""
_NAMED = (
    (b"\x7fELF", 0, "native code"),
    (b"MZ", 0, "native code"),
    (b"\x89HDF\r\n\x1a\n", 0, "HDF5"),
    (b"ustar", 257, "tar"),
    (b"7z\xbc\xaf\x27\x1c", 0, "7z"),
    (b"Rar!\x1a\x07", 0, "RAR"),
    (b"\x28\xb5\x2f\xfd", 0, "zstd"),
    (b"\x04\x22\x4d\x18", 0, "lz4"),
)
_ID_AS_TEXT = b"P"
"""PERSID, and with it each zip (`PK`) begins. The first thing in a pickle it ends the unpickler: without `persistent_load`,
as everywhere but in PyTorch, and there because its own takes tuples alone. To follow it is to take what comes after by chance
for opcodes: of 20,000 zips with random contents one in forty looked dangerous."""

_HEAD = 512
_CHUNK = 1 << 20


def look(run: Scan, name: str, stream: BinaryIO, size: int, known: Declared, depth: int = 0) -> None:
    """Tells what the file or archive member `name` would run; `stream` is seekable and holds `size` bytes."""
    path = PurePosixPath(name)
    kind = _imported_as(path, known if depth == 0 else Declared())
    if kind:
        run.tell(name, kind, (f"file:{name}",))
        if kind != "python code":
            return
    head = stream.read(_HEAD)
    stream.seek(0)
    is_plain = depth == 0 and name in WRITTEN_BY_MLFLOW and path.name not in known.opened
    if is_plain and _is_text(run, stream):
        return
    stream.seek(0)
    for magic, at, named in _NAMED:
        if head[at : at + len(magic)] == magic:
            run.tell(name, named, (f"file:{name}",))
            kind = kind or named
    # What is a zip to one loader may be a pickle, an array or a compressed one to another: all are looked for in one file.
    is_array = head.startswith(numpy_files.MAGIC)
    is_opened = path.name in known.opened
    is_harmless = _is_harmless(path, head, is_opened=is_opened)
    is_known = is_array or _pickle(run, name, stream, size, by_chance=is_harmless and not is_opened)
    if is_array:
        _array(run, name, stream, size)
    if archives.is_zip(stream):
        archives.members(run, name, stream, size, depth, look)
        is_known = True
    is_known |= archives.unpacked(run, name, stream, head, depth, look)
    if is_known or kind or is_harmless or not size:
        return
    stream.seek(0)
    if not _is_text(run, stream):
        run.tell(name, "unknown format", (f"file:{name}",))


def _imported_as(path: PurePosixPath, known: Declared) -> str:
    """How Python or the system would take the file for code, by its name and place; empty if they would not."""
    suffix = path.suffix.lower()
    if suffix in _SOURCES or known.is_code(path.as_posix()):
        return "python code"
    if suffix in _NATIVE or ".so." in path.name:
        return "native code"
    return "python package" if suffix in _PACKAGES else ""


def _pickle(run: Scan, name: str, stream: BinaryIO, size: int, start: int = 0, *, by_chance: bool = False) -> bool:
    """Tells the pickles from `start` on, if loading any would import anything. Whether it is a pickle at all.

    `by_chance`: the file is something else, and nothing opens it as a pickle: one that imports nothing is then none. The
    length that a safetensors file begins with may be any opcode.
    """
    stream.seek(start)
    head = stream.read(2)
    if head[:1] == _ID_AS_TEXT:
        return False
    looks_like_one = head in {bytes([0x80, protocol]) for protocol in range(6)}
    stream.seek(start)
    names: dict[str, None] = {}
    opcodes, problem = 0, ""
    while True:
        began = stream.tell()
        walked = pickles.walk(stream, size, until=run.until)
        run.in_time()
        names |= walked.globals
        opcodes += walked.opcodes
        looks_like_one |= walked.can_run
        if walked.problem:
            if not looks_like_one or (by_chance and not names):
                return False
            is_own = began == start or walked.hidden
            problem = walked.problem if is_own else "bytes follow the pickle that are none"
        elif len(names) > pickles.MOST_GLOBALS:
            problem = f"its pickles import more than {pickles.MOST_GLOBALS:,} names"
        if problem or stream.tell() >= size:
            break
    if names or problem:
        more, known = second_opinion(stream, size, opcodes, names) if start == 0 else ((), ())
        run.tell(name, "pickle", (*names, *more), known=known, problem=problem)
    return True


def _array(run: Scan, name: str, stream: BinaryIO, size: int) -> None:
    try:
        start = numpy_files.pickled_from(stream)
    except ValueError as e:
        run.tell(name, "numpy", problem=str(e))
        return
    if start is None:
        return
    stream.seek(start)
    if not _pickle(run, name, stream, size, start):
        run.tell(name, "numpy", problem="its array of objects is no pickle")


def _is_harmless(path: PurePosixPath, head: bytes, *, is_opened: bool) -> bool:
    """By its name and its first bytes."""
    suffix = path.suffix.lower()
    magic, at = _HARMLESS.get(suffix, (b"", 0))
    return bool(magic) and head[at : at + len(magic)] == magic and not (is_opened and suffix in _PICTURES)


def _is_text(run: Scan, stream: BinaryIO) -> bool:
    """Whether all of it is UTF-8 without NUL; reads it in pieces."""
    rest = b""
    while piece := stream.read(_CHUNK):
        run.in_time()
        if b"\x00" in piece:
            return False
        whole = rest + piece
        # A character has at most four bytes: the last three may be the beginning of one that the next piece ends.
        cut = max(len(whole) - 3, 0)
        while cut < len(whole) and whole[cut] & 0xC0 == 0x80:
            cut += 1
        try:
            whole[:cut].decode()
        except UnicodeDecodeError:
            return False
        rest = whole[cut:]
    try:
        rest.decode()
    except UnicodeDecodeError:
        return False
    return True
