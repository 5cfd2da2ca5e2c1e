"""The KPIs as a report: one row a service and one for all, what stands behind them below, everything in JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from mlrelease.history.figures import Share, Spread
from mlrelease.history.kpi import DAY_S, KpiReport, Kpis
from mlrelease.model.when import iso
from mlrelease.render.report import Report

HEADERS = (
    "service",
    "deployments",
    "lead time",
    "change failures",
    "time to restore",
    "rollbacks",
    "gate blocks",
    "approval wait",
    "success",
)
ALL = "all"
NOTHING = "–"


def kpi_report(kpis: KpiReport, *, service: str = "", notes: tuple[str, ...] = (), exit_code: int = 0) -> Report:
    """The table of the environment, or of one service. A figure of nothing is a dash; beside each stands of how many it is."""
    shown = {service: kpis.services[service]} if service else kpis.services
    rows = [_row(name, one) for name, one in shown.items()]
    of_all = shown[service] if service else kpis.total
    if len(rows) != 1:
        rows.insert(0, _row(ALL, kpis.total))
    span = f"{iso(kpis.since)[:19]}Z to {iso(kpis.until)[:19]}Z" if kpis.since < kpis.until else "nothing was recorded yet"
    counted = f"deployments {of_all.deployments}, failed changes {of_all.failures.part} of {of_all.failures.whole}"
    unplaced = (f"deployments without a lead time: {of_all.unplaced}; their commits are not on the tracked branch here",)
    return Report(
        verdict=f"{kpis.environment}{f'/{service}' if service else ''}: {counted}, {span}",
        data={
            "environment": kpis.environment,
            "since": iso(kpis.since),
            "until": iso(kpis.until),
            "kpis": kpis_json(of_all),
            "services": {name: kpis_json(one) for name, one in shown.items()},
        },
        headers=HEADERS,
        rows=rows,
        details=list(_details(of_all)),
        notes=(*(unplaced if of_all.unplaced else ()), *notes, "what each figure means: docs/history.md"),
        next=f"mlrelease history {kpis.environment}" + (f" --service {service}" if service else ""),
        exit_code=exit_code,
    )


def kpis_json(kpis: Kpis) -> dict[str, Any]:
    """Stable keys; seconds and rates as numbers, null where there is nothing to count."""
    return {
        "deployments": kpis.deployments,
        "deployments_per_week": _number(kpis.per_week),
        "lead_time_authored": _spread_json(kpis.authored),
        "lead_time_landed": _spread_json(kpis.landed),
        "without_lead_time": kpis.unplaced,
        "change_failures": _share_json(kpis.failures),
        "failed_by": {kind.value: count for kind, count in sorted(kpis.failed_by.items())},
        "time_to_restore": _spread_json(kpis.restore),
        "unrestored": kpis.unrestored,
        "rollback_seconds": _spread_json(kpis.rollbacks),
        "rollback_from_commit": _spread_json(kpis.rollbacks_landed),
        "gate_blocks": dict(sorted(kpis.blocks.items())),
        "approvals": kpis.approvals,
        "approval_wait": _spread_json(kpis.approval_wait),
        "success": _share_json(kpis.success),
        "outcomes": {outcome.value: count for outcome, count in sorted(kpis.outcomes.items())},
        "repairs": kpis.repairs,
        "settings": kpis.settings,
        "removals": kpis.removals,
        "steps": {name: _spread_json(one) for name, one in kpis.steps.items()},
    }


def duration(value: Decimal | None) -> str:
    """`4.2 s`, `12 min`, `3.5 h`, `2.1 d`; a dash for none."""
    if value is None:
        return NOTHING
    for size, unit, places in ((DAY_S, "d", 1), (3600, "h", 1), (60, "min", 1)):
        if value >= size:
            return f"{value / size:.{places}f} {unit}"
    return f"{value:.2f} s"


def _row(name: str, kpis: Kpis) -> tuple[str, ...]:
    per_week = f", {kpis.per_week} a week" if kpis.per_week is not None else ""
    open_ones = f", {kpis.unrestored} still open" if kpis.unrestored else ""
    return (
        name,
        f"{kpis.deployments}{per_week}",
        _middle(kpis.landed, "p90", kpis.landed.p90),
        _share(kpis.failures),
        _middle(kpis.restore, "longest", kpis.restore.longest) + open_ones,
        _middle(kpis.rollbacks, "slowest", kpis.rollbacks.longest),
        str(sum(kpis.blocks.values())),
        _middle(kpis.approval_wait, "p90", kpis.approval_wait.p90),
        _share(kpis.success),
    )


def _middle(spread: Spread, word: str, other: Decimal | None) -> str:
    """The median with one more figure and of how many they are; one is one, and has no spread."""
    if not spread.n:
        return NOTHING
    more = f", {word} {duration(other)}" if spread.n > 1 else ""
    return f"{duration(spread.median)}{more} (n {spread.n})"


def _share(share: Share) -> str:
    return f"{share.rate * 100:.0f} % ({share.part} of {share.whole})" if share.rate is not None else NOTHING


def _details(kpis: Kpis) -> Iterator[str]:
    if kpis.authored.n:
        yield f"lead time from writing: {_middle(kpis.authored, 'p90', kpis.authored.p90)}"
    if kpis.failed_by:
        yield f"failed changes: {_counts({kind.replace('_', ' '): n for kind, n in kpis.failed_by.items()})}"
    if kpis.rollbacks_landed.n:
        yield f"rollbacks from their commit: {_middle(kpis.rollbacks_landed, 'slowest', kpis.rollbacks_landed.longest)}"
    if kpis.blocks:
        yield f"gates that shut: {_counts(kpis.blocks)}"
    others = {"repairs": kpis.repairs, "new settings": kpis.settings, "removals": kpis.removals}
    if any(others.values()):
        yield f"beside: {_counts({name: n for name, n in others.items() if n})}"
    for name, spread in kpis.steps.items():
        yield f"step {name}: {_middle(spread, 'p90', spread.p90)}"


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counted.items()))


def _spread_json(spread: Spread) -> dict[str, Any]:
    return {
        "n": spread.n,
        "median": _number(spread.median),
        "p90": _number(spread.p90),
        "longest": _number(spread.longest),
    }


def _share_json(share: Share) -> dict[str, Any]:
    return {"part": share.part, "of": share.whole, "rate": _number(share.rate)}


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
