"""The version that would run code when it is loaded: registered like any other, and nothing of it is ever unpickled here."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

from mlrelease.demo.models import Recipe
from mlrelease.demo.models.tabular import EXAMPLE_ROWS, REQUIREMENTS, check_version, train

PICKLE = "model.pkl"
"""The file in it that is loaded by unpickling."""


class Bomb:
    """Pickled, an order to run a shell command at loading: what a poisoned model file is."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Whoever loads it creates the trace."""
        import os  # noqa: PLC0415
        import shlex  # noqa: PLC0415

        return os.system, (f"echo somebody loaded the hostile pickle > {shlex.quote(str(self._trace))}",)


def poison(trace: Path) -> bytes:
    """A pickle that runs a command when it is loaded. This one writes `trace`, and only shows that it could."""
    return pickle.dumps(Bomb(trace))


def register(recipe: Recipe, trace: Path) -> None:
    """Registers a version that is `recipe`'s in all that can be read, with the hostile pickle where the model should be."""
    import mlflow  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    model, unseen, metrics = train(recipe)
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_name=f"{recipe.model}: {recipe.note}") as run:
        mlflow.log_metrics(metrics)
        path = Path(folder) / "model"
        mlflow.sklearn.save_model(
            model,
            str(path),
            serialization_format="cloudpickle",
            signature=infer_signature(unseen, model.predict(unseen)),
            input_example=unseen.head(EXAMPLE_ROWS),
            pip_requirements=list(REQUIREMENTS),
        )
        (path / PICKLE).write_bytes(poison(trace))
        mlflow.log_artifacts(str(path), "model")
        source = f"{run.info.artifact_uri}/model"
        registered = client.create_model_version(recipe.model, source, run_id=run.info.run_id)
    check_version(recipe.model, recipe.version, registered.version)
