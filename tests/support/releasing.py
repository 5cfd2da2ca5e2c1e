"""The small world in which releases are cut: deployed, with a changelog fragment, and a person at its laptop."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlrelease.commands.release.cut import ReleaseOptions, quiet, release
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from mlrelease.model.release import Level, Release, Version
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.render.report import Report
from mlrelease.spec.release_file import load
from support.desk import Desk
from support.world import World, git

DAY = "2027-01-15"
KILLED = Path(__file__).with_name("killed_release.py")


@dataclass(frozen=True, slots=True)
class Clerk(Desk):
    """A desk whose site is that of the environment asked for, also of an older commit's."""

    def site(self, environment: EnvironmentSpec) -> Site:
        return replace(self.world.site(), environment=environment)


@dataclass
class Shop(World):
    """A world with releases; `wine` and whatever other services it is asked for."""

    def ready(self) -> Shop:
        """Version 1 deployed, its run and metrics known."""
        self.create()
        for name in self.services:
            self.measured(name, "1", rmse=71.2)
        self.run()
        return self

    def measured(self, model: str, version: str, **metrics: float) -> None:
        """MLflow knows a run, a day and metrics of the version."""
        self.pin(model, version)
        facts = self.registry.facts[model, version]
        self.registry.facts[model, version] = replace(
            facts, run_id=f"run-{model}-{version}", model_id=f"m-{version}", created_at=1_790_000_000.0 + int(version)
        )
        self.registry.numbers[model, version] = (metrics, "run")

    def deployed(self, model: str, version: str, **metrics: float) -> None:
        """The version pinned, pushed and deployed."""
        self.measured(model, version, **metrics)
        self.bump(model, version)
        self.run()

    def fragment(self, name: str, text: str) -> str:
        """One commit with a changelog fragment; pushed."""
        return self.file(f"releases/unreleased/{name}", text)

    def file(self, path: str, text: str) -> str:
        """One commit with a file; pushed."""
        place = self.laptop / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return self.commit(f"Write {path}")

    def release(self, level: str = "auto", *, step: Callable[[str], None] = quiet, **options: object) -> Report:
        """The verb at the laptop."""
        return release(self.desk(), ReleaseOptions(Level(level), **options), step=step)

    def released(self, level: str = "auto", **options: object) -> Report:
        """The verb, which must succeed."""
        report = self.release(level, **options)
        assert report.exit_code == 0, (report.verdict, list(report.rows))
        return report

    def desk(self, **changes: object) -> Clerk:
        """Ada's, with changes such as `variables`."""
        branch = Tracked("origin" if self.remote else "", "main")
        clerk = Clerk(Git(self.laptop), branch, "Ada <ada@example.com>", "run", {}, self)
        return replace(clerk, **changes)

    def record(self, tag: str, revision: str = "HEAD") -> Release:
        """The record of a release as committed."""
        version = Version.parse(tag)
        return load(version.path, git(self.laptop, "show", f"{revision}:{version.path}").encode())

    def read(self, path: str, revision: str = "HEAD") -> str:
        return git(self.laptop, "show", f"{revision}:{path}")

    def save(self, path: Path) -> Path:
        """The shop in a file, for another process."""
        path.write_bytes(pickle.dumps(replace(self, registry=replace(self.registry, lock=None))))
        return path

    @classmethod
    def load(cls, path: Path) -> Shop:
        """The shop that `save` wrote."""
        shop = pickle.loads(path.read_bytes())
        shop.registry.lock = threading.Lock()
        return shop

    def killed(self, step: str, *, push: bool = True) -> None:
        """A minor release in its own process that is killed by SIGKILL right after the step."""
        saved = self.save(self.root.with_name(f"{self.root.name}.shop"))
        command = [sys.executable, str(KILLED), str(saved), step, "push" if push else "no-push"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL, f"not killed after {step}: {done.returncode}\n{done.stderr}"

    @property
    def origin(self) -> Path:
        return self.root / "origin.git"

    def everything(self) -> tuple[object, ...]:
        """What a refused release leaves as it is: all refs here and there (but the ledger's), the tree and the index."""
        refs = [
            line
            for folder in ([self.laptop, self.origin] if self.remote else [self.laptop])
            for line in git(folder, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
            if "mlrelease/" not in line
        ]
        files = sorted((p.relative_to(self.laptop).as_posix(), p.read_bytes()) for p in self.laptop.rglob("*") if _mine(p))
        return refs, git(self.laptop, "status", "--porcelain"), git(self.laptop, "rev-parse", "--abbrev-ref", "HEAD"), files

    def is_complete(self, tag: str) -> bool:
        """Whether branch and tag of the release are here and at the remote, the tree is clean, and the record is there."""
        folders = [self.laptop, self.origin] if self.remote else [self.laptop]
        tips = {git(folder, "rev-parse", "main") for folder in folders}
        tagged = {git(folder, "rev-parse", f"{tag}^{{commit}}") for folder in folders}
        assert git(self.laptop, "status", "--porcelain") == ""
        return len(tips) == 1 and tips == tagged and self.record(tag).version.tag == tag


def _mine(path: Path) -> bool:
    return path.is_file() and ".git" not in path.parts


def problems(report: Report) -> str:
    """All reasons of a refusal, one a line."""
    return "\n".join(str(row[0]) for row in report.rows)
