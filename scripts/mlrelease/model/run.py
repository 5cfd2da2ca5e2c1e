"""The run behind a model version: who trained it, from which code, on which data, with what. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Dataset:
    """One input of a run. `digest` is MLflow's own, short one; `source` the address of the data as it was logged, in JSON."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run. `git_commit` and `entry` (the program) are what MLflow's client noted of the code; times in seconds since 1970.

    Everything is as it was logged, by whoever could write there: text from outside.
    """

    run_id: str
    name: str = ""
    status: str = ""
    user: str = ""
    experiment: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    git_commit: str = ""
    entry: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()
