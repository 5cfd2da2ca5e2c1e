"""`why`: from what serves, a bundle's id or a prediction's headers to all that is known of where it came from.

The ledger is asked first and is enough; git, GitHub and MLflow add what they know, and what could not be asked is said.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.commands.sources import Sources
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.errors import Error, UsageError
from mlrelease.history.answered import LARGEST, Answered, answered
from mlrelease.history.lineage import Origin, Run, fates, first_proof, history_before, origins, runs
from mlrelease.history.moments import Timeline, timelines
from mlrelease.history.subjects import Subject, of_bundle, serving
from mlrelease.ledger.ledger import Ledger, LedgerView
from mlrelease.model.bundle import IMAGE, SETTINGS, model_key
from mlrelease.model.change import Outcome
from mlrelease.model.event import DeployFinished
from mlrelease.model.when import iso
from mlrelease.render.lineage import Explanation, Told, Trained, component_name, explanation_json
from mlrelease.render.plan import label
from mlrelease.render.report import Report
from mlrelease.render.why import HEADERS, table

MOST_COMPONENTS = 6
"""So many components are followed to their commits and runs without `--model`; a fleet's bundle has thousands."""


@dataclass(frozen=True, slots=True)
class WhyOptions:
    """What is asked about: a service (or the one that has `model`), a bundle by its id, or the answer to a request (a file)."""

    service: str = ""
    model: str = ""
    bundle: str = ""
    request: str = ""
    offline: bool = False


def why(workspace: Workspace, environment: str, options: WhyOptions) -> Report:
    """Everything known of what is asked about, each line with its source. Raises `Error` where the ledger knows no such bundle.

    Exit code 1: the chain of a ledger that was read is broken.
    """
    said = _answered(options.request)
    if sum(map(bool, (options.bundle, options.request))) > 1:
        raise UsageError("--bundle and --request are two questions", hint="ask one at a time")
    if not environment and not options.bundle and said is None:
        raise UsageError("why what?", hint="name an environment, --bundle ID, or --request FILE")
    ledger = workspace.ledger()
    views = {name: ledger.read(name, fetch=False) for name in ledger.environments(fetch=not options.offline)}
    if environment and environment not in views:
        environment_of(workspace.worktree_spec(), environment)
        raise Error(f"the ledger has no event of {environment}", hint=f"mlrelease deploy {environment}")
    told = {name: timelines(view.events) for name, view in views.items()}
    sources = Sources(workspace, options.offline)
    asked = options.bundle or (said.bundle if said else "")
    events = {name: view.events for name, view in views.items()}
    if asked:
        found = of_bundle(events, told, asked, environment=environment, service=options.service, said=said)
    else:
        found = [serving(events[environment], told[environment], environment, service=options.service, model=options.model)]
    _check_model(found, options.model)
    explanations = [_explained(one, views, told, ledger, sources, options) for one in found]
    notes = [*sources.notes, *_ledger_notes(views, {one.environment for one in found}, offline=options.offline)]
    if said is not None:
        notes = [*_request_notes(said, explanations, told), *notes]
    broken = any(views[one.environment].broken for one in found)
    return Report(
        verdict=_verdict(explanations),
        data={
            "request": _request_json(said),
            "explanations": [explanation_json(one) for one in explanations],
            "not_asked": list(sources.notes),
        },
        headers=HEADERS,
        rows=table(explanations),
        notes=notes,
        next=f"mlrelease history {explanations[-1].environment} --service {explanations[-1].service}",
        exit_code=1 if broken else 0,
    )


def _check_model(found: Sequence[Subject], model: str) -> None:
    """Raises `UsageError` for a model that the bundle does not have: an explanation of nothing would look like an answer."""
    names = sorted(found[0].bundle.versions())
    if model and model not in names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise UsageError(
            f"{label(found[0].bundle)} has no model {model!r}", hint=f"models there: {', '.join(names[:10])}{more}"
        )


def _explained(
    subject: Subject,
    views: Mapping[str, LedgerView],
    told: Mapping[str, Mapping[str, Timeline]],
    ledger: Ledger,
    sources: Sources,
    options: WhyOptions,
) -> Explanation:
    events = views[subject.environment].events
    receipt = subject.event.services[subject.service]
    timeline = told[subject.environment][subject.service]
    if receipt.outcome is Outcome.SUCCEEDED:
        found = origins(events, subject.service, subject.event.id)
        era = timeline.era(subject.event.at)
    else:
        before = receipt.before.components() if receipt.before else {}
        moved = {key: value for key, value in subject.bundle.components().items() if before.get(key) != value}
        found = tuple(Origin(key, moved[key], subject.event, receipt) for key in sorted(moved))
        era = None
    if not subject.bundle.settings:
        found = tuple(origin for origin in found if origin.key != SETTINGS)
    chosen = _chosen(found, subject.event, options.model)
    return Explanation(
        environment=subject.environment,
        service=subject.service,
        bundle=subject.bundle,
        proof=subject.event,
        era=era,
        now=timeline.stretches[-1],
        components=tuple(_told(subject, origin, views[subject.environment], ledger, sources) for origin in chosen),
        left_out=len(found) - len(chosen) if not options.model else 0,
        runs=_others(runs(told, subject.bundle.id), subject, era.began if era else None),
    )


