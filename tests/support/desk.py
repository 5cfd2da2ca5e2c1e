"""A person at the laptop of the small world: the verbs as functions, over real git and ledger and the fakes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mlrelease.commands.output import emit
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.render.report import Report
from support.world import World

FIXED = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2027-01-15T08:00:00Z")
"""With these in the environment, equal content makes equal commits."""


@dataclass(frozen=True, slots=True)
class Desk(Workspace):
    """A workspace whose clock, ids, target and registry are the world's."""

    world: World | None = None

    @property
    def now(self) -> Callable[[], float]:
        return lambda: self.world.clock

    def new_id(self) -> str:
        return self.world.ids()

    def ledger(self) -> Ledger:
        return self.world.site().ledger

    def site(self, environment: EnvironmentSpec) -> Site:
        return self.world.site()


def desk(world: World) -> Desk:
    """Ada's desk."""
    return Desk(Git(world.laptop), Tracked("origin", "main"), "Ada <ada@example.com>", "run", {}, world)


def told(report: Report, world: World, capsys, *, output: str = "table") -> str:
    """What the report prints, with the exit code; folders, seconds, host and pid made equal from run to run."""
    capsys.readouterr()
    code = emit(report, output=output)
    text = capsys.readouterr().out.replace(str(world.root), "WORLD")
    text = re.sub(r"\b\d+\.\d\d(?= s\b|  )", "S.SS", text)
    text = re.sub(r"on \S+ \(pid \d+\)", "on HOST (pid N)", text)
    text = re.sub(r" *\n", "\n", text)
    return f"{text}exit code {code}\n"
