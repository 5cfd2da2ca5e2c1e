"""A place to deploy to without git: the ledger is a list, the branch a list of names, target and registry are fakes.

For what a pass decides and does; what git and the real ledger do belongs to `world` and `repositories`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlrelease.delivery.passes import Order, PassResult, run_pass
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired, Tracked
from mlrelease.delivery.steps import Listener
from mlrelease.errors import Error, UnavailableError
from mlrelease.history.fold import History, fold
from mlrelease.ledger.ledger import Appended, LedgerMoved, LedgerView
from mlrelease.model.bundle import Bundle, ModelPin
from mlrelease.model.event import Event
from mlrelease.model.event_json import event_from_json, event_to_json
from mlrelease.model.gate import GateSpec
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec, Spec
from mlrelease.registries.cache import ArtifactCache
from support import core
from support.fake_registry import FakeRegistry, pin_of
from support.fake_target import FakeTarget

GATES = (GateSpec("exists"), GateSpec("digest"))
NOW = 1_800_000_000.0


@dataclass
class ListLedger:
    """The ledger as one list in memory. `before_append` is called once, in front of the next append.

    `waiting` counts what lies in the spool, which a flush brings over unless the host is `away` or `refuses`.
    """

    told: list[Event] = field(default_factory=list)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    beats: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken: str = ""
    deaf: bool = False
    waiting: int = 0
    away: bool = False
    refuses: Error | None = None
    before_append: Callable[[], None] | None = None

    def read(self, environment: str, *, fetch: bool = True) -> LedgerView:
        events = tuple(event for event in self.told if event.environment == environment)
        return LedgerView(events, len(events), online=not self.away, spooled=self.waiting, broken=self.broken)

    def flush(self) -> Appended:
        if self.refuses is not None:
            raise self.refuses
        self.waiting = 0
        return Appended(0)

    def append(self, events: Sequence[Event], *, expect_height: int | None = None) -> Appended:
        hook, self.before_append = self.before_append, None
        if hook is not None:
            hook()
        name = events[0].environment
        height = self.read(name).height
        if expect_height is not None and height != expect_height:
            raise LedgerMoved(name, expect_height, height)
        self.told += [event_from_json(json.loads(json.dumps(event_to_json(event)))) for event in events]
        return Appended(height + len(events))

    def golden(self, digest: str) -> dict[str, Any] | None:
        return self.stored.get(digest)

    def goldens(self, digests: Sequence[str], *, fetch: bool = True) -> dict[str, dict[str, Any]]:
        return {digest: self.stored[digest] for digest in digests if digest in self.stored}

    def put_goldens(self, goldens: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        for digest, data in goldens:
            self.stored.setdefault(digest, dict(data))

    def beat(self, environment: str, data: Mapping[str, Any]) -> bool:
        if not self.deaf:
            self.beats[environment] = dict(data)
        return not self.deaf


@dataclass
class Line:
    """The tracked branch as the names of its commits, oldest first; `gone` are those that this clone does not have."""

    commits: list[str] = field(default_factory=lambda: ["r1"])
    gone: set[str] = field(default_factory=set)
    settings: dict[str, str] = field(default_factory=dict)
    fetches: list[tuple[str, ...]] = field(default_factory=list)
    brings: set[str] = field(default_factory=set)
    away: bool = False

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits and revision not in self.gone else None

    def is_ancestor(self, older: str, newer: str) -> bool:
        return self.commits.index(older) <= self.commits.index(newer)

    def config(self, name: str) -> str:
        return self.settings.get(name, "")

    def fetch(self, remote: str, *refspecs: str) -> None:
        self.fetches.append((remote, *refspecs))
        if self.away:
            raise UnavailableError("could not fetch: the host is away")
        self.gone -= self.brings


@dataclass
class Place:
    """`production` with one service for each name, one model of the same name in each, version 1 wanted."""

    root: Path
    names: tuple[str, ...] = ("wine",)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    target: FakeTarget = field(default_factory=FakeTarget)
    ledger: ListLedger = field(default_factory=ListLedger)
    line: Line = field(default_factory=Line)
    clock: float = NOW
    variables: dict[str, str] = field(default_factory=dict)
    environment: EnvironmentSpec = field(init=False)
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.environment = core.environment(*(self.service(name, "1") for name in self.names), gates=GATES, alias="live")

    def ids(self) -> str:
        return f"01PLACE{next(self.counter):019d}"

    def pin(self, model: str, version: str) -> ModelPin:
        """A registered version whose golden predictions the ledger has."""
        files = {"MLmodel": b"flavors: {}\n", "model.bin": f"{model} {version}".encode()}
        if (model, version) not in self.registry.facts:
            self.registry.add(model, version, files)
        pin = pin_of(model, version, files, self.root / "scratch" / f"{model}-{version}")
        answer = {"schema": 1, "payload": {"inputs": [[1.0]]}, "predictions": [float(version)]}
        self.ledger.put_goldens([(pin.digest, answer)])
        return pin

    def service(self, name: str, *versions: str, tag: str = "1", **other: Any) -> ServiceSpec:
        """The service file of `name`: its model, and `name-2` and so on where more versions are given."""
        found = core.service(name, {}, tag, **other)
        pins = [self.pin(name if n == 0 else f"{name}-{n + 1}", version) for n, version in enumerate(versions)]
        models = tuple(ModelSpec(f"models/{pin.name}.yaml", pin.name, name, pin, GATES) for pin in pins)
        return replace(found, models=models)

    def want(self, *services: ServiceSpec, invalid: Iterable[str] = (), **other: Any) -> str:
        """A commit after which git wants these services (those of other names as before); its revision comes back."""
        known = {**self.environment.services, **{one.name: one for one in services}}
        gone = frozenset(invalid)
        kept = {name: one for name, one in known.items() if name not in gone}
        self.environment = replace(self.environment, services=kept, invalid=gone, **other)
        self.line.commits.append(f"r{len(self.line.commits) + 1}")
        return self.line.commits[-1]

    def bump(self, name: str, *versions: str, **other: Any) -> Bundle:
        """A commit that pins these versions; what git wants of the service from now on."""
        service = self.service(name, *versions, **other)
        self.want(service)
        return service.bundle

    def bundle(self, name: str = "wine") -> Bundle:
        """What git wants of a service."""
        return self.environment.services[name].bundle

    def site(self) -> Site:
        return Site(
            environment=self.environment,
            state_dir=self.root / "state",
            git=self.line,
            branch=Tracked("origin", "main"),
            ledger=self.ledger,
            cache=ArtifactCache(self.root / "cache"),
            target=self.target,
            registry=lambda: self.registry,
            variables=self.variables,
            now=lambda: self.clock,
            runs_here=True,
        )

    def desired(self, revision: str = "", *, online: bool = True) -> Desired:
        return Desired(revision or self.line.commits[-1], Spec({self.environment.name: self.environment}), online)

    def order(self, *, listener: Listener = lambda _mark: None, **other: Any) -> Order:
        known: dict[str, Any] = {"actor": "ada", "trigger": "deploy", "run_id": "run-1", "lock_timeout_s": 0.0} | other
        return Order(new_id=self.ids, listener=listener, **known)

    def run(self, *, revision: str = "", online: bool = True, **order: Any) -> PassResult:
        """One pass at the tip; the clock moves on an hour, so that nothing waits."""
        self.clock += 3600.0
        return run_pass(self.site(), self.desired(revision, online=online), self.order(**order))

    def history(self) -> History:
        return fold(self.environment.name, self.ledger.told)

    def live(self) -> dict[str, str]:
        """Which bundle each service answers as, through the proxy."""
        return {name: self.target.instances[routed[0]].bundle for name, routed in self.target.routed.items()}


@dataclass
class FaultyTarget(FakeTarget):
    """Raises what `faults` holds for an operation, one for each call (None: that call works), and notes `kept` and `drained`.

    Operations: `look` (at all services), `observe` (one service), `prepare`, `start`, `route`, `keep`, `idle`, `stop`.
    """

    faults: dict[str, list[BaseException | None]] = field(default_factory=dict)
    busy: int = 0
    drained: list[tuple[str, ...]] = field(default_factory=list)

    def trip(self, operation: str) -> None:
        waiting = self.faults.get(operation)
        if waiting and (error := waiting.pop(0)) is not None:
            raise error

    def observe(self, service: str = "") -> Any:
        self.trip("observe" if service else "look")
        return super().observe(service)

    def prepare(self, fence: int) -> None:
        self.trip("prepare")
        super().prepare(fence)

    def start(self, launch: Any) -> Any:
        self.trip("start")
        return super().start(launch)

    def route(self, service: str, weights: Any, **other: Any) -> None:
        self.trip("route")
        super().route(service, weights, **other)

    def keep(self, instances: Iterable[str], until: float) -> None:
        self.trip("keep")
        super().keep(instances, until)

    def idle(self, instances: Iterable[str]) -> bool:
        """False for the first `busy` questions."""
        self.trip("idle")
        self.drained.append(tuple(instances))
        self.busy -= 1
        return self.busy < 0

    def stop(self, instance: str, *, drain_s: float) -> None:
        self.trip("stop")
        super().stop(instance, drain_s=drain_s)
