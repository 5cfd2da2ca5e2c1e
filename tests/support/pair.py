"""The small world of `world.py` with two environments, staging before production, and workspaces of people in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery import source
from mlrelease.delivery.passes import PassResult, look, run_pass
from mlrelease.delivery.site import Site, open_ledger
from mlrelease.delivery.source import Desired, Tracked
from mlrelease.forge.git import Git
from mlrelease.history.fold import History, fold
from mlrelease.model.change import Change
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.interface import ModelRegistry
from mlrelease.spec.edit import set_model_pin, set_scalar
from support.estate import GIT_IDENTITY
from support.fake_registry import FakeRegistry
from support.fake_target import FakeTarget
from support.world import ENVIRONMENT, World, git

SECOND_IMAGE = f"ghcr.io/acme/serve:0.2.0@sha256:{'cd34' * 16}"


@dataclass(frozen=True)
class Person(Workspace):
    """Somebody's workspace over the pair's fakes and clock."""

    site_of: Callable[[EnvironmentSpec], Site] = field(default=lambda _: None)
    registry_of: Callable[[EnvironmentSpec], ModelRegistry] = field(default=lambda _: None)
    clock: Callable[[], float] = field(default=lambda: 0.0)
    ids: Callable[[], str] = field(default=lambda: "")

    @property
    def now(self):
        return self.clock

    def new_id(self):
        return self.ids()

    def site(self, environment):
        return self.site_of(environment)

    def registry(self, environment):
        return self.registry_of(environment)


@dataclass
class Pair(World):
    """`production` promotes from `staging`; both have the same services, and version 1 of each model pinned."""

    soak: str = "0s"
    approval: str = "required"
    staged: FakeTarget = field(default_factory=FakeTarget)
    elsewhere: FakeRegistry | None = None

    def create(self) -> Pair:
        super().create()
        base = self.laptop / "environments"
        (base / "staging").mkdir()
        for folder in ("services", "models"):
            (base / "staging" / folder).mkdir()
            for file in (base / "production" / folder).iterdir():
                (base / "staging" / folder / file.name).write_bytes(file.read_bytes())
        staging = ENVIRONMENT.replace("environment: production", "environment: staging").replace("8080", "8081")
        (base / "staging" / "environment.yaml").write_text(staging.replace("alias: production", "alias: staging"))
        rules = f"promotes_from: staging\nsoak: {self.soak}\napproval: {self.approval}\n"
        text = ENVIRONMENT.replace("tracking_uri:", f"{rules}tracking_uri:")
        if self.elsewhere is not None:
            text = text.replace("http://127.0.0.1:5000", "http://127.0.0.1:5001")
        (base / "production" / "environment.yaml").write_text(text)
        self.commit("Promote from staging")
        return self

    def copy(self, root: Path) -> Pair:
        """The same world in another folder, from here on on its own."""
        return replace(super().copy(root), staged=copy.deepcopy(self.staged))

    def file(self, environment: str, kind: str, name: str) -> Path:
        return self.laptop / "environments" / environment / kind / f"{name}.yaml"

    def stage(self, model: str, version: str) -> str:
        """One commit that pins the version in staging; pushed."""
        pin = self.pin(model, version)
        path = self.file("staging", "models", model)
        path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
        return self.commit(f"Pin {model} {version} in staging")

    def image(self, environment: str, service: str, reference: str = SECOND_IMAGE) -> str:
        """One commit that pins another image; pushed."""
        path = self.file(environment, "services", service)
        path.write_bytes(set_scalar(path.read_bytes(), ("image",), reference))
        return self.commit(f"Pin another image of {service} in {environment}")

    def site(self, environment: str | EnvironmentSpec = "production", *, clone: Path | None = None) -> Site:
        repository, branch = Git(clone or self.host), Tracked("origin" if self.remote else "", "main")
        spec = self.desired().spec.environments[environment] if isinstance(environment, str) else environment
        state = self.root / f"state-{spec.name}"
        state.mkdir(exist_ok=True)
        return Site(
            environment=spec,
            state_dir=state,
            git=repository,
            branch=branch,
            ledger=open_ledger(repository, branch, state / "spool", lambda: self.clock),
            cache=ArtifactCache(state / "cache"),
            target=self.staged if spec.name == "staging" else self.target,
            registry=lambda: self._registry(spec),
            variables={},
            now=lambda: self.clock,
            runs_here=True,
        )

    def run(self, environment: str = "production", **more: object) -> PassResult:
        """One pass at the tip; the clock moves on a minute."""
        self.clock += 60.0
        return run_pass(self.site(environment), self.desired(), self.order(**more))

    def agent_looks(self, environment: str = "production") -> PassResult:
        """One pass as the agent makes it: nobody asked."""
        return self.run(environment, impatient=False)

    def change(self, environment: str = "production", **more: object) -> Change:
        """The only Change of the plan of the tip."""
        (change,) = look(self.site(environment), self.desired(), **more)[0].changes
        return change

    def history(self, environment: str = "production") -> History:
        return fold(environment, self.site(environment).ledger.read(environment).events)

    def person(self, name: str = "grace", *, folder: Path | None = None) -> Person:
        """A person's workspace in the laptop's clone."""
        branch = Tracked("origin" if self.remote else "", "main")
        return Person(
            git=Git(folder or self.laptop),
            branch=branch,
            actor=name,
            run_id="run",
            variables={"XDG_CACHE_HOME": str(self.root / "user-cache")},
            site_of=self.site,
            registry_of=self._registry,
            clock=lambda: self.clock,
            ids=self.ids,
        )

    def desired(self) -> Desired:
        repository, branch = Git(self.host), Tracked("origin" if self.remote else "", "main")
        return source.desired(repository, branch, online=source.fetch(repository, branch))

    def subjects(self, count: int) -> list[str]:
        """The first lines of the newest commits on the laptop, newest first."""
        return git(self.laptop, "log", f"-{count}", "--format=%s").splitlines()

    def _registry(self, spec: EnvironmentSpec) -> FakeRegistry:
        return self.elsewhere if self.elsewhere is not None and spec.name == "production" else self.registry


@contextmanager
def identity() -> Iterator[None]:
    """A name for git's commits, where a fixture of a whole module makes some; dates that `past.dated` sets end with it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in GIT_IDENTITY.items():
            patch.setenv(name, value)
        for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
            patch.setenv(name, "")
            patch.delenv(name)
        yield


def staged(pair: Pair, version: str = "2", model: str = "wine") -> Pair:
    """The version pinned in staging, deployed and proved there."""
    pair.stage(model, version)
    assert pair.run("staging").receipts[model].outcome.value == "succeeded"
    return pair


def approved(pair: Pair, **options: object) -> None:
    """Grace says yes to what waits in production."""
    from mlrelease.commands.approve import ApproveOptions, approve

    report = approve(pair.person(), "production", replace(ApproveOptions(), **options))
    assert report.exit_code == 0, report.verdict
