"""What `promote` would move: each pin of the destination beside what the source recorded, and why it may not. Pure.

Recorded, not wanted: what git asks for in the source proves nothing until it answered there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mlrelease.history.direction import component_changes, direction, rejection_of, rejection_text
from mlrelease.history.fold import History
from mlrelease.history.promotion import objection, promotion_of, soak_word
from mlrelease.model.bundle import IMAGE, Bundle, ComponentKey, ImagePin, ModelPin, model_key
from mlrelease.model.change import Direction
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, State


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pin of the destination that differs from what the source recorded.

    `refused` is why it may not move (empty: it may), `note` what is to be known of one that may, `image` the one that
    it will run under.
    """

    service: str
    key: ComponentKey
    before: ModelPin | ImagePin
    after: ModelPin | ImagePin
    image: str
    refused: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """What people call it: the model's name, or `image`."""
        return self.after.name if isinstance(self.after, ModelPin) else "image"

    @property
    def labels(self) -> tuple[str, str]:
        """The versions, or the tags, before and after."""
        return _label(self.before), _label(self.after)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which pins are asked for: of these services and models (empty: all), images too or not."""

    services: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    images: bool = True


def candidates(
    source: History, environment: EnvironmentSpec, history: History, chosen: Chosen, *, now: float
) -> tuple[Candidate, ...]:
    """The pins that differ, image before models within a service; equal ones are left out."""
    found: list[Candidate] = []
    for name, service in sorted(environment.services.items()):
        if service.state is State.PRESENT and (not chosen.services or name in chosen.services):
            found += _of_service(source, environment, history, chosen, service, now)
    return tuple(found)


def settled(source: History, environment: EnvironmentSpec, chosen: Chosen) -> tuple[str, ...]:
    """The services whose pins are all those that the source recorded; none unless whole services are asked for."""
    if chosen.models or not chosen.images:
        return ()
    origins = {
        name: (service, _bundle_there(source, service))
        for name, service in sorted(environment.services.items())
        if service.state is State.PRESENT and (not chosen.services or name in chosen.services)
    }
    return tuple(n for n, (service, origin) in origins.items() if origin and not _moves(source, chosen, service, origin))


def unplaced(source: History, environment: EnvironmentSpec) -> tuple[tuple[str, str], ...]:
    """(service, model) of every model that the source recorded and for which the destination has no file."""
    here = {model.name for service in environment.services.values() for model in service.models}
    served = ((name, entry.bundle) for name, entry in sorted(source.recorded.items()) if entry.bundle)
    return tuple((name, pin.name) for name, bundle in served for pin in bundle.models if pin.name not in here)


def _of_service(
    source: History,
    environment: EnvironmentSpec,
    history: History,
    chosen: Chosen,
    service: ServiceSpec,
    now: float,
) -> Iterator[Candidate]:
    origin = _bundle_there(source, service)
    if origin is None:
        return
    moves = _moves(source, chosen, service, origin)
    if not moves:
        return
    refusals = _refusals(history, service, moves)
    image = moves.get(IMAGE)
    if isinstance(image, ImagePin) and IMAGE not in refusals:
        # An image moves under every model of the service: each must have been verified under it.
        wanted = _with(service.bundle, {key: pin for key, pin in moves.items() if key not in refusals})
        unproven = [why for why in (_judge(source, environment, wanted, pin, now)[0] for pin in wanted.models) if why]
        if unproven:
            refusals[IMAGE] = unproven[0]
    wanted = _with(service.bundle, {key: pin for key, pin in moves.items() if key not in refusals})
    for key, after in moves.items():
        before = service.image if isinstance(after, ImagePin) else _pin(service.bundle, after.name)
        refused, note = refusals.get(key, ""), ""
        if isinstance(after, ModelPin) and not refused:
            refused, note = _judge(source, environment, wanted, after, now)
        yield Candidate(service.name, key, before, after, wanted.image.reference, refused, note)


def _bundle_there(source: History, service: ServiceSpec) -> Bundle | None:
    """What the source recorded for the service; where none has its name, the only one that serves a model of it."""
    own = source.bundle(service.name)
    if own is not None:
        return own
    names = {model.name for model in service.models}
    serving = [e.bundle for e in source.recorded.values() if e.bundle and names & set(e.bundle.versions())]
    return serving[0] if len(serving) == 1 else None


def _moves(source: History, chosen: Chosen, service: ServiceSpec, origin: Bundle) -> dict[ComponentKey, ModelPin | ImagePin]:
    """The pins that differ by digest, image first."""
    found: dict[ComponentKey, ModelPin | ImagePin] = {}
    asked = [model for model in service.models if not chosen.models or model.name in chosen.models]
    if chosen.images and asked and origin.image.digest != service.image.digest:
        found[IMAGE] = origin.image
    for model in asked:
        pin = next((p for p in (*origin.models, *_elsewhere(source, model.name)) if p.name == model.name), None)
        if pin is not None and pin.digest != model.pin.digest:
            found[model_key(model.name)] = pin
    return found


def _elsewhere(source: History, model: str) -> tuple[ModelPin, ...]:
    """The model's pin where exactly one value of it is recorded in the source, whatever the service."""
    pins = {p.digest: p for e in source.recorded.values() if e.bundle for p in e.bundle.models if p.name == model}
    return tuple(pins.values()) if len(pins) == 1 else ()


