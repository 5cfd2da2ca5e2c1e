"""The gates' word on a proposal: an environment's files against those at the merge base. No model is loaded (DESIGN §5.7).

What differs from the merge base is judged like a Change. What stands is only looked up: that it exists, and whether
somebody rejected it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlrelease.delivery.evidence import Want, evidence_for
from mlrelease.delivery.judging import with_history
from mlrelease.delivery.reports import Reports
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Origin, Subject
from mlrelease.history.direction import component_changes
from mlrelease.history.fold import History
from mlrelease.model.bundle import IMAGE, Bundle, ComponentKey, model_key
from mlrelease.model.change import ComponentChange, Direction
from mlrelease.model.gate import GateResult
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.interface import ModelRegistry


@dataclass(frozen=True, slots=True)
class Proposed:
    """One model of the files; `stands` when its pin is that of the merge base. `moves` are its service's, by the ledger."""

    service: ServiceSpec
    model: ModelSpec
    subject: Subject
    moves: tuple[ComponentChange, ...]
    image_moves: bool
    stands: bool


def proposals(
    environment: EnvironmentSpec, base: EnvironmentSpec | None, history: History, *, now: float
) -> tuple[Proposed, ...]:
    """Every model of the environment, with the direction in which the proposal moves it. Pure."""
    before = {model.name: model.pin for service in (base.services if base else {}).values() for model in service.models}
    found = []
    for service in environment.services.values():
        recorded = history.bundle(service.name)
        moves = component_changes(history, service.name, recorded, service.bundle)
        directions: dict[ComponentKey, Direction] = {move.key: move.direction for move in moves}
        old = base.services.get(service.name) if base else None
        same_image = old is not None and old.image.digest == service.image.digest
        running = {pin.name: pin for pin in recorded.models} if recorded else {}
        for model in service.models:
            stands = before.get(model.name) == model.pin
            # Without any event nothing was ever recorded here: the files before the proposal are all that there is.
            fallback = before.get(model.name) if not history.height and not stands else None
            baseline = running.get(model.name, fallback)
            origin = Origin.NONE if baseline is None else Origin.RECORDED if model.name in running else Origin.MERGE_BASE
            subject = Subject(
                environment=environment.name,
                service=service.name,
                pin=model.pin,
                direction=Direction.NONE if stands else directions.get(model_key(model.name), Direction.NONE),
                image=service.image.reference,
                baseline=baseline,
                baseline_origin=origin,
                now=now,
                may_load=False,
            )
            image_moves = not same_image and directions.get(IMAGE) is Direction.FORWARD
            found.append(Proposed(service, model, subject, moves, image_moves, stands))
    return tuple(found)


def judge_proposal(
    environment: EnvironmentSpec,
    base: EnvironmentSpec | None,
    history: History,
    source: History | None,
    *,
    registry: Callable[[], ModelRegistry],
    cache: ArtifactCache,
    reports: Reports,
    now: float,
) -> tuple[tuple[Proposed, GateResult], ...]:
    """Each model's gate results. `source` is the history of the environment promoted from, if it could be read."""
    found = proposals(environment, base, history, now=now)
    wants = [Want(p.subject, p.model.gates, files=not p.stands) for p in found]
    said: list[tuple[Proposed, GateResult]] = []
    bundles: dict[str, Bundle] = {}
    for proposed, evidence in zip(found, evidence_for(wants, registry=registry, cache=cache, reports=reports), strict=True):
        name = proposed.service.name
        bundle = bundles.get(name) or bundles.setdefault(name, proposed.service.bundle)  # it sorts all models of the service
        known = with_history(
            evidence,
            proposed.subject,
            bundle,
            proposed.moves,
            environment,
            history=history,
            source=source,
            image_moves=proposed.image_moves,
        )
        results = evaluate(proposed.model.gates, proposed.subject, known, proposed.model.waivers)
        said += [(proposed, result) for result in results]
    return tuple(said)