def _chosen(found: Sequence[Origin], event: DeployFinished, model: str) -> list[Origin]:
    """The model asked for; else all, models first, or of too many those that this receipt moved, as far as they go."""
    if model:
        return [origin for origin in found if origin.key == model_key(model)]
    found = sorted(found, key=lambda origin: (origin.key in (IMAGE, SETTINGS), origin.key))
    if len(found) <= MOST_COMPONENTS:
        return found
    return [origin for origin in found if origin.event.id == event.id][:MOST_COMPONENTS]


def _told(subject: Subject, origin: Origin, view: LedgerView, ledger: Ledger, sources: Sources) -> Told:
    landings = sources.landings(subject.environment)
    before = history_before(view.events, origin.event)
    held = before.pinned_hold(subject.service, origin.event.started_at)
    commit = landings.of(subject.environment, subject.service, origin.key, origin.value, origin.event.revision)
    pin = next((pin for pin in subject.bundle.models if model_key(pin.name) == origin.key), None)
    trained: Trained | None = sources.trained(subject.environment, pin, ledger) if pin is not None else None
    return Told(
        name=component_name(origin, subject.bundle),
        origin=origin,
        before=before,
        first=first_proof(view.events, subject.service, (origin.key, origin.value)),
        commit=commit,
        pull=sources.pull(commit) if commit is not None and held is None else None,
        trained=trained,
        fates=fates(view.events, subject.service, ((origin.key, origin.value),), origin.event.id),
    )


def _others(found: Sequence[Run], subject: Subject, began: float | None) -> tuple[Run, ...]:
    """Every other time in which the bundle ran."""

    def is_this(run: Run) -> bool:
        return (run.environment, run.service, run.era.began) == (subject.environment, subject.service, began)

    return tuple(run for run in found if not is_this(run))


def _answered(path: str) -> Answered | None:
    """What the headers in the file say (`-`: standard input); None when no file is named."""
    if not path:
        return None
    if path == "-":
        return answered(sys.stdin.read(LARGEST))
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return answered(file.read(LARGEST))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a file, or - for standard input") from error


def _request_notes(
    said: Answered, explanations: Sequence[Explanation], told: Mapping[str, Mapping[str, Timeline]]
) -> Iterator[str]:
    """What the headers say beside the bundle, held against the ledger."""
    if said.at:
        for one in explanations:
            stretch = told[one.environment][one.service].at(said.at)
            is_it = stretch.bundle is not None and stretch.bundle.id == one.bundle.id
            then = f"answered at {iso(said.at)[:19]}Z; {one.environment} has {label(stretch.bundle)} {stretch.certainty} then"
            yield then if is_it or not stretch.reason else f"{then}: {stretch.reason}"
    if said.revision and not any(one.proof.revision.startswith(said.revision) for one in explanations):
        yield f"X-Revision {said.revision[:9]} is of another pass than the one that is explained here"
    for one in explanations:
        versions = set(one.bundle.versions().values())
        if said.version and said.version not in versions:
            yield f"X-Model-Version {said.version} is no version of this bundle in {one.environment}"
    if said.request_id and explanations:
        first = explanations[0]
        logs = f"mlrelease logs {first.environment} {first.service}"
        yield f"request {said.request_id}: its line is in the instances' logs on the host: {logs}"


def _request_json(said: Answered | None) -> dict[str, Any] | None:
    if said is None:
        return None
    return {
        "bundle": said.bundle,
        "version": said.version,
        "revision": said.revision,
        "request_id": said.request_id,
        "at": iso(said.at) if said.at else "",
    }


def _ledger_notes(views: Mapping[str, LedgerView], environments: set[str], *, offline: bool) -> Iterator[str]:
    if offline:
        yield "the git host was not asked (--offline): this is the last fetched ledger"
    elif any(not view.online for view in views.values()):
        yield "the git host did not answer: this is the last fetched ledger"
    for name in sorted(environments):
        if views[name].broken:
            yield f"THE CHAIN OF {name} IS BROKEN: {views[name].broken}"


def _verdict(explanations: Sequence[Explanation]) -> str:
    first = explanations[0]
    if len(explanations) > 1:
        where = ", ".join(f"{one.environment}/{one.service}" for one in explanations)
        return f"{label(first.bundle)}: in {where}"
    receipt = first.receipt
    return f"{first.environment}/{first.service}: {label(first.bundle)}, {receipt.change} {receipt.outcome}: {receipt.reason}"
