"""The processes of a demo: those in the background by name, and all of them by the TMPDIR that only they have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mlrelease import atomic
from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo.place import Place
from mlrelease.errors import Error

_POLL_S = 0.05


@dataclass(slots=True)
class Crew:
    """Starts processes, each with a session and a log of its own, and ends them; remembers them in the place itself."""

    place: Place
    variables: Mapping[str, str]
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: Sequence[str], *, cwd: Path) -> int:
        """The pid of the new process."""
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(self.variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started[name] = process
        _wait_for_variables(process)
        known = remembered(self.place) | {name: process.pid}
        atomic.write(_memory(self.place), json.dumps(known).encode())  # whoever stops us may read it at any moment
        return process.pid

    def log(self, name: str) -> Path:
        """What the process wrote."""
        return self.place.logs / f"{name}.log"

    def exit_code(self, name: str) -> int | None:
        """None while it runs."""
        return self.started[name].poll()

    def check(self, name: str, doing: str) -> None:
        """Raises `Error` with the process's last words when it ended by itself."""
        code = self.exit_code(name)
        if code is not None:
            lines = self.log(name).read_text(errors="replace").splitlines()
            last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
            raise Error(f"{doing} ended with {code}: {last[:300]}", where=str(self.log(name)))

    def end(self, name: str) -> None:
        """Asks the process to end and waits until it has. Nothing to do for one that was never started."""
        if name in self.started:
            end_group(self.started[name].pid, self.place)
            self.started[name].wait()


def remembered(place: Place) -> dict[str, int]:
    """The processes in the background by name, as pids; some may have ended."""
    try:
        return dict(json.loads(_memory(place).read_text()))
    except FileNotFoundError:
        return {}


def end_group(pid: int, place: Place, *, patience_s: float = DEADLINES_S["demo.stop"]) -> None:
    """Ends the process group of `pid` if that is (still) of this demo: SIGTERM, and SIGKILL after `patience_s`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        members = [process for process in marked(place) if _group(process) == pid]
        if not members:
            return
        with suppress(ProcessLookupError):
            os.killpg(pid, number)
        _wait(members, patience_s)


def sweep(place: Place) -> list[str]:
    """Ends whatever of this demo still lives and says what that was: empty after an orderly end."""
    found = marked(place)
    named = []
    for process in found:
        with suppress(psutil.Error):
            named.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in marked(place):
            with suppress(psutil.Error):
                process.send_signal(number)
        _wait(found, DEADLINES_S["demo.stop"])
    return named


def marked(place: Place) -> list[psutil.Process]:
    """The living processes whose TMPDIR lies in the place: the demo's own and everything that they started."""
    found = []
    own = str(place.temporary)
    for process in psutil.process_iter():
        try:
            folder = process.environ().get("TMPDIR", "")
            inside = folder == own or folder.startswith(f"{own}/")
            if inside and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # it ended, or belongs to somebody else: not one of ours
            continue
    return found


def _wait_for_variables(process: subprocess.Popen[bytes]) -> None:
    """Until `marked` can know the process: the kernel says that it runs a moment before its variables can be read."""
    end = time.monotonic() + DEADLINES_S["demo.stop"]
    with suppress(psutil.Error):  # it has ended
        while not psutil.Process(process.pid).environ() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)


def _wait(processes: list[psutil.Process], patience_s: float) -> None:
    end = time.monotonic() + patience_s
    while any(_lives(process) for process in processes) and time.monotonic() < end:
        time.sleep(_POLL_S)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def _memory(place: Place) -> Path:
    return place.root / "processes.json"
