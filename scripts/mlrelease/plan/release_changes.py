"""What moved between two states of an environment's files, as lines of a changelog. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlrelease.history.direction import direction
from mlrelease.history.fold import History
from mlrelease.model.bundle import IMAGE, ComponentKey, ImagePin, ModelPin, model_key
from mlrelease.model.change import Direction
from mlrelease.model.release import Entry, Level, Section
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, State

METRICS_SHOWN = 3
"""So many metrics stand behind a model's line where no gate names any."""

MetricsOf = Mapping[ModelPin, Mapping[str, float]]


def pin_changes(
    before: EnvironmentSpec | None, after: EnvironmentSpec | None, history: History, metrics: MetricsOf
) -> tuple[Entry, ...]:
    """One entry for each service, image, model and set of settings that differs, in the order of services and models."""
    name = next((one.name for one in (after, before) if one is not None), "")
    old, new = _present(before), _present(after)
    found: list[Entry] = []
    for service in sorted(set(old) | set(new)):
        found += _of_service(name, service, old.get(service), new.get(service), history, metrics)
    return tuple(found)


def _of_service(
    environment: str,
    name: str,
    old: ServiceSpec | None,
    new: ServiceSpec | None,
    history: History,
    metrics: MetricsOf,
) -> Iterator[Entry]:
    if new is None:
        yield Entry(Section.REMOVED, f"The service {name} is gone from {environment}", Level.MAJOR)
        return
    if old is None:
        yield Entry(Section.ADDED, f"The service {name} in {environment}, image {new.image.short}", Level.MINOR)
    elif old.image.digest != new.image.digest:
        level = _level(history, name, IMAGE, str(old.image.digest), str(new.image.digest))
        yield Entry(Section.CHANGED, f"Image of {name}: {_images(old.image, new.image)} in {environment}", level)
    if old is not None and old.env != new.env:
        changed = sorted({key for key, _ in set(old.env) ^ set(new.env)})
        yield Entry(Section.CHANGED, f"Settings of {name} in {environment}: {', '.join(changed)}", Level.PATCH)
    was = {model.name: model.pin for model in old.models} if old else {}
    now = {model.name: model.pin for model in new.models}
    for model in sorted(set(was) | set(now)):
        yield from _of_model(environment, new, model, was.get(model), now.get(model), history, metrics)


def _of_model(
    environment: str,
    service: ServiceSpec,
    name: str,
    old: ModelPin | None,
    new: ModelPin | None,
    history: History,
    metrics: MetricsOf,
) -> Iterator[Entry]:
    if new is None:
        version = old.version if old else ""
        yield Entry(Section.REMOVED, f"{name} {version} is gone from {environment}", Level.MAJOR)
        return
    gated = [
        str(gate.options["metric"])
        for model in service.models
        if model.name == name
        for gate in model.gates
        if gate.gate == "metric" and "metric" in gate.options
    ]
    figures = _figures(gated, metrics.get(old, {}) if old else None, metrics.get(new, {}))
    if old is None:
        yield Entry(Section.ADDED, f"{name} {new.version} in {environment}{figures}", Level.MINOR)
    elif old.digest != new.digest:
        level = _level(history, service.name, model_key(name), str(old.digest), str(new.digest))
        yield Entry(Section.CHANGED, f"{name} {old.version} → {new.version} in {environment}{figures}", level)


def _level(history: History, service: str, key: ComponentKey, before: str, after: str) -> Level:
    """A patch where the component went back to what was verified before, else minor."""
    back = direction(history, service, key, before, after)
    return Level.PATCH if back is Direction.BACK else Level.MINOR


def _figures(gated: list[str], old: Mapping[str, float] | None, new: Mapping[str, float]) -> str:
    """` (rmse 71.2 → 68.9)`: the metrics that gates name, else the first few that both have; empty without any."""
    shared = sorted(name for name in new if old is None or name in old)
    names = [name for name in dict.fromkeys(gated) if name in new] or shared[:METRICS_SHOWN]
    parts = []
    for name in names:
        before = None if old is None else old.get(name)
        parts.append(
            f"{name} {_number(before)} → {_number(new[name])}" if before is not None else f"{name} {_number(new[name])}"
        )
    return f" ({', '.join(parts)})" if parts else ""


def _number(value: float) -> str:
    return f"{value:.4g}"


def _images(old: ImagePin, new: ImagePin) -> str:
    """The tags where the repository is the same; the first digits of the digests where the tags are the same too."""
    (was, _, before), (now, _, after) = old.short.rpartition(":"), new.short.rpartition(":")
    if was != now:
        return f"{old.short} → {new.short}"
    if before != after:
        return f"{now} {before} → {after}"
    return f"{new.short} {str(old.digest)[7:14]} → {str(new.digest)[7:14]}"


def _present(environment: EnvironmentSpec | None) -> dict[str, ServiceSpec]:
    if environment is None or environment.state is State.ABSENT:
        return {}
    return {name: service for name, service in environment.services.items() if service.state is State.PRESENT}
