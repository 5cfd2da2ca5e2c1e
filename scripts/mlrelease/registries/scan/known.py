"""Which names are known to have carried attacks: `picklescan`'s list, asked about the pickle and about our own findings."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import BinaryIO

try:
    SCANNER = f"mlrelease with picklescan {version('picklescan')}"
except PackageNotFoundError:  # pragma: no cover - a broken installation
    SCANNER = "mlrelease without picklescan"

LARGEST = 64 << 20
"""Bytes of a pickle that picklescan reads itself: it keeps every argument in memory."""

MOST_OPCODES = 1_000_000
"""The same: 150 bytes for each."""


def second_opinion(stream: BinaryIO, size: int, opcodes: int, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that picklescan finds and we did not; and of all of them those that it calls dangerous.

    It reads the stream, from its beginning, only where that is bounded. Its own reading can miss names (its memo is a
    guess), so ours are put before it as well, in a pickle that only names them.
    """
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # noqa: PLC0415 - only commands that read artifacts come here

    logging.getLogger("picklescan").setLevel(logging.CRITICAL + 1)  # its findings are ours to tell
    own = list(names)
    results = [scan_pickle_bytes(io.BytesIO(_naming(own)), "names")]
    if size <= LARGEST and opcodes <= MOST_OPCODES:
        stream.seek(0)
        data = io.BytesIO(stream.read(size))
        try:
            results.append(scan_pickle_bytes(data, "file"))
        except Exception:  # noqa: BLE001 - it raises what it likes on what is no pickle; our own walk tells that
            data.close()
    found = {f"{item.module}.{item.name}": item.safety for result in results for item in result.globals}
    more = sorted(set(found) - set(own))
    dangerous = sorted(name for name, safety in found.items() if safety is SafetyLevel.Dangerous)
    return tuple(more), tuple(dangerous)


def _naming(names: Iterable[str]) -> bytes:
    """A pickle of nothing but GLOBAL opcodes. Nobody loads it."""
    lines = [name.rpartition(".")[::2] for name in names]
    body = b"".join(
        b"c" + module.encode() + b"\n" + name.encode() + b"\n0"
        for module, name in lines
        if (module + name).isascii() and "\n" not in module + name
    )
    return body + b"N."
