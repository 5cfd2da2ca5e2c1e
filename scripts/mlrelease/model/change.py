"""What moves: kinds of Change, directions, outcomes, sync and health, a Plan and its Changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlrelease.model.bundle import ABSENT, Bundle, ComponentKey
from mlrelease.model.gate import GateResult


class ChangeKind(StrEnum):
    """What a Change does; `noop` carries its reason like any other."""

    CREATE = "create"
    UPDATE = "update"
    ROLLBACK = "rollback"
    REPAIR = "repair"
    SETTINGS = "settings"
    REMOVE = "remove"
    NOOP = "noop"


class Direction(StrEnum):
    """Of a component: back if the desired value was first verified here earlier than the one it replaces."""

    FORWARD = "forward"
    BACK = "back"
    NONE = "none"


class Outcome(StrEnum):
    """How a service came out of a pass."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    ERRORED = "errored"
    ABORTED = "aborted"
    BLOCKED = "blocked"


class Sync(StrEnum):
    """OutOfSync: desired is not recorded. Drifted: recorded is not live. Unknown: could not look."""

    IN_SYNC = "InSync"
    OUT_OF_SYNC = "OutOfSync"
    DRIFTED = "Drifted"
    UNKNOWN = "Unknown"


class Health(StrEnum):
    """Of one service, in rising order of badness."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    MISSING = "Missing"
    UNKNOWN = "Unknown"

    def worse(self, other: Health) -> Health:
        """The worse of the two."""
        order = list(Health)
        return max(self, other, key=order.index)


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """One component's move; values are digests or `absent`, labels are what people read (a version, a tag)."""

    key: ComponentKey
    before: str
    after: str
    direction: Direction
    before_label: str = ABSENT
    after_label: str = ABSENT


@dataclass(frozen=True, slots=True)
class Change:
    """`before → after` for one service.

    `blocked` is why it may not be done now (empty: it may), `waits_until` the moment at which that ends by itself (0: it
    does not, or nobody knows when); `drift` lists what a repair or a settings change mends.
    """

    service: str
    kind: ChangeKind
    reason: str
    before: Bundle | None
    after: Bundle | None
    components: tuple[ComponentChange, ...] = ()
    drift: tuple[str, ...] = ()
    blocked: str = ""
    blocked_by: str = ""
    gate_results: tuple[GateResult, ...] = ()
    waits_until: float = 0.0

    @property
    def direction(self) -> Direction:
        """Back when every changed component goes back, none when nothing changed, else forward."""
        moved = [c.direction for c in self.components if c.direction is not Direction.NONE]
        if not moved:
            return Direction.NONE
        return Direction.BACK if all(d is Direction.BACK for d in moved) else Direction.FORWARD

    @property
    def acts(self) -> bool:
        """Whether applying it touches the target."""
        return self.kind is not ChangeKind.NOOP and not self.blocked


@dataclass(frozen=True, slots=True)
class Plan:
    """One environment's Changes at one revision, sorted by service, with the ledger height it was made at.

    `sync` and `health` are per service; `apply` refuses the plan when the height or `before` no longer holds.
    """

    environment: str
    revision: str
    height: int
    changes: tuple[Change, ...]
    sync: Mapping[str, Sync] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)

    @property
    def acting(self) -> tuple[Change, ...]:
        """The Changes that would touch the target."""
        return tuple(change for change in self.changes if change.acts)
