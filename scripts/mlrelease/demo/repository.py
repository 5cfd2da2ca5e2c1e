"""The files of the demo's repository: two environments with three services each, and a file for every model."""

from __future__ import annotations

import hashlib
import shutil

from mlrelease.demo.models import FORECASTS, PROGRESSION, SAMPLES, TUMOUR
from mlrelease.demo.models.forecasts import NAMES
from mlrelease.demo.place import ENVIRONMENTS, PRODUCTION, STAGING, Place

IMAGE = "ghcr.io/acme/mlrelease-serve:0.1.0@sha256:33f9c95885b81054ceed787bc7c8f3f8ed2bc31f7fbf8cc69614ac00f682e50e"
SERVICES = (TUMOUR, PROGRESSION, FORECASTS)
MODELS: dict[str, tuple[str, ...]] = {TUMOUR: (TUMOUR,), PROGRESSION: (PROGRESSION,), FORECASTS: NAMES}
"""The models by their service."""

_REPLICAS = {(PRODUCTION, TUMOUR): 2}

_POLICY = {
    STAGING: "alias: staging  # written in MLflow after verification\n",
    PRODUCTION: (
        "promotes_from: staging  # what moves forward here was verified there\n"
        "approval: required  # and somebody said so\n"
        "alias: production\n"
    ),
}

_METRICS = {
    TUMOUR: ("accuracy", "higher", "2%", 100),
    PROGRESSION: ("rmse", "lower", "5%", 100),
}
"""Metric, which way is better, how much worse than the version that serves it may be, on how many rows at least."""


def write(place: Place) -> int:
    """Writes everything below `environments/` of the laptop's clone anew; how many files that are."""
    root = place.laptop / "environments"
    shutil.rmtree(root)
    files = {
        path: text
        for name in ENVIRONMENTS
        for path, text in {
            f"{name}/environment.yaml": environment_text(name, place),
            **{f"{name}/services/{service}.yaml": service_text(name, service) for service in SERVICES},
            **{f"{name}/models/{model}.yaml": model_text(s, model) for s in SERVICES for model in MODELS[s]},
        }.items()
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return len(files)


def environment_text(name: str, place: Place) -> str:
    """`environment.yaml`: staging asks the gates, production asks for staging's word and a person's too."""
    return f"""\
# yaml-language-server: $schema=../../templates/schemas/environment.v1.json
schema: 1
environment: {name}
tracking_uri: {place.tracking_uri}
{_POLICY[name]}target:
  kind: local
  listen: {place.listen[name]}
  state_dir: {place.state(name)}
keep_warm: 10m
gates:
  - gate: exists
  - gate: digest
  - gate: scan
  - gate: signature
"""


def service_text(environment: str, name: str) -> str:
    """A service file."""
    return f"""\
# yaml-language-server: $schema=../../../templates/schemas/service.v1.json
schema: 1
service: {name}

image: {IMAGE}

replicas: {_REPLICAS.get((environment, name), 1)}
"""


def model_text(service: str, name: str) -> str:
    """A model file; the two that are measured on enough rows have a metric gate."""
    text = f"""\
# yaml-language-server: $schema=../../../templates/schemas/model.v1.json
schema: 1
service: {service}
model: {name}

version: "1"
digest: {_example_digest(service, name)}
"""
    if name not in _METRICS:
        return text
    metric, better, worse, rows = _METRICS[name]
    return f"""\
{text}
gates:
  - gate: metric
    metric: {metric}
    direction: {better}
    max_regression: {worse}
    samples: {SAMPLES}
    min_samples: {rows}
"""


def _example_digest(service: str, name: str) -> str:
    """A digest of nothing that exists: `bump` and `promote` write the true ones."""
    return f"sha256:{hashlib.sha256(f'{service}/{name}, not pinned yet'.encode()).hexdigest()}"
