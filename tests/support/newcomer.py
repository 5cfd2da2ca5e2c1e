"""A repository as `init` makes it and a newcomer's workspace in it, over a registry in memory; reports as golden text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlrelease.commands.init import InitOptions, init
from mlrelease.commands.output import emit
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render.report import Report
from support.fake_registry import FakeRegistry
from support.repositories import git

GOLDEN = Path(__file__).parents[1] / "golden"
IMAGE = f"ghcr.io/acme/serve:1.2.0@sha256:{'ab12' * 16}"


@dataclass(frozen=True, slots=True)
class Newcomer(Workspace):
    """A workspace whose MLflow is the fake."""

    fake: FakeRegistry = field(default_factory=FakeRegistry)

    def registry(self, environment: EnvironmentSpec) -> ModelRegistry:
        return self.fake

    @property
    def root(self) -> Path:
        return self.git.root()

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def write(self, path: str, text: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def commit(self, message: str = "Edit") -> str:
        git(self.root, "add", "-A")
        git(self.root, "commit", "--quiet", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return git(self.root, "rev-parse", "HEAD")

    @property
    def subjects(self) -> list[str]:
        """Of all commits, newest first."""
        return git(self.root, "log", "--format=%s").splitlines()

    @property
    def status(self) -> str:
        return git(self.root, "status", "--porcelain")

    @property
    def everything(self) -> tuple[str, str, list[Path]]:
        """What a refused verb must leave as it is: the commit, what differs from it, and which files there are."""
        return self.head, self.status, sorted(p for p in self.root.rglob("*") if ".git" not in p.parts)


def newcomer(
    folder: Path, *, remote: bool = False, variables: Mapping[str, str] | None = None, **init_options: str
) -> Newcomer:
    """The repository `repo` below `folder`; with `remote`, a bare `origin.git` beside it that has it all."""
    if remote:
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        init_options["remote"] = str(folder / "origin.git")
    init(str(folder / "repo"), InitOptions(**init_options))
    known = {"XDG_CACHE_HOME": str(folder / "cache"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
    where = Tracked("origin" if remote else "", "main")
    return Newcomer(Git(folder / "repo"), where, "Test <test@example.com>", "run", known | dict(variables or {}))


def text(report: Report, capsys, *, root: Path | None = None) -> str:
    """What a person sees, with commits and the scratch folder made the same from run to run."""
    capsys.readouterr()
    code = emit(report, output="table")
    said = re.sub(r"\bas [0-9a-f]{9}\b", "as COMMIT", capsys.readouterr().out)
    return (said.replace(str(root), "ROOT") if root is not None else said) + f"exit {code}\n"


def as_json(report: Report, capsys) -> dict:
    """What a program sees."""
    capsys.readouterr()
    emit(report, output="json")
    return json.loads(capsys.readouterr().out)


def golden(path: str, found: str, *, update: bool) -> None:
    """Compares with the expected text in full, or rewrites it."""
    place = GOLDEN / path
    if update:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(found, encoding="utf-8")
    assert found == place.read_text(encoding="utf-8")
