"""Real MLflow models in folders, and the real reference server as a process on a unix socket."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlrelease.model.live import Answer, Artifact
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.serving.config import ServeConfig
from mlrelease.serving.uds import ask

JSON = {"Content-Type": "application/json"}
ROWS = {"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 2.0], [3.0, 4.0]]}}


def save_sklearn(path: Path, *, serialization_format: str = "skops") -> Path:
    """A regression on the doubles x and y that answers x + 10 y, with a signature."""
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    frame = pd.DataFrame({"x": [0.0, 1.0, 0.0, 2.0], "y": [0.0, 0.0, 1.0, 3.0]})
    model = LinearRegression().fit(frame, frame["x"] + 10 * frame["y"])
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=infer_signature(frame, model.predict(frame)),
        pip_requirements=["scikit-learn"],
        serialization_format=serialization_format,
    )
    return path


def save_code(path: Path, body: str, *, signature: Any = None) -> Path:
    """A model of the class body `body` (models from code: nothing is pickled); `load` at module level runs when loaded."""
    import mlflow.pyfunc

    script = path.with_suffix(".py")
    code = "import math, os, sys, threading, time\nimport mlflow.pyfunc\nfrom mlflow.models import set_model\n\n"
    code += "class Model(mlflow.pyfunc.PythonModel):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    script.write_text(code + "\n\nset_model(Model())\n")
    mlflow.pyfunc.save_model(str(path), python_model=str(script), signature=signature, pip_requirements=["mlflow-skinny"])
    return path


def doubles(*names: str, **more: Any) -> Any:
    """A signature with these columns of doubles."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    return ModelSignature(inputs=Schema([ColSpec("double", name) for name in names]), **more)


class Trace:
    """Pickled, it creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def unsafe_pickle(target: Path, trace: Path) -> None:
    """Overwrites a pickle so that loading it leaves `trace`."""
    target.write_bytes(pickle.dumps(Trace(trace)))


def artifact(path: Path, name: str = "risk", version: str = "7", **more: Any) -> Artifact:
    """The model in a folder as a target hands it over, with its true digest."""
    return Artifact(name, version, digest_of(manifest(path)), path, **more)


@dataclass
class Server:
    """A running server: its process, its socket and its log."""

    process: subprocess.Popen[bytes]
    socket: str
    log: Path
    started: float = field(default_factory=time.monotonic)

    def ask(self, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
        """One request; a body that is no bytes goes as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask(self.socket, method, path, data, {**JSON, **(headers or {})}, timeout_s=20)

    def predict(self, body: Any, path: str = "/invocations", headers: dict[str, str] | None = None) -> Any:
        """The predictions, of an answer that has to be 200."""
        answer = self.ask("POST", path, body, headers)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)["predictions"]

    def wait_answering(self) -> Server:
        """Returns once anything is answered at all."""
        end = time.monotonic() + 30
        while True:
            try:
                assert self.ask("GET", "/health").status == 200
                return self
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end
                time.sleep(0.01)

    def wait_ready(self) -> Server:
        """Returns once `/ready` says 200."""
        end = time.monotonic() + 60
        self.wait_answering()
        while self.ask("GET", "/ready").status != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        return self

    def lines(self) -> list[dict[str, Any]]:
        """Everything logged so far; every line has to be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def serving(*models: Artifact, folder: Path, **more: Any) -> Iterator[Server]:
    """A server process for these models; ended when the block ends."""
    with tempfile.TemporaryDirectory(prefix="s-") as short:  # a unix socket's path has at most 107 bytes
        values = {
            "service": "credit",
            "bundle": "0123456789ab",
            "image": "registry.example/serve:1@sha256:" + "0" * 64,
            "instance": "credit-1",
            "runtime": "python",
            "listen": f"unix:{short}/s",
            "drain_s": 10.0,
        }
        config = ServeConfig(models=models, **(values | more))
        file, log = folder / "config.json", folder / "log.jsonl"
        file.write_text(json.dumps(config.to_json()))
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlrelease.serving", str(file)], stderr=stderr, cwd=folder, env=dict(os.environ)
            )
        try:
            yield Server(process, f"{short}/s", log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
