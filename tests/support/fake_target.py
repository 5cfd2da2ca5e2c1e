"""A Target in memory: instances that answer the contract, and faults that a test sets. Stands in where no process is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from mlrelease.errors import Error
from mlrelease.model.bundle import BundleId, canonical_json, sha256_digest
from mlrelease.model.live import Answer, Identity, Instance, Launch, Observation, Role, RouteState
from mlrelease.targets.interface import Fenced


@dataclass
class FakeTarget:
    """`predict(bundle id, model name)` gives the predictions; faults: `die_loading`, `lie` (by bundle), `liars` (by
    instance), `break_route`, `not_yet` (so many refusals by the proxy), `every_other` (a bundle that refuses each second time).
    """

    exercises: tuple[str, ...] = ("model",)
    instances: dict[str, Instance] = field(default_factory=dict)
    launches: dict[str, Launch] = field(default_factory=dict)
    routes: dict[str, RouteState] = field(default_factory=dict)
    routed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    fence: int = 0
    highest: int = 0
    die_loading: set[str] = field(default_factory=set)
    lie: set[str] = field(default_factory=set)
    liars: set[str] = field(default_factory=set)
    wrong_through_proxy: set[str] = field(default_factory=set)
    break_route: set[str] = field(default_factory=set)
    not_yet: int = 0
    every_other: str = ""
    break_start: str = ""
    predictions: Mapping[str, object] = field(default_factory=dict)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    counter: int = 0
    asked: int = 0

    def observe(self, service: str = "") -> Observation:
        instances = tuple(i for i in self.instances.values() if service in ("", i.service))
        return Observation(instances, dict(self.routes), self.problems)

    def prepare(self, fence: int) -> None:
        if fence < self.highest:
            raise Fenced("a newer pass owns this target")
        self.highest = self.fence = fence
        self.problems = ()
        self.calls.append(("prepare", str(fence)))

    def start(self, launch: Launch) -> tuple[Instance, ...]:
        self._guard()
        if self.break_start:
            raise Error(self.break_start)
        bundle, key = launch.bundle, self._launch_key(launch)
        fitting = [
            i
            for i in self.instances.values()
            if i.bundle == bundle.id and i.launch == key and i.supervised and not i.failure and not self._has_turned(i)
        ]
        while len(fitting) < launch.replicas:
            self.counter += 1
            name = f"{bundle.service}-{self.counter}"
            dead = bundle.id in self.die_loading
            instance = Instance(
                id=name,
                service=bundle.service,
                bundle=bundle.id,
                role=Role.CANDIDATE,
                ready=not dead,
                supervised=True,
                identity=None if dead else self._identity(name, launch),
                launch=key,
                failure="exited 4 while loading" if dead else "",
                log_tail=("cannot load",) if dead else (),
            )
            self.instances[name] = instance
            self.launches[name] = launch
            self.calls.append(("start", name))
            fitting.append(instance)
        return tuple(fitting[: launch.replicas])

    def route(self, service, weights, *, instances: Iterable[str], prefix, revision, timeout_s) -> None:
        self._guard()
        names = tuple(instances)
        self.calls.append(("route", service, ",".join(sorted(weights)) or "-"))
        if set(weights) & self.break_route:
            raise Error("the proxy rejected the route")
        for name, instance in self.instances.items():
            if instance.service == service:
                active = name in names
                if active or instance.role is Role.ACTIVE:
                    self.instances[name] = replace(instance, role=Role.ACTIVE if active else Role.CANDIDATE)
        if weights:
            self.routes[service] = RouteState({BundleId(b): w for b, w in weights.items()}, prefix, revision, timeout_s)
            self.routed[service] = names
        else:
            self.routes.pop(service, None)
            self.routed.pop(service, None)

    def keep(self, instances: Iterable[str], until: float) -> None:
        self._guard()
        for name in instances:
            role = Role.WARM if until else self.instances[name].role
            self.instances[name] = replace(self.instances[name], role=role, until=until)

    def idle(self, instances: Iterable[str]) -> bool:
        return True

    def stop(self, instance: str, *, drain_s: float) -> None:
        self._guard()
        self.calls.append(("stop", instance))
        self.instances.pop(instance, None)

    def ask(self, instance, method, path, body=b"", *, timeout_s, headers=None) -> Answer:
        if instance not in self.instances:
            raise ConnectionRefusedError("no such instance")
        return self._answer(self.instances[instance], path)

    def ask_service(self, service, method, path, body=b"", *, timeout_s, headers=None) -> Answer:
        names = [name for name in self.routed.get(service, ()) if name in self.instances]
        if not names:
            raise ConnectionRefusedError("nothing answers")
        instance = self.instances[names[0]]
        if self.not_yet:
            self.not_yet -= 1
            return Answer(503, {}, b"")
        self.asked += 1
        if instance.bundle in self.wrong_through_proxy or (instance.bundle == self.every_other and self.asked % 2):
            return Answer(503, {}, b"")
        return self._answer(instance, path)

    def logs(self, instance: str, *, lines: int) -> Iterator[str]:
        yield from self.instances[instance].log_tail[-lines:]

    def down(self) -> None:
        self.instances.clear()
        self.routes.clear()
        self.routed.clear()

    def become(self, instance: str, bundle: str | None) -> None:
        """From now on the instance answers as that bundle; None: it does not say who it is."""
        was = self.instances[instance]
        identity = replace(was.identity, bundle=bundle) if bundle is not None else None
        self.instances[instance] = replace(was, identity=identity)

    def _has_turned(self, instance: Instance) -> bool:
        if instance.identity is None:
            return instance.role is Role.ACTIVE
        return instance.identity.bundle != instance.bundle

    def _guard(self) -> None:
        if self.fence < self.highest:
            raise Fenced("a newer pass owns this target")

    def _launch_key(self, launch: Launch) -> str:
        versions = [[a.name, a.version, a.golden_rtol] for a in launch.artifacts]
        return str(sha256_digest(canonical_json([versions, list(map(list, launch.env))])))

    def _identity(self, name: str, launch: Launch) -> Identity:
        bundle = launch.bundle
        models = tuple((a.name, a.version, str(a.digest)) for a in launch.artifacts)
        said = "000000000000" if bundle.id in self.lie or name in self.liars else bundle.id
        return Identity(bundle.service, said, bundle.image.reference, name, "fake", "2026-01-01T00:00:00Z", models)

    def _answer(self, instance: Instance, path: str) -> Answer:
        if path == "/identity":
            identity = instance.identity
            if identity is None:
                return Answer(503, {}, b"")
            body = {
                "service": identity.service,
                "bundle": identity.bundle,
                "image": identity.image,
                "instance": identity.instance,
                "runtime": identity.runtime,
                "started_at": identity.started_at,
                "models": [{"name": n, "version": v, "digest": d} for n, v, d in identity.models],
            }
            return Answer(200, {}, json.dumps(body).encode())
        name = path.split("/")[2]
        artifact = next(a for a in self.launches[instance.id].artifacts if a.name == name)
        right = (artifact.golden or {}).get("predictions")
        predictions = self.predictions.get(str(artifact.digest), right)
        return Answer(200, {}, json.dumps({"predictions": predictions}).encode())
