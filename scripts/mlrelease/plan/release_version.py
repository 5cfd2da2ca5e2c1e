"""Which version comes next. Pure.

The rule of `auto`: the farthest of what is released decides. Removed lines, breaking lines, and a service or model that
is gone are major; added, changed and deprecated lines and pins that moved forward are minor; fixed and security lines
and pins that moved back are a patch. Before 1.0.0 what would be major is minor. A first release takes VERSION as it
stands, or 0.1.0 where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlrelease.model.release import Entry, Level, Version

START = Version(0, 0, 0)
FIRST = Version(0, 1, 0)

_ORDER = (Level.PATCH, Level.MINOR, Level.MAJOR)


def next_version(asked: Level, written: Version | None, last: Version | None, entries: Iterable[Entry]) -> Version:
    """The version to release. `written` is what VERSION says, `last` the newest tag's; None where there is none."""
    if asked is Level.AUTO and last is None:
        return FIRST if written in (None, START) else written or FIRST
    base = last or written or START
    return base.raised(farthest(entries) if asked is Level.AUTO else asked)


def farthest(entries: Iterable[Entry]) -> Level:
    """The level that `auto` takes: the highest of the entries, a patch without any."""
    return max((entry.level for entry in entries), key=_ORDER.index, default=Level.PATCH)
