"""What the files of a repository say, typed: environments, services, models. Values only; `spec/` reads them from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlrelease.model.bundle import Bundle, ImagePin, ModelPin
from mlrelease.model.finding import Finding
from mlrelease.model.gate import GateSpec, Waiver

GOLDEN_RTOL = 1e-6
"""Relative tolerance of golden predictions unless the model file says otherwise (DESIGN §2)."""


class State(StrEnum):
    """`absent` asks for removal; leaving a file away never does."""

    PRESENT = "present"
    ABSENT = "absent"


class Strategy(StrEnum):
    """How a service moves from one bundle to the next."""

    BLUE_GREEN = "blue_green"


class TargetKind(StrEnum):
    """The places a service can run, as far as they are built."""

    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Where an environment runs. `listen` is `host:port`; `state_dir` may be empty (the default for the user)."""

    kind: TargetKind
    listen: str
    state_dir: str = ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model file. `gates` are already merged over the environment's, the implicit ones included."""

    path: str
    name: str
    service: str
    pin: ModelPin
    gates: tuple[GateSpec, ...] = ()
    golden_rtol: float = GOLDEN_RTOL
    state: State = State.PRESENT
    waivers: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service file with the models that name it; `models` holds only present ones, sorted by name.

    `python` is the interpreter of the service's own runtime on a target that runs no image; empty: the tool's own.
    """

    path: str
    name: str
    image: ImagePin
    models: tuple[ModelSpec, ...]
    replicas: int = 1
    strategy: Strategy = Strategy.BLUE_GREEN
    timeout_s: float = 60.0
    env: tuple[tuple[str, str], ...] = ()
    state: State = State.PRESENT
    python: str = ""

    @property
    def bundle(self) -> Bundle:
        """What should answer."""
        return Bundle(self.name, self.image, tuple(sorted(m.pin for m in self.models)), self.env)


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """One environment folder. `tracking_uri` and `env` values are unexpanded (`${NAME}`, `${NAME:-default}`).

    `services` holds every service whose own files are valid; `invalid` the names of those with findings.
    """

    name: str
    path: str
    tracking_uri: str
    target: TargetSpec
    alias: str = ""
    promotes_from: str = ""
    soak_s: float = 0.0
    approval_required: bool = False
    keep_warm_s: float = 600.0
    gates: tuple[GateSpec, ...] = ()
    services: Mapping[str, ServiceSpec] = field(default_factory=dict)
    invalid: frozenset[str] = frozenset()
    state: State = State.PRESENT


@dataclass(frozen=True, slots=True)
class Spec:
    """All environments that could be read, and every finding, sorted."""

    environments: Mapping[str, EnvironmentSpec]
    findings: tuple[Finding, ...] = ()

    def blocking(self, environment: str) -> tuple[Finding, ...]:
        """The findings that stop the whole environment: its own, or the repository's."""
        return tuple(f for f in self.findings if f.environment in ("", environment) and not f.service)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as found: its bytes, or why they are not here (`problem`, e.g. `symlink`, `unreadable`)."""

    data: bytes
    problem: str = ""
