"""Requests per second, latency and memory of the reference server beside `mlflow models serve` and a bare FastAPI app.

The same scikit-learn regression, one row a request, one process each, one after the other in turns on one machine. The
load is a closed loop over keep-alive connections; how fast the generator itself can be is measured against a server that
answers a fixed text, so that a figure near that ceiling is not taken for the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import psutil  # noqa: E402
import uvloop  # noqa: E402
from mlrelease.serving.standalone import standalone_config  # noqa: E402
from support.local_target import free_port  # noqa: E402
from support.served import save_sklearn  # noqa: E402

BODY = json.dumps({"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 2.0]]}}).encode()
START_S = 60.0
BARE = """
import sys
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

app = FastAPI()
WEIGHTS = np.array([1.0, 10.0])

@app.get("/ping")
async def ping():
    return {}

@app.post("/invocations")
async def invocations(request: Request):
    rows = np.array((await request.json())["dataframe_split"]["data"])
    return JSONResponse({"predictions": (rows @ WEIGHTS).tolist()})

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
"""
FIXED = """
import asyncio, sys, uvloop
ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 23\\r\\n\\r\\n" + b'{"predictions": [21.0]}'

class Fixed(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(ANSWER)

async def main():
    server = await asyncio.get_running_loop().create_server(Fixed, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

uvloop.run(main())
"""


@dataclass
class Server:
    """One of the servers, with what was measured of it so far."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    start_s: float = 0.0
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def resident_mib(self) -> float:
        """Of the process and all its children."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(process.memory_info().rss for process in family) / 2**20

    def quantile_ms(self, share: float) -> float:
        """Of all measured requests."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))] * 1000


class Client(asyncio.Protocol):
    """One connection that posts again as soon as it is answered, until told to stop."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self.request, self.until, self.done = request, until, done
        self.seconds: list[float] = []
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: Any) -> None:
        """Posts the first time."""
        self.transport = transport
        self._post()

    def data_received(self, data: bytes) -> None:
        """One answer is whole when as much has come as its head says."""
        self.buffer += data
        head, gap, body = self.buffer.partition(b"\r\n\r\n")
        length = next((int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
        if not gap or len(body) < length:
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200") or b"21.0" not in body:
            self.done.set_exception(RuntimeError(self.buffer[:300].decode(errors="replace")))
            return
        self.seconds.append(now - self.began)
        self.buffer = b""
        if now < self.until:
            self._post()
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()

    def _post(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)


async def load(port: int, connections: int, seconds: float) -> list[float]:
    """The seconds of every request; raises for an answer that is not the right prediction."""
    head = "POST /invocations HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(BODY)}\r\n\r\n"
    loop, until = asyncio.get_running_loop(), time.perf_counter() + seconds
    clients = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        _, client = await loop.create_connection(lambda done=done: Client(head.encode() + BODY, until, done), "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
    await asyncio.wait_for(asyncio.gather(*(client.done for client in clients)), seconds + 30)
    return [taken for client in clients for taken in client.seconds]


@contextmanager
def running(name: str, command: list[str], port: int, log: Path) -> Iterator[Server]:
    """The server, answering predictions; ended with its children."""
    began = time.perf_counter()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env, cwd=log.parent)
    try:
        _wait_answering(process, port, log)
        yield Server(name, port, process, time.perf_counter() - began)
    finally:
        family = [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for child in alive:
            child.kill()
        process.wait(20)


def _wait_answering(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", BODY, {"Content-Type": "application/json"}, method="POST"
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"does not answer: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sv") as name, ExitStack() as stack:
        folder = Path(name)
        model = save_sklearn(folder / "model")
        ports = [free_port() for _ in range(4)]
        config = standalone_config(model, name="risk", version="1", digest=None, listen=f"127.0.0.1:{ports[0]}")
        (folder / "config.json").write_text(json.dumps(config.to_json()))
        mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local", "-w", "1"]
        commands = {
            "mlrelease": [sys.executable, "-m", "mlrelease.serving", str(folder / "config.json")],
            "mlflow models serve": [*mlflow, "-h", "127.0.0.1", "-p", str(ports[1])],
            "bare FastAPI + numpy": [sys.executable, "-c", BARE, str(ports[2])],
            "fixed answer (the generator's ceiling)": [sys.executable, "-c", FIXED, str(ports[3])],
        }
        servers = [
            stack.enter_context(running(title, command, port, folder / f"{port}.log"))
            for (title, command), port in zip(commands.items(), ports, strict=True)
        ]
        for turn in range(options.rounds + 1):
            for server in servers:
                taken = uvloop.run(load(server.port, options.connections, options.seconds if turn else 1.0))
                if turn:  # the first turn only warms up
                    server.rates.append(len(taken) / options.seconds)
                    server.seconds += taken
        ours, peer, bare, _ = servers
        figures = []
        for server in servers:
            figures += [
                Figure(f"{server.name}: rate", statistics.median(server.rates), "requests/s", *_beside(server, ours, "rate")),
                Figure(f"{server.name}: p50", server.quantile_ms(0.5), "ms", *_beside(server, ours, "p50")),
                Figure(f"{server.name}: p99", server.quantile_ms(0.99), "ms", *_beside(server, ours, "p99")),
                Figure(f"{server.name}: memory", server.resident_mib, "MiB", *_beside(server, ours, "memory")),
                Figure(f"{server.name}: start to first answer", server.start_s, "s", "", 0),
            ]
        rate = statistics.median(ours.rates)
        figures.append(Figure("mlrelease: rate", rate, "requests/s", peer.name, statistics.median(peer.rates)))
        figures.append(Figure("mlrelease: rate", rate, "requests/s", bare.name, statistics.median(bare.rates)))
    title = f"one row a request, {options.connections} connections, median of {options.rounds} x {options.seconds:g} s"
    show(title, figures, out=options.json)


def _beside(server: Server, ours: Server, what: str) -> tuple[str, float]:
    if server is ours:
        return "", 0
    values = {
        "rate": lambda: statistics.median(ours.rates),
        "p50": lambda: ours.quantile_ms(0.5),
        "p99": lambda: ours.quantile_ms(0.99),
        "memory": lambda: ours.resident_mib,
    }
    return "mlrelease", values[what]()


if __name__ == "__main__":
    main()
