"""An exclusive lock on a file, between threads and processes, with a deadline and the name of its holder inside.

The kernel takes it away from a process that ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.ledger.lock import this_owner
from mlrelease.listing import unusable

POLL_S = 0.01


class Busy(Error):  # noqa: N818 - a state, not a mistake
    """Somebody else held the lock for all of the wait."""


@contextmanager
def held(path: Path, *, wait_s: float, name: str) -> Iterator[None]:
    """Holds the lock for the block. Raises `Busy` naming the holder after `wait_s`, `Error` when the file cannot be used.

    Not reentrant.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise unusable(path, e) from e
    try:
        _acquire(fd, path, wait_s)
        _sign(fd, path, name)
        yield
    finally:
        os.close(fd)  # releases the lock


def _acquire(fd: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as e:
            if time.monotonic() > deadline:
                raise Busy(
                    f"{_holder(fd)} has held {path} for more than {wait_s:g} s",
                    hint="end that process if it hangs or is paused; the lock goes with it",
                    where=str(path),
                ) from e
            time.sleep(POLL_S)
        except OSError as e:
            raise unusable(path, e) from e


def _sign(fd: int, path: Path, name: str) -> None:
    owner = this_owner(name)
    text = json.dumps({"name": owner.name, "host": owner.host, "pid": owner.pid}).encode()
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, text, 0)
    except OSError as e:
        raise unusable(path, e) from e


def _holder(fd: int) -> str:
    try:
        found = json.loads(os.pread(fd, 4096, 0))
        return f"{found['name']} on {found['host']} (pid {found['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it took the lock this very moment and has not written its name yet
