"""Who is at work: the lock read off the events, and whether its owner still lives.

The lock *is* the `deploy_started` event (DESIGN §5.3). The decision is pure; the rest asks this machine's kernel.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlrelease.model.event import DeployFinished, DeployStarted, Event, Owner, UnknownEvent

START_TOLERANCE_S = 0.02
"""Two clock ticks: start times are kept by the kernel in hundredths of a second."""


def holder(events: Iterable[Event | UnknownEvent], now: float) -> DeployStarted | None:
    """The newest start that is neither finished, superseded nor expired at `now`; None when nobody holds the lock.

    `events` are those of one environment in chain order.
    """
    ended: set[str] = set()
    starts: list[DeployStarted] = []
    for event in events:
        if isinstance(event, DeployStarted):
            starts.append(event)
            ended.add(event.supersedes)
        elif isinstance(event, DeployFinished):
            ended.add(event.started)
    held = (start for start in reversed(starts) if start.id not in ended and start.expires_at > now)
    return next(held, None)


@dataclass(frozen=True, slots=True)
class Boot:
    """The machine since it came up: hash of its machine id (empty: unknown), boot id, pid namespace."""

    machine: str
    boot: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.machine}/{self.boot}/{self.namespace}"


def this_boot() -> Boot:
    """The boot that this process runs in. A machine without `/etc/machine-id` (most containers) has an empty machine."""
    machine = _text(Path("/etc/machine-id")).strip()
    # machine-id(5): not to be shown outside, a hash keyed by the application may be
    hashed = hashlib.sha256(f"mlrelease:{machine}".encode()).hexdigest()[:12] if machine else ""
    try:
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        namespace = ""
    return Boot(hashed, _text(Path("/proc/sys/kernel/random/boot_id")).strip(), namespace)


def this_owner(name: str = "") -> Owner:
    """The present process, as an owner that others on the same host can check."""
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, _started(pid) or 0.0, name, str(this_boot()))


def owner_is_dead(owner: Owner, *, host: str | None = None, boot: Boot | None = None) -> bool:
    """True only when it is certain: same host, and the process is gone, is another one, or the machine came up again since.

    Anything that cannot be told (another host, another container, an unknown boot) is False: then the lock expires by
    itself. `host` and `boot` are this machine's unless given.
    """
    boot = boot or this_boot()
    if owner.host != (host or socket.gethostname()) or owner.boot.count("/") != 2:
        return False
    theirs = Boot(*owner.boot.split("/"))
    if not theirs.boot or not boot.boot:
        return False
    if theirs.boot != boot.boot:
        # Another boot of this machine, or another machine of the same name: only a machine id tells which.
        return bool(theirs.machine) and theirs.machine == boot.machine
    if theirs.namespace != boot.namespace:
        return False
    return not _lives(owner)


def _lives(owner: Owner) -> bool:
    try:
        os.kill(owner.pid, 0)
    except (ProcessLookupError, OverflowError):  # no kernel counts so far
        return False
    except OSError:
        pass  # it exists and belongs to somebody else
    if _state(owner.pid) in ("Z", "X"):
        return False
    started = _started(owner.pid)
    if started is None or not owner.process_started:
        return True
    return abs(started - owner.process_started) <= START_TOLERANCE_S


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else ""


def _started(pid: int) -> float | None:
    """Seconds from boot to the start of the process; None when the kernel does not show it."""
    fields = _stat(pid)
    # proc(5): field 22 of the whole line, counted in clock ticks; field 3 is the first behind the name
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else None


def _stat(pid: int) -> list[str]:
    # The name in parentheses may hold anything, also ") ".
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
