"""A real MLflow server for the demo, and what the demo needs to have installed."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, distribution

from mlrelease.demo.place import Place
from mlrelease.errors import Error
from mlrelease.targets.local.envoy import find_binary

_NEEDED = ("mlflow", "sklearn", "statsmodels", "fastapi", "supervisor")


def check_installed() -> None:
    """Raises `Error` that names what is missing."""
    for module in _NEEDED:
        if importlib.util.find_spec(module) is None:
            raise _missing(module)
    try:
        distribution("mlflow")  # mlflow-skinny brings the same module, without a server
    except PackageNotFoundError as error:
        raise _missing("the MLflow server") from error
    find_binary()


def server_command(place: Place) -> list[str]:
    """One worker on SQLite, and no job runner: two processes instead of fifteen. Only clients of this machine are let in."""
    hosts = f"127.0.0.1:{place.mlflow_port},localhost:{place.mlflow_port},127.0.0.1,localhost"
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(place.mlflow_port), "--allowed-hosts", hosts),
        *("--backend-store-uri", f"sqlite:///{place.mlflow / 'mlflow.db'}"),
        *("--artifacts-destination", str(place.mlflow / "artifacts")),
    ]


def _missing(what: str) -> Error:
    return Error(f"the demo needs {what}, which is not installed", hint="pip install 'mlrelease[demo]'")
