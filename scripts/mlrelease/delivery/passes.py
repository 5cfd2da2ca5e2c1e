"""One reconcile pass over one environment: observe → classify → plan → act → verify → record (DESIGN §5)."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery import lock as locks
from mlrelease.delivery.ahead import Ahead
from mlrelease.delivery.aliases import queue_aliases
from mlrelease.delivery.artifacts import prune_cache
from mlrelease.delivery.lock import Lock, LockHeld, PlanStale
from mlrelease.delivery.pinned import Obeyed, explained, let_go, obey
from mlrelease.delivery.rollout import roll_out
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.delivery.staleness import halted, untold_order
from mlrelease.delivery.steps import Listener, Steps
from mlrelease.delivery.upstream import source_history
from mlrelease.errors import Error
from mlrelease.history.fold import History, fold
from mlrelease.log import get
from mlrelease.model.change import Change, ChangeKind, Outcome, Plan
from mlrelease.model.event import DeployFinished, ServiceReceipt, Unheld
from mlrelease.model.live import Observation, Role
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.plan.make import judge, make_plan, subjects
from mlrelease.targets.interface import Fenced

PLAN_TRIES = 5
"""So often a pass plans anew when the history moved under it, before it says so."""


ROLLBACK = "rollback"
"""The trigger of a pass that a person asked for to go back: it waits for nobody to say which commit is newer."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for a pass and how: `impatient` does not wait after a try that errored (a person asked)."""

    actor: str
    trigger: str
    run_id: str
    new_id: Callable[[], str]
    listener: Listener
    impatient: bool = True
    only: frozenset[str] = frozenset()
    removals_allowed: bool = False
    lock_timeout_s: float = DEADLINES_S["lock.wait"]
    run_url: str = ""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass found and did. `receipts` holds the services it acted on; `finished` is None when nothing was written."""

    plan: Plan
    history: History
    online: bool
    receipts: Mapping[str, ServiceReceipt] = field(default_factory=dict)
    finished: DeployFinished | None = None
    spooled: int = 0


def look(
    site: Site,
    desired: Desired,
    *,
    impatient: bool = True,
    only: frozenset[str] = frozenset(),
    removals_allowed: bool = False,
    read_files: bool = True,
    observe: bool = True,
    fetch: bool = True,
    judged: bool = True,
    may_load: bool = True,
) -> tuple[Plan, History, Observation | None]:
    """The plan of an environment as of now, with its history and observation; changes nothing but the artifact cache.

    `judged`: with the gates' word on it. `observe`, `fetch`, `read_files`: look at the target, at the git host, into
    the artifacts of changed pins. `may_load`: gates may load a model, in isolation; never for a stranger's pull request.
    """
    view = site.ledger.read(site.environment.name, fetch=fetch)
    if view.broken:
        raise Error(
            f"the ledger of {site.environment.name} does not hold together: {view.broken}",
            hint="push the true branch back from a backup, then here: git update-ref -d refs/mlrelease/remote/ledger",
        )
    history = fold(site.environment.name, view.events)
    observation = site.target.observe() if observe else None
    source = source_history(site)
    obeyed = obey(site, history, desired.revision)
    plan = make_plan(
        obeyed.site.environment,
        obeyed.history,
        observation,
        revision=desired.revision,
        now=site.now(),
        impatient=impatient,
        only=only,
        removals_allowed=removals_allowed,
        source=source,
    )
    plan = explained(plan, obeyed)
    if judged:
        plan = _judged(obeyed.site, plan, history, source, read_files=read_files, may_load=may_load, impatient=impatient)
    return plan, history, observation


def run_pass(site: Site, desired: Desired, order: Order) -> PassResult:
    """One pass. Writes nothing to the ledger when there is nothing to do.

    Raises `LockHeld` after `lock_timeout_s`, `Fenced` when a newer pass took over, `Error` when it could not look.
    """
    until = time.monotonic() + order.lock_timeout_s
    for _ in range(PLAN_TRIES):
        try:
            return _once(site, desired, order)
        except PlanStale:
            continue
        except LockHeld:
            if not locks.wait(until):
                raise
    while True:
        try:
            return _once(site, desired, order)
        except (PlanStale, LockHeld) as error:
            if not locks.wait(until):
                if isinstance(error, LockHeld):
                    raise
                raise Error("the ledger kept moving while this pass planned", hint="run it again") from error


def _judged(
    site: Site, plan: Plan, history: History, source: History | None, *, read_files: bool, may_load: bool, impatient: bool
) -> Plan:
    """The plan with the gates' word on it, where there is anything to judge."""
    now = site.now()
    asked = [(c, subjects(c, site.environment, now=now, may_load=may_load, impatient=impatient)) for c in plan.changes]
    moves = [(change, found) for change, found in asked if found]
    if not moves:
        return plan
    from mlrelease.delivery.judging import judged  # noqa: PLC0415 - most looks have nothing to judge

    return judge(plan, judged(site, moves, history, source, read_files=read_files))


