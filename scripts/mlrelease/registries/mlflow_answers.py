"""MLflow's JSON as the port's values; raises `Error` for an answer of another shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlrelease.errors import Error
from mlrelease.model.version import VersionFacts

LOGGED_MODEL = "models:/m-"

NOT_ITS_SHAPE = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
"""What reading an answer of another shape raises; the last for numbers that only JSON can hold."""

_LONGEST_VERSION = 18
"""Digits; MLflow's own column holds ten."""


def facts_of(item: Any) -> VersionFacts:
    """The facts that a `model_version` object holds; where its files lie is not among them."""
    try:
        return _facts(item)
    except NOT_ITS_SHAPE as e:
        raise unexpected("MLflow") from e


def _facts(item: Any) -> VersionFacts:
    version = str(item["version"])
    if not item["name"] or not version.isdecimal() or len(version) > _LONGEST_VERSION:
        raise ValueError("it names no version")
    source = str(item.get("source", ""))
    return VersionFacts(
        name=str(item["name"]),
        version=version,
        status=str(item.get("status", "")),
        source=source,
        run_id=str(item.get("run_id", "")),
        # `model_id` itself is not in the answer (mlflow's proto has none yet): the source names it.
        model_id=source.removeprefix("models:/") if source.startswith(LOGGED_MODEL) else "",
        aliases=tuple(sorted(str(alias) for alias in item.get("aliases", []))),
        tags={str(tag["key"]): str(tag.get("value", "")) for tag in item.get("tags", [])},
        created_at=float(item.get("creation_timestamp", 0)) / 1000,
    )


def original_of(source: str) -> tuple[str, str] | None:
    """Name and version that a copy's source names (`models:/other/3`); None for any other source."""
    name, slash, version = source.removeprefix("models:/").rpartition("/")
    return (name, version) if source.startswith("models:/") and slash and version.isdecimal() else None


def is_prompt(item: Mapping[str, Any]) -> bool:
    """Whether a registered model is one of the prompts that MLflow 3 keeps among the models."""
    return any(tag.get("key") == "mlflow.prompt.is_prompt" for tag in item.get("tags", []))


def unexpected(server: str) -> Error:
    """The error for an answer that is JSON, but not MLflow's."""
    return Error(
        f"{server} answered with something else than the API describes", hint="is it an MLflow server of version 2 or 3?"
    )
