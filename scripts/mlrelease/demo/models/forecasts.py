"""The fleet: an ARIMA model for each of 30 real series that statsmodels ships, registered in two versions.

What is saved holds the estimated parameters and the last `KEPT` observations, which is what a forecast starts from.
`remove_data()` would take those too: statsmodels 0.15 then answers `predict` and `forecast` with a TypeError.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mlrelease.demo.models import SAMPLES
from mlrelease.demo.models.tabular import check_version

KEPT = 16
"""Observations in a saved model; more than any order here looks back."""

AHEAD = 12
"""Steps that the input example asks for."""

HELD_OUT = 4
"""Observations that come after those fitted on, to measure by."""

NEWS = 8
"""So many observations more than version 1 has version 2 seen."""

TOGETHER = 2
"""Models that are registered at the same time."""

REQUIREMENTS = ("mlflow", "statsmodels", "pandas")

_TREND, _LEVEL = (1, 1, 0), (2, 0, 0)
"""Orders (p, d, q): for series that grow, and for those that stay around a mean."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: the registered model's name, statsmodels' data set and its column, and the order that fits its kind."""

    name: str
    dataset: str
    column: str
    order: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a version forecasts by, and its error on the observations that follow: rmse, and how many those are."""

    model: Any
    metrics: Mapping[str, float]


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MACRO = ("realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi", "m1", "tbilrate", "unemp", "pop")

FLEET: tuple[Series, ...] = (
    *(Series(f"us-{column}", "macrodata", column, _TREND) for column in _MACRO),
    *(Series(f"elnino-{month.lower()}", "elnino", month, _LEVEL) for month in _MONTHS),
    *(Series(f"danish-{column}", "danish_data", column, _TREND) for column in ("lrm", "lry", "lpy")),
    Series("german-inflation", "interest_inflation", "Dp", _LEVEL),
    Series("german-interest", "interest_inflation", "R", _TREND),
    Series("co2", "co2", "co2", _TREND),
    Series("sunspots", "sunspots", "SUNACTIVITY", _LEVEL),
    Series("nile", "nile", "volume", _LEVEL),
)

NAMES: tuple[str, ...] = tuple(sorted(series.name for series in FLEET))
"""The registered models of the fleet."""


def observations(series: Series) -> Any:
    """The series as a numpy array, oldest first; weekly CO2 as means of eight weeks, its gaps left out."""
    import importlib  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    data = importlib.import_module(f"statsmodels.datasets.{series.dataset}").load_pandas().data
    values = data[series.column].to_numpy(dtype=float)
    if series.dataset == "co2":
        values = values[np.isfinite(values)]
        values = values[: len(values) // 8 * 8].reshape(-1, 8).mean(axis=1)
    return values


def example() -> dict[str, Any]:
    """What a client asks for, as columns and data: the next `AHEAD` steps, counted from the first observation kept."""
    return {"columns": ["start", "end"], "data": [[KEPT, KEPT + AHEAD - 1]]}


def fit_all(version: str, fleet: Sequence[Series] = FLEET) -> dict[str, Fitted]:
    """What this version of every series forecasts by, by the name of the registered model."""
    with warnings.catch_warnings():
        # Short series on unscaled numbers: the optimiser says that it could have gone on, and what it has is good enough.
        warnings.simplefilter("ignore")
        return {series.name: _fit(series, version) for series in fleet}


def _fit(series: Series, version: str) -> Fitted:
    import numpy as np  # noqa: PLC0415
    from statsmodels.tsa.arima.model import ARIMA  # noqa: PLC0415 - seconds

    values = observations(series)
    seen = len(values) - HELD_OUT - (NEWS if version == "1" else 0)
    fitted = ARIMA(values[:seen], order=series.order).fit()
    model = fitted.apply(values[seen - KEPT : seen])
    error = np.asarray(model.forecast(HELD_OUT)) - values[seen : seen + HELD_OUT]
    return Fitted(model, {"rmse": float(np.sqrt(np.mean(error**2))), SAMPLES: float(HELD_OUT)})


def register(version: str, fleet: Mapping[str, Fitted]) -> None:
    """Registers this version of every model, each with its metrics on its own logged model.

    `TOGETHER` at a time, in a run each: one waits for the server while another is pickled.
    """
    names = list(fleet)
    with ThreadPoolExecutor(TOGETHER) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of every signature with whole numbers: they cannot be missing here
        parts = [{name: fleet[name] for name in names[n::TOGETHER]} for n in range(TOGETHER)]
        list(pool.map(lambda part: _register(version, part), parts))


def _register(version: str, fleet: Mapping[str, Fitted]) -> None:
    import mlflow  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    ahead = pd.DataFrame(**example())
    with mlflow.start_run(run_name=f"forecasts {version}"):
        for name, fitted in fleet.items():
            info = mlflow.statsmodels.log_model(
                fitted.model,
                name=name,
                registered_model_name=name,
                signature=infer_signature(ahead, fitted.model.forecast(AHEAD)),
                input_example=ahead,
                pip_requirements=list(REQUIREMENTS),
            )
            check_version(name, version, info.registered_model_version)
            mlflow.log_metrics(fitted.metrics, model_id=info.model_id)
