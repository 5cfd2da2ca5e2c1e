"""The operands of a pickle's opcodes, read as the unpickler reads them. Values that can become no name are stepped over."""

from __future__ import annotations

import codecs
import io
import pickletools
from typing import BinaryIO

LONGEST_NAME = 1024
"""Characters of a text that could be a module or a name; longer ones are not kept."""

LONGEST_LINE = 16 << 20
"""Bytes of one text argument that ends with its line (protocol 0)."""

LONGEST_NUMBER = 640
"""Digits that each Python reads, whatever `sys.set_int_max_str_digits` says."""

TEXTS = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
"""Opcodes that push a text."""

_COUNTED = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4}
_COUNTED |= {pickletools.TAKEN_FROM_ARGUMENT4U: 4, pickletools.TAKEN_FROM_ARGUMENT8U: 8}


class Ended(Exception):  # noqa: N818 - how a walk ends, handled where it began
    """The unpickler would raise here: what ran before is all that runs."""


class Hidden(Ended):
    """The unpickler would go on, or might, where this walk cannot follow."""


class Operands:
    """Reads from a seekable stream of `size` bytes, from where it stands."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size

    def read(self, opcode: pickletools.OpcodeInfo) -> object:
        """The argument where it matters, as text or as number (of GLOBAL and INST both texts); None where it does not.

        Values that can become no name are stepped over and never parsed: a stricter parser than the unpickler's own
        would end where that one goes on.
        """
        if opcode.arg is None:
            return None
        if opcode.arg.n >= 0:
            return int.from_bytes(self._exactly(opcode.arg.n), "little")
        if opcode.arg.n == pickletools.UP_TO_NEWLINE:
            line = self._line()
            if opcode.name in ("GLOBAL", "INST"):
                return _name(line), _name(self._line())
            if opcode.name in ("GET", "PUT"):
                return _number(line)
            if opcode.name == "PERSID" and not line.isascii():
                raise Ended("an id in the pickle is not ASCII")
            return _quoted(line) if opcode.name == "STRING" else _text(line, "raw-unicode-escape", "strict")
        return self._counted(opcode, opcode.arg.n)

    def _counted(self, opcode: pickletools.OpcodeInfo, kind: int) -> object:
        # Only BINSTRING and LONG4 count with a sign; a negative length ends the unpickler as well.
        is_signed = kind == pickletools.TAKEN_FROM_ARGUMENT4
        length = int.from_bytes(self._exactly(_COUNTED[kind]), "little", signed=is_signed)
        if not 0 <= length <= self._size - self._stream.tell():
            raise Ended("a length in the pickle goes past its end")
        if opcode.name not in TEXTS or length > LONGEST_NAME * 4:
            self._stream.seek(length, io.SEEK_CUR)
            return None
        return _text(self._exactly(length), "utf-8", "surrogatepass")

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) != count:
            raise Ended("the pickle ends in the middle")
        return data

    def _line(self) -> bytes:
        line = self._stream.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            if len(line) == LONGEST_LINE:
                raise Hidden(f"a line of the pickle is longer than {LONGEST_LINE >> 20} MiB")
            raise Ended("a line of the pickle has no end")
        return line[:-1]


def _text(raw: bytes, encoding: str, errors: str) -> object:
    """The text; None if it is none or too long to be a name."""
    try:
        text = raw.decode(encoding, errors)
    except UnicodeError:
        return None
    return text if len(text) <= LONGEST_NAME else None


def _quoted(line: bytes) -> object:
    """The text of a STRING, which stands in quotes and may hold escapes."""
    line = line.rstrip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Ended("a text of the pickle is not in quotes")
    try:
        raw = codecs.escape_decode(line[1:-1])[0]
    except ValueError as e:
        raise Ended("an escape in a text of the pickle is malformed") from e
    return _text(raw, "utf-8", "strict")


def _name(line: bytes) -> object:
    """The module or the name; None if it is too long to be one."""
    try:
        text = line.decode()
    except UnicodeDecodeError as e:
        raise Ended("the name of an import is not UTF-8") from e
    return text if len(text) <= LONGEST_NAME else None


def _number(line: bytes) -> object:
    """The number as the unpickler in C reads it, up to a NUL; None if it is one that only some Pythons read."""
    digits = line.partition(b"\0")[0]
    try:
        return int(digits)
    except ValueError as e:
        if len(digits) < LONGEST_NUMBER:
            raise Ended("a place in the memo has no number") from e
        return None
