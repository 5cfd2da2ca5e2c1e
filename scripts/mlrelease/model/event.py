"""The events of the ledger, typed. Their JSON is in `event_json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mlrelease.model.bundle import Bundle, ComponentKey
from mlrelease.model.change import ChangeKind, Direction, Outcome

Component = tuple[ComponentKey, str]
"""A component and the digest of its value."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock: host, process id and that process's start time (a reused pid is another process).

    `process_started` counts seconds since the boot named by `boot` (machine, boot and pid namespace; `ledger/lock.py`),
    so that a clock that was set never makes a living process look like another one.
    """

    host: str
    pid: int
    process_started: float
    name: str = ""
    boot: str = ""

    def __str__(self) -> str:
        return f"{self.name or 'process'} on {self.host} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class DeployStarted:
    """Intent, and the lock: it is held until the matching finish, a start that supersedes it, or `expires_at`."""

    KIND: ClassVar[str] = "deploy_started"
    id: str
    environment: str
    at: float
    actor: str
    revision: str
    trigger: str
    owner: Owner
    expires_at: float
    services: tuple[str, ...] = ()
    supersedes: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout with its wall-clock seconds."""

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one verification found: `passed`, `failed`, `errored` or `skipped`, with a reason."""

    name: str
    status: str
    reason: str
    instance: str = ""


@dataclass(frozen=True, slots=True)
class ServiceReceipt:
    """What one pass did to one service, whatever the outcome.

    `rejects` may not move forward here again; `settings` are those updated in place (replicas, timeout, prefix).
    """

    outcome: Outcome
    change: ChangeKind
    direction: Direction
    reason: str
    before: Bundle | None
    after: Bundle | None
    rejects: tuple[Component, ...] = ()
    gate_results: tuple[Mapping[str, Any], ...] = ()
    probes: tuple[Probe, ...] = ()
    steps: tuple[Step, ...] = ()
    exercised: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeployFinished:
    """The receipt of a pass (DESIGN §5.3)."""

    KIND: ClassVar[str] = "deploy_finished"
    id: str
    environment: str
    at: float
    actor: str
    revision: str
    trigger: str
    started: str
    started_at: float
    services: Mapping[str, ServiceReceipt]
    run_url: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """No forward change here until `until` (0: until lifted). An empty service holds the whole environment.

    `pinned_to`: this commit says what the service should be, until the tracked branch has the pins that it has (a rollback
    whose commit waits in a pull request, DESIGN §5.5); the host then writes that the hold is over.
    """

    KIND: ClassVar[str] = "held"
    id: str
    environment: str
    at: float
    actor: str
    reason: str
    service: str = ""
    until: float = 0.0
    pinned_to: str = ""


@dataclass(frozen=True, slots=True)
class Unheld:
    """Lifts the holds on exactly this service (empty: on the environment); with `hold`, only the one of that id."""

    KIND: ClassVar[str] = "unheld"
    id: str
    environment: str
    at: float
    actor: str
    reason: str
    service: str = ""
    hold: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A person's word: these components (together) may not move forward here."""

    KIND: ClassVar[str] = "rejected"
    id: str
    environment: str
    at: float
    actor: str
    reason: str
    service: str
    components: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class Unrejected:
    """Lifts every rejection of the service that names one of these components."""

    KIND: ClassVar[str] = "unrejected"
    id: str
    environment: str
    at: float
    actor: str
    reason: str
    service: str
    components: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class Approved:
    """A person's yes to exactly one Change: this service, from these components to those, until `expires_at`.

    `before` is empty for a first deploy, `after` for a removal. `approver` said yes; `actor` wrote it down (a workflow
    may write for a reviewer).
    """

    KIND: ClassVar[str] = "approved"
    id: str
    environment: str
    at: float
    actor: str
    service: str
    before: tuple[Component, ...]
    after: tuple[Component, ...]
    approver: str
    expires_at: float
    run_url: str = ""
    reason: str = ""


Event = DeployStarted | DeployFinished | Held | Unheld | Rejected | Unrejected | Approved


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event that a newer version wrote: kept in the chain, shown by name, not folded."""

    kind: str
    id: str
    environment: str
    at: float
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)
