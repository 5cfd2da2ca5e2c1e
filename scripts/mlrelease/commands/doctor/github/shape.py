"""GitHub's JSON taken as it may come: what has another form than expected counts as not there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list, what else it holds left out; empty for what is no list."""
    return [found for found in items(value) if isinstance(found, Mapping)]


def items(value: object) -> Sequence[Any]:
    """The list, or an empty one. A text is no list."""
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()


def number(value: object) -> int:
    """The number, or 0."""
    return value if isinstance(value, int) else 0
