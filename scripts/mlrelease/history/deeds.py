"""What each receipt and approval comes to, as the KPIs count it (definitions: docs/history.md). Pure.

Everything about a receipt is decided here, with all events at hand and no window; `kpi.py` only picks a window and adds up.
So what a time of two weeks shows is exactly what its two weeks show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from mlrelease.history.figures import seconds
from mlrelease.history.landings import Landings, PinCommit, file_of
from mlrelease.history.moments import window
from mlrelease.model.bundle import SETTINGS
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Approved, DeployFinished, Event, Held, ServiceReceipt, Unheld, UnknownEvent
from mlrelease.model.gate import GateStatus

UNDONE_WITHIN_S = 7 * 86400.0
"""A Change whose next Change is a rollback within a week counts as failed: later, what was wrong is seldom the Change."""

FORWARD = (ChangeKind.CREATE, ChangeKind.UPDATE)
MOVING = (*FORWARD, ChangeKind.ROLLBACK, ChangeKind.REMOVE)
JUDGED = (Outcome.SUCCEEDED, Outcome.ROLLED_BACK, Outcome.FAILED)
"""What says something of a Change; that it errored or was interrupted says nothing against it."""

Receipt = tuple[DeployFinished, ServiceReceipt]


class Failure(StrEnum):
    """How a forward Change failed: put back by the pass, not put back, or undone by a person's commit."""

    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Deed:
    """One receipt of one service as it counts. `acted`: the pass touched the target; `gates` shut it out otherwise.

    `authored` and `landed` are the seconds from its commit to the proof, None when the commit was not found; `restore` those
    from a failure's taking the traffic to the next proof, None when it never did or nothing was proved since (`is_open`).
    """

    at: float
    service: str
    change: ChangeKind
    outcome: Outcome
    acted: bool = True
    took: Decimal = Decimal(0)
    authored: Decimal | None = None
    landed: Decimal | None = None
    failure: Failure | None = None
    restore: Decimal | None = None
    is_open: bool = False
    gates: tuple[str, ...] = ()
    steps: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """One approval: how long its Change had waited in git; None when its commit was not found."""

    at: float
    service: str
    waited: Decimal | None


def deeds(events: Sequence[Event | UnknownEvent], environment: str, landings: Landings) -> tuple[Deed, ...]:
    """One for each receipt of each service, in the order of services, then of events."""
    services = sorted({name for event in events if isinstance(event, DeployFinished) for name in event.services})
    by_service: dict[str, list[Receipt]] = {name: [] for name in services}
    for event in events:
        if isinstance(event, DeployFinished):
            for name, receipt in event.services.items():
                by_service[name].append((event, receipt))
    elsewhere = _held_elsewhere(events)
    return tuple(deed for name in services for deed in _of_service(by_service[name], name, environment, landings, elsewhere))


def _held_elsewhere(events: Iterable[Event | UnknownEvent]) -> set[tuple[str, str]]:
    """Receipts (event, service) of passes that a hold had at another commit than the branch's: not on its line of commits."""
    holds: dict[str, str] = {}
    found: set[tuple[str, str]] = set()
    for event in events:
        match event:
            case Held() if event.pinned_to:
                holds[event.service] = event.id
            case Unheld() if event.hold in ("", holds.get(event.service)):
                holds.pop(event.service, None)
            case DeployFinished():
                found |= {(event.id, service) for service in holds.keys() & event.services.keys()}
            case _:
                continue
    return found


def waits(events: Sequence[Event | UnknownEvent], environment: str, landings: Landings) -> tuple[Wait, ...]:
    """One for each approval, in order."""
    return tuple(_wait(event, environment, landings) for event in events if isinstance(event, Approved))


def _of_service(
    receipts: Sequence[Receipt], service: str, environment: str, landings: Landings, elsewhere: AbstractSet[tuple[str, str]]
) -> Iterator[Deed]:
    for number, (event, receipt) in enumerate(receipts):
        shut = _shut(receipt)
        acted = receipt.outcome not in (Outcome.BLOCKED, Outcome.RUNNING) and not (shut and not receipt.steps)
        proved = receipt.outcome is Outcome.SUCCEEDED
        failure = _failure(receipts, number)
        restore, is_open = _restore(receipts, number, failure)
        commit_of = receipt.change in (*FORWARD, ChangeKind.ROLLBACK) and proved and (event.id, service) not in elsewhere
        commits = _commits(event, receipt, service, environment, landings) if commit_of else []
        yield Deed(
            at=event.at,
            service=service,
            change=receipt.change,
            outcome=receipt.outcome,
            acted=acted,
            took=seconds(sum(step.seconds for step in receipt.steps)),
            authored=seconds(event.at - min(c.authored_at for c in commits)) if commits else None,
            landed=seconds(event.at - min(c.landed_at for c in commits)) if commits else None,
            failure=failure,
            restore=restore,
            is_open=is_open,
            gates=() if acted else shut,
            steps=_steps(receipt) if proved else {},
        )