def _refusals(
    history: History, service: ServiceSpec, moves: Mapping[ComponentKey, ModelPin | ImagePin]
) -> dict[ComponentKey, str]:
    """Why pins may not move forward here: rejected (alone, or together with the others), or not forward at all."""
    recorded = history.bundle(service.name)
    runs = recorded.components() if recorded else {}
    refusals: dict[ComponentKey, str] = {}
    for key, after in moves.items():
        value = str(after.digest)
        if runs.get(key) == value:
            refusals[key] = f"{history.environment} runs it already, and git wants another there: mlrelease rollback goes back"
        elif key in runs and direction(history, service.name, key, runs[key], value) is Direction.BACK:
            refusals[key] = f"{history.environment} was there before: mlrelease rollback goes back to it"
    for wanted in ({key: after} for key, after in moves.items()):
        refusals |= _rejected(history, service, recorded, wanted)
    return refusals | _rejected(history, service, recorded, {k: v for k, v in moves.items() if k not in refusals})


def _rejected(
    history: History,
    service: ServiceSpec,
    recorded: Bundle | None,
    moves: Mapping[ComponentKey, ModelPin | ImagePin],
) -> dict[ComponentKey, str]:
    bundle = _with(service.bundle, moves)
    rejection = rejection_of(history, service.name, bundle, component_changes(history, service.name, recorded, bundle))
    if rejection is None:
        return {}
    named = {key for key, _ in rejection.components}
    return {key: f"{rejection_text(rejection)} (in {history.environment})" for key in moves if key in named}


def _judge(source: History, environment: EnvironmentSpec, wanted: Bundle, pin: ModelPin, now: float) -> tuple[str, str]:
    """Why the pin is not proved under the bundle's image, and what is still to be waited for."""
    promotion = promotion_of(
        source,
        wanted.service,
        pin,
        wanted.image.reference,
        soak_s=environment.soak_s,
        environment=source.environment,
        beside=wanted,
    )
    why = objection(promotion, pin, target=environment.target.kind)
    return why, "" if why or promotion.not_before <= now else soak_word(promotion)


def _with(bundle: Bundle, moves: Mapping[ComponentKey, ModelPin | ImagePin]) -> Bundle:
    image = moves.get(IMAGE, bundle.image)
    models = tuple(moves.get(model_key(pin.name), pin) for pin in bundle.models)
    return replace(
        bundle,
        image=image if isinstance(image, ImagePin) else bundle.image,
        models=tuple(pin for pin in models if isinstance(pin, ModelPin)),
    )


def _pin(bundle: Bundle, name: str) -> ModelPin:
    return next(pin for pin in bundle.models if pin.name == name)


def _label(pin: ModelPin | ImagePin) -> str:
    return pin.version if isinstance(pin, ModelPin) else pin.short
