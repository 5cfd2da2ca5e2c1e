"""What is packed: zip members and compressed streams, unpacked to temporary files within the limits of the scan."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

from mlrelease.registries.scan import pickles, skops_files
from mlrelease.registries.scan.found import DEEPEST, Scan
from mlrelease.registries.scan.mlmodel import Declared

Look = Callable[[Scan, str, BinaryIO, int, Declared, int], None]

LARGEST_DIRECTORY = 16 << 20
"""Bytes of a zip's directory, all of which becomes objects in memory."""

_IN_MEMORY = 16 << 20
_CHUNK = 1 << 20
_SIP = 1 << 10
"""Packed bytes that are unpacked at once where damage would take all that came out with it."""

_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_FROM_END = (1 << 16) + 22 + 76  # the comment, the end record, and zip64's records before it
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError, OverflowError)
"""What zipfile raises: its own errors, those of the compressions, of unknown methods, of encryption and of places past any
file's end."""


def is_zip(stream: BinaryIO) -> bool:
    """Whether it ends as a zip does, be it a damaged one: `zipfile` raises for some that it does not read."""
    try:
        return zipfile.is_zipfile(stream)
    except (zipfile.BadZipFile, ValueError, OverflowError):
        return True


def members(run: Scan, name: str, stream: BinaryIO, size: int, depth: int, look: Look) -> None:
    """Looks at every member of a zip; at its types instead when it is skops'."""
    if depth >= DEEPEST:
        run.tell(name, "zip", problem=f"archives are packed more than {DEEPEST} deep")
        return
    if _directory_size(stream, size) > LARGEST_DIRECTORY:
        run.tell(name, "zip", problem=f"its directory is larger than {LARGEST_DIRECTORY >> 20} MiB")
        return
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            if skops_files.SCHEMA in archive.namelist():
                skops_files.types(run, name, archive)
            for item in archive.infolist():
                if item.filename.endswith("/") or item.filename == skops_files.SCHEMA:
                    continue
                run.enter()
                with archive.open(item) as packed, tempfile.SpooledTemporaryFile(_IN_MEMORY) as plain:
                    count = _copy(run, cast("io.BufferedIOBase", packed), cast("BinaryIO", plain))
                    look(run, f"{name}!{item.filename}", cast("BinaryIO", plain), count, Declared(), depth + 1)
    except _DAMAGE as e:
        run.tell(name, "zip", problem=f"it cannot be unpacked: {str(e)[:200]}")


def unpacked(run: Scan, name: str, stream: BinaryIO, head: bytes, depth: int, look: Look) -> bool:
    """Looks into a compressed stream. Whether it is one: text may begin like one, and then does not unpack.

    One that breaks off counts when its beginning is a pickle: who loads that may never read as far as the damage.
    """
    opened = _opened(stream, head)
    if opened is None:
        return False
    if depth >= DEEPEST:
        run.tell(name, "compressed", problem=f"archives are packed more than {DEEPEST} deep")
        return True
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as plain:
        try:
            count = _copy(run, opened, cast("BinaryIO", plain))
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as e:
            count = plain.tell()
            plain.seek(0)
            if count < _CHUNK and not pickles.walk(cast("BinaryIO", plain), count, until=run.until).can_run:
                return False
            run.tell(name, "compressed", problem=f"it cannot be unpacked: {str(e)[:200]}")
            return True
        look(run, f"{name}!", cast("BinaryIO", plain), count, Declared(), depth + 1)
    return True


def _opened(stream: BinaryIO, head: bytes) -> io.BufferedIOBase | None:
    stream.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream, "rb")
    if head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        return lzma.LZMAFile(stream, "rb")
    if len(head) > 1 and head[0] == 0x78 and int.from_bytes(head[:2], "big") % 31 == 0:  # RFC 1950, 2.2
        return io.BufferedReader(_Zlib(stream))
    return None


class _Zlib(io.RawIOBase):
    """A zlib stream, read in bounded pieces."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._state = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = b""
        while not data and not self._state.eof:
            packed = self._state.unconsumed_tail or self._stream.read(_SIP)
            if not packed:
                raise EOFError("the compressed data ends in the middle")
            data = self._state.decompress(packed, len(buffer))
        if not data and (self._state.unused_data or self._stream.read(1)):
            raise ValueError("bytes follow the compressed data")
        buffer[: len(data)] = data
        return len(data)


def _copy(run: Scan, packed: io.BufferedIOBase, plain: BinaryIO) -> int:
    """The bytes copied; `plain` then stands at its beginning. What comes out before damage is copied too."""
    count = 0
    while piece := packed.read1(_CHUNK):
        run.unpack(len(piece))
        plain.write(piece)
        count += len(piece)
    plain.seek(0)
    return count


def _directory_size(stream: BinaryIO, size: int) -> int:
    """Bytes of the directory, as the records at the zip's end say (APPNOTE 4.3.14 to 4.3.16).

    The end record is the one that `zipfile` takes: the last 22 bytes if they are one without a comment, else the last that
    begins like one. zip64's counts wherever its locator stands, right before that or where the locator says.
    """
    start = max(0, size - _FROM_END)
    stream.seek(start)
    tail = stream.read(_FROM_END)
    at = len(tail) - 22 if tail[-22:-18] == _END and tail.endswith(b"\0\0") else tail.rfind(_END)
    found = [int.from_bytes(tail[at + 12 : at + 16], "little")]
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR_64:
        for place in (start + at - 76, int.from_bytes(tail[at - 12 : at - 4], "little")):
            if 0 <= place < size:
                stream.seek(place)
                record = stream.read(56)
                found += [int.from_bytes(record[40:48], "little")] if record.startswith(_END_64) else []
    return max(found)