def _failure(receipts: Sequence[Receipt], number: int) -> Failure | None:
    """How this forward Change failed; None when it did not, or is none."""
    event, receipt = receipts[number]
    if receipt.change not in FORWARD:
        return None
    if receipt.outcome is Outcome.ROLLED_BACK:
        return Failure.ROLLED_BACK
    if receipt.outcome is Outcome.FAILED:
        return Failure.FAILED
    undone = _next(receipts, number, MOVING)
    if receipt.outcome is not Outcome.SUCCEEDED or undone is None:
        return None
    is_rollback = undone[1].change is ChangeKind.ROLLBACK
    return Failure.UNDONE if is_rollback and undone[0].at - event.at <= UNDONE_WITHIN_S else None


def _restore(receipts: Sequence[Receipt], number: int, failure: Failure | None) -> tuple[Decimal | None, bool]:
    """The seconds until the service was proved good again, and whether it still is not."""
    event, receipt = receipts[number]
    names = [step.name for step in receipt.steps]
    if failure is None or ("switch" not in names and failure is not Failure.UNDONE):
        return None, False
    if failure is Failure.ROLLED_BACK:
        last = names.index("switch_back") if "switch_back" in names else len(names) - 1
        return seconds(sum(step.seconds for step in receipt.steps[names.index("switch") : last + 1])), False
    good = _next(receipts, number, MOVING if failure is Failure.UNDONE else tuple(ChangeKind))
    if good is None:
        return None, True
    moved = window(event, receipt, until=event.at)
    return seconds(good[0].at - (moved[1] if moved else event.at)), False


def _next(receipts: Sequence[Receipt], number: int, kinds: tuple[ChangeKind, ...]) -> Receipt | None:
    """The next succeeded receipt of one of these kinds."""
    later = (receipts[n] for n in range(number + 1, len(receipts)))
    return next((one for one in later if one[1].outcome is Outcome.SUCCEEDED and one[1].change in kinds), None)


def _commits(
    event: DeployFinished, receipt: ServiceReceipt, service: str, environment: str, landings: Landings
) -> list[PinCommit]:
    """The commits that brought what this Change moved; empty unless all of them were found."""
    before = receipt.before.components() if receipt.before else {}
    after = receipt.after.components() if receipt.after else {}
    found: list[PinCommit] = []
    for key, value in after.items():
        if before.get(key) == value:
            continue
        path = file_of(environment, service, key)
        # A first deploy moves whatever stands there by then; settings have no digest in the file.
        by_touch = key == SETTINGS or receipt.before is None
        commit = landings.touching(path, event.revision) if by_touch else landings.bringing(path, value, event.revision)
        if commit is None:
            return []
        found.append(commit)
    newest = max(found, key=lambda commit: commit.landed_at, default=None)
    return [newest] if newest and receipt.before is None else found


def _wait(event: Approved, environment: str, landings: Landings) -> Wait:
    before = dict(event.before)
    moved = [(key, value) for key, value in event.after if before.get(key) != value and key != SETTINGS]
    commits = [landings.bringing_before(file_of(environment, event.service, key), value, event.at) for key, value in moved]
    found = [commit.landed_at for commit in commits if commit is not None]
    whole = len(found) == len(moved) and bool(found)
    return Wait(event.at, event.service, seconds(event.at - max(found)) if whole else None)


def _shut(receipt: ServiceReceipt) -> tuple[str, ...]:
    """The gates that did not open, each once, sorted."""
    opens = (GateStatus.PASSED.value, GateStatus.SKIPPED.value)
    found = {
        str(result.get("gate", ""))
        for result in receipt.gate_results
        if result.get("status") not in opens or (result.get("status") == opens[1] and not result.get("skip_reason"))
    }
    return tuple(sorted(found))


def _steps(receipt: ServiceReceipt) -> dict[str, Decimal]:
    """Seconds by step; one that was done twice counts with both."""
    total: dict[str, float] = {}
    for step in receipt.steps:
        total[step.name] = total.get(step.name, 0.0) + step.seconds
    return {name: seconds(value) for name, value in total.items()}
