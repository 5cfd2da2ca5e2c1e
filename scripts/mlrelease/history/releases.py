"""What the ledger proves for a release: receipts, gates, approvals; and what moved back since the last one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlrelease.model.bundle import Bundle, model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Approved, DeployFinished, Event, UnknownEvent
from mlrelease.model.release import ApprovedBy
from mlrelease.model.when import iso

Events = Sequence[Event | UnknownEvent]


@dataclass(frozen=True, slots=True)
class Proof:
    """The newest receipt that proved a bundle, the word of each gate on each model, and every approval of that bundle."""

    receipt: str
    at: float
    revision: str
    exercised: tuple[str, ...] = ()
    gates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    approvals: tuple[ApprovedBy, ...] = ()


@dataclass(frozen=True, slots=True)
class MovedBack:
    """One service that left a bundle: by a rollback that was asked for, or because the new one failed its verification."""

    service: str
    left: Bundle | None
    kept: Bundle | None
    at: float
    reason: str
    automatic: bool


def proof_of(events: Events, service: str, bundle: Bundle) -> Proof | None:
    """The proof of a bundle; None where no receipt says that it answered. A gate's newest word on these bytes counts."""
    receipt: DeployFinished | None = None
    gates: dict[str, dict[str, str]] = {pin.name: {} for pin in bundle.models}
    by_component = {str(model_key(pin.name)): pin for pin in bundle.models}
    approvals: list[ApprovedBy] = []
    wanted = bundle.components()
    for event in events:
        if isinstance(event, Approved) and event.service == service and dict(event.after) == wanted:
            approvals.append(ApprovedBy(event.id, event.approver, iso(event.at), event.run_url))
        if not isinstance(event, DeployFinished) or service not in event.services:
            continue
        one = event.services[service]
        if one.outcome is not Outcome.SUCCEEDED or one.after is None:
            continue
        if one.after.id == bundle.id:
            receipt = event
        there = one.after.components()
        for result in one.gate_results:
            pin = by_component.get(str(result.get("component")))
            if pin is not None and there.get(model_key(pin.name)) == pin.digest:
                gates[pin.name][_gate(result)] = _word(result)
    if receipt is None:
        return None
    exercised = receipt.services[service].exercised
    return Proof(receipt.id, receipt.at, receipt.revision, exercised, gates, tuple(approvals))


def moved_back(events: Iterable[Event | UnknownEvent]) -> tuple[MovedBack, ...]:
    """Every rollback in these events, oldest first."""
    found = []
    for event in events:
        if not isinstance(event, DeployFinished):
            continue
        for name, one in sorted(event.services.items()):
            if one.outcome is Outcome.SUCCEEDED and one.change is ChangeKind.ROLLBACK:
                found.append(MovedBack(name, one.before, one.after, event.at, one.reason, automatic=False))
            elif one.outcome is Outcome.ROLLED_BACK:
                found.append(MovedBack(name, one.after, one.before, event.at, one.reason, automatic=True))
    return tuple(found)


def _gate(result: Mapping[str, Any]) -> str:
    """The gate's id, with the name of the metric where there may be several of it."""
    metric = result.get("evidence", {}).get("metric") if result.get("gate") == "metric" else None
    return f"metric {metric}" if metric else str(result.get("gate"))


def _word(result: Mapping[str, Any]) -> str:
    """`passed`, or `skipped: waived`."""
    skipped = result.get("skip_reason")
    return f"{result.get('status')}: {skipped}" if skipped else str(result.get("status"))
