"""The fold of an environment's events: what *recorded*, *verified here*, *rejected* and *held* mean. Reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlrelease.model.bundle import ABSENT, Bundle, BundleId, ComponentKey
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import (
    Approved,
    Component,
    DeployFinished,
    DeployStarted,
    Event,
    Held,
    Rejected,
    ServiceReceipt,
    Unheld,
    UnknownEvent,
    Unrejected,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One succeeded Change of a service: what was proved to answer (None: that nothing answers), and which event says so.

    `exercised` names the parts of the bundle that really ran there.
    """

    bundle: Bundle | None
    revision: str
    at: float
    event: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    exercised: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Components that together may not move forward here; `by_person` ones are refused as rollback targets too."""

    service: str
    components: frozenset[Component]
    reason: str
    at: float
    actor: str
    event: str
    by_person: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """The newest try at a bundle that did not succeed, and how many in a row there were."""

    outcome: Outcome
    reason: str
    count: int
    at: float


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows of one environment.

    `first_verified` maps (service, component, value) to the place of its first verification in the order of events;
    `verified` holds every succeeded Change of a service, oldest first; `started` is the newest start that nobody
    finished or superseded (its expiry is judged by who knows the time); `applied` the revision of the newest
    receipt with a success in it. `lifted` are the rejections that stand no more, each with the moment at which a
    person lifted it. `approvals` are those not used up (see `_Folder`), expired ones included: the fold knows no time.
    """

    environment: str
    height: int = 0
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    verified: Mapping[str, tuple[Recorded, ...]] = field(default_factory=dict)
    first_verified: Mapping[tuple[str, ComponentKey, str], int] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()
    lifted: tuple[tuple[Rejection, float], ...] = ()
    holds: tuple[Held, ...] = ()
    approvals: tuple[Approved, ...] = ()
    attempts: Mapping[tuple[str, BundleId], Attempt] = field(default_factory=dict)
    started: DeployStarted | None = None
    applied: str = ""
    unknown: tuple[str, ...] = ()

    def bundle(self, service: str) -> Bundle | None:
        """The recorded bundle; None when nothing was recorded or the service was removed."""
        entry = self.recorded.get(service)
        return entry.bundle if entry else None

    def holds_on(self, service: str, now: float) -> tuple[Held, ...]:
        """The holds in force on a service, its own and the environment's."""
        return tuple(h for h in self.holds if h.service in ("", service) and (not h.until or h.until > now))

    def pinned_hold(self, service: str, now: float) -> Held | None:
        """The newest hold in force whose commit says what the service should be; None: the tracked branch does."""
        return next((h for h in reversed(self.holds_on(service, now)) if h.service == service and h.pinned_to), None)

    def approval_of(self, service: str, before: Bundle | None, after: Bundle | None, now: float) -> Approved | None:
        """The newest approval in force of exactly this Change: all components before and after, by digest; else None."""
        old = before.components() if before else {}
        new = after.components() if after else {}
        for approval in reversed(self.approvals):
            if (
                approval.service == service
                and approval.expires_at > now
                and dict(approval.before) == old
                and dict(approval.after) == new
            ):
                return approval
        return None

    def last_good(self, service: str, *, before: BundleId | None) -> Recorded | None:
        """The newest verified entry of another bundle than `before` that no rejection covers; None when there is none."""
        for entry in reversed(self.verified.get(service, ())):
            if entry.bundle is None or entry.bundle.id == before:
                continue
            components = set(entry.bundle.components().items())
            if not any(r.service == service and r.components <= components for r in self.rejections):
                return entry
        return None


def fold(environment: str, events: Iterable[Event | UnknownEvent]) -> History:
    """The history that these events, in chain order, add up to."""
    folder = _Folder(environment)
    for event in events:
        folder.add(event)
    return folder.result()


