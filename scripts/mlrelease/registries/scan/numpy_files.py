"""The header of a `.npy` file: whether its content is numbers, or objects and so a pickle."""

from __future__ import annotations

import ast
import re
from typing import BinaryIO

MAGIC = b"\x93NUMPY"

LARGEST_HEADER = 64 << 10
"""Bytes; NumPy itself reads 10,000 characters without `max_header_size`."""

_NESTING = 1_000

_PLAIN = re.compile(r"[<>|=]?[biufcmMSUVa?]\d*(\[\w+\])?")
"""Type codes without objects, as NumPy writes them (`<f8`, `|S10`, `<M8[ns]`). Any other text counts as objects: `np.dtype`
reads more than it writes, `object` and `i4,O` among it."""


def pickled_from(stream: BinaryIO) -> int | None:
    """Where the pickle of an array of objects begins; None for an array of anything else. Raises `ValueError`."""
    start = stream.read(8)
    width = {1: 2, 2: 4, 3: 4}.get(start[6] if len(start) == 8 else 0)
    if width is None:
        raise ValueError("its header is of an unknown version")
    length = int.from_bytes(stream.read(width), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"its header is longer than {LARGEST_HEADER >> 10} KiB")
    text = stream.read(length).decode("latin-1")
    if sum(text.count(c) for c in "([{") > _NESTING:
        raise ValueError("its header is nested too deeply")
    try:
        described = ast.literal_eval(text.strip())["descr"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as e:
        raise ValueError("its header cannot be read") from e
    return stream.tell() if _has_objects(described) else None


def _has_objects(described: object) -> bool:
    """Whether a type's description may have Python objects anywhere, also in a field of a record."""
    if isinstance(described, str):
        return _PLAIN.fullmatch(described) is None
    if isinstance(described, tuple):  # a type and its shape
        return not described or _has_objects(described[0])
    if isinstance(described, list):  # fields: name (or title and name), type, perhaps a shape
        return any(not isinstance(field, tuple) or len(field) < 2 or _has_objects(field[1]) for field in described)
    return True
