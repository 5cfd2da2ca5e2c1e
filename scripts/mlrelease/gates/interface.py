"""What a gate is given and how it answers. A gate is a module of this shape, listed in `table.py`; all of them are pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mlrelease.model.bundle import Digest, ModelPin, model_key
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.registries.interface import VersionFacts


@dataclass(frozen=True, slots=True)
class Subject:
    """The component that is judged: a model's pin in a service, and the direction in which it moves."""

    environment: str
    service: str
    pin: ModelPin
    direction: Direction = Direction.FORWARD


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about a pin; gathered by `registries/evidence.py`, judged by gates.

    `asked`: the registry answered, so that `facts is None` means that the version does not exist. `error`: it could
    not be asked, and why. `found_digest`: of the bytes that would be loaded. `digest_error`: those could not be read.
    `cached`: the host's own cache holds the pin's digest, hashed now.
    """

    facts: VersionFacts | None = None
    asked: bool = False
    error: str = ""
    found_digest: Digest | None = None
    digest_error: str = ""
    cached: bool = False


class Gate(Protocol):
    """One question about a component. `evaluate` returns exactly one result, with a reason, and never raises."""

    ID: str

    def evaluate(self, options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
        """The gate's word on the subject."""
        ...


def word(
    gate: str,
    subject: Subject,
    status: GateStatus,
    reason: str,
    *,
    skip_reason: SkipReason | None = None,
    **evidence: Any,
) -> GateResult:
    """A `GateResult` on the subject's model."""
    return GateResult(gate, model_key(subject.pin.name), status, reason, evidence, skip_reason)


def stands_in_cache(subject: Subject, evidence: Evidence) -> bool:
    """Whether the host's own cache is evidence enough: the component moves back to bytes verified here (DESIGN §5.5)."""
    return subject.direction is Direction.BACK and evidence.cached
