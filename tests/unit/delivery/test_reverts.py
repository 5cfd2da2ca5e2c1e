"""DESIGN §3 as a property: whatever people commit, the latest change of any pin reverts cleanly and live ends as git says."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlrelease.commands.rollback import RollbackOptions, rollback
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from mlrelease.model.event import Unrejected
from mlrelease.model.live import Role
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.spec.edit import set_image
from support.world import World, git

SERVICES = ("alpha", "beta")
VERSIONS = ("1", "2", "3")
IMAGES = ("ab12", "cd34", "ef56")

moves = st.lists(
    st.one_of(
        st.tuples(st.just("bump"), st.sampled_from(SERVICES), st.sampled_from(VERSIONS)),
        st.tuples(st.just("image"), st.sampled_from(SERVICES), st.sampled_from(IMAGES)),
        st.tuples(st.just("replicas"), st.sampled_from(SERVICES), st.sampled_from(("1", "2", "3"))),
        st.tuples(st.just("fragment"), st.just(""), st.sampled_from(VERSIONS)),
        st.tuples(st.just("revert"), st.sampled_from(SERVICES), st.sampled_from(("model", "image"))),
        st.tuples(st.just("rollback"), st.sampled_from(SERVICES), st.sampled_from(VERSIONS)),
    ),
    min_size=4,
    max_size=9,
)


@dataclass
class Story:
    """A world with the latest commit of every pin, so that it can be reverted."""

    world: World
    latest: dict[tuple[str, str], str] = field(default_factory=dict)
    verified: set[tuple[str, str]] = field(default_factory=set)

    def do(self, move: str, service: str, value: str) -> None:
        world = self.world
        if move == "bump":
            before = world.model_file(service).read_bytes()
            commit = world.bump(service, value)
            if world.model_file(service).read_bytes() != before:
                self.latest[service, "model"] = commit
        elif move == "image":
            path = world.service_file(service)
            before = path.read_bytes()
            path.write_bytes(set_image(before, f"ghcr.io/acme/serve:0.1.0@sha256:{value * 16}"))
            if path.read_bytes() != before:
                self.latest[service, "image"] = world.commit(f"Image of {service}")
        elif move == "replicas":
            path = world.service_file(service)
            lines = [f"replicas: {value}" if line.startswith("replicas:") else line for line in path.read_text().split("\n")]
            path.write_text("\n".join(lines))
            world.commit(f"Scale {service}")
        elif move == "fragment":
            path = world.laptop / "releases" / "unreleased" / f"{value}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((path.read_text() if path.exists() else "") + "Changed something.\n")
            world.commit("A changelog fragment")
        elif move == "revert" and (service, value) in self.latest:
            world.revert(self.latest.pop((service, value)))  # git fails, and the test with it, if this conflicts
        elif move == "rollback" and (service, value) in self.verified:
            workspace = _Workspace(Git(world.laptop), Tracked("origin", "main"), "Test", "run", {}, world)
            report = rollback(workspace, "production", RollbackOptions(model=service, to=value))
            assert report.exit_code == 0
            # the commit was made on top of the remote's tip, and this clone followed
            assert git(world.laptop, "status", "--porcelain") == ""
            assert f'version: "{value}"' in world.model_file(service).read_text()
            self.latest.pop((service, "model"), None)

    def settle(self) -> None:
        """A pass; then live is what git says, for every service."""
        world = self.world
        world.run()
        spec = world.desired().spec.environments["production"]
        for service, wanted in spec.services.items():
            live = {i.bundle for i in world.target.observe().of(service) if i.role is Role.ACTIVE}
            assert live == {wanted.bundle.id}
            assert len([i for i in world.target.observe().of(service) if i.role is Role.ACTIVE]) == wanted.replicas
            self.verified.add((service, wanted.models[0].pin.version))
        assert world.run().finished is None  # plan after apply is all noop
        self._forgive()

    def _forgive(self) -> None:
        site = self.world.site()
        for rejection in self.world.history().rejections:
            event = Unrejected(
                self.world.ids(), "production", self.world.clock, "Test", "next", rejection.service, tuple(rejection.components)
            )
            site.ledger.append([event])


@dataclass(frozen=True)
class _Workspace(Workspace):
    """The laptop's workspace, with the world's fakes behind the site."""

    world: World = None  # type: ignore[assignment]

    def site(self, environment: EnvironmentSpec) -> Site:
        return self.world.site(clone=self.world.laptop)


_counter = itertools.count()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(moves=moves)
@example(
    moves=[
        ("bump", "alpha", "2"),
        ("image", "alpha", "cd34"),
        ("bump", "beta", "3"),
        ("rollback", "alpha", "1"),
        ("revert", "alpha", "image"),
        ("fragment", "", "1"),
        ("revert", "beta", "model"),
    ]
)
def test_any_history_of_pins_reverts_cleanly_and_live_follows_git(tmp_path_factory, moves):
    """Random bumps, image pins, settings, fragments, reverts and rollbacks: no conflict, and each pass ends with live = git."""
    with tempfile.TemporaryDirectory(prefix="reverts") as folder:
        story = Story(World(Path(folder) / "w", services=SERVICES).create())
        story.settle()
        for move in moves:
            story.do(*move)
            story.settle()
