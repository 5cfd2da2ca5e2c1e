"""A plan and the receipts of a pass, for people and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mlrelease.model.bundle import Bundle
from mlrelease.model.change import Change, ChangeKind, Outcome, Plan, Sync
from mlrelease.model.event import ServiceReceipt
from mlrelease.model.event_json import receipt_to_json
from mlrelease.model.gate import GateStatus
from mlrelease.model.when import iso
from mlrelease.render.report import Report

PLAN_HEADERS = ("service", "change", "from", "to", "gates", "reason")
RECEIPT_HEADERS = ("service", "outcome", "from", "to", "seconds", "reason")
NAMED = 4
"""So many models of a bundle are named in a cell; of more the first, and how many there are beside. JSON has them all."""


def plan_report(plan: Plan, *, next_command: str, notes: tuple[str, ...] = (), exit_code: int = 0) -> Report:
    """The table of what would happen, one row a service."""
    return Report(
        verdict=f"{plan.environment}: {_counts(plan)}",
        data=plan_json(plan),
        headers=PLAN_HEADERS,
        rows=[_row(change) for change in plan.changes],
        details=[line for change in plan.changes for line in _details(plan.environment, change)],
        notes=notes,
        next=next_command,
        exit_code=exit_code,
        outputs={
            "changes": str(len(plan.acting)),
            "approval": "required" if any(change.blocked_by == "approval" for change in plan.changes) else "none",
        },
    )


def plan_json(plan: Plan) -> dict[str, Any]:
    """Stable keys: environment, revision, changes by service."""
    return {
        "environment": plan.environment,
        "revision": plan.revision,
        "changes": {change.service: change_json(change, plan) for change in plan.changes},
    }


def change_json(change: Change, plan: Plan) -> dict[str, Any]:
    """One Change with its reason, components, gates, sync and health."""
    return {
        "change": change.kind.value,
        "reason": change.reason,
        "blocked": change.blocked,
        "blocked_by": change.blocked_by,
        "waits_until": iso(change.waits_until) if change.waits_until else "",
        "direction": change.direction.value,
        "before": change.before.to_json() if change.before else None,
        "after": change.after.to_json() if change.after else None,
        "components": [
            {"key": c.key, "before": c.before_label, "after": c.after_label, "direction": c.direction.value}
            for c in change.components
        ],
        "drift": list(change.drift),
        "gates": [result.to_json() for result in change.gate_results],
        "sync": plan.sync[change.service].value,
        "health": plan.health[change.service].value,
    }


def receipts_report(
    plan: Plan, receipts: Mapping[str, ServiceReceipt], *, next_command: str, notes: tuple[str, ...], exit_code: int
) -> Report:
    """What a pass did, one row a service; those it did not touch say why."""
    rows = []
    for change in plan.changes:
        receipt = receipts.get(change.service)
        if receipt is None:
            outcome = "blocked" if change.blocked else "noop"
            rows.append(
                (change.service, outcome, label(change.before), label(change.after), "", change.blocked or change.reason)
            )
        else:
            seconds = sum(step.seconds for step in receipt.steps)
            rows.append(
                (
                    change.service,
                    f"{receipt.change}: {receipt.outcome}",
                    label(receipt.before),
                    label(receipt.after),
                    f"{seconds:.2f}" if receipt.steps else "",
                    receipt.reason,
                )
            )
    return Report(
        verdict=f"{plan.environment} at {plan.revision[:9]}: {_outcomes(plan, receipts)}",
        data={
            "environment": plan.environment,
            "revision": plan.revision,
            "services": {name: receipt_to_json(receipt) for name, receipt in sorted(receipts.items())},
            "changes": {change.service: change_json(change, plan) for change in plan.changes},
        },
        headers=RECEIPT_HEADERS,
        rows=rows,
        details=[line for name, receipt in sorted(receipts.items()) for line in _proofs(name, receipt)],
        notes=notes,
        next=next_command,
        exit_code=exit_code,
    )


def label(bundle: Bundle | None) -> str:
    """What people call a bundle: its model versions (or the image, where it serves none) and its id."""
    if bundle is None:
        return "nothing"
    return f"{names(bundle)} ({bundle.id[:7]})"


def names(bundle: Bundle) -> str:
    """Its model versions, as far as they fit; the image where it serves none."""
    models = [f"{pin.name} {pin.version}" for pin in bundle.models]
    named = models if len(models) <= NAMED else [*models[: NAMED - 1], f"and {len(models) - NAMED + 1} more"]
    return ", ".join(named) or bundle.image.short


def _counts(plan: Plan) -> str:
    kinds = Counter(change.kind for change in plan.changes if change.acts)
    names = {
        ChangeKind.CREATE: "to create",
        ChangeKind.UPDATE: "to update",
        ChangeKind.ROLLBACK: "to roll back",
        ChangeKind.REPAIR: "to repair",
        ChangeKind.SETTINGS: "with new settings",
        ChangeKind.REMOVE: "to remove",
    }
    parts = [f"{kinds[kind]} {text}" for kind, text in names.items() if kinds[kind]]
    blocked = sum(1 for change in plan.changes if change.blocked)
    if blocked:
        parts.append(f"{blocked} blocked")
    judged = [result for change in plan.changes for result in change.gate_results]
    if judged:
        parts.append(f"gates {sum(result.opens for result in judged)} of {len(judged)}")
    if parts:
        return ", ".join(parts)
    unknown = any(sync is Sync.UNKNOWN for sync in plan.sync.values())
    return "git and the ledger agree; what runs was not looked at" if unknown else "nothing to do, all in sync"


def _outcomes(plan: Plan, receipts: Mapping[str, ServiceReceipt]) -> str:
    outcomes = Counter(f"{receipt.change} {receipt.outcome}" for receipt in receipts.values())
    standing = sum(1 for change in plan.changes if change.blocked and change.service not in receipts)
    parts = [f"{count} {text}" if count > 1 else text for text, count in sorted(outcomes.items())]
    if standing:
        parts.append(f"{standing} blocked")
    return ", ".join(parts) or "nothing to do"


def _row(change: Change) -> tuple[str, ...]:
    opened = sum(result.opens for result in change.gate_results)
    gates = f"{opened} of {len(change.gate_results)}" if change.gate_results else "–"
    kind = f"{change.kind}" + (" (blocked)" if change.blocked else "")
    return (change.service, kind, label(change.before), label(change.after), gates, change.blocked or change.reason)


def waits_for(environment: str, change: Change) -> str:
    """For whom or what a blocked Change waits; empty for one that waits for nobody, or does not wait."""
    until = iso(change.waits_until) if change.waits_until else ""
    service = change.service
    match change.blocked_by:
        case "approval":
            return "waits for anybody who may approve"
        case "soak":
            return f"waits until {until}, by itself"
        case "hold":
            lifted = f"mlrelease unhold {environment} (--service {service} where it alone is held)"
            return f"waits until {until}, or until somebody lifts the hold: {lifted}" if until else f"waits for: {lifted}"
        case "waiting":
            return f"is tried again at {until} (at once: mlrelease deploy {environment} --service {service})"
        case "promotion":
            return "waits for the environment that it is promoted from"
    return ""


def _details(environment: str, change: Change) -> list[str]:
    lines = [f"{change.service}: {c.key} {c.before_label} → {c.after_label} ({c.direction})" for c in change.components]
    lines += [f"{change.service}: {line}" for line in change.drift]
    waits = waits_for(environment, change)
    lines += [f"{change.service}: {waits}"] if waits else []
    lines += [
        f"{change.service}: gate {result.gate} {result.status} for {result.component}: {result.reason}"
        for result in change.gate_results
        if result.status is not GateStatus.PASSED
    ]
    return lines


def _proofs(service: str, receipt: ServiceReceipt) -> list[str]:
    if receipt.outcome is not Outcome.SUCCEEDED:
        return [f"{service}: {p.name} {p.status}: {p.reason}" for p in receipt.probes if p.status != "passed"]
    passed = Counter(probe.name for probe in receipt.probes if probe.status == "passed")
    goldens = [name for name in passed if name.startswith("golden:")]
    if len(goldens) > NAMED:
        # A fleet: the receipt has them by name.
        together = sum(passed.pop(name) for name in goldens)
        passed[f"golden predictions of {len(goldens)} models"] = together
    lines = [f"{service}: proved by {', '.join(f'{name} ×{count}' for name, count in passed.items())}"] if passed else []
    lines += [f"{service}: {p.name} skipped: {p.reason}" for p in receipt.probes if p.status == "skipped"]
    if receipt.exercised and receipt.after is not None and "image" not in receipt.exercised:
        lines.append(f"{service}: exercised {', '.join(receipt.exercised)}; the image is not run by this target")
    return lines
