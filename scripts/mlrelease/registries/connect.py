"""Which adapter answers for a tracking address. The adapters import `requests`, so they are imported only here, when asked."""

from __future__ import annotations

from collections.abc import Mapping

from mlrelease.errors import Error
from mlrelease.registries.interface import ModelRegistry

CREDENTIALS = (
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
)
"""The variables that an MLflow client reads for its connection, under the same names."""


def connect(uri: str, env: Mapping[str, str]) -> ModelRegistry:
    """The registry at `uri` (already expanded). Asks nothing yet. Raises `Error` for an address that cannot be used."""
    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    if scheme in ("http", "https"):
        from mlrelease.registries.mlflow_rest import MlflowRest  # noqa: PLC0415 - requests costs 0.1 s

        return MlflowRest(uri, credentials={name: env[name] for name in CREDENTIALS if env.get(name)})
    if not uri:
        raise Error(
            "there is no MLflow address", hint="set MLFLOW_TRACKING_URI, or tracking_uri in the environment's environment.yaml"
        )
    # The scheme alone: database addresses hold passwords.
    raise Error(
        f"MLflow by {scheme + ':' if scheme else 'a folder'} is not supported yet: only http(s) servers are asked",
        hint="run `mlflow server` over that store and point tracking_uri at it",
    )
