"""The application of the reference server in this process: its state, metrics, models and log, all to be looked at."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

from mlrelease import log
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Artifact
from mlrelease.serving.app import make_app
from mlrelease.serving.config import ServeConfig
from mlrelease.serving.metrics import Metrics
from mlrelease.serving.state import ServerState
from support.asgi import request

JSON = ("content-type", "application/json")
DIGEST = Digest("sha256:" + "a" * 64)
RISK, FRAUD = Artifact("risk", "7", DIGEST, Path("/m/risk")), Artifact("fraud", "2", DIGEST, Path("/m/fraud"))
MIB = 1 << 20


class Model:
    """A loaded model: answers what it is told to, or raises it; remembers the bodies."""

    def __init__(self, answer=b'{"predictions": [1.0]}'):
        self.answer = answer
        self.bodies = []
        self.during = lambda: None

    def score(self, body):
        self.bodies.append(body)
        self.during()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class World:
    """One application with its state, metrics, models and log."""

    def __init__(self, pool, *models, **more):
        config = ServeConfig("credit", "0123456789ab", "example/serve:1", "credit-1", "python 3.11", "unix:/s", models)
        self.config = replace(config, **more)
        self.state = ServerState(self.config, started_at=1767225600.25)
        self.model = Model()
        self.state.scorers = {m.name: self.model for m in models}
        self.metrics = Metrics(self.config)
        self.stream = io.StringIO()
        log.configure(level=20, json=True, stream=self.stream)
        self.app = make_app(self.state, self.metrics, pool)

    def ask(self, method, path, body=b"", headers=(), **more):
        return request(self.app, method, path, body, headers, **more)

    def predict(self, body=b"{}", path="/invocations", headers=(JSON,), **more):
        return self.ask("POST", path, body, headers, **more)

    def lines(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def counted(self):
        """The series that are not 0, without buckets, sums and what is only told."""
        lines = self.metrics.text().decode().splitlines()
        pairs = (
            line.rpartition(" ")[::2]
            for line in lines
            if line.startswith(("model_requests", "model_errors")) or "_count" in line
        )
        return {key: float(value) for key, value in pairs if float(value)}
