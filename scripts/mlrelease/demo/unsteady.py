"""Version 4 of the demo's model: right for one request at a time, nonsense for two. MLflow stores this file as the model.

The mistake is a common one: rows are scaled in place in an array that belongs to the model, to save an allocation. A
second request in the same moment scales the rows of the first once more. No test that asks once finds it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np

_LOOKUP_S = 0.02
"""What a look into a feature store would take: other requests come in meanwhile, as they would in real life."""


class UnsteadyClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc] # MLflow's class is untyped here
    """Standardises and classifies, in one array for all requests."""

    def load_context(self, context: Any) -> None:
        """Reads the numbers."""
        numbers = json.loads(Path(context.artifacts["numbers"]).read_text())
        self._mean, self._scale = np.array(numbers["mean"]), np.array(numbers["scale"])
        self._weights, self._bias = np.array(numbers["weights"]), np.array(numbers["bias"])
        self._rows = np.empty((0, len(self._mean)))

    # MLflow would take type hints here for the signature of the data.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201, ARG002
        """The class of each row."""
        self._rows = self._rows if len(self._rows) == len(model_input) else np.empty(model_input.shape)
        self._rows[:] = model_input.to_numpy()
        self._rows -= self._mean
        time.sleep(_LOOKUP_S)
        self._rows /= self._scale
        scores = self._rows @ self._weights.T + self._bias
        return np.argmax(scores, axis=1)


mlflow.models.set_model(UnsteadyClassifier())