class _Folder:
    """Takes events one by one.

    An approval is used up by any succeeded Change that moves its service's recorded components (whether it was the
    approved one or another: `before` holds no more, and must not come to hold again by a rollback), and by a rejection of
    something that it approved, since its approver did not know of that.
    """

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._height = 0
        self._recorded: dict[str, Recorded] = {}
        self._verified: dict[str, list[Recorded]] = {}
        self._first: dict[tuple[str, ComponentKey, str], int] = {}
        self._born: dict[str, int] = {}
        self._rejections: list[Rejection] = []
        self._lifted: list[tuple[Rejection, float]] = []
        self._holds: list[Held] = []
        self._approvals: list[Approved] = []
        self._attempts: dict[tuple[str, BundleId], Attempt] = {}
        self._started: DeployStarted | None = None
        self._applied = ""
        self._unknown: list[str] = []

    def add(self, event: Event | UnknownEvent) -> None:
        self._height += 1
        match event:
            case DeployStarted():
                self._started = event
            case DeployFinished():
                if self._started and self._started.id == event.started:
                    self._started = None
                if any(receipt.outcome is Outcome.SUCCEEDED for receipt in event.services.values()):
                    self._applied = event.revision
                for service, receipt in sorted(event.services.items()):
                    self._finish(event, service, receipt)
            case Held():
                if event.pinned_to:
                    # One commit is desired at a time: a newer rollback takes the place of the one before it.
                    self._holds = [h for h in self._holds if not h.pinned_to or h.service != event.service]
                self._holds.append(event)
            case Unheld():
                self._holds = [h for h in self._holds if (h.id != event.hold if event.hold else h.service != event.service)]
            case Rejected():
                self._reject(event.service, event.components, event, event.reason, by_person=True)
            case Unrejected():
                self._lift(event)
            case Approved():
                self._approvals.append(event)
            case UnknownEvent():
                self._unknown.append(event.kind)

    def _finish(self, event: DeployFinished, service: str, receipt: ServiceReceipt) -> None:
        self._reject(service, receipt.rejects, event, receipt.reason, by_person=False)
        if receipt.outcome is Outcome.SUCCEEDED:
            self._succeed(event, service, receipt)
        elif receipt.after is not None:
            key = (service, receipt.after.id)
            earlier = self._attempts.get(key)
            self._attempts[key] = Attempt(receipt.outcome, receipt.reason, earlier.count + 1 if earlier else 1, event.at)

    def _succeed(self, event: DeployFinished, service: str, receipt: ServiceReceipt) -> None:
        entry = Recorded(receipt.after, event.revision, event.at, event.id, receipt.settings, receipt.exercised)
        if _components(self._recorded.get(service)) != _components(entry):
            self._approvals = [a for a in self._approvals if a.service != service]
        self._recorded[service] = entry
        self._verified.setdefault(service, []).append(entry)
        # Mending what is recorded says nothing about another bundle that git wants: that one's wait goes on.
        forgotten = receipt.after.id if receipt.change is ChangeKind.REPAIR and receipt.after else None
        self._attempts = {
            key: attempt for key, attempt in self._attempts.items() if key[0] != service or forgotten not in (None, key[1])
        }
        values = receipt.after.components() if receipt.after else {}
        known = {key for (name, key, _) in self._first if name == service}
        born = self._born.setdefault(service, self._height)
        for key in known | set(values):
            if key not in known and born < self._height:
                # Until now the service was verified without this component.
                self._first[service, key, ABSENT] = born
            self._first.setdefault((service, key, values.get(key, ABSENT)), self._height)

    def _reject(
        self, service: str, components: tuple[Component, ...], event: DeployFinished | Rejected, reason: str, *, by_person: bool
    ) -> None:
        if not components:  # a rejection that names nothing would cover every bundle
            return
        rejection = Rejection(service, frozenset(components), reason, event.at, event.actor, event.id, by_person=by_person)
        self._rejections.append(rejection)
        self._approvals = [a for a in self._approvals if a.service != service or not rejection.components <= set(a.after)]

    def _lift(self, event: Unrejected) -> None:
        named = set(event.components)
        gone = [r for r in self._rejections if r.service == event.service and r.components & named]
        self._lifted += [(rejection, event.at) for rejection in gone]
        self._rejections = [r for r in self._rejections if r not in gone]

    def result(self) -> History:
        return History(
            environment=self._environment,
            height=self._height,
            recorded=dict(self._recorded),
            verified={name: tuple(entries) for name, entries in self._verified.items()},
            first_verified=dict(self._first),
            rejections=tuple(self._rejections),
            lifted=tuple(self._lifted),
            holds=tuple(self._holds),
            approvals=tuple(self._approvals),
            attempts=dict(self._attempts),
            started=self._started,
            applied=self._applied,
            unknown=tuple(self._unknown),
        )


def _components(entry: Recorded | None) -> dict[ComponentKey, str]:
    return entry.bundle.components() if entry and entry.bundle else {}
