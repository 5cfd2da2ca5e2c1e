"""What the parts of the scanner share: the limits of one scan, and the files found so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mlrelease.gates.interface import ScannedFile

MOST_FILES = 10_000
MOST_BYTES = 64 << 30
"""Of all files and of everything unpacked from them; a model that is larger than that is no model to load unseen."""

MOST_UNPACKED = 8 << 30
"""Bytes that may come out of archives and compressed files, all of them together."""

DEEPEST = 4
"""Archives in archives."""

MOST_GLOBALS_TOLD = 1_000
"""Names told for one file; more than that are a problem."""


class LimitReached(Exception):  # noqa: N818 - ends a scan, handled where it began
    """A limit of the whole scan; the text says which."""


@dataclass(slots=True)
class Scan:
    """One scan while it runs. `until` is a moment of the monotonic clock."""

    until: float
    files: list[ScannedFile] = field(default_factory=list)
    looked_at: int = 0
    unpacked: int = 0

    def enter(self) -> None:
        """Counts one file or member. Raises `LimitReached`."""
        self.looked_at += 1
        if self.looked_at > MOST_FILES:
            raise LimitReached(f"there are more than {MOST_FILES:,} files")
        self.in_time()

    def in_time(self) -> None:
        """Raises `LimitReached` when the time is over."""
        if time.monotonic() > self.until:
            raise LimitReached("the time for scanning is over")

    def unpack(self, count: int) -> None:
        """Counts bytes that came out of an archive. Raises `LimitReached`."""
        self.unpacked += count
        if self.unpacked > MOST_UNPACKED:
            raise LimitReached(f"more than {MOST_UNPACKED >> 30} GiB come out of its archives")
        self.in_time()

    def tell(
        self, path: str, kind: str, names: tuple[str, ...] = (), *, known: tuple[str, ...] = (), problem: str = ""
    ) -> None:
        """Adds a file that can run code, or whose content nobody can vouch for; what a line cannot show is escaped."""
        if len(names) > MOST_GLOBALS_TOLD:
            problem = problem or f"it names more than {MOST_GLOBALS_TOLD:,} globals"
        told = tuple(_shown(name) for name in names[:MOST_GLOBALS_TOLD])
        self.files.append(ScannedFile(_shown(path), kind, told, _shown(problem), tuple(map(_shown, known))))


def _shown(text: str) -> str:
    """The text in one line: a name may hold line breaks and whatever moves a terminal's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
