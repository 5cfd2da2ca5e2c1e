"""Which bundle a question is about, and which receipt explains it: what serves, an id, a prediction's headers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlrelease.errors import Error, UsageError
from mlrelease.history.answered import Answered
from mlrelease.history.lineage import receipts_of
from mlrelease.history.moments import Certainty, Timeline
from mlrelease.model.bundle import Bundle, BundleId
from mlrelease.model.change import Outcome
from mlrelease.model.event import DeployFinished, Event, UnknownEvent

SHORTEST_ID = 4

Events = Sequence[Event | UnknownEvent]


@dataclass(frozen=True, slots=True)
class Subject:
    """One bundle in one service of one environment; `event` is the receipt that it is explained by."""

    environment: str
    service: str
    bundle: Bundle
    event: DeployFinished


def serving(events: Events, told: Mapping[str, Timeline], environment: str, *, service: str = "", model: str = "") -> Subject:
    """What the ledger has serving now, of the service asked for, the one that has the model, or the only one.

    Raises `UsageError` where that is none, or several.
    """
    stretches = {name: timeline.stretches[-1] for name, timeline in told.items()}
    found = {name: stretch.bundle for name, stretch in stretches.items() if stretch.bundle is not None}
    if model:
        found = {name: bundle for name, bundle in found.items() if model in bundle.versions()}
    if service:
        found = {name: bundle for name, bundle in found.items() if name == service}
    if len(found) != 1:
        known = ", ".join(sorted(found or stretches)) or "none"
        what = "has several services" if found else "serves nothing of that name, as far as its ledger knows"
        raise UsageError(f"{environment} {what}", hint=f"--service, one of: {known}")
    name, bundle = next(iter(found.items()))
    era = told[name].era(stretches[name].began)
    return Subject(environment, name, bundle, _event(events, name, bundle.id, era.event))


def of_bundle(
    events: Mapping[str, Events],
    told: Mapping[str, Mapping[str, Timeline]],
    asked: str,
    *,
    environment: str = "",
    service: str = "",
    said: Answered | None = None,
) -> list[Subject]:
    """The bundle wherever a pass had it, oldest first; with a request's headers, where the one that answered must have been.

    `events` are those of every environment. Raises `UsageError` for an id that is short or fits several, `Error` for one
    that no receipt has.
    """
    if len(asked) < SHORTEST_ID:
        raise UsageError(f"{asked!r} is too short for the id of a bundle", hint="4 to 12 hex digits, as X-Bundle has them")
    hits: dict[tuple[str, str], list[tuple[DeployFinished, Bundle]]] = {}
    places = [(name, one) for name in events if environment in ("", name) for one in told[name] if service in ("", one)]
    for place in places:
        for event, receipt in receipts_of(events[place[0]], place[1]):
            if receipt.after is not None and receipt.after.id.startswith(asked):
                hits.setdefault(place, []).append((event, receipt.after))
    ids = sorted({bundle.id for pairs in hits.values() for _, bundle in pairs})
    if len(ids) > 1:
        raise UsageError(f"several bundles begin with {asked}: {', '.join(ids)}", hint="say more of its id")
    if not ids:
        where = f"the ledger of {environment}" if environment else f"the ledgers of {', '.join(events) or 'no environment'}"
        raise Error(
            f"no receipt in {where} has bundle {asked}",
            hint="another repository, or a receipt that still waits on its host: mlrelease doctor",
        )
    if said is not None and said.revision:
        named = {key: [p for p in pairs if p[0].revision.startswith(said.revision)] for key, pairs in hits.items()}
        hits = {key: pairs for key, pairs in named.items() if pairs} or hits
    return [
        Subject(name, one, pairs[-1][1], _which(events[name], told[name][one], one, pairs, said))
        for (name, one), pairs in sorted(hits.items(), key=lambda item: item[1][0][0].at)
    ]


def _which(
    events: Events,
    timeline: Timeline,
    service: str,
    pairs: Sequence[tuple[DeployFinished, Bundle]],
    said: Answered | None,
) -> DeployFinished:
    """The receipt that explains it: of the time in which it answered, where that is known; else the newest that proved it."""
    if said is not None and said.at:
        stretch = timeline.at(said.at)
        if stretch.bundle is not None and stretch.bundle.id == pairs[-1][1].id and stretch.certainty is Certainty.RECORDED:
            return _event(events, service, stretch.bundle.id, timeline.era(said.at).event)
    proved = [event for event, _ in pairs if event.services[service].outcome is Outcome.SUCCEEDED]
    if not proved:
        return pairs[-1][0]
    return _event(events, service, pairs[-1][1].id, timeline.era(proved[-1].at).event)


def _event(events: Events, service: str, bundle: BundleId, event: str) -> DeployFinished:
    """The receipt of that id when it is about this bundle, else the newest that is."""
    about = [e for e, receipt in receipts_of(events, service) if receipt.after is not None and receipt.after.id == bundle]
    return next((e for e in about if e.id == event), about[-1])
