"""Small builders for the pure core: pins, specs, observations, and a `Story` that tells an environment's events one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlrelease.history.direction import left_behind, moved_forward
from mlrelease.history.fold import History, fold
from mlrelease.model.bundle import Bundle, BundleId, ComponentKey, Digest, ImagePin, ModelPin, sha256_digest
from mlrelease.model.change import Change, ChangeKind, Direction, Outcome, Plan
from mlrelease.model.event import (
    Approved,
    DeployFinished,
    DeployStarted,
    Event,
    Held,
    Owner,
    Rejected,
    ServiceReceipt,
    Unheld,
    UnknownEvent,
    Unrejected,
)
from mlrelease.model.live import Identity, Instance, Observation, Role, RouteState
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec, State, TargetKind, TargetSpec
from mlrelease.plan.drift import settings_of
from mlrelease.plan.make import make_plan, subjects

START = 1_700_000_000.0
ENVIRONMENT = "production"


def digest(text: str) -> Digest:
    """The digest of a text, so that equal names give equal digests."""
    return sha256_digest(text.encode())


def image(tag: str, content: str = "") -> ImagePin:
    """An image pin; `content` is what its digest is of (by default the tag)."""
    return ImagePin(f"ghcr.io/acme/serve:{tag}@{digest(f'image {content or tag}')}")


def model(name: str, version: str, content: str = "") -> ModelPin:
    """A model pin; `content` is what its digest is of (by default the version)."""
    return ModelPin(name, version, digest(f"{name} {content or version}"))


def bundle(service: str = "risk", tag: str = "1", models: Mapping[str, str] | None = None, **env: str) -> Bundle:
    """A bundle of `models` (name to version, by default A version 7)."""
    pins = tuple(sorted(model(name, version) for name, version in (models or {"A": "7"}).items()))
    return Bundle(service, image(tag), pins, tuple(sorted(env.items())))


def service(
    name: str = "risk", models: Mapping[str, str | ModelPin] | None = None, tag: str | ImagePin = "1", **other: Any
) -> ServiceSpec:
    """A service file with its models (name to version or pin, by default A version 7) on two replicas."""
    pins = {n: v if isinstance(v, ModelPin) else model(n, v) for n, v in ({"A": "7"} if models is None else models).items()}
    specs = tuple(ModelSpec(f"models/{n}.yaml", n, name, pin) for n, pin in sorted(pins.items()))
    pin = tag if isinstance(tag, ImagePin) else image(tag)
    return ServiceSpec(f"services/{name}.yaml", name, pin, specs, **({"replicas": 2} | other))


def absent(name: str = "risk", **other: Any) -> ServiceSpec:
    """A service whose file says `state: absent`."""
    return service(name, state=State.ABSENT, **other)


def environment(*services: ServiceSpec, invalid: Iterable[str] = (), **other: Any) -> EnvironmentSpec:
    """An environment of these services."""
    return EnvironmentSpec(
        name=ENVIRONMENT,
        path=f"environments/{ENVIRONMENT}",
        tracking_uri="http://mlflow:5000",
        target=TargetSpec(TargetKind.LOCAL, "127.0.0.1:8080"),
        services={s.name: s for s in services},
        invalid=frozenset(invalid),
        **other,
    )


def instance(of: Bundle, number: int = 0, **other: Any) -> Instance:
    """A healthy, active instance of the bundle that says who it is."""
    name = f"{of.service}-{of.id}-{number}"
    identity = Identity(
        service=of.service,
        bundle=of.id,
        image=of.image.reference,
        instance=name,
        runtime="python",
        started_at="2026-01-01T00:00:00.000Z",
        models=tuple((pin.name, pin.version, str(pin.digest)) for pin in of.models),
    )
    healthy: dict[str, Any] = {"role": Role.ACTIVE, "ready": True, "supervised": True, "identity": identity}
    return Instance(id=name, service=of.service, bundle=of.id, **(healthy | other))


def route(of: Bundle, weights: Mapping[BundleId, int] | None = None) -> RouteState:
    """All the service's traffic to the bundle, unless `weights` says otherwise."""
    return RouteState({of.id: 100} if weights is None else weights, f"/{of.service}/", "abc", 60.0)


def live(*bundles: Bundle, replicas: int = 2, extra: Iterable[Instance] = (), problems: tuple[str, ...] = ()) -> Observation:
    """A target on which exactly these bundles answer as they should, and `extra` instances besides."""
    instances = tuple(instance(b, n) for b in bundles for n in range(replicas))
    return Observation((*instances, *extra), {b.service: route(b) for b in bundles}, problems)


def judged(change: Change, env: EnvironmentSpec | None = None, **other: Any) -> tuple[tuple[ModelPin, bool], ...]:
    """The pins that are judged before this Change, each with whether it moves back."""
    found = subjects(change, env or environment(), now=START, **other)
    return tuple((subject.pin, subject.direction is Direction.BACK) for subject in found)


