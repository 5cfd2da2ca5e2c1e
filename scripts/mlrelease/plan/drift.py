"""How what runs differs from what is recorded, said in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlrelease.model.bundle import Bundle
from mlrelease.model.change import Health
from mlrelease.model.live import Identity, Instance, Observation, Role
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec


def settings_of(environment: EnvironmentSpec, service: ServiceSpec) -> dict[str, Any]:
    """The settings that are updated in place, as the receipt keeps them.

    `python` stands there only where the file names one: it belongs to the host, not to what answers, and so not to the bundle.
    """
    settings = {
        "replicas": service.replicas,
        "strategy": service.strategy.value,
        "timeout_s": service.timeout_s,
        "listen": environment.target.listen,
        "golden_rtol": {model.name: model.golden_rtol for model in service.models},
    }
    return settings | ({"python": service.python} if service.python else {})


def settings_changes(recorded: Mapping[str, Any], wanted: Mapping[str, Any], before: Bundle, after: Bundle) -> tuple[str, ...]:
    """Each setting that differs, `name: old → new`, and the labels (version, tag) of components that are the same by digest."""
    names = sorted(set(recorded) | set(wanted))
    changed = [f"{name}: {recorded.get(name)} → {wanted.get(name)}" for name in names if recorded.get(name) != wanted.get(name)]
    labels = before.versions() | {"image": before.image.reference}
    new_labels = after.versions() | {"image": after.image.reference}
    changed += [
        f"{name}: {labels.get(name)} → {new_labels[name]}"
        for name in sorted(new_labels)
        if labels.get(name) != new_labels[name]
    ]
    return tuple(changed)


def drift(observation: Observation, service: str, bundle: Bundle, *, replicas: int) -> tuple[str, ...]:
    """What is wrong with a service that should answer as `bundle`; empty when it is live. Strays and leftovers count."""
    wrong = [f"target: {problem}" for problem in observation.problems]
    route = observation.routes.get(service)
    if route is None:
        wrong.append("traffic: no route")
    elif dict(route.weights) != {bundle.id: 100}:
        going = ", ".join(f"{weight} % to {name}" for name, weight in sorted(route.weights.items())) or "nowhere"
        wrong.append(f"traffic: {going} instead of all to {bundle.id}")
    serving = [i for i in observation.of(service, bundle.id) if i.role is not Role.WARM]
    good = [i for i in serving if i.ready and i.supervised and not mismatch(i, bundle)]
    if len(good) < replicas:
        wrong.append(f"instances: {len(good)} of {replicas} answer as they should")
    for instance in serving:
        said = "; ".join(filter(None, [_sickness(instance), mismatch(instance, bundle)]))
        if said:
            wrong.append(f"instance {instance.id}: {said}")
    wrong += [f"leftover {i.id}: of bundle {i.bundle}" for i in leftovers(observation, service, bundle)]
    wrong += [f"stray {i.id}" for i in observation.instances if i.role is Role.STRAY and i.service == service]
    return tuple(wrong)


def leftovers(observation: Observation, service: str, bundle: Bundle | None) -> tuple[Instance, ...]:
    """Instances of other bundles that are neither warm nor a stray: a pass was killed, or a route was."""
    return tuple(i for i in observation.of(service) if i.role is not Role.WARM and (bundle is None or i.bundle != bundle.id))


def mismatch(instance: Instance, bundle: Bundle) -> str:
    """Why this instance is not the bundle, by its own word; empty when it is."""
    identity = instance.identity
    if identity is None:
        return "does not say who it is"
    return identity_mismatch(identity, bundle)


def identity_mismatch(identity: Identity, bundle: Bundle) -> str:
    """Why this identity is not the bundle's; empty when it is. Version labels count: a prediction names them."""
    if identity.service != bundle.service:
        return f"answers for service {identity.service}"
    if identity.bundle != bundle.id:
        return f"answers as bundle {identity.bundle}"
    pins = tuple((pin.name, pin.version, str(pin.digest)) for pin in sorted(bundle.models))
    if tuple(sorted(identity.models)) != pins:
        said = ", ".join(f"{name} {version} ({digest[:15]}…)" for name, version, digest in identity.models) or "none"
        return f"answers with models {said}"
    return ""


def health_of(observation: Observation | None, service: str, bundle: Bundle | None, *, replicas: int, working: bool) -> Health:
    """One service's health; `bundle` is the recorded one."""
    if observation is None:
        return Health.UNKNOWN
    if bundle is None:
        return Health.PROGRESSING if working else Health.MISSING
    ready = [i for i in observation.of(service, bundle.id) if i.ready and not mismatch(i, bundle)]
    route = observation.routes.get(service)
    if not ready or route is None or not route.weights:
        return Health.MISSING
    if working:
        return Health.PROGRESSING
    return Health.HEALTHY if not drift(observation, service, bundle, replicas=replicas) else Health.DEGRADED


def _sickness(instance: Instance) -> str:
    if instance.failure:
        return instance.failure
    if not instance.ready:
        return "not ready"
    return "" if instance.supervised else "not supervised"
