"""A whole real estate for end-to-end tests: bare remote, laptop, host clone, real MLflow versions, the target `local`, load.

Slow to make (seconds), so tests share one per module.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from mlrelease.commands.workspace import Workspace, new_ulid, open_workspace
from mlrelease.delivery.site import Site
from mlrelease.history.fold import History, fold
from mlrelease.model.bundle import Digest, ModelPin, model_key
from mlrelease.model.event import Unrejected
from mlrelease.spec.edit import set_model_pin, set_scalar
from support.mlflow_server import register
from support.program import program

GIT_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "t@example.com"))
}
NEAREST = """\
import mlflow.pyfunc
import numpy as np
from mlflow.models import set_model

CENTRES = np.array({centres})


class Nearest(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        away = model_input.to_numpy(dtype=float)[:, None, :] - CENTRES
        return np.argmin((away**2).sum(axis=2), axis=1)


set_model(Nearest())
"""
"""A classifier by the nearest mean, as code: a server of it starts in less than half the time of one with scikit-learn."""
SCAN = """\
  - gate: scan
    allow: ["loader:mlflow.pyfunc.loaders.code_model", "file:model.py"]
"""
"""Models that are code have to be allowed by name."""
KILLED_PASS = Path(__file__).with_name("killed_pass.py")


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition, *, seconds: float = 30.0, what: str = "the condition"):
    """The first true value of `condition()`; fails the test at the deadline."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true in {seconds} s")


