"""A small world for passes: a bare remote, clones, the real ledger, git and cache; target and registry are fakes."""

from __future__ import annotations

import atexit
import copy
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Self

import pytest
from mlrelease.delivery import source
from mlrelease.delivery.passes import Order, PassResult, run_pass
from mlrelease.delivery.site import Site, open_ledger
from mlrelease.delivery.source import Desired, Tracked
from mlrelease.delivery.steps import Listener
from mlrelease.forge.git import Git
from mlrelease.history.fold import History, fold
from mlrelease.model.bundle import ModelPin
from mlrelease.registries.cache import ArtifactCache
from mlrelease.spec.edit import set_model_pin, set_scalar
from support.estate import GIT_IDENTITY
from support.fake_registry import FakeRegistry, pin_of
from support.fake_target import FakeTarget

ENVIRONMENT = """\
schema: 1
environment: production
tracking_uri: http://127.0.0.1:5000
alias: production
target:
  kind: local
  listen: 127.0.0.1:8080
keep_warm: 10m
gates:
  - gate: exists
  - gate: digest
"""

SERVICE = """\
schema: 1
service: {name}

image: ghcr.io/acme/serve:0.1.0@sha256:{image}

replicas: 2
delivery:
  strategy: blue_green
"""

MODEL = """\
schema: 1
service: {name}
model: {name}

version: "{version}"
digest: {digest}
"""


def quiet(_mark: object) -> None:
    """Listens to steps and says nothing."""


def git(folder: Path, *arguments: str) -> str:
    """The real git, as a person types it."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@cache
def _made(services: tuple[str, ...], remote: bool) -> Path:
    """The folder of a world that others are copies of; it goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="world-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in GIT_IDENTITY.items():
            patch.setenv(name, value)
        return World(folder / "w", services=services, remote=remote)._make().root