@dataclass
class Story:
    """The events of one environment as they happen; each event is a minute later than the one before."""

    events: list[Event | UnknownEvent] = field(default_factory=list)
    now: float = START

    @property
    def history(self) -> History:
        """What the events add up to."""
        return fold(ENVIRONMENT, self.events)

    def observe(self) -> Observation:
        """The target when what is recorded is what runs."""
        entries = [e for e in self.history.recorded.values() if e.bundle]
        instances = tuple(instance(e.bundle, n) for e in entries for n in range(int(e.settings.get("replicas", 2))))
        return Observation(instances, {e.bundle.service: route(e.bundle) for e in entries})

    def plan(self, env: EnvironmentSpec, **other: Any) -> Plan:
        """The plan for these files; by default what is recorded runs, and a person asks."""
        known: dict[str, Any] = {"observation": self.observe(), "revision": "abc", "now": self.now} | other
        return make_plan(env, self.history, known.pop("observation"), **known)

    def change(self, env: EnvironmentSpec, **other: Any) -> Change:
        """The only Change of that plan."""
        (change,) = self.plan(env, **other).changes
        return change

    def apply(self, env: EnvironmentSpec, **other: Any) -> Plan:
        """Plans, and records every acting Change as succeeded, the way a pass does."""
        plan = self.plan(env, **other)
        self.finish({c.service: self.succeeded(env, c) for c in plan.acting})
        return plan

    def fail(self, env: EnvironmentSpec, outcome: Outcome = Outcome.ROLLED_BACK, reason: str = "golden rows differ") -> Plan:
        """Plans, and records every acting Change as one that verification refused."""
        plan = self.plan(env)
        self.finish({c.service: receipt(c, outcome, reason, moved_forward(c.components)) for c in plan.acting})
        return plan

    def err(self, env: EnvironmentSpec, outcome: Outcome = Outcome.ERRORED) -> Plan:
        """Plans, and records every acting Change as one of which we could not tell."""
        plan = self.plan(env)
        self.finish({c.service: receipt(c, outcome, "MLflow did not answer") for c in plan.acting})
        return plan

    def succeeded(self, env: EnvironmentSpec, change: Change) -> ServiceReceipt:
        """The receipt of a Change that came out well."""
        spec = env.services.get(change.service)
        settings: Mapping[str, Any] = {}
        if change.kind is ChangeKind.REPAIR:
            settings = self.history.recorded[change.service].settings
        elif change.after is not None and spec is not None:
            settings = settings_of(env, spec)
        return replace(receipt(change, Outcome.SUCCEEDED, change.reason, left_behind(change.components)), settings=settings)

    def finish(self, services: Mapping[str, ServiceReceipt], *, started: str = "", revision: str = "abc") -> None:
        """A finished pass with these receipts; nothing when there are none."""
        if services:
            self.tell(
                DeployFinished, revision=revision, trigger="test", started=started, started_at=self.now, services=services
            )

    def start(self, *, expires_in_s: float = 900.0, supersedes: str = "") -> str:
        """A pass begins; its id comes back."""
        owner = Owner("host", 1, 1.0)
        self.tell(
            DeployStarted,
            revision="abc",
            trigger="test",
            owner=owner,
            expires_at=self.now + 60.0 + expires_in_s,
            supersedes=supersedes,
        )
        return self.events[-1].id

    def hold(self, name: str = "", *, for_s: float = 0.0) -> None:
        """A hold on a service, or on the environment."""
        self.tell(Held, reason="freeze", service=name, until=self.now + 60.0 + for_s if for_s else 0.0)

    def unhold(self, name: str = "") -> None:
        """Lifts it."""
        self.tell(Unheld, reason="over", service=name)

    def reject(self, name: str, *components: tuple[ComponentKey, str]) -> None:
        """A person rejects these, together."""
        self.tell(Rejected, reason="biased", service=name, components=components)

    def unreject(self, name: str, *components: tuple[ComponentKey, str]) -> None:
        """A person lifts that."""
        self.tell(Unrejected, reason="it was the data", service=name, components=components)

    def approve(self, change: Change, *, for_s: float = 3600.0, approver: str = "grace") -> None:
        """A person approves exactly this Change, from a minute later on."""
        before, after = (tuple(sorted(b.components().items())) if b else () for b in (change.before, change.after))
        terms: dict[str, Any] = {"before": before, "after": after, "expires_at": self.now + 60.0 + for_s}
        self.tell(Approved, service=change.service, approver=approver, **terms)

    def tell(self, kind: type, **fields: Any) -> None:
        """Any event, a minute later."""
        self.now += 60.0
        number = len(self.events) + 1
        self.events.append(kind(id=f"e{number}", environment=ENVIRONMENT, at=self.now, actor="ada", **fields))


def receipt(
    change: Change, outcome: Outcome, reason: str = "", rejects: tuple[tuple[ComponentKey, str], ...] = ()
) -> ServiceReceipt:
    """The receipt of a Change with this outcome."""
    return ServiceReceipt(outcome, change.kind, change.direction, reason, change.before, change.after, rejects=rejects)
