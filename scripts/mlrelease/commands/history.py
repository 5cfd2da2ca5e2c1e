"""`history ENV`: every pass and every word of a person, from the ledger, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlrelease.commands.times import span_of
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.ledger.ledger import LedgerView
from mlrelease.model.event import (
    Approved,
    DeployFinished,
    DeployStarted,
    Event,
    Held,
    Rejected,
    Unheld,
    UnknownEvent,
    Unrejected,
)
from mlrelease.model.event_json import event_to_json
from mlrelease.model.when import iso
from mlrelease.render.plan import label
from mlrelease.render.report import Report

HEADERS = ("when", "service", "what", "from", "to", "seconds", "who", "revision", "reason")


def history(workspace: Workspace, environment: str, *, service: str, limit: int, since: str = "", until: str = "") -> Report:
    """The newest `limit` lines, newest first, of the time asked for; a start that never finished is shown as such."""
    began, ended = span_of(workspace, since, until)
    view = workspace.ledger().read(environment)
    if not view.events:
        # One that was removed keeps its history; one that never was is a slip of the pen.
        environment_of(workspace.worktree_spec(), environment)
    rows: list[tuple[str, ...]] = []
    finished = {event.started for event in view.events if isinstance(event, DeployFinished)}
    for event in (event for event in reversed(view.events) if began <= event.at < ended):
        rows += [row for row in _rows(event, finished) if not service or row[1] == service]
    notes = ledger_notes(view)
    shown = rows[:limit]
    if len(rows) > limit:
        notes.append(f"{len(rows) - limit} older lines: --limit {len(rows)}")
    known: Sequence[Event] = [event for event in view.events if not isinstance(event, UnknownEvent)]
    data: dict[str, Any] = {"environment": environment, "events": [event_to_json(event) for event in known]}
    return Report(
        verdict=f"{environment}: {len(view.events)} events, chain {'BROKEN' if view.broken else 'whole'}",
        data=data | {"broken": view.broken, "online": view.online},
        headers=HEADERS,
        rows=shown,
        notes=notes,
        next=f"mlrelease status {environment}",
        exit_code=1 if view.broken else 0,
    )


def ledger_notes(view: LedgerView) -> list[str]:
    """What is to be said of a ledger that was read: not asked just now, not all there, or not whole."""
    notes = []
    if not view.online:
        notes.append("the git host did not answer: this is the last fetched ledger")
    if view.spooled:
        notes.append(f"{view.spooled} events wait on this host for the git host")
    if view.broken:
        notes.append(f"THE CHAIN IS BROKEN: {view.broken}")
    return notes


def _rows(event: Event | UnknownEvent, finished: set[str]) -> list[tuple[str, ...]]:
    when = iso(event.at)[:19] + "Z"
    match event:
        case DeployFinished():
            return [
                (
                    when,
                    name,
                    f"{receipt.change} {receipt.outcome}",
                    label(receipt.before),
                    label(receipt.after),
                    f"{sum(step.seconds for step in receipt.steps):.2f}" if receipt.steps else "",
                    _name(event.actor),
                    event.revision[:9],
                    receipt.reason,
                )
                for name, receipt in sorted(event.services.items())
            ]
        case DeployStarted():
            if event.id in finished:
                return []
            why = f"by {event.owner}, until {iso(event.expires_at)}"
            return [
                (when, name, "unfinished", "", "", "", _name(event.actor), event.revision[:9], why) for name in event.services
            ]
        case Held():
            return [(when, event.service, event.KIND, "", "", "", _name(event.actor), event.pinned_to[:9], event.reason)]
        case Unheld():
            return [(when, event.service, event.KIND, "", "", "", _name(event.actor), "", event.reason)]
        case Rejected() | Unrejected():
            names = ", ".join(key for key, _ in event.components)
            return [(when, event.service, event.KIND, "", names, "", _name(event.actor), "", event.reason)]
        case Approved():
            why = f"until {iso(event.expires_at)}" + (f": {event.reason}" if event.reason else "")
            moved = sorted({key for key, _ in set(event.before) ^ set(event.after)})
            return [(when, event.service, event.KIND, "", ", ".join(moved), "", _name(event.approver), "", why)]
        case UnknownEvent():
            return [(when, "", event.kind, "", "", "", _name(event.actor), "", "written by a newer version")]


def _name(actor: str) -> str:
    """The person without the address: that stands in the ledger, and in `--output json`."""
    return actor.partition(" <")[0]
