"""Whether two sets of predictions are equal, and if not, where they first differ. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

ABSOLUTE = 1e-12
"""Below this two numbers are equal whatever the relative tolerance: near zero nothing is relatively close."""

_SHOWN = 60


def differences(expected: Any, actual: Any, rtol: float) -> str:
    """Where `actual` differs from `expected`, in one short line; "" when they are equal.

    Both are JSON values. Numbers may differ by `rtol` times the larger magnitude, or by `ABSOLUTE`; NaN and null are
    the same; strings, booleans, keys and lengths are exact. The first level of a list counts as rows.
    """
    wrong = list(_walk(expected, actual, rtol, ()))
    if not wrong:
        return ""
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return wrong[0] + more


def _walk(expected: Any, actual: Any, rtol: float, place: tuple[str | int, ...]) -> list[str]:
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            what = "values" if place else "rows"
            return [f"{_named(place)}expected {len(expected)} {what}, got {len(actual)}"]
        return [text for i, (e, a) in enumerate(zip(expected, actual, strict=True)) for text in _walk(e, a, rtol, (*place, i))]
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if set(expected) != set(actual):
            return [f"{_named(place)}expected keys {_short(sorted(expected))}, got {_short(sorted(actual))}"]
        return [text for key in expected for text in _walk(expected[key], actual[key], rtol, (*place, str(key)))]
    if _equal(expected, actual, rtol):
        return []
    shown, got = _short(expected), _short(actual)
    if shown == got:  # ten digits do not tell them apart, a tight tolerance does
        shown, got = _cut(repr(expected)), _cut(repr(actual))
    return [f"{_named(place)}expected {shown}, got {got}"]


def _equal(expected: Any, actual: Any, rtol: float) -> bool:
    if _is_number(expected) and _is_number(actual):
        if _is_missing(expected) or _is_missing(actual):
            return _is_missing(expected) and _is_missing(actual)
        if isinstance(expected, int) and isinstance(actual, int) and expected == actual:
            return True  # also where they are too large for a float
        try:
            return math.isclose(expected, actual, rel_tol=rtol, abs_tol=ABSOLUTE)
        except OverflowError:
            return False
    if _is_missing(expected) or _is_missing(actual):
        return _is_missing(expected) and _is_missing(actual)
    return type(expected) is type(actual) and bool(expected == actual)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _named(place: tuple[str | int, ...]) -> str:
    if not place:
        return ""
    first, *rest = place
    head = f"row {first}" if isinstance(first, int) else f"{first!r}"
    return head + "".join(f"[{part!r}]" for part in rest) + ": "


def _short(value: Any) -> str:
    return _cut(f"{value:.10g}" if isinstance(value, float) else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
