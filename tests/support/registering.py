"""A program: registers two versions of a model, with metrics, data and one file more, as a user of that MLflow would.

Run by any Python that has `mlflow` 2 or 3, the address and the credentials in its environment. The metrics tell the
versions apart (`rmse` 1.5 and 2.5), and one of them is not a number.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import mlflow.data
import mlflow.pyfunc
import numpy as np


class Constant(mlflow.pyfunc.PythonModel):
    """Answers its version. A model of scikit-learn would cost each of these programs two seconds of imports."""

    def __init__(self, version: int) -> None:
        self.version = version

    def predict(self, context, model_input, params=None):
        return [self.version] * len(model_input)


def main(name: str, artifact_root: str) -> None:
    """Versions 1 and 2 of `name`; in an experiment of its own whose artifacts lie below `artifact_root`, if that is given."""
    if artifact_root:
        mlflow.set_experiment(experiment_id=mlflow.create_experiment(name, artifact_location=artifact_root))
    mlflow_3 = int(mlflow.__version__.partition(".")[0]) >= 3
    for version in (1, 2):
        with mlflow.start_run() as run, TemporaryDirectory() as folder:
            (Path(folder) / "sub").mkdir()
            (Path(folder) / "sub" / "data").write_text(str(version))
            named = {"name": "model"} if mlflow_3 else {"artifact_path": "model"}
            model = {"python_model": Constant(version), "registered_model_name": name, "pip_requirements": ["numpy"]}
            info = mlflow.pyfunc.log_model(**model, **named)
            mlflow.log_param("constant", version)
            mlflow.log_input(mlflow.data.from_numpy(np.array([[0], [1]]), name="two rows"), context="training")
            mlflow.log_metrics({"rmse": version + 0.5, "broken": math.nan, "zero": 0.0})
            if mlflow_3:
                mlflow.MlflowClient().log_model_artifacts(info.model_id, folder)
            else:
                mlflow.MlflowClient().log_artifacts(run.info.run_id, folder, "model")


if __name__ == "__main__":
    main(*sys.argv[1:])
