"""What a gate says, and when that opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class GateStatus(StrEnum):
    """Failed: not good enough. Errored: we could not tell. Inconclusive: not enough data."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


class SkipReason(StrEnum):
    """The closed list of reasons for which `skipped` opens."""

    ROLLBACK = "rollback"
    FIRST_DEPLOY = "first_deploy"
    NOT_APPLICABLE = "not_applicable"
    WAIVED = "waived"
    DRY_RUN = "dry_run"


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's word on one component (`model:<name>` or `image`), always with a reason."""

    gate: str
    component: str
    status: GateStatus
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    skip_reason: SkipReason | None = None

    @property
    def opens(self) -> bool:
        """Passed, or skipped for a reason of the closed list; nothing else."""
        return self.status is GateStatus.PASSED or (self.status is GateStatus.SKIPPED and self.skip_reason is not None)

    def to_json(self) -> dict[str, Any]:
        """The receipt's form."""
        return {
            "gate": self.gate,
            "component": self.component,
            "status": self.status.value,
            "reason": self.reason,
            "evidence": dict(self.evidence),
            "skip_reason": self.skip_reason.value if self.skip_reason else None,
        }


@dataclass(frozen=True, slots=True)
class GateSpec:
    """A gate as configured: its id and its own options."""

    gate: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What an entry of the same key replaces: the id, and for `metric` the metric's name with it."""
        metric = self.options.get("metric")
        return f"{self.gate} {metric}" if self.gate == "metric" and metric else self.gate


MAX_GROWTH = "100%"
"""The gate `size` by default: to twice the size. A retrained model is seldom larger, and one that is was seldom meant to be."""

WAIVABLE = ("metric", "signature", "size", "smoke")
"""The gates that a waiver can open. No person can vouch for bytes that are not the pin's, that would run what the policy
forbids, that were never verified in the environment before, or that were rejected."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """A person's word that one version may pass one gate. `expires` is the last day (ISO, UTC) on which it holds.

    `metric` narrows a waiver of the gate `metric` to one of its metrics; empty: all of them.
    """

    gate: str
    version: str
    reason: str
    approver: str
    expires: str
    metric: str = ""
