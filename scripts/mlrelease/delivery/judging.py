"""The gates' word on the Changes of a plan: subjects → evidence, all at once → results (DESIGN §5.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlrelease.delivery.evidence import Want, evidence_for
from mlrelease.delivery.reports import Reports
from mlrelease.delivery.site import Site
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Evidence, Promotion, Subject
from mlrelease.history.direction import rejection_of, rejection_text
from mlrelease.history.fold import History
from mlrelease.history.promotion import promotion_of
from mlrelease.model.bundle import IMAGE, Bundle, model_key
from mlrelease.model.change import Change, ComponentChange, Direction
from mlrelease.model.gate import GateResult
from mlrelease.model.spec import EnvironmentSpec


def judged(
    site: Site, moves: Sequence[tuple[Change, Sequence[Subject]]], history: History, source: History | None, *, read_files: bool
) -> dict[str, tuple[GateResult, ...]]:
    """Each service's gate results. `source` is the history of the environment promoted from, if it could be read."""
    models = {
        (service.name, model.name): (model, service.python)
        for service in site.environment.services.values()
        for model in service.models
    }
    wants = []
    for _, subjects in moves:
        for subject in subjects:
            model, python = models[subject.service, subject.pin.name]
            still = subject.direction is Direction.NONE
            wants.append(Want(subject, model.gates, ask=not still, files=read_files, python=python))
    gathered = iter(evidence_for(wants, registry=site.registry, cache=site.cache, reports=Reports(site.state_dir / "reports")))
    results: dict[str, tuple[GateResult, ...]] = {}
    for change, subjects in moves:
        said: list[GateResult] = []
        for subject in subjects:
            model, _ = models[subject.service, subject.pin.name]
            evidence = next(gathered)
            if change.after is not None:
                evidence = with_history(
                    evidence,
                    subject,
                    change.after,
                    change.components,
                    site.environment,
                    history=history,
                    source=source,
                    image_moves=any(c.key == IMAGE and c.direction is Direction.FORWARD for c in change.components),
                )
            said += evaluate(model.gates, subject, evidence, model.waivers)
        results[change.service] = tuple(said)
    return results


def with_history(
    evidence: Evidence,
    subject: Subject,
    after: Bundle,
    moves: tuple[ComponentChange, ...],
    environment: EnvironmentSpec,
    *,
    history: History,
    source: History | None,
    image_moves: bool,
) -> Evidence:
    """The evidence with what the ledgers say: a rejection here, and what the environment promoted from proves.

    `moves` are all that the service's bundle would make; `image_moves`: one of them is its image, forward.
    """
    key = model_key(subject.pin.name)
    # Most models are in no rejection, and to look through a service's thousands of components for each would take minutes.
    if any(key == rejected for rejection in history.rejections for rejected, _ in rejection.components):
        rejection = rejection_of(history, subject.service, after, moves)
        if rejection and any(key == rejected for rejected, _ in rejection.components):
            evidence = replace(evidence, rejection=rejection_text(rejection))
    if not environment.promotes_from or not (subject.direction is Direction.FORWARD or image_moves):
        return evidence
    if source is None:
        problem = f"try: mlrelease history {environment.promotes_from}"
        return replace(evidence, promotion=Promotion(environment.promotes_from, error=problem))
    promotion = promotion_of(
        source,
        subject.service,
        subject.pin,
        after.image.reference,
        soak_s=environment.soak_s,
        environment=environment.promotes_from,
        beside=after,
    )
    return replace(evidence, promotion=promotion)
