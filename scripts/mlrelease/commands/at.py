"""`at ENV TIME`: what served at a moment, how sure the ledger is of it, and who brought it there. Asks git and the ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlrelease.commands.branch import read_landings
from mlrelease.commands.history import ledger_notes
from mlrelease.commands.times import Moment, moment_of
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.errors import Error, UsageError
from mlrelease.forge import landings as forge
from mlrelease.history.fold import History
from mlrelease.history.landings import Landings, PinCommit
from mlrelease.history.lineage import Origin, approval_of, history_before, origins
from mlrelease.history.moments import Certainty, Era, Mended, Stretch, Timeline, first_moment, timelines
from mlrelease.ledger.ledger import LedgerView
from mlrelease.model.bundle import Bundle
from mlrelease.model.event import Approved, DeployFinished, Event, UnknownEvent
from mlrelease.model.when import iso
from mlrelease.render.lineage import NEVER, approval_json, commit_json, moment_json, when
from mlrelease.render.plan import label
from mlrelease.render.report import Report

HEADERS = ("service", "served", "sure", "since", "until", "image", "commit", "PR", "approved by", "reason")


@dataclass(frozen=True, slots=True)
class Then:
    """What is known of one service at the moment. `moved` are the components that this bundle brought, with their commits."""

    stretch: Stretch
    era: Era
    mended: Mended | None
    moved: tuple[tuple[Origin, PinCommit | None], ...]
    approval: Approved | None

    @property
    def commit(self) -> PinCommit | None:
        """The newest of the commits that brought it."""
        return max((c for _, c in self.moved if c is not None), key=lambda c: c.landed_at, default=None)


def at(workspace: Workspace, environment: str, time: str, *, service: str = "") -> Report:
    """One row a service. What the ledger cannot know is said, and never filled in. Exit code 1: its chain is broken."""
    moment = moment_of(workspace, time)
    view = workspace.ledger().read(environment)
    if not view.events:
        environment_of(workspace.worktree_spec(), environment)
    told = timelines(view.events)
    if service and service not in told:
        known = ", ".join(told) or "none"
        raise UsageError(f"the ledger of {environment} knows no service {service!r}", hint=f"services there: {known}")
    landings, problem = read_landings(workspace, environment)
    known_then: dict[str, History] = {}
    found = {
        name: _then(view.events, environment, name, timeline, landings, moment.at, known_then)
        for name, timeline in told.items()
        if service in ("", name)
    }
    notes = _notes(workspace, environment, view, moment, found)
    if problem:
        notes.append(f"commits are not named: {problem}")
    return Report(
        verdict=_verdict(environment, view, moment, found),
        data=_data(environment, time, view, moment, found),
        headers=HEADERS,
        rows=[_row(name, then) for name, then in found.items()],
        details=[line for name, then in found.items() for line in _details(name, then)],
        notes=notes,
        next=f"mlrelease history {environment}" if not service else f"mlrelease history {environment} --service {service}",
        exit_code=1 if view.broken else 0,
    )


def _then(
    events: Sequence[Event | UnknownEvent],
    environment: str,
    service: str,
    timeline: Timeline,
    landings: Landings,
    moment: float,
    known_then: dict[str, History],
) -> Then:
    """`known_then` keeps what was known before a receipt, for the other services that it is about."""
    era = timeline.era(moment)
    brought = next((e for e in events if e.id == era.event and isinstance(e, DeployFinished)), None)
    stretch, mended = timeline.at(moment), timeline.mended_after(moment)
    if brought is None or service not in brought.services or era.bundle is None:
        return Then(stretch, era, mended, (), None)
    moved = [origin for origin in origins(events, service, era.event) if origin.event.id == era.event]
    commits = [(origin, landings.of(environment, service, origin.key, origin.value, origin.event.revision)) for origin in moved]
    if brought.id not in known_then:
        known_then[brought.id] = history_before(events, brought)
    return Then(stretch, era, mended, tuple(commits), approval_of(known_then[brought.id], brought, service))


def _verdict(environment: str, view: LedgerView, moment: Moment, found: Mapping[str, Then]) -> str:
    when = f"{environment} at {iso(moment.at)}"
    if not view.events:
        return f"{when}: the ledger has no event of it"
    if moment.at < first_moment(view.events):
        return f"{when}: the ledger begins later, at {iso(first_moment(view.events))}"
    serving = [then for then in found.values() if then.stretch.certainty is Certainty.RECORDED and then.stretch.bundle]
    unsure = sum(then.stretch.certainty not in (Certainty.RECORDED, Certainty.UNRECORDED) for then in found.values())
    if len(found) == 1 and serving:
        return f"{when}: {label(serving[0].stretch.bundle)} served"
    parts = [f"{len(serving)} of {len(found)} services recorded as serving"] + ([f"{unsure} not sure"] if unsure else [])
    return f"{when}: {', '.join(parts)}"


def _row(service: str, then: Then) -> tuple[str, ...]:
    stretch, commit = then.stretch, then.commit
    bundle = stretch.bundle
    return (
        service,
        _served(stretch),
        stretch.certainty.value,
        when(then.era.began),
        when(then.era.ended),
        bundle.image.short if bundle else NEVER,
        commit.sha[:9] if commit else NEVER,
        f"#{commit.pull}" if commit and commit.pull else NEVER,
        then.approval.approver if then.approval else NEVER,
        stretch.reason,
    )


def _served(stretch: Stretch) -> str:
    if stretch.certainty is Certainty.UNRECORDED:
        return "not known"
    return " or ".join(label(bundle) for bundle in (stretch.bundle, *stretch.others))


def _details(service: str, then: Then) -> list[str]:
    bundle = then.stretch.bundle
    lines = []
    if bundle is not None:
        lines.append(f"{service}: image {bundle.image.reference}")
        lines += [f"{service}: {pin.name} {pin.version} {pin.digest}" for pin in bundle.models[:NAMED]]
        more = len(bundle.models) - NAMED
        lines += [f"{service}: and {more} more models: --output json has them all"] if more > 0 else []
    for commit in {c.sha: c for _, c in then.moved if c is not None}.values():
        lines.append(f"{service}: {commit.sha[:9]} {commit.subject} ({commit.author}, {iso(commit.landed_at)})")
    if then.mended is not None:
        lines.append(
            f"{service}: a repair at {iso(then.mended.at)} found that what ran was not what is recorded "
            f"({then.mended.reason}); since when, the ledger does not know"
        )
    return lines


NAMED = 8
"""So many models of a bundle get a line of their own."""


def _notes(workspace: Workspace, environment: str, view: LedgerView, moment: Moment, found: Mapping[str, Then]) -> list[str]:
    notes = [moment.note] if moment.note else []
    if moment.revision:
        notes.append(_applied(workspace, environment, view, moment.revision))
    if any(then.era.ended == math.inf and then.stretch.certainty is Certainty.RECORDED for then in found.values()):
        notes.append(f"whether what runs has drifted since its last receipt, only it can say: mlrelease status {environment}")
    return [*notes, *ledger_notes(view)]


def _applied(workspace: Workspace, environment: str, view: LedgerView, revision: str) -> str:
    """When a pass first had the commit: its date is when it was made."""
    tip = workspace.git.resolve(workspace.branch.ref)
    try:
        within = forge.descendants(workspace.git, revision, tip) if tip else frozenset((revision,))
    except Error:
        within = frozenset((revision,))
    first = next((e for e in view.events if isinstance(e, DeployFinished) and e.revision in within), None)
    said = f"{revision[:9]} was made at this moment; "
    if first is None:
        return f"{said}no receipt of {environment} has it"
    return f"{said}the first receipt of {environment} that has it is {first.id}, at {iso(first.at)}"


def _data(environment: str, asked: str, view: LedgerView, moment: Moment, found: Mapping[str, Then]) -> dict[str, Any]:
    return {
        "environment": environment,
        "asked": asked,
        "moment": iso(moment.at),
        "revision": moment.revision,
        "begins": iso(first_moment(view.events)) if view.events else "",
        "online": view.online,
        "broken": view.broken,
        "services": {name: _then_json(then) for name, then in found.items()},
    }


def _then_json(then: Then) -> dict[str, Any]:
    stretch, approval, mended = then.stretch, then.approval, then.mended
    return {
        "bundle": _bundle_json(stretch.bundle),
        "certainty": stretch.certainty.value,
        "others": [_bundle_json(bundle) for bundle in stretch.others],
        "reason": stretch.reason,
        "since": moment_json(then.era.began),
        "until": moment_json(then.era.ended),
        "event": then.era.event,
        "commits": {origin.key: commit_json(commit) for origin, commit in then.moved},
        "approval": approval_json(approval),
        "mended": {"at": iso(mended.at), "event": mended.event, "reason": mended.reason} if mended else None,
    }


def _bundle_json(bundle: Bundle | None) -> dict[str, Any] | None:
    return bundle.to_json() if bundle else None
