"""A configuration for a model folder on disk, with no repository and no registry behind it (`MODEL_PATH`)."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Artifact
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.serving.config import ServeConfig, config_from_json


def standalone_config(
    model_path: Path, *, name: str, version: str, digest: str | None, listen: str, service: str = ""
) -> ServeConfig:
    """What serves the MLflow model in the folder `model_path`; bundle and image say `standalone`.

    Without `digest` the folder's own is computed and named in `/identity`. Raises `Error` when the folder holds no
    model, or is not the one with `digest`; nothing is loaded here.
    """
    root = model_path.resolve()
    if not (root / "MLmodel").is_file():
        raise Error(
            "no MLflow model in this folder: it has no file MLmodel",
            hint="point MODEL_PATH at the folder that holds MLmodel",
            where=str(model_path),
        )
    found = digest_of(manifest(root))
    if digest is not None and digest != found:
        raise Error(
            f"the model's files are not those of the digest: expected {digest}, found {found}",
            hint="nothing was loaded; get the files again, or leave the digest away",
            where=str(model_path),
        )
    config = ServeConfig(
        service=service or name,
        bundle="standalone",
        image="standalone",
        instance=f"{service or name}-{os.getpid()}",
        runtime=runtime(),
        listen=listen,
        models=(Artifact(name, version, Digest(found), root),),
    )
    return config_from_json(config.to_json())


LIBRARIES = (
    "mlflow-skinny",
    "mlflow",
    "numpy",
    "pandas",
    "scikit-learn",
    "skops",
    "statsmodels",
    "xgboost",
    "lightgbm",
    "torch",
)
"""What answers may depend on, named in `/identity` where it is installed."""


def runtime() -> str:
    """What runs here, as `/identity` names it: `python 3.11.7 mlflow-skinny 3.17.2 numpy 2.2.1 …`."""
    said = [f"python {platform.python_version()}"]
    for package in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            said.append(f"{package} {version(package)}")
    return " ".join(said)
