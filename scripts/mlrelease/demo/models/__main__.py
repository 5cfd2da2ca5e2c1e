"""`python -m mlrelease.demo.models URI`: waits for the MLflow server at URI, trains and registers, a line per step.

A process of its own: MLflow, scikit-learn and statsmodels cost seconds, which pass while the story begins. What the story
needs first is registered first; the rest goes on while it is told.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo.models import (
    FIRST,
    FIRST_DONE,
    FLEET_DONE,
    FORECASTS,
    HOSTILE,
    LATER,
    LATER_DONE,
    TUMOUR,
    Recipe,
    forecasts,
)

EXPERIMENT = "the demo"
NICENESS = 5
"""The server that is waited for, and the story, go first."""

_POLL_S = 0.1


def register_all(uri: str, trace: Path) -> None:
    """Every version of everything, with metrics, signature and input example."""
    import mlflow  # noqa: PLC0415

    from mlrelease.demo.models import hostile, tabular  # noqa: PLC0415

    tabular.train(FIRST[0])  # imports what it needs while the server starts
    first = forecasts.fit_all("1")
    wait_for(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(EXPERIMENT)
    for recipe in FIRST:
        _told(recipe, tabular.register(recipe))
    _fleet("1", first)
    say(f"{FIRST_DONE} {len(FIRST) + len(forecasts.FLEET)} versions")
    for recipe in LATER:
        _told(recipe, tabular.register(recipe))
    hostile.register(Recipe(TUMOUR, HOSTILE, "what it says it is, and a pickle", {"C": 1.0}), trace)
    say(f"{LATER_DONE} {len(LATER) + 1} versions")
    _fleet("2", forecasts.fit_all("2"))
    say(f"{FLEET_DONE} {len(forecasts.FLEET)} versions")


def _told(recipe: Recipe, metrics: dict[str, float]) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    say(f"{recipe.model} {recipe.version}  {figures}  {recipe.note}")


def _fleet(version: str, fitted: Mapping[str, forecasts.Fitted]) -> None:
    began = time.monotonic()
    forecasts.register(version, fitted)
    say(f"{FORECASTS} {version}  {len(fitted)} series, an ARIMA model each  ({time.monotonic() - began:.1f} s)")


def wait_for(uri: str) -> None:
    """Comes back when the server lets clients in. Raises `SystemExit` at the deadline."""
    # An API path: /health is answered although no client may be let in.
    url = f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0"
    end = time.monotonic() + DEADLINES_S["demo.mlflow"]
    while True:
        try:
            with urllib.request.urlopen(url, timeout=DEADLINES_S["mlflow.read"]):  # noqa: S310 - an http address of the demo
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > end:
                raise SystemExit(f"MLflow did not answer in {DEADLINES_S['demo.mlflow']:.0f} s: {error}") from error
            time.sleep(_POLL_S)


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """The program: 0 when everything is registered."""
    parser = argparse.ArgumentParser(prog="python -m mlrelease.demo.models", description="Registers the demo's models.")
    parser.add_argument("uri", metavar="URI", help="the MLflow server, e.g. http://127.0.0.1:5000")
    parser.add_argument("--trace", type=Path, required=True, metavar="FILE", help="what the hostile pickle would write")
    options = parser.parse_args(arguments)
    os.nice(NICENESS)
    # MLflow reads these when it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    register_all(options.uri, options.trace)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
