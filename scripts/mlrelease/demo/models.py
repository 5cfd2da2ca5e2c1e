"""What the demo deploys: a classifier of wines, trained on the data that scikit-learn ships, in four registered versions.

`python -m mlrelease.demo.models URI` waits for the MLflow server at URI, trains and registers, a line per version. A
process of its own: MLflow and scikit-learn cost seconds, which pass while the story begins.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S

MODEL = "wine"
GOOD, BETTER, TAMPERED, UNSTEADY = "1", "2", "3", "4"
"""The versions by what becomes of them, in the order in which they are registered."""

PICKLE = "model.pkl"
"""The file of version 3 that runs code when it is loaded; versions 1 and 2 are in skops' format, which does not."""

EXPERIMENT = "wine cultivars"
_EXAMPLE_ROWS = 8
_POLL_S = 0.1
_SEED = 23
"""A split on which the versions differ: 94, 98 and 100 % right."""

# Given, so that MLflow does not spend two seconds per version on finding them out by loading the model.
_REQUIREMENTS = ("mlflow", "scikit-learn", "pandas")


class Bomb:
    """Pickled, an order to run a shell command at loading: what a poisoned model file is."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Whoever loads it creates the trace."""
        return Path.write_text, (self._trace, "somebody loaded the poisoned pickle\n")


def poison(trace: Path) -> bytes:
    """A pickle that writes `trace` when it is loaded. Nothing else happens: this one only shows that it could."""
    import pickle  # noqa: PLC0415 - made here, and loaded by nobody: that is what the demo shows

    return pickle.dumps(Bomb(trace))


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version: what it is, its parameters (of a regression on scaled columns; none: naive Bayes), how it is saved."""

    version: str
    note: str
    params: Mapping[str, Any]
    saving: Mapping[str, Any] = field(default_factory=dict)


RECIPES = (
    Recipe(GOOD, "naive Bayes", {}),
    Recipe(BETTER, "logistic regression", {"C": 1.0}),
    Recipe(TAMPERED, "logistic regression, stronger regularised", {"C": 0.1}, {"serialization_format": "cloudpickle"}),
    Recipe(UNSTEADY, "logistic regression, scaling in place", {"C": 1.0}),
)


def register_all(uri: str) -> None:
    """Trains and registers every version, with metrics, parameters, signature and input example."""
    import mlflow  # noqa: PLC0415
    from sklearn.datasets import load_wine  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    data = load_wine(as_frame=True)
    split = train_test_split(data.data, data.target, test_size=0.3, random_state=_SEED, stratify=data.target)
    wait_for(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(EXPERIMENT)
    for recipe in RECIPES:
        began = time.monotonic()
        with mlflow.start_run(run_name=recipe.note):
            accuracy, registered = _register(recipe, *split)
        if registered != recipe.version:
            raise SystemExit(f"{MODEL} is version {registered} where {recipe.version} was expected: not an empty registry")
        say(f"{MODEL} {registered}  accuracy {accuracy:.3f}  {recipe.note}  ({time.monotonic() - began:.1f} s)")


def _register(recipe: Recipe, rows: Any, unseen: Any, labels: Any, unseen_labels: Any) -> tuple[float, str]:
    """The accuracy on rows not trained on, and the number of the registered version."""
    import mlflow  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.naive_bayes import GaussianNB  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    model = make_pipeline(StandardScaler(), LogisticRegression(**recipe.params)) if recipe.params else GaussianNB()
    model.fit(rows, labels)
    accuracy = float(model.score(unseen, unseen_labels))
    mlflow.log_params({"kind": recipe.note, "rows": len(rows), **recipe.params})
    mlflow.log_metric("accuracy", accuracy)
    saving: dict[str, Any] = {
        "name": "model",
        "registered_model_name": MODEL,
        "signature": infer_signature(rows, model.predict(rows)),
        "input_example": unseen.head(_EXAMPLE_ROWS),
        "pip_requirements": list(_REQUIREMENTS),
        **recipe.saving,
    }
    info = _log_unsteady(model, saving) if recipe.version == UNSTEADY else mlflow.sklearn.log_model(model, **saving)
    return accuracy, str(info.registered_model_version)


def _log_unsteady(pipeline: Any, saving: Mapping[str, Any]) -> Any:
    """Version 4 is code beside numbers: `unsteady.py`, and what it scales and weighs by."""
    import mlflow  # noqa: PLC0415

    scaler, regression = (step for _, step in pipeline.steps)
    numbers = {
        "mean": scaler.mean_.tolist(),
        "scale": scaler.scale_.tolist(),
        "weights": regression.coef_.tolist(),
        "bias": regression.intercept_.tolist(),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "numbers.json"
        path.write_text(json.dumps(numbers))
        code = str(Path(__file__).with_name("unsteady.py"))
        return mlflow.pyfunc.log_model(python_model=code, artifacts={"numbers": str(path)}, **saving)


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
    """The program: 0 when all four versions are registered."""
    parser = argparse.ArgumentParser(prog="python -m mlrelease.demo.models", description="Registers the demo's models.")
    parser.add_argument("uri", metavar="URI", help="the MLflow server, e.g. http://127.0.0.1:5000")
    # MLflow reads these when it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    register_all(parser.parse_args(arguments).uri)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
