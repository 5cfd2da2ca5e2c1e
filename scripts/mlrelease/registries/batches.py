"""Searches that find many versions at once. Pure: which filters to ask for which versions (FACTS §9.3: `AND` only).

A version asked for by itself costs 6 to 8 ms, one more row of a search 0.1 ms. A search names the models and bounds the
version numbers, so that what it reads is bounded by what was asked, however large the registry is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote_plus

Key = tuple[str, str]
"""Name and version."""

_LONGEST_FILTER = 6000  # percent-encoded: nginx and Apache refuse a request line of more than 8 KiB
_ROWS = 200  # rows that any search may read
_WASTE = 4  # else so many for each version asked for
_LONGEST_VERSION = 9  # MLflow's column is a 32-bit integer; 20 digits make the server answer 500


@dataclass(frozen=True, slots=True)
class Batch:
    """One search: its filter, the versions it is asked for, and the most rows that it can find."""

    filter: str
    keys: tuple[Key, ...]
    rows: int


def can_exist(key: Key) -> bool:
    """Whether MLflow could hold such a version: a name, and a number in ASCII digits that fits its column."""
    name, version = key
    return bool(name) and version.isascii() and version.isdecimal() and len(version) <= _LONGEST_VERSION


def can_be_searched(name: str) -> bool:
    """Whether the name can stand in a filter as it is: its parser knows no escapes."""
    return not set(name) & set("'\"\\`;()\0\n\r%") and "--" not in name and "/*" not in name


def batches(keys: Iterable[Key]) -> Iterator[Batch]:
    """Searches for versions that can exist under names that can be searched; each key is in exactly one."""
    group: list[Key] = []
    names: dict[str, int] = {}
    for key in sorted(keys, key=lambda key: (int(key[1]), key[0])):
        name = key[0]
        length = len(quote_plus(f"'{name}',"))
        bigger = len(names | {name: length}) * (int(key[1]) - int(group[0][1]) + 1) if group else 1
        too_many = bigger > max(_ROWS, _WASTE * (len(group) + 1))
        if group and (too_many or sum(names.values()) + (length if name not in names else 0) > _LONGEST_FILTER):
            yield _batch(group, list(names))
            group, names = [], {}
        group.append(key)
        names[name] = length
    if group:
        yield _batch(group, list(names))


def _batch(keys: list[Key], names: list[str]) -> Batch:
    lowest, highest = int(keys[0][1]), int(keys[-1][1])
    listed = ",".join(f"'{name}'" for name in names)
    return Batch(
        f"name IN ({listed}) AND version_number >= {lowest} AND version_number <= {highest}",
        tuple(keys),
        len(names) * (highest - lowest + 1),
    )
