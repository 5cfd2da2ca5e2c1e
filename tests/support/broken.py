"""Runs the program as a subprocess in a broken world, and what must hold of every run, however the world is broken."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from support.estate import GIT_IDENTITY, free_port
from support.program import COMMAND, program

SECRET = "s3cret"
DEAD_MLFLOW = f"http://bob:{SECRET}-password@127.0.0.1:9/?token={SECRET}-query"
LONGEST_S = 20.0
NOBODY = 65534
"""Somebody else: the user id that owns nothing."""

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\x9b]")


@dataclass(frozen=True)
class Ran:
    """How one run ended. `said` is the story without log lines; `first` the verdict on stdout, else the error."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> list[str]:
        return [line for line in self.err.splitlines() if not line.startswith("{")]

    @property
    def told(self) -> list[str]:
        """The error and what follows it."""
        at = next((i for i, line in enumerate(self.said) if line.startswith("error: ")), len(self.said))
        return self.said[at:]

    @property
    def first(self) -> str:
        return (self.out.splitlines() or self.told or self.said or [""])[0]

    @property
    def text(self) -> str:
        return f"{self.arguments} ended with {self.code} after {self.seconds:.1f} s\n{self.out}\n{self.err}"

    def json(self) -> dict:
        """What stdout holds, which is one JSON document of this schema and nothing else."""
        data = json.loads(self.out)
        assert data["schema"] == 1
        assert data["exit_code"] == self.code, self.text
        assert data["verdict"]
        return data


def run(
    *arguments: str,
    cwd: Path,
    environ: Mapping[str, str],
    powerless: bool = False,
    largest_file: int = 0,
    limit_s: float = LONGEST_S,
) -> Ran:
    """One run; asserts what holds of every run: bounded, no traceback, no credential, nothing a terminal would act on."""
    began = time.monotonic()
    if powerless or largest_file:
        # Root without its power over the rights of files: what is somebody else's, or has no right set, is out of reach.
        weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if powerless and os.geteuid() == 0 else []
        done = subprocess.run(
            [*weak, *COMMAND, *arguments],
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            errors="backslashreplace",
            timeout=limit_s,
            check=False,
            preexec_fn=_smaller_files(largest_file) if largest_file else None,
        )
    else:
        done = program(*arguments, cwd=cwd, environ=environ, timeout=limit_s)
    ran = Ran(arguments, done.returncode, done.stdout, done.stderr, time.monotonic() - began)
    hold(ran)
    return ran


def hold(ran: Ran) -> None:
    """What must hold of every run."""
    everything = ran.out + ran.err
    if "-v" not in ran.arguments:
        assert "Traceback" not in everything, ran.text
    assert "please report" not in everything, ran.text
    assert "Exception ignored" not in everything, ran.text
    assert SECRET not in everything, ran.text
    assert not _CONTROL.search(everything), ran.text
    assert ran.code in (0, 1, 2, 3, 4, 5, 6, 130), ran.text


def _smaller_files(most: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return limit


@dataclass
class World:
    """A repository made by `init` with a bare remote beside it, in a folder of its own; MLflow is dead."""

    root: Path
    more: dict[str, str | None] = field(default_factory=dict)

    @property
    def clone(self) -> Path:
        return self.root / "lap"

    @property
    def state(self) -> Path:
        return self.root / "st"

    @property
    def model_file(self) -> Path:
        return self.clone / "environments/production/models/wine.yaml"

    @property
    def environment_file(self) -> Path:
        return self.clone / "environments/production/environment.yaml"

    def environ(self) -> dict[str, str]:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "XDG_"))}
        own = {
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "MLFLOW_TRACKING_URI": DEAD_MLFLOW,
            "MLFLOW_TRACKING_TOKEN": f"{SECRET}-token",
        }
        return {name: value for name, value in {**base, **GIT_IDENTITY, **own, **self.more}.items() if value is not None}

    def run(self, *arguments: str, cwd: Path | None = None, **more: object) -> Ran:
        return run(*arguments, cwd=cwd or self.clone, environ=self.environ(), **more)

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.clone,
            env={**os.environ, **GIT_IDENTITY},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, f"git {arguments}: {done.stderr}"
        return done.stdout.strip()

    def create(self) -> World:
        for name in ("home", "tmp"):
            (self.root / name).mkdir(parents=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", "o.git", cwd=self.root)
        listen = f"127.0.0.1:{free_port()}"
        done = self.run("init", "lap", "--remote", "../o.git", "--listen", listen, "--state-dir", "../st", cwd=self.root)
        assert done.code == 0, done.text
        return self

    def copied(self, root: Path) -> World:
        shutil.copytree(self.root, root, symlinks=True)
        return World(root, dict(self.more))

    def commit(self, message: str = "Break it", *, push: bool = True) -> None:
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        if push:
            self.git("push", "--quiet", "origin", "main")

    def replace(self, file: Path, old: str, new: str) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def leftovers(self) -> list[str]:
        """Temporary files and processes of this world that are still there; `mlrelease-<uid>` holds the locks of ports."""
        temporary = self.root / "tmp"
        files = (
            [p.name for p in temporary.iterdir() if not re.fullmatch(r"mlrelease-\d+", p.name)] if temporary.is_dir() else []
        )
        staged = [str(p) for p in self.clone.rglob(".*.mlrelease")] if self.clone.is_dir() else []
        mine = str(self.root) + os.sep
        living = [
            str(p.info["cmdline"]) for p in psutil.process_iter(["cmdline"]) if any(mine in a for a in p.info["cmdline"] or ())
        ]
        return files + staged + living
