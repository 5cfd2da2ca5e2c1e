"""The chapters of the story, in order. Each is told in a `Scene`, and raises `Error` at the first thing that is not so."""

from __future__ import annotations

from collections.abc import Callable

from mlrelease.demo.chapters import beginning, refusals, rollbacks
from mlrelease.demo.scene import Scene

CHAPTERS: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("repository and models", beginning.repository),
    ("staging", beginning.staging),
    ("promotion", beginning.promotion),
    ("refusals", refusals.refusals),
    ("better versions", rollbacks.better_versions),
    ("the revert of one of two", rollbacks.revert_one),
    ("the fleet, back in one commit", rollbacks.fleet),
    ("what was rejected", refusals.rejected),
    ("without MLflow", rollbacks.without_mlflow),
    ("a look around", rollbacks.look),
)
