"""Which living processes belong to a state folder, told by their command lines, and how they are ended.

Recorded pids go stale when supervisor restarts a program; a command line that names a file of the state folder does
not. The start time of what was found is kept, so that a reused pid is never signalled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.targets.local.files import Layout

_POLL_S = 0.01


class Kind(StrEnum):
    """What a process is."""

    INSTANCE = "instance"
    PROXY = "proxy"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Found:
    """A living process: `key` is the instance's id, the proxy's token or the generation of supervisord."""

    kind: Kind
    key: str
    pid: int
    started: float


def find(layout: Layout, server: Sequence[str]) -> tuple[Found, ...]:
    """The living processes of this state folder. `server` is the command of an instance without its last argument."""
    found = []
    for pid, arguments in _command_lines(os.fsencode(layout.root)):
        named = _classify(layout, server, arguments)
        if named is None:
            continue
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(Found(*named, pid, process.create_time()))
        except psutil.NoSuchProcess:
            continue
    return tuple(found)


def alive(pid: int, started: float) -> bool:
    """Whether this very process lives; a zombie does not."""
    try:
        process = psutil.Process(pid)
        return process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def send(found: Found, number: signal.Signals) -> None:
    """Sends a signal to this very process; one that has ended needs none."""
    try:
        process = psutil.Process(found.pid)
        if process.create_time() == found.started:
            process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def send_term(found: Found) -> None:
    """Asks this very process to end."""
    send(found, signal.SIGTERM)


def kill(found: Found) -> None:
    """Ends this very process at once; its children live on."""
    send(found, signal.SIGKILL)


def end(found: Found, patience_s: float) -> None:
    """Ends this very process: SIGTERM, and SIGKILL when it has not ended after `patience_s`. Raises `Error` if it lives on."""
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, DEADLINES_S["supervisor.call"])):
        send(found, number)
        deadline = time.monotonic() + wait_s
        while alive(found.pid, found.started):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        else:
            return
    raise Error(f"process {found.pid} does not end", hint=f"end it by hand: kill -9 {found.pid}")


def start_time(pid: int) -> float:
    """When the process was started; 0 when there is none."""
    try:
        return psutil.Process(pid).create_time() if pid else 0.0
    except psutil.NoSuchProcess:
        return 0.0


def _classify(layout: Layout, server: Sequence[str], arguments: list[str]) -> tuple[Kind, str] | None:
    # `vim configs/x.json` names the same file: the whole shape of the command line has to fit.
    match arguments:
        case [_, *rest, last] if rest == list(server[1:]) and Path(last).parent == layout.configs:
            return Kind.INSTANCE, Path(last).stem
        case [binary, "-c", bootstrap, *_] if "envoy" in Path(binary).name and layout.generations in Path(bootstrap).parents:
            return Kind.PROXY, Path(bootstrap).stem.removeprefix("envoy-")
        case [_, "-m", "supervisor.supervisord", "-c", config, *_] if layout.generations in Path(config).parents:
            return Kind.SUPERVISOR, Path(config).parent.name
    return None


def _command_lines(containing: bytes) -> Iterator[tuple[int, list[str]]]:
    """Pids and arguments of the processes whose command line contains these bytes."""
    proc = Path("/proc")
    if not (proc / "self" / "cmdline").exists():
        for process in psutil.process_iter(["cmdline"]):
            arguments = process.info["cmdline"] or []
            if any(os.fsdecode(containing) in a for a in arguments):
                yield process.pid, arguments
        return
    # Ten times faster than asking psutil for every process, and `observe` is asked often.
    for name in os.listdir(proc):  # noqa: PTH208 - names are all that is needed
        if not name.isdigit():
            continue
        try:
            line = (proc / name / "cmdline").read_bytes()
        except OSError:  # it ended, or belongs to somebody else: not one of ours
            continue
        if containing in line:
            yield int(name), [os.fsdecode(part) for part in line.rstrip(b"\0").split(b"\0")]
