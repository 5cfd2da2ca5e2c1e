"""MLflow's run as a value: the JSON of its API → `model/run.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlrelease.model.run import Dataset, RunFacts
from mlrelease.registries import metrics

_CONTEXT = "mlflow.data.context"


def run_of(item: Mapping[str, Any]) -> RunFacts:
    """The facts that a `run` object of MLflow's API holds. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    info, data = item["info"], item.get("data", {})
    tags = _pairs(data.get("tags", []))
    return RunFacts(
        run_id=str(info["run_id"]),
        name=str(info.get("run_name") or tags.get("mlflow.runName", "")),
        status=str(info.get("status", "")),
        user=str(tags.get("mlflow.user") or info.get("user_id") or ""),
        experiment=str(info.get("experiment_id", "")),
        started_at=int(info.get("start_time") or 0) / 1000,
        ended_at=int(info.get("end_time") or 0) / 1000,
        git_commit=tags.get("mlflow.source.git.commit", ""),
        entry=tags.get("mlflow.source.name", ""),
        metrics=metrics.of_run(data.get("metrics", [])),
        params=_pairs(data.get("params", [])),
        datasets=tuple(_dataset(one) for one in item.get("inputs", {}).get("dataset_inputs", [])),
    )


def _dataset(item: Mapping[str, Any]) -> Dataset:
    dataset = item["dataset"]
    return Dataset(
        name=str(dataset.get("name", "")),
        digest=str(dataset.get("digest", "")),
        source_type=str(dataset.get("source_type", "")),
        source=str(dataset.get("source", "")),
        context=_pairs(item.get("tags", [])).get(_CONTEXT, ""),
    )


def _pairs(items: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(item["key"]): str(item.get("value", "")) for item in items}
