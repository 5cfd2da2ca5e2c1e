"""The KPIs of an environment and of each of its services in a window: deeds added up (docs/history.md defines them). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from mlrelease.history.deeds import FORWARD, JUDGED, Deed, Failure, Wait, deeds, waits
from mlrelease.history.figures import Share, Spread, spread
from mlrelease.history.landings import Landings
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Event, UnknownEvent

DAY_S = 86400
SHORTEST_S = DAY_S
"""A frequency needs a day at least: one deployment in an hour is not 168 a week."""


@dataclass(frozen=True, slots=True)
class Kpis:
    """Of one service, or of all together. `unplaced` deployments are those whose commit was not found: no lead time."""

    deployments: int
    per_week: Decimal | None
    authored: Spread
    landed: Spread
    unplaced: int
    failures: Share
    failed_by: Mapping[Failure, int]
    restore: Spread
    unrestored: int
    rollbacks: Spread
    rollbacks_landed: Spread
    blocks: Mapping[str, int]
    approvals: int
    approval_wait: Spread
    success: Share
    outcomes: Mapping[Outcome, int]
    repairs: int
    settings: int
    removals: int
    steps: Mapping[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KpiReport:
    """The window, and the figures in it: `since` is not before the ledger's first event, `until` is not included.

    Without an event both are the same moment.
    """

    environment: str
    since: float
    until: float
    total: Kpis
    services: Mapping[str, Kpis]


def kpis(
    events: Sequence[Event | UnknownEvent], environment: str, landings: Landings, *, since: float, until: float
) -> KpiReport:
    """The figures of what was recorded from `since` up to `until`. What came after may still make a Change a failed one."""
    began = max(since, min((event.at for event in events), default=until))
    within = [deed for deed in deeds(events, environment, landings) if since <= deed.at < until]
    waited = [wait for wait in waits(events, environment, landings) if since <= wait.at < until]
    by_service: dict[str, tuple[list[Deed], list[Wait]]] = {}
    for deed in within:
        by_service.setdefault(deed.service, ([], []))[0].append(deed)
    for wait in waited:
        by_service.setdefault(wait.service, ([], []))[1].append(wait)
    span = until - began
    services = {name: _sum(*by_service[name], span) for name in sorted(by_service)}
    return KpiReport(environment, began, until, _sum(within, waited, span), services)


def _sum(within: Sequence[Deed], waited: Sequence[Wait], span: float) -> Kpis:
    acted = [deed for deed in within if deed.acted]
    proved = [deed for deed in acted if deed.outcome is Outcome.SUCCEEDED]
    forward = [deed for deed in proved if deed.change in FORWARD]
    back = [deed for deed in proved if deed.change is ChangeKind.ROLLBACK]
    failed = [deed for deed in acted if deed.failure is not None]
    judged = [deed for deed in acted if deed.change in FORWARD and deed.outcome in JUDGED]
    return Kpis(
        deployments=len(forward),
        per_week=_per_week(len(forward), span),
        authored=_spread(deed.authored for deed in forward),
        landed=_spread(deed.landed for deed in forward),
        unplaced=sum(deed.landed is None for deed in forward),
        failures=Share(len(failed), len(judged)),
        failed_by=Counter(deed.failure for deed in failed if deed.failure is not None),
        restore=_spread(deed.restore for deed in failed),
        unrestored=sum(deed.is_open for deed in failed),
        rollbacks=spread(deed.took for deed in back),
        rollbacks_landed=_spread(deed.landed for deed in back),
        blocks=Counter(gate for deed in within for gate in deed.gates),
        approvals=len(waited),
        approval_wait=_spread(wait.waited for wait in waited),
        success=Share(len(proved), len(acted)),
        outcomes=Counter(deed.outcome for deed in acted),
        repairs=sum(deed.change is ChangeKind.REPAIR for deed in proved),
        settings=sum(deed.change is ChangeKind.SETTINGS for deed in proved),
        removals=sum(deed.change is ChangeKind.REMOVE for deed in proved),
        steps=_steps(proved),
    )


def _steps(proved: Iterable[Deed]) -> dict[str, Spread]:
    """In the order in which a rollout takes them."""
    found: dict[str, list[Decimal]] = {}
    for deed in proved:
        for name, took in deed.steps.items():
            found.setdefault(name, []).append(took)
    return {name: spread(values) for name, values in found.items()}


def _spread(values: Iterable[Decimal | None]) -> Spread:
    return spread(value for value in values if value is not None)


def _per_week(count: int, span: float) -> Decimal | None:
    if span < SHORTEST_S:
        return None
    return (Decimal(count) * 7 * DAY_S / Decimal(repr(span))).quantize(Decimal("0.01"))
