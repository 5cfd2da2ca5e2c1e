"""Which adapter answers for a tracking address. The adapters import `requests`, so they are imported only here, when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.registries.interface import ModelRegistry

BACKENDS = ("sqlite", "postgresql", "mysql", "mssql")
"""Databases that are asked through the `mlflow` package."""

CREDENTIALS = (
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
)
"""The variables that an MLflow client reads for its connection, under the same names."""

STORE_CREDENTIALS = ("AWS_", "MLFLOW_S3_", "GOOGLE_", "AZURE_")
"""Variables that begin like this are handed to the libraries that read artifact stores, under the same names."""


def connect(uri: str, env: Mapping[str, str], *, base: Callable[[], Path] = Path.cwd) -> ModelRegistry:
    """The registry at `uri` (already expanded). Asks nothing yet. Raises `Error` for an address that cannot be used.

    `base` gives what a relative path of a SQLite database is relative to: the repository; else the working directory.
    """
    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    if scheme in ("http", "https"):
        from mlrelease.registries.mlflow_rest import MlflowRest  # noqa: PLC0415 - requests costs 0.1 s

        return MlflowRest(uri, credentials=_chosen(env, CREDENTIALS), store=_chosen(env, (), STORE_CREDENTIALS))
    if scheme.partition("+")[0] in BACKENDS and "://" in uri:
        from mlrelease.registries.mlflow_client import MlflowClient  # noqa: PLC0415 - only where it is used

        return MlflowClient(uri, env=_chosen(env, (), (*STORE_CREDENTIALS, "PG")), base=base())
    if not uri:
        raise Error(
            "there is no MLflow address", hint="set MLFLOW_TRACKING_URI, or tracking_uri in the environment's environment.yaml"
        )
    # The scheme alone: database addresses hold passwords.
    raise Error(
        f"MLflow by {scheme + ':' if scheme else 'a folder'} is not supported: "
        f"only http(s) servers and databases ({', '.join(BACKENDS)}) are asked",
        hint="run `mlflow server` over that store and point tracking_uri at it",
    )


def _chosen(env: Mapping[str, str], names: tuple[str, ...], prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    return {name: value for name, value in env.items() if value and (name in names or name.startswith(prefixes))}
