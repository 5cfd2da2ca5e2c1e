"""What a gate is given and how it answers. A gate is a module of this shape, listed in `table.py`; all of them are pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, assert_never

from mlrelease.model.bundle import Digest, ModelPin, model_key
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.model.version import VersionFacts


class Origin(StrEnum):
    """Where a baseline comes from (DESIGN §2): the ledger first, else the files at the merge base, else there is none."""

    RECORDED = "recorded"
    MERGE_BASE = "merge base"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Subject:
    """The component that is judged: a model's pin in a service, and the direction in which it moves.

    `direction` is NONE where the model stays and only the image under it moves; `image` is the one it will run under.
    `baseline` is the pin it is compared with. `now` counts seconds since 1970. `may_load`: whether a model may be
    loaded in this place (False in a PR check).
    """

    environment: str
    service: str
    pin: ModelPin
    direction: Direction = Direction.FORWARD
    image: str = ""
    baseline: ModelPin | None = None
    baseline_origin: Origin = Origin.NONE
    now: float = 0.0
    may_load: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """One column or tensor of a signature: MLflow's type name (`double`, `long`, `tensor(float32, [-1, 4])` …)."""

    name: str
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """What a version's `MLmodel` declares it takes and gives; None for a part that it does not declare."""

    inputs: tuple[Column, ...] | None
    outputs: tuple[Column, ...] | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers of one version by name, as the registry has them (NaN and infinities included), or why they are not here.

    `source` says whose they are: `model` (logged on the version's own logged model) or `run` (the run's).
    """

    values: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """One file that would be unpickled or executed: its path, format, and every global it names as `module.name`.

    `problem` is set where the scanner could not read it to its end. `known` are those of its globals that are known
    to have carried attacks. What is no pickle names the file itself (`file:code/x.py`) or MLflow's loader
    (`loader:mlflow.sklearn`).
    """

    path: str
    format: str
    globals: tuple[str, ...] = ()
    problem: str = ""
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What loading a version's files would run, found without loading any. `files` holds only those that can run code."""

    files: tuple[ScannedFile, ...]
    scanner: str


@dataclass(frozen=True, slots=True)
class SmokeReport:
    """How a version did in an isolated process: loaded, and predicted its own example.

    `error` is why it did not (empty: it did); `errored` tells a broken place from a broken model. `isolation` names
    what the process was kept from.
    """

    rows: int = 0
    seconds_to_load: float = 0.0
    seconds_to_predict: float = 0.0
    finite: bool = True
    example: bool = True
    error: str = ""
    errored: bool = False
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class Promotion:
    """What the ledger of the source environment knows of this model digest, under this image digest.

    `verified_at`: when the pair was first verified there (0: never). `exercised`: what ran when it was.
    `not_before`: the moment at which the soak is served (0: no soak asked for; infinite: it was replaced there before).
    `error`: the ledger could not be read. `rejection`: who rejected it there and why (empty: nobody).
    """

    environment: str
    verified_at: float = 0.0
    exercised: tuple[str, ...] = ()
    not_before: float = 0.0
    error: str = ""
    rejection: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about a pin; gathered by leaves, judged by gates. None: nobody looked.

    `asked`: the registry answered, so that `facts is None` means that the version does not exist. `error`: it could
    not be asked, and why. `found_digest`: of the bytes that would be loaded. `digest_error`: those could not be read,
    nor what else stands in the files. `cached`: the host's own cache holds the pin's digest, hashed now. `baseline_*`
    belong to the subject's baseline; `baseline_error`: it could not be asked for, `baseline_gone`: it is no longer to be
    had (deleted, or overwritten). `rejection`: why it may not move forward here (empty: it may).
    `size` counts the bytes of all its files.
    """

    facts: VersionFacts | None = None
    asked: bool = False
    error: str = ""
    found_digest: Digest | None = None
    digest_error: str = ""
    cached: bool = False
    metrics: Metrics | None = None
    baseline_metrics: Metrics | None = None
    signature: Signature | None = None
    baseline_signature: Signature | None = None
    baseline_error: str = ""
    baseline_gone: str = ""
    scan: ScanReport | None = None
    smoke: SmokeReport | None = None
    promotion: Promotion | None = None
    rejection: str = ""
    size: int | None = None
    baseline_size: int | None = None


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


def not_moving(gate: str, subject: Subject) -> GateResult | None:
    """The word of a gate on how good a version is where none newer moves in; None where it must judge.

    What moves back passed when it was live; what stays was judged when it came.
    """
    match subject.direction:
        case Direction.BACK:
            reason, skip = "it moves back to what was verified here before", SkipReason.ROLLBACK
        case Direction.NONE:
            reason, skip = "this model does not move", SkipReason.NOT_APPLICABLE
        case Direction.FORWARD:
            return None
        case _:
            assert_never(subject.direction)
    return word(gate, subject, GateStatus.SKIPPED, reason, skip_reason=skip)