def _once(site: Site, desired: Desired, order: Order) -> PassResult:
    plan, history, observation = look(
        site, desired, impatient=order.impatient, only=order.only, removals_allowed=order.removals_allowed
    )
    untold = untold_order(site.branch, site.git, desired.revision, history.applied, online=desired.online)
    obeyed = obey(site, history, desired.revision)
    if untold and order.trigger != ROLLBACK:
        # What a hold asks for is a rollback too, and its commit is named: no tip decides it.
        plan = halted(plan, untold, but=frozenset(obeyed.pinned))
    if obeyed.over and not untold:
        _end_holds(obeyed, order)
        raise PlanStale
    site = obeyed.site
    news = _news(plan)
    if not plan.acting and not news:
        _reap(site, history, observation, site.environment)
        return PassResult(plan, history, desired.online, spooled=_flushed(site))
    steps = Steps("", order.listener)
    with steps.step("lock"):
        held = locks.take(
            site,
            history,
            new_id=order.new_id,
            actor=order.actor,
            revision=desired.revision,
            trigger=order.trigger,
            services=tuple(change.service for change in (*plan.acting, *news)),
            run_id=order.run_id,
        )
    receipts, interrupted = _act(site, plan, history, held, order, steps, news)
    finished = DeployFinished(
        id=order.new_id(),
        environment=site.environment.name,
        at=site.now(),
        actor=order.actor,
        revision=desired.revision,
        trigger=order.trigger,
        started=held.started.id,
        started_at=held.started.at,
        services=receipts,
        run_url=order.run_url,
        run_id=order.run_id,
    )
    with steps.step("record"):
        appended = site.ledger.append([finished])
    if interrupted:
        raise KeyboardInterrupt
    after = fold(site.environment.name, site.ledger.read(site.environment.name, fetch=False).events)
    try:
        queue_aliases(site, receipts)
        prune_cache(site, after)
    except (Error, OSError) as error:
        # The Change is done and recorded: what is left to do costs an alias or some space, no more.
        get("pass").warning("after the pass", error=str(error))
    return PassResult(plan, after, desired.online, receipts, finished, appended.spooled)


