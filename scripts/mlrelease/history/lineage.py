"""Where what serves came from and what became of it, out of the ledger alone: who brought, approved, rejected. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlrelease.history.fold import History, fold
from mlrelease.history.moments import Era, Timeline
from mlrelease.model.bundle import ABSENT, BundleId, ComponentKey
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Approved, Component, DeployFinished, Event, Rejected, ServiceReceipt, UnknownEvent, Unrejected


@dataclass(frozen=True, slots=True)
class Origin:
    """How one component of a service came to its value: the receipt that first proved it there in this unbroken row."""

    key: ComponentKey
    value: str
    event: DeployFinished
    receipt: ServiceReceipt


class FateKind(StrEnum):
    """What a component met after it had come. `rolled_back`: a pass or a person moved away from it."""

    ROLLED_BACK = "rolled_back"
    REPLACED = "replaced"
    REJECTED = "rejected"
    UNREJECTED = "unrejected"


@dataclass(frozen=True, slots=True)
class Fate:
    """One thing that befell a component: when, by whom, why, and which event says so."""

    kind: FateKind
    key: ComponentKey
    at: float
    actor: str
    reason: str
    event: str


@dataclass(frozen=True, slots=True)
class Run:
    """One unbroken time of a bundle in an environment."""

    environment: str
    service: str
    era: Era


def origins(events: Sequence[Event | UnknownEvent], service: str, event: str) -> tuple[Origin, ...]:
    """The origin of each component that the service had after the receipt `event`, sorted by key; empty for a removal.

    Empty also when that event is no succeeded receipt of the service.
    """
    found: dict[ComponentKey, Origin] = {}
    for one, receipt in receipts_of(events, service):
        if receipt.outcome is not Outcome.SUCCEEDED:
            continue
        values = receipt.after.components() if receipt.after else {}
        found = {key: origin for key, origin in found.items() if values.get(key) == origin.value}
        found |= {key: Origin(key, value, one, receipt) for key, value in values.items() if key not in found}
        if one.id == event:
            return tuple(found[key] for key in sorted(found))
    return ()


def first_proof(events: Iterable[Event | UnknownEvent], service: str, component: Component) -> DeployFinished | None:
    """The first receipt that proved the component's value in this service; None when none did."""
    for event, receipt in receipts_of(events, service):
        if (
            receipt.outcome is Outcome.SUCCEEDED
            and receipt.after is not None
            and component in receipt.after.components().items()
        ):
            return event
    return None


def receipts_of(events: Iterable[Event | UnknownEvent], service: str) -> list[tuple[DeployFinished, ServiceReceipt]]:
    """Every receipt of the service with its event, in order."""
    return [(e, e.services[service]) for e in events if isinstance(e, DeployFinished) and service in e.services]


def history_before(events: Sequence[Event | UnknownEvent], event: DeployFinished) -> History:
    """What the pass that wrote this receipt could know: everything before it."""
    return fold(event.environment, events[: _index(events, event.id)])


def approval_of(before: History, event: DeployFinished, service: str) -> Approved | None:
    """The approval that was in force for this receipt's Change when its pass began, as the pass itself judged it."""
    receipt = event.services[service]
    return before.approval_of(service, receipt.before, receipt.after, event.started_at)


def fates(
    events: Sequence[Event | UnknownEvent], service: str, components: Iterable[Component], since: str
) -> tuple[Fate, ...]:
    """What befell these components of the service in the events after `since`, oldest first."""
    wanted = set(components)
    found: list[Fate] = []
    for event in events[_index(events, since) + 1 :]:
        match event:
            case Rejected() | Unrejected() if event.service == service:
                kind = FateKind.REJECTED if isinstance(event, Rejected) else FateKind.UNREJECTED
                hit = [key for key, value in event.components if (key, value) in wanted]
                found += [Fate(kind, key, event.at, event.actor, event.reason, event.id) for key in hit]
            case DeployFinished() if service in event.services:
                found += _of_receipt(event, event.services[service], wanted)
            case _:
                continue
    return tuple(found)


def runs(told: Mapping[str, Mapping[str, Timeline]], bundle: BundleId) -> tuple[Run, ...]:
    """Every unbroken time of the bundle in any environment (timelines by environment and service), oldest first."""
    found = [
        Run(environment, service, era)
        for environment, services in told.items()
        for service, timeline in services.items()
        for era in timeline.eras()
        if era.bundle is not None and era.bundle.id == bundle
    ]
    return tuple(sorted(found, key=lambda run: (run.era.began, run.environment, run.service)))


def _of_receipt(event: DeployFinished, receipt: ServiceReceipt, wanted: set[Component]) -> list[Fate]:
    """A move away from a component: back by a rollback, on by anything else; or its own failed proof."""
    tried = set(receipt.after.components().items()) if receipt.after else set()
    if receipt.outcome is not Outcome.SUCCEEDED:
        failed = [key for key, value in receipt.rejects if (key, value) in wanted]
        return [Fate(FateKind.ROLLED_BACK, key, event.at, event.actor, receipt.reason, event.id) for key in failed]
    had = set(receipt.before.components().items()) if receipt.before else set()
    gone = sorted((wanted & had) - tried)
    kind = FateKind.ROLLED_BACK if receipt.change is ChangeKind.ROLLBACK else FateKind.REPLACED
    return [Fate(kind, key, event.at, event.actor, receipt.reason, event.id) for key, value in gone if value != ABSENT]


def _index(events: Sequence[Event | UnknownEvent], event: str) -> int:
    return next((number for number, one in enumerate(events) if one.id == event), len(events))
