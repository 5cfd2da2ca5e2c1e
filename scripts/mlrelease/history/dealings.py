"""The fold of an environment's events for who waits: what each service's newest receipt at a revision came to. Pure.

A receipt is outdated by a later word of a person that opens something for its service: what was blocked then may go on now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlrelease.model.change import Outcome
from mlrelease.model.event import (
    Approved,
    DeployFinished,
    DeployStarted,
    Event,
    ServiceReceipt,
    Unheld,
    UnknownEvent,
    Unrejected,
)


@dataclass(frozen=True, slots=True)
class Dealt:
    """One service's newest receipt, with the pass that wrote it. `outdated`: a person has opened something since."""

    receipt: ServiceReceipt
    event: DeployFinished
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Dealings:
    """What the ledger says of the passes at one revision.

    `services` are those with a receipt; `at_work` the newest start at that revision that nobody finished or superseded.
    """

    revision: str
    services: Mapping[str, Dealt] = field(default_factory=dict)
    at_work: DeployStarted | None = None


def dealings(events: Iterable[Event | UnknownEvent], revision: str) -> Dealings:
    """What these events, in chain order, say of that revision."""
    services: dict[str, Dealt] = {}
    started: DeployStarted | None = None
    for event in events:
        match event:
            case DeployStarted():
                started = event
            case DeployFinished():
                if started is not None and started.id == event.started:
                    started = None
                if event.revision == revision:
                    services |= {name: Dealt(receipt, event) for name, receipt in event.services.items()}
            case Unheld() | Unrejected() | Approved():
                services = {name: _after(event.service, name, dealt) for name, dealt in services.items()}
            case _:  # a hold or a rejection opens nothing, and of a newer version's event nothing is known
                pass
    at_work = started if started is not None and started.revision == revision else None
    return Dealings(revision, services, at_work)


def _after(named: str, service: str, dealt: Dealt) -> Dealt:
    """A word on a service, or on the whole environment, makes what was said of it before old; a success stays one."""
    concerned = named in ("", service) and dealt.receipt.outcome is not Outcome.SUCCEEDED
    return Dealt(dealt.receipt, dealt.event, outdated=True) if concerned else dealt