@cache
def _made(uri: str) -> Estate:
    """The estate that others are copies of, in a folder that goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="estate-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Estate(folder / "e", uri).make()


@dataclass
class Estate:
    """One environment `production` with one service `wine`, of one replica unless said."""

    root: Path
    uri: str
    port: int = field(default_factory=free_port)
    pins: dict[str, ModelPin] = field(default_factory=dict)

    @property
    def laptop(self) -> Path:
        return self.root / "lap"

    @property
    def host(self) -> Path:
        return self.root / "host"

    @property
    def state(self) -> Path:
        return self.root / "st"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self) -> dict[str, str]:
        return {**os.environ, **GIT_IDENTITY, "HOME": str(self.root)}

    def cli(self, *arguments: str, cwd: Path | None = None, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """The program as a person runs it, in the laptop's clone unless said."""
        done = program(*arguments, cwd=cwd or self.laptop, environ=self.environ(), timeout=120)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        if expect is not None:
            assert done.returncode == expect, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, cwd: Path | None = None, expect: int | None = 0) -> dict:
        return json.loads(self.cli("--output", "json", *arguments, cwd=cwd, expect=expect).stdout)

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.laptop,
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, f"git {arguments}: {done.stderr}"
        return done.stdout.strip()

    def create(self, *, keep_warm: str = "10m", replicas: int = 1) -> Self:
        """Versions 1 and 2 registered, the repository made by `init`, both pinned once so that their goldens are known.

        Made once for each MLflow; every further one is a copy that listens and keeps its state elsewhere.
        """
        made = _made(self.uri)
        shutil.copytree(made.root, self.root, symlinks=True, dirs_exist_ok=True)
        self.pins = dict(made.pins)
        file = self.laptop / "environments/production/environment.yaml"
        text = file.read_text().replace(f"127.0.0.1:{made.port}", f"127.0.0.1:{self.port}")
        file.write_text(text.replace(str(made.state), str(self.state)))
        file.write_bytes(set_scalar(file.read_bytes(), ("keep_warm",), keep_warm))
        service = self.laptop / "environments/production/services/wine.yaml"
        service.write_text(service.read_text().replace("replicas: 2", f"replicas: {replicas}"))
        self.commit("A place of its own")
        self.git("clone", "--quiet", "o.git", "host", cwd=self.root)
        return self

    def make(self) -> Self:
        """What `create` copies: real versions, a real `init`, real bumps; no clone for a host yet."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._register()
        self.git("init", "--quiet", "--bare", "--initial-branch=main", "o.git", cwd=self.root)
        self.cli(
            "init",
            "lap",
            "--remote",
            "../o.git",
            "--tracking-uri",
            self.uri,
            "--listen",
            f"127.0.0.1:{self.port}",
            "--state-dir",
            str(self.state),
            cwd=self.root,
        )
        file = self.laptop / "environments/production/environment.yaml"
        text = file.read_text()
        assert "  - gate: scan\n" in text
        file.write_text(text.replace("  - gate: scan\n", SCAN))
        self.commit("Models may be code", push=False)
        for version in ("2", "1"):
            done = self.cli("bump", "production", "wine", "--to", version)
            assert "stored in the ledger" in done.stdout
            body = (self.laptop / "environments/production/models/wine.yaml").read_text()
            digest = next(line.split()[1] for line in body.splitlines() if line.startswith("digest:"))
            self.pins[version] = ModelPin("wine", version, Digest(digest))
        self.git("push", "--quiet", "origin", "main")
        return self

    def _register(self) -> None:
        from mlflow import MlflowClient
        from sklearn.datasets import load_wine

        if {v.version for v in MlflowClient(self.uri).search_model_versions("name='wine'")} >= {"1", "2"}:
            return
        rows, classes = load_wine(return_X_y=True, as_frame=True)
        for every in (1, 5):
            centres = rows[::every].groupby(classes[::every]).mean().to_numpy().tolist()
            self.root.joinpath("model.py").write_text(NEAREST.format(centres=centres))
            register(self.uri, "wine", self.root / "model.py", input_example=rows.head(40), requirements=("numpy",))

    def pin(self, version: str, *, push: bool = True) -> str:
        """One commit that pins the version, written by hand."""
        file = self.laptop / "environments/production/models/wine.yaml"
        pin = self.pins[version]
        file.write_bytes(set_model_pin(file.read_bytes(), pin.version, pin.digest))
        return self.commit(f"Pin wine {version}", push=push)

    def commit(self, message: str, *, push: bool = True) -> str:
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        if push:
            self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def revert(self, commit: str, *, push: bool = True) -> str:
        self.git("revert", "--no-edit", commit)
        if push:
            self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def workspace(self) -> Workspace:
        return open_workspace(str(self.host), run_id="test")

    def site(self) -> Site:
        workspace = self.workspace()
        return workspace.site(workspace.desired().spec.environments["production"])

    def history(self) -> History:
        return fold("production", self.site().ledger.read("production").events)

    def forgive(self) -> None:
        """Lifts every rejection of `wine`, so that a version can move forward again."""
        values = tuple((model_key("wine"), str(pin.digest)) for pin in self.pins.values())
        self.site().ledger.append([Unrejected(new_ulid(), "production", time.time(), "test", "next case", "wine", values)])

    def live(self) -> str:
        """The version that answers a request through the proxy now."""
        import urllib.request

        with urllib.request.urlopen(f"{self.url}/identity", timeout=5) as answer:
            return json.load(answer)["models"][0]["version"]

    def state_of(self) -> dict:
        return self.json("status", "production", cwd=self.host)["environments"]["production"]["services"]["wine"]

    def killed_after(self, step: str) -> None:
        """A pass in its own process that is killed by SIGKILL right after the step was recorded."""
        done = subprocess.run(
            [sys.executable, str(KILLED_PASS), str(self.host), step],
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, f"not killed after {step}: {done.returncode}\n{done.stderr}"

    @contextmanager
    def agent(self, *, interval: float = 1.0) -> Iterator[subprocess.Popen[bytes]]:
        """An agent in the host's clone; ended by SIGTERM."""
        with (self.root / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlrelease.cli", "agent", "production", "--interval", str(interval)],
                cwd=self.host, env=self.environ(), stdout=log, stderr=log,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(60)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait(10)

    def down(self) -> None:
        """Ends everything and asserts that nothing of this estate lives."""
        if self.state.exists():
            self.site().target.down()
        import psutil

        mine = str(self.root)
        left = [
            p.info for p in psutil.process_iter(["pid", "cmdline"]) if any(mine in part for part in p.info["cmdline"] or ())
        ]
        assert left == [], left
