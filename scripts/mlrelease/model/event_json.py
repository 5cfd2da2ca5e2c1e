"""Events as the ledger stores them: one event is one small file of JSON, `prev` chains it to the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlrelease.model.bundle import Bundle, ComponentKey
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import (
    Approved,
    Component,
    DeployFinished,
    DeployStarted,
    Event,
    Held,
    Owner,
    Probe,
    Rejected,
    ServiceReceipt,
    Step,
    Unheld,
    UnknownEvent,
    Unrejected,
)
from mlrelease.model.when import from_iso, iso

SCHEMA = 1

_KINDS = frozenset(cls.KIND for cls in (DeployStarted, DeployFinished, Held, Unheld, Rejected, Unrejected, Approved))


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as the ledger stores it, without `prev` (the ledger adds that)."""
    common: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": event.KIND,
        "id": event.id,
        "environment": event.environment,
        "at": iso(event.at),
        "actor": event.actor,
    }
    match event:
        case DeployStarted():
            owner = event.owner
            return common | {
                "revision": event.revision,
                "trigger": event.trigger,
                "owner": {
                    "host": owner.host,
                    "pid": owner.pid,
                    "process_started": owner.process_started,
                    "name": owner.name,
                    "boot": owner.boot,
                },
                "expires_at": iso(event.expires_at),
                "services": list(event.services),
                "supersedes": event.supersedes,
                "run_id": event.run_id,
            }
        case DeployFinished():
            return common | {
                "revision": event.revision,
                "trigger": event.trigger,
                "started": event.started,
                "started_at": iso(event.started_at),
                "finished_at": iso(event.at),
                "run_url": event.run_url,
                "run_id": event.run_id,
                "services": {name: receipt_to_json(receipt) for name, receipt in sorted(event.services.items())},
            }
        case Held():
            return common | {
                "reason": event.reason,
                "service": event.service,
                "until": iso(event.until) if event.until else "",
                "pinned_to": event.pinned_to,
            }
        case Unheld():
            return common | {"reason": event.reason, "service": event.service, "hold": event.hold}
        case Rejected() | Unrejected():
            return common | {"reason": event.reason, "service": event.service, "components": _components(event.components)}
        case Approved():
            return common | {
                "service": event.service,
                "before": _components(event.before),
                "after": _components(event.after),
                "approver": event.approver,
                "expires_at": iso(event.expires_at),
                "run_url": event.run_url,
                "reason": event.reason,
            }


def receipt_to_json(receipt: ServiceReceipt) -> dict[str, Any]:
    """One service's part of a receipt; keys are stable."""
    return {
        "outcome": receipt.outcome.value,
        "change": receipt.change.value,
        "direction": receipt.direction.value,
        "reason": receipt.reason,
        "before": receipt.before.to_json() if receipt.before else None,
        "after": receipt.after.to_json() if receipt.after else None,
        "rejects": _components(receipt.rejects),
        "gate_results": [dict(result) for result in receipt.gate_results],
        "probes": [{"name": p.name, "status": p.status, "reason": p.reason, "instance": p.instance} for p in receipt.probes],
        "steps": [{"name": s.name, "seconds": round(s.seconds, 4), "detail": s.detail} for s in receipt.steps],
        "exercised": list(receipt.exercised),
        "settings": dict(receipt.settings),
    }


def event_from_json(data: Mapping[str, Any]) -> Event | UnknownEvent:
    """The event that `event_to_json` wrote; a kind or schema from the future becomes `UnknownEvent`.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` when a known kind is damaged.
    """
    kind = data["kind"]
    at = from_iso(data["at"])
    if data.get("schema") != SCHEMA or kind not in _KINDS:
        return UnknownEvent(kind, data["id"], data["environment"], at, data.get("actor", ""), data)
    common: dict[str, Any] = {"id": data["id"], "environment": data["environment"], "at": at, "actor": data["actor"]}
    if kind == DeployStarted.KIND:
        return DeployStarted(
            **common,
            revision=data["revision"],
            trigger=data["trigger"],
            owner=Owner(**data["owner"]),
            expires_at=from_iso(data["expires_at"]),
            services=tuple(data["services"]),
            supersedes=data.get("supersedes", ""),
            run_id=data.get("run_id", ""),
        )
    if kind == DeployFinished.KIND:
        return DeployFinished(
            **common,
            revision=data["revision"],
            trigger=data["trigger"],
            started=data["started"],
            started_at=from_iso(data["started_at"]),
            services={name: _receipt_from_json(name, receipt) for name, receipt in data["services"].items()},
            run_url=data.get("run_url", ""),
            run_id=data.get("run_id", ""),
        )
    common |= {"reason": data["reason"], "service": data["service"]}
    if kind == Held.KIND:
        until = from_iso(data["until"]) if data.get("until") else 0.0
        return Held(**common, until=until, pinned_to=data.get("pinned_to", ""))
    if kind == Unheld.KIND:
        return Unheld(**common, hold=data.get("hold", ""))
    if kind == Approved.KIND:
        return Approved(
            **common,
            before=_components_from_json(data["before"]),
            after=_components_from_json(data["after"]),
            approver=data["approver"],
            expires_at=from_iso(data["expires_at"]),
            run_url=data.get("run_url", ""),
        )
    components = _components_from_json(data["components"])
    return Rejected(**common, components=components) if kind == Rejected.KIND else Unrejected(**common, components=components)


def _receipt_from_json(service: str, data: Mapping[str, Any]) -> ServiceReceipt:
    return ServiceReceipt(
        outcome=Outcome(data["outcome"]),
        change=ChangeKind(data["change"]),
        direction=Direction(data["direction"]),
        reason=data["reason"],
        before=Bundle.from_json(service, data["before"]) if data["before"] else None,
        after=Bundle.from_json(service, data["after"]) if data["after"] else None,
        rejects=_components_from_json(data["rejects"]),
        gate_results=tuple(data["gate_results"]),
        probes=tuple(Probe(**probe) for probe in data["probes"]),
        steps=tuple(Step(**step) for step in data["steps"]),
        exercised=tuple(data["exercised"]),
        settings=data.get("settings", {}),
    )


def _components(components: tuple[Component, ...]) -> list[list[str]]:
    return [[str(key), value] for key, value in components]


def _components_from_json(pairs: Iterable[Sequence[str]]) -> tuple[Component, ...]:
    return tuple((ComponentKey(key), value) for key, value in pairs)
