"""From files, history and observation to a Plan; then the gates' word on it. Pure: evidence comes in as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlrelease.gates.interface import Origin, Subject
from mlrelease.history.fold import History
from mlrelease.model.bundle import IMAGE, Bundle, model_key
from mlrelease.model.change import Change, ChangeKind, Direction, Health, Plan, Sync
from mlrelease.model.gate import GateResult, GateStatus
from mlrelease.model.live import Observation
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.plan.classify import Classified, Situation, classify
from mlrelease.plan.drift import health_of
from mlrelease.plan.table import ACTIONS, KEEPS_RECORDED, Action

JUDGED_WHILE_WAITING = frozenset({"hold", "soak", "approval", "promotion"})
"""What blocks a Change that is judged all the same when a person asks."""


def make_plan(
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    revision: str,
    now: float,
    impatient: bool = True,
    only: frozenset[str] = frozenset(),
    removals_allowed: bool = False,
    source: History | None = None,
) -> Plan:
    """One Change per service that is declared, invalid, recorded or seen running; `only` narrows it (empty: all).

    `source` is the history of the environment promoted from; None where there is none, or where it could not be read.
    More than one removal at once is blocked unless `removals_allowed` (DESIGN §6 row 4).
    """
    seen = {i.service for i in observation.instances} if observation else set()
    names = sorted(set(environment.services) | environment.invalid | set(history.recorded) | (seen - {""}))
    cases = [
        classify(name, environment, history, observation, now=now, impatient=impatient, source=source)
        for name in names
        if not only or name in only
    ]
    changes = [_change(case) for case in cases]
    removals = [change for change in changes if change.kind is ChangeKind.REMOVE]
    if len(removals) > 1 and not removals_allowed:
        why = f"{len(removals)} services would be removed at once: say --allow-remove"
        changes = [replace(c, blocked=why, blocked_by="removals") if c.kind is ChangeKind.REMOVE else c for c in changes]
    working = history.started is not None and history.started.expires_at > now
    return Plan(
        environment=environment.name,
        revision=revision,
        height=history.height,
        changes=tuple(changes),
        sync={case.service: _sync(case, observation) for case in cases},
        health={case.service: _health(case, environment, history, observation, working=working) for case in cases},
    )


def subjects(
    change: Change, environment: EnvironmentSpec, *, now: float, may_load: bool = True, impatient: bool = False
) -> tuple[Subject, ...]:
    """The models whose gates this Change must pass: those that move, and under an image that moves forward into a promoted
    environment all of them (direction NONE).

    None for a Change that is blocked; `impatient` (a person asked): one that only waits for a person or for time is judged
    all the same, so that whoever approves it sees what its gates say.
    """
    if change.kind not in (ChangeKind.CREATE, ChangeKind.UPDATE, ChangeKind.ROLLBACK) or change.after is None:
        return ()
    if change.blocked and not (impatient and change.blocked_by.partition(":")[0] in JUDGED_WHILE_WAITING):
        return ()
    moves = {component.key: component.direction for component in change.components}
    promoted = bool(environment.promotes_from) and moves.get(IMAGE) is Direction.FORWARD
    before = {pin.name: pin for pin in change.before.models} if change.before else {}
    return tuple(
        Subject(
            environment=environment.name,
            service=change.service,
            pin=pin,
            direction=moves.get(model_key(pin.name), Direction.NONE),
            image=change.after.image.reference,
            baseline=before.get(pin.name),
            baseline_origin=Origin.RECORDED if pin.name in before else Origin.NONE,
            now=now,
            may_load=may_load,
        )
        for pin in change.after.models
        if promoted or model_key(pin.name) in moves
    )


def judge(plan: Plan, results: Mapping[str, tuple[GateResult, ...]]) -> Plan:
    """The plan with each service's gate results; a Change with one that does not open is blocked by it.

    One that failed is named before one that could not tell: another try will not open it.
    """
    changes = []
    for change in plan.changes:
        said = results.get(change.service, ())
        shut = [result for result in said if not result.opens]
        if shut and not change.blocked:
            first = min(shut, key=lambda result: result.status is not GateStatus.FAILED)
            more = f" (and {len(shut) - 1} more)" if len(shut) > 1 else ""
            why = f"gate {first.gate} {first.status} for {first.component}: {first.reason}{more}"
            changes.append(replace(change, gate_results=said, blocked=why, blocked_by=f"gate:{first.gate}:{first.status}"))
        else:
            changes.append(replace(change, gate_results=said))
    return replace(plan, changes=tuple(changes))


def _change(case: Classified) -> Change:
    action = ACTIONS[case.situation]
    if case.situation in KEEPS_RECORDED and case.drift and case.recorded is not None:
        why = f"{action.reason} ({case.why})" if case.why else action.reason
        return Change(
            service=case.service,
            kind=ChangeKind.REPAIR,
            reason=f"keeps what is recorded: {why}",
            before=case.recorded,
            after=case.recorded,
            drift=case.drift,
        )
    kind = _kind(case, action)
    if case.situation is Situation.GONE and case.drift:
        return Change(case.service, ChangeKind.REMOVE, "not wanted, but something of it runs", None, None, drift=case.drift)
    after: Bundle | None = case.desired
    if case.situation in (Situation.INVALID, Situation.UNDECLARED):
        after = case.recorded
    return Change(
        service=case.service,
        kind=kind,
        reason=ACTIONS[Situation.UNWANTED].reason if kind is ChangeKind.REMOVE else action.reason,
        before=case.recorded,
        after=after,
        components=case.components,
        drift=case.drift if kind in (ChangeKind.REPAIR, ChangeKind.SETTINGS) else (),
        blocked=(case.why or action.reason) if action.blocked_by else "",
        blocked_by=action.blocked_by,
        waits_until=case.until,
    )


def _kind(case: Classified, action: Action) -> ChangeKind:
    """What it would be if it were not blocked: the table's rows of blocked moves stand for updates, births and ends alike."""
    if action.kind is not ChangeKind.UPDATE or not action.blocked_by:
        return action.kind
    if case.recorded is None:
        return ChangeKind.CREATE
    return ChangeKind.REMOVE if case.desired is None else ChangeKind.UPDATE


def _sync(case: Classified, observation: Observation | None) -> Sync:
    if case.situation in (Situation.IN_SYNC, Situation.DRIFTED, Situation.UNMENDED, Situation.GONE):
        if observation is None:
            return Sync.UNKNOWN
        return Sync.DRIFTED if case.drift else Sync.IN_SYNC
    return Sync.OUT_OF_SYNC


def _health(
    case: Classified, environment: EnvironmentSpec, history: History, observation: Observation | None, *, working: bool
) -> Health:
    if case.recorded is None and case.desired is None:
        return Health.HEALTHY
    spec = environment.services.get(case.service)
    entry = history.recorded.get(case.service)
    replicas = int(entry.settings.get("replicas", 1)) if entry else (spec.replicas if spec else 1)
    return health_of(observation, case.service, case.recorded, replicas=replicas, working=working)