def _act(
    site: Site,
    plan: Plan,
    history: History,
    held: Lock,
    order: Order,
    pass_steps: Steps,
    news: tuple[Change, ...],
) -> tuple[dict[str, ServiceReceipt], bool]:
    """Each acting Change, one after the other, each its own transaction; and what is newly blocked, for the record."""
    receipts = {change.service: _blocked_receipt(change) for change in news}
    interrupted = False
    if not plan.acting:
        return receipts, interrupted
    try:
        with pass_steps.step("prepare"):
            site.target.prepare(held.height)
    except Fenced:
        raise
    except (Error, OSError) as error:
        return receipts | {c.service: _errored_receipt(c, str(error)) for c in plan.acting}, interrupted
    ahead = Ahead(site, plan.acting)
    for change in plan.acting:
        if interrupted:
            receipts[change.service] = _errored_receipt(change, "interrupted before it began", Outcome.ABORTED)
            continue
        log = get("pass").bind(environment=plan.environment, service=change.service, change=change.kind.value)
        log.info("begins", reason=change.reason)
        steps = Steps(change.service, order.listener)
        receipt = roll_out(
            site, change, history, steps, revision=plan.revision, meanwhile=functools.partial(ahead.start, change)
        )
        log.info("ended", outcome=receipt.outcome.value, reason=receipt.reason)
        receipts[change.service] = receipt
        interrupted = receipt.outcome is Outcome.ABORTED
    if interrupted:
        ahead.stop()
    return receipts, interrupted


def _end_holds(obeyed: Obeyed, order: Order) -> None:
    """Writes that holds are over whose pins the tracked branch has: from here on it alone says what is desired."""
    site = obeyed.site
    reason = f"{site.branch} has its pins"
    words = [
        Unheld(order.new_id(), site.environment.name, site.now(), order.actor, reason, hold.service, hold.id)
        for hold in obeyed.over
    ]
    site.ledger.append(words)
    for hold in obeyed.over:
        let_go(site, hold)
        get("pass").info("a hold is over", service=hold.service, commit=hold.pinned_to, reason=reason)


def _news(plan: Plan) -> tuple[Change, ...]:
    """The blocked Changes worth a receipt: those that a gate shut just now.

    Written once, they wait (`classify.not_before`) and are not judged again meanwhile. A standing rejection, hold or
    finding is state that the plan shows; it was written by whoever made it.
    """
    return tuple(c for c in plan.changes if c.blocked_by.startswith("gate:") and c.after is not None)


def _blocked_receipt(change: Change) -> ServiceReceipt:
    errored = change.blocked_by.endswith(":errored")
    return ServiceReceipt(
        outcome=Outcome.ERRORED if errored else Outcome.BLOCKED,
        change=change.kind,
        direction=change.direction,
        reason=change.blocked,
        before=change.before,
        after=change.after,
        gate_results=tuple(result.to_json() for result in change.gate_results),
    )


def _errored_receipt(change: Change, reason: str, outcome: Outcome = Outcome.ERRORED) -> ServiceReceipt:
    return ServiceReceipt(outcome, change.kind, change.direction, reason, change.before, change.after)


def _reap(site: Site, history: History, observation: Observation | None, environment: EnvironmentSpec) -> None:
    """Stops warm instances whose time is over. Housekeeping: no event; a newer pass simply wins."""
    if observation is None:
        return
    now = site.now()
    due = [i for i in observation.instances if i.role is Role.WARM and i.until and i.until <= now]
    if not due:
        return
    try:
        site.target.prepare(history.height)
        for instance in due:
            site.target.stop(instance.id, drain_s=DEADLINES_S["instance.drain"])
            get("reap").info("stopped a warm instance", environment=environment.name, instance=instance.id)
    except Fenced:
        get("reap").info("a newer pass is at work")


def _flushed(site: Site) -> int:
    """Brings over what waits in the spool, once the git host answers; returns how many events still wait.

    An append takes them along, but a pass with nothing to do makes none, and others wait for these receipts.
    """
    view = site.ledger.read(site.environment.name, fetch=False)
    if not view.spooled or not view.online:
        return view.spooled
    try:
        return site.ledger.flush().spooled
    except Error as error:
        get("pass").warning("what waits in the spool was not taken", waiting=view.spooled, error=error.message)
        return view.spooled


def changed_anything(result: PassResult) -> bool:
    """Whether the pass touched the target."""
    return any(r.change is not ChangeKind.NOOP and r.outcome is not Outcome.BLOCKED for r in result.receipts.values())