@dataclass
class World:
    """`laptop` is where people commit; `host` is the clone that passes read."""

    root: Path
    services: tuple[str, ...] = ("wine",)
    remote: bool = True
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    target: FakeTarget = field(default_factory=FakeTarget)
    clock: float = 1_800_000_000.0
    pins: dict[tuple[str, str], ModelPin] = field(default_factory=dict)
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ids(self) -> str:
        """The next id: stable from run to run."""
        return f"01TEST{next(self.counter):020d}"

    @property
    def laptop(self) -> Path:
        return self.root / "laptop"

    @property
    def host(self) -> Path:
        return self.root / "host" if self.remote else self.laptop

    def pin(self, model: str, version: str, *, golden: bool = True) -> ModelPin:
        """A registered version, with golden predictions in the ledger."""
        if (model, version) not in self.pins:
            files = {"MLmodel": b"flavors: {}\n", "model.bin": f"{model} {version}".encode()}
            self.registry.add(model, version, files)
            pin = pin_of(model, version, files, self.root / "scratch" / f"{model}-{version}")
            self.pins[model, version] = pin
            if golden:
                data = {"schema": 1, "payload": {"inputs": [[1.0]]}, "predictions": [float(version)]}
                self.site().ledger.put_golden(pin.digest, data)
        return self.pins[model, version]

    def create(self) -> Self:
        """The repository with version 1 of every service's model pinned, pushed.

        Made once for these services; every further one is a copy, unless commits are dated: those are the caller's own.
        """
        if "GIT_COMMITTER_DATE" in os.environ:
            return self._make()
        shutil.copytree(_made(self.services, self.remote), self.root, symlinks=True, dirs_exist_ok=True)
        for name in self.services:
            self.pin(name, "1", golden=False)
        return self

    def _make(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        git(self.root, "init", "--quiet", "--initial-branch=main", "laptop")
        if self.remote:
            git(self.root, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
            git(self.laptop, "remote", "add", "origin", "../origin.git")
        base = self.laptop / "environments" / "production"
        for folder in ("services", "models"):
            (base / folder).mkdir(parents=True)
        (base / "environment.yaml").write_text(ENVIRONMENT)
        for name in self.services:
            (base / "services" / f"{name}.yaml").write_text(SERVICE.format(name=name, image="ab12" * 16))
            (base / "models" / f"{name}.yaml").write_text(MODEL.format(name=name, version="1", digest=f"sha256:{'cd34' * 16}"))
        self.commit("Start")
        if self.remote:
            git(self.laptop, "push", "--quiet", "-u", "origin", "main")
            git(self.root, "clone", "--quiet", "origin.git", "host")
            git(self.host, "remote", "set-url", "origin", "../origin.git")  # wherever it is copied to
        for name in self.services:
            self.bump(name, "1")
        return self

    def copy(self, root: Path) -> Self:
        """The same world in another folder, from here on on its own: making one takes seconds, copying it does not."""
        shutil.copytree(self.root, root, symlinks=True)
        registry = replace(
            self.registry, contents=dict(self.registry.contents), facts=dict(self.registry.facts), lock=threading.Lock()
        )
        return replace(
            self,
            root=root,
            registry=registry,
            target=copy.deepcopy(self.target),
            pins=dict(self.pins),
            counter=copy.copy(self.counter),
        )

    def model_file(self, model: str) -> Path:
        return self.laptop / "environments" / "production" / "models" / f"{model}.yaml"

    def service_file(self, service: str) -> Path:
        return self.laptop / "environments" / "production" / "services" / f"{service}.yaml"

    def bump(self, model: str, version: str) -> str:
        """One commit that pins the version; pushed."""
        pin = self.pin(model, version)
        path = self.model_file(model)
        path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
        return self.commit(f"Pin {model} {version}")

    def edit(self, path: Path, keys: tuple[str, ...], value: str) -> str:
        """One commit that changes one value; pushed."""
        path.write_bytes(set_scalar(path.read_bytes(), keys, value))
        return self.commit(f"Set {'.'.join(keys)}")

    def revert(self, commit: str) -> str:
        git(self.laptop, "revert", "--no-edit", commit)
        return self._pushed()

    def commit(self, message: str) -> str:
        git(self.laptop, "add", "-A")
        git(self.laptop, "commit", "--quiet", "--allow-empty", "-m", message)
        return self._pushed()

    def _pushed(self) -> str:
        if self.remote and (self.root / "host").exists():
            git(self.laptop, "push", "--quiet", "origin", "main")
        return git(self.laptop, "rev-parse", "HEAD")

    def desired(self) -> Desired:
        repository, branch = Git(self.host), Tracked("origin" if self.remote else "", "main")
        return source.desired(repository, branch, online=source.fetch(repository, branch))

    def site(self, *, clone: Path | None = None) -> Site:
        """The place of `production` on this host, over the fakes."""
        return self._site(self.desired(), clone or self.host)

    def _site(self, desired: Desired, clone: Path) -> Site:
        repository, branch = Git(clone), Tracked("origin" if self.remote else "", "main")
        state = self.root / "state"
        state.mkdir(exist_ok=True)
        return Site(
            environment=desired.spec.environments["production"],
            state_dir=state,
            git=repository,
            branch=branch,
            ledger=open_ledger(repository, branch, state / "spool", lambda: self.clock),
            cache=ArtifactCache(state / "cache"),
            target=self.target,
            registry=lambda: self.registry,
            variables={},
            now=lambda: self.clock,
            runs_here=True,
        )

    def order(self, *, listener: Listener = quiet, impatient: bool = True, **more: object) -> Order:
        return Order(
            actor="Test",
            trigger="deploy",
            run_id="run",
            new_id=self.ids,
            listener=listener,
            impatient=impatient,
            lock_timeout_s=1.0,
            **more,
        )

    def run(self, **more: object) -> PassResult:
        """One pass at the tip; the clock moves on a minute."""
        self.clock += 60.0
        desired = self.desired()
        return run_pass(self._site(desired, self.host), desired, self.order(**more))

    def history(self) -> History:
        return fold("production", self.site().ledger.read("production").events)

    def live(self) -> Mapping[str, str]:
        """Which version each service answers with, through the proxy."""
        versions = {}
        for service in self.target.routes:
            identity = self.target.instances[self.target.routed[service][0]].identity
            versions[service] = ",".join(version for _, version, _ in identity.models)
        return versions
