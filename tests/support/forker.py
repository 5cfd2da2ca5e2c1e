"""A process that has the program's modules loaded and forks for each run of it: half a second of imports is paid once.

Each run is a process of its own from then on, with its own folder, environment, streams, signals and exit. Started by
`support.program` with a socket as its standard input; ends when that is closed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import tempfile
import time
from typing import NoReturn

import requests  # noqa: F401 - and what it brings, as of the next three
import rich.table  # noqa: F401
import structlog  # noqa: F401
import typer.rich_utils  # noqa: F401

PACKAGES = (
    *("commands", "delivery", "forge", "gates", "history", "ledger"),
    *("model", "plan", "registries", "render", "spec", "targets"),
)
MAIN = "mlrelease.cli"


def load() -> None:
    """Every module that a verb may import; not MLflow, nor what serves models."""
    importlib.import_module(MAIN)  # first, and in its own order: that is the order of the help
    for name in PACKAGES:
        package = importlib.import_module(f"mlrelease.{name}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(("client_worker", "__main__")):
                importlib.import_module(found.name)


def serve(listener: socket.socket) -> dict:
    """Waits for runs; comes back only in the process of one, with what it is asked to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        told, descriptors, *_ = socket.recv_fds(listener, 4 << 20, 4)
        if not told:
            os._exit(0)
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *streams, answer = descriptors
        child = os.fork()
        if child:
            watch(child, answer)
        os.close(answer)
        listener.close()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return json.loads(told)


def watch(child: int, answer: int) -> NoReturn:
    """Says which process it is, and how it ended."""
    os.write(answer, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(asked: dict) -> None:
    """What an interpreter does with its folder, environment and streams when it starts."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives, as the next two
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.argv = ["mlrelease", *asked["arguments"]]


if __name__ == "__main__":
    load()
    gc.freeze()  # no collection of a fork looks at, and so copies, what was loaded before
    become(serve(socket.socket(fileno=os.dup(0))))
    del sys.modules[MAIN]  # it is run, not imported
    runpy.run_module(MAIN, run_name="__main__", alter_sys=True)
