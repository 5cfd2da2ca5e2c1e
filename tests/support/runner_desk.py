"""A repository made for one run of one workflow, and programs that stand first on its PATH."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from mlrelease.files import version
from support.repositories import git
from support.runner import ROOT, Run, Runner


@dataclass
class Desk:
    """A bare repository, and a work tree to fill it from."""

    root: Path

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    def create(self) -> Desk:
        git(self.root, "init", "--quiet", "--bare", "--initial-branch=main", "o.git")
        git(self.root, "init", "--quiet", "--initial-branch=main", "tree")
        git(self.tree, "remote", "add", "origin", "../o.git")
        action = ROOT / ".github/actions/setup-mlrelease/action.yml"
        self.write(".github/actions/setup-mlrelease/action.yml", action.read_text())
        self.write(".mlrelease-version", version() + "\n")
        return self

    def write(self, path: str, text: str) -> None:
        place = self.tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def run(self, workflow: str, *, settings: dict[str, str] | None = None, **extra: str) -> Run:
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "--quiet", "--allow-empty", "-m", "x")
        git(self.tree, "push", "--quiet", "origin", "HEAD:main")
        runner = Runner(self.root / "runs", self.root / "o.git", settings=settings or {})
        return runner.push(workflow, extra=extra)


def program(folder: Path, name: str, text: str) -> None:
    """A program of that name, to be found first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(stat.S_IRWXU)
