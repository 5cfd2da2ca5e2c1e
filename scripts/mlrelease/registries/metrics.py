"""Metrics of one version as MLflow tells them: which of several values counts, and which zeros are none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_INFINITE = 1.7976931348623157e308  # what MLflow's database stores for an infinity

Logged = Mapping[str, Any]
"""One value: `key`, `value`, `timestamp`, `step`, `run_id`, as in the JSON of MLflow's API."""


def latest(logged: Iterable[Logged]) -> dict[str, Logged]:
    """The value that counts for each key: of the last step, then the last written (MLflow's rule for a run's metrics)."""
    found: dict[str, Logged] = {}
    for item in logged:
        key = str(item["key"])
        if key not in found or _order(item) >= _order(found[key]):
            found[key] = item
    return found


def number(value: Any) -> float:
    """The value as a float; the JSON has `"NaN"` for NaN, and the largest float stands for an infinity."""
    read = float(value)
    return math.copysign(math.inf, read) if abs(read) >= _INFINITE else read


def of_run(logged: Iterable[Logged]) -> dict[str, float]:
    """Numbers by name of what a run's answer holds."""
    return {key: number(item.get("value", 0)) for key, item in latest(logged).items()}


def of_model(logged: Iterable[Logged], history: Callable[[str, str], Iterable[Logged]]) -> dict[str, float]:
    """Numbers by name of what a logged model's answer holds.

    MLflow answers 0.0 there for a NaN (3.17), which would open a gate that asks for a small error. So each zero is looked
    up in `history(run_id, key)`, which tells the two apart; one that is not found there counts as NaN, and opens nothing.
    """
    found = {}
    for key, item in latest(logged).items():
        value = number(item.get("value", 0))
        found[key] = value if value or _is_zero(item, history) else math.nan
    return found


def _is_zero(item: Logged, history: Callable[[str, str], Iterable[Logged]]) -> bool:
    run_id = str(item.get("run_id", ""))
    at = (_whole(item, "step"), _whole(item, "timestamp"))
    same = [one for one in history(run_id, str(item["key"])) if (_whole(one, "step"), _whole(one, "timestamp")) == at]
    return bool(same) and not any(math.isnan(number(one.get("value", 0))) for one in same)


def _order(item: Logged) -> tuple[int, int]:
    return _whole(item, "step"), _whole(item, "timestamp")


def _whole(item: Logged, name: str) -> int:
    return int(item.get(name) or 0)
