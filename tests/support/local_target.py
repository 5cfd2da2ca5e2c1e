"""What tests of the target `local` need: launches, a free port, waiting with a deadline, and clients under load."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin
from mlrelease.model.live import Artifact, Launch
from mlrelease.targets.local.target import LocalTarget

SERVER = (sys.executable, str(Path(__file__).with_name("stand_in_server.py")))
DIGEST = "sha256:" + "0" * 64


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch(service="risk", version="1", *, replicas=1, env=()) -> Launch:
    """A launch whose bundle differs by version."""
    digest = Digest("sha256:" + f"{int(version):064x}")
    bundle = Bundle(service, ImagePin(f"example/serve:1@{DIGEST}"), (ModelPin("model", version, digest),))
    return Launch(bundle, (Artifact("model", version, digest, Path("/nonexistent")),), replicas, tuple(env))


def wait_for(condition, timeout_s=10.0, what=""):
    """The first truthy value of the condition; fails the test when there is none in time."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not in time: {what or condition}"
        time.sleep(0.01)


def target_at(folder: Path, port: int, **options) -> LocalTarget:
    return LocalTarget("test", f"127.0.0.1:{port}", folder, **({"server": SERVER} | options))


def ready(target, ids) -> None:
    """Waits until all these instances are ready."""
    wanted = set(ids)
    wait_for(lambda: wanted <= {i.id for i in target.observe().instances if i.ready}, what="ready")


def serve(target, wanted: Launch, revision="abc"):
    """Starts, waits, routes everything there; returns the instances."""
    instances = target.start(wanted)
    ready(target, [i.id for i in instances])
    route(target, wanted, instances, revision)
    return instances


def route(target, wanted, instances, revision="abc"):
    service = wanted.bundle.service
    target.route(
        service,
        {wanted.bundle.id: 100},
        instances=[i.id for i in instances],
        prefix=f"/{service}/",
        revision=revision,
        timeout_s=20.0,
    )


def living(folder: Path, *words: str) -> list[psutil.Process]:
    """Every process with a path below the folder on its command line, and one of these words if any are given."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if (
                process.status() != psutil.STATUS_ZOMBIE
                and str(folder) in line
                and (not words or any(w in line for w in words))
            ):
                found.append(process)
    return found


@dataclass
class Load:
    """Clients that post without pause until the block ends, each on its own keep-alive connection."""

    port: int
    path: str = "/risk/invocations"
    clients: int = 4
    pause_s: float = 0.002
    answers: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def __enter__(self):
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        self.more(self.clients * 3)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def more(self, n=30):
        """Returns after so many more answers."""
        goal = len(self.answers) + n
        wait_for(lambda: len(self.answers) >= goal or self.failures, 20, "answers")

    def _run(self):
        connection = None
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                connection.request("POST", self.path, b"{}", {"Content-Type": "application/json"})
                response = connection.getresponse()
                body = response.read()
                if response.getheader("connection") == "close":
                    connection.close()
                    connection = None
                if response.status == 200:
                    said = json.loads(body)
                    self.answers.append((began, said["bundle"], said["instance"], response.getheader("x-revision")))
                else:
                    self.failures.append((began, response.status, body[:200]))
            except (OSError, http.client.HTTPException) as e:
                self.failures.append((began, type(e).__name__, str(e)))
                connection = None
            self._stop.wait(self.pause_s)


def end_all(folder: Path) -> None:
    """Ends whatever a failed test left, by pid."""
    for process in living(folder):
        with contextlib.suppress(psutil.Error):
            os.kill(process.pid, 9)
