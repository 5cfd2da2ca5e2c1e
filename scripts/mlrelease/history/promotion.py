"""What the history of the environment promoted from proves of a model under an image. Pure.

It is the model's digest under the image's digest that was proved, so any service of the source counts that serves this
model: environments may group and name their services differently, and the bytes that loaded and predicted are the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from mlrelease.gates.interface import Promotion
from mlrelease.history.direction import rejection_text
from mlrelease.history.fold import History, Recorded, Rejection
from mlrelease.model.bundle import IMAGE, Bundle, Digest, ImagePin, ModelPin, model_key
from mlrelease.model.when import iso


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which one service of the source had the pair recorded without a break (`ended` inf: it still has).

    `proof` is the Change that began it; `exercised` what ran in any of its verifications.
    """

    service: str
    began: float
    ended: float
    proof: Recorded
    exercised: tuple[str, ...]


def promotion_of(
    source_history: History,
    service: str,
    pin: ModelPin,
    image: str,
    *,
    soak_s: float,
    environment: str,
    beside: Bundle | None = None,
) -> Promotion:
    """What `environment` (the source) proves of the pin under the image (a reference or its digest).

    The soak is served by one unbroken stretch: a version that was replaced before, or moved back from, has not run for
    that long. A rejection there stands in the way as long as it stands; one that a person lifted makes the soak begin
    anew from then. `service` is the one that it is to run in here; with `beside`, its bundle, a rejection of several
    components together counts when the bundle has them all.
    """
    standing, stretches = _proved(source_history, pin, ImagePin(image).digest, beside)
    named = [r for r in standing if (model_key(pin.name), str(pin.digest)) in r.components]
    if named or (standing and not stretches):
        rejection = (named or standing)[-1]
        return Promotion(environment, rejection=rejection_text(rejection))
    if not stretches:
        return Promotion(environment)
    # Its own service's word first, where two begin alike.
    best = min(stretches, key=lambda s: (_served(s, soak_s), s.began, s.service != service, s.service))
    return Promotion(
        environment,
        verified_at=min(stretch.began for stretch in stretches),
        exercised=best.exercised,
        # Without a soak there is no moment to wait for, whatever the clocks of two hosts say.
        not_before=_served(best, soak_s) if soak_s else 0.0,
    )


def proof_of(source_history: History, pin: ModelPin, image: str) -> Recorded | None:
    """The Change that first proved the pair there and that no rejection has undone since; None when there is none."""
    stretches = _proved(source_history, pin, ImagePin(image).digest, None)[1]
    return min(stretches, key=lambda s: s.began).proof if stretches else None


def objection(promotion: Promotion, pin: ModelPin, *, target: str) -> str:
    """Why the pin may not move forward, whatever time passes; empty when it may once the soak is served.

    `target` is the kind of place that it would move to: where an image really runs, one must have run in the source.
    """
    label, there = f"{pin.name} {pin.version}", promotion.environment
    if promotion.rejection:
        return f"{label} was {promotion.rejection} (in {there})"
    if not promotion.verified_at:
        return f"{label} was never verified in {there} under the image that it would run with here"
    if target != "local" and "image" not in promotion.exercised:
        ran = ", ".join(promotion.exercised) or "nothing"
        return f"{label} was verified in {there} without its image: exercised there: {ran}"
    if math.isinf(promotion.not_before):
        return f"{label} was replaced in {there} before its soak was served"
    return ""


def soak_word(promotion: Promotion) -> str:
    """When the soak is served, for people; only where `objection` has none."""
    return f"not before {iso(promotion.not_before)}, when its soak in {promotion.environment} is served"


def _proved(
    history: History, pin: ModelPin, image: Digest, beside: Bundle | None
) -> tuple[list[Rejection], tuple[Stretch, ...]]:
    """The rejections that stand against the pair, and the stretches that count."""
    model = (model_key(pin.name), str(pin.digest))
    pair = frozenset({model, (IMAGE, str(image))})

    def against(rejection: Rejection) -> bool:
        # Most rejections name neither, and the components of a fleet's bundle are thousands: they are looked at last.
        return not rejection.components.isdisjoint(pair) and (
            rejection.components <= pair
            or (beside is not None and rejection.components <= {*beside.components().items(), *pair})
        )

    standing = [r for r in history.rejections if against(r)]
    shut = {r.service for r in standing}
    found = []
    for service in sorted(history.verified):
        if service in shut or (service, *model) not in history.first_verified:
            continue
        lifted = [at for r, at in history.lifted if r.service == service and against(r)]
        since = max(lifted, default=0.0)
        for stretch in _stretches(history, service, pin, image):
            if stretch.ended > since:
                began = max(stretch.began, since)
                found.append(Stretch(service, began, stretch.ended, stretch.proof, stretch.exercised))
    return standing, tuple(found)


def _stretches(history: History, service: str, pin: ModelPin, image: Digest) -> Iterator[Stretch]:
    proof: Recorded | None = None
    exercised: dict[str, None] = {}
    for entry in history.verified[service]:
        if entry.bundle is not None and entry.bundle.image.digest == image and _serves(entry.bundle, pin):
            proof = proof or entry
            exercised |= dict.fromkeys(entry.exercised)
        elif proof is not None:
            yield Stretch(service, proof.at, entry.at, proof, tuple(exercised))
            proof, exercised = None, {}
    if proof is not None:
        yield Stretch(service, proof.at, math.inf, proof, tuple(exercised))


def _serves(bundle: Bundle, pin: ModelPin) -> bool:
    """Whether the bundle has these bytes under this name; its models are sorted, and there may be a thousand of them."""
    at = bisect_left(bundle.models, pin.name, key=lambda model: model.name)
    return at < len(bundle.models) and bundle.models[at].name == pin.name and bundle.models[at].digest == pin.digest


def _served(stretch: Stretch, soak_s: float) -> float:
    """The moment at which the soak is served in this stretch; infinite when it ended before."""
    served = stretch.began + soak_s
    return served if served <= stretch.ended else math.inf
