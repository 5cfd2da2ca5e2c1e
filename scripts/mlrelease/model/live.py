"""What a target observes: instances, who they say they are, and where the traffic goes. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from mlrelease.model.bundle import Bundle, BundleId, Digest


class Role(StrEnum):
    """Active: gets traffic. Warm: kept for going back. Candidate: started, not routed. Stray: no entry in `state_dir`."""

    ACTIVE = "active"
    WARM = "warm"
    CANDIDATE = "candidate"
    STRAY = "stray"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an instance answers at `/identity`. `models` are (name, version, digest), sorted by name."""

    service: str
    bundle: str
    image: str
    instance: str
    runtime: str
    started_at: str
    models: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """One process that answers for one bundle.

    `identity` is None when it did not answer; `ready` is its own word; `supervised` says whether the present
    supervisor owns it (an orphan of a crash is not); `launch` is a hash of the settings it was started with;
    `until` is when a warm one may be stopped (0: no limit set); `failure` is set when it ended by itself and is
    not coming back (e.g. `exited 1 while loading`), with `log_tail` its last lines.
    """

    id: str
    service: str
    bundle: BundleId
    role: Role
    ready: bool
    supervised: bool
    identity: Identity | None = None
    launch: str = ""
    until: float = 0.0
    pid: int = 0
    failure: str = ""
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteState:
    """Where one service's traffic goes now: weights by bundle, and the revision that the proxy names."""

    weights: Mapping[BundleId, int]
    prefix: str
    revision: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a target. `problems` name what is wrong with the target itself, e.g. `route: edited by hand`."""

    instances: tuple[Instance, ...] = ()
    routes: Mapping[str, RouteState] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def of(self, service: str, bundle: BundleId | None = None) -> tuple[Instance, ...]:
        """The instances of a service, or of one bundle of it; strays not included."""
        return tuple(
            i
            for i in self.instances
            if i.service == service and i.role is not Role.STRAY and (bundle is None or i.bundle == bundle)
        )


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model ready to be loaded: where its verified files lie, and its golden predictions if it has any."""

    name: str
    version: str
    digest: Digest
    path: PurePath
    golden: Mapping[str, Any] | None = None
    golden_rtol: float = 1e-6


@dataclass(frozen=True, slots=True)
class Launch:
    """All that a target needs to run a bundle. `env` is expanded and never written to a log or a receipt.

    `python` is the interpreter that runs the reference server, empty: the one that runs this program.
    """

    bundle: Bundle
    artifacts: tuple[Artifact, ...]
    replicas: int
    env: tuple[tuple[str, str], ...] = ()
    python: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer of an instance or of the proxy. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes
