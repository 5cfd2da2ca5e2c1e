"""One writer per `state_dir`: a file lock held around single effects, and the highest fencing number ever claimed.

A pass claims the ledger height of its start. Whoever was paused past its expiry wakes to a higher number and is refused
before its next effect. Owns two files: `fence` (the number) and `fence.lock` (who holds the lock now).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.ledger.lock import this_owner
from mlrelease.targets.interface import Fenced

POLL_S = 0.01


class Fence:
    """The fence of one `state_dir`. Safe between threads and processes and against a kill at any point; not reentrant."""

    def __init__(self, state_dir: Path, *, name: str = "mlrelease", wait_s: float = DEADLINES_S["fence.wait"]) -> None:
        self._dir = state_dir
        self._number = state_dir / "fence"
        self._lock = state_dir / "fence.lock"
        self._name = name
        self._wait_s = wait_s

    def claim(self, number: int) -> None:
        """Makes `number` the one to beat. Raises `Fenced` when a higher one was claimed; the same number is no harm."""
        with self.guard(number):
            pass

    @contextmanager
    def guard(self, number: int) -> Iterator[None]:
        """Holds the file lock for one effect. Raises `Fenced` before it when a higher number was claimed.

        Raises `Error` naming the holder when the lock is not free within `fence.wait`. A number higher than the one
        stored is claimed on the way, so that a lost file never lets an older pass in.
        """
        with self._held():
            highest = self.highest()
            if number < highest:
                raise Fenced(
                    f"a newer pass owns {self._dir}: its number is {highest}, this one's is {number}",
                    hint="nothing to do: the newer pass goes on from what it finds",
                    where=str(self._dir),
                )
            if number > highest:
                self._store(number)
            yield

    def highest(self) -> int:
        """The highest number claimed so far, 0 when there is none. Raises `Error` when the file is damaged or unreadable."""
        try:
            return int(self._number.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except ValueError as e:
            raise Error(f"{self._number} does not hold a number", hint=f"remove it: rm {self._number}") from e
        except OSError as e:
            raise _unusable(self._number, e) from e

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise _unusable(self._lock, e) from e
        try:
            self._acquire(fd)
            yield
        finally:
            # Closing releases the lock, and so does the kernel when the process is killed.
            os.close(fd)

    def _acquire(self, fd: int) -> None:
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as e:
                if time.monotonic() > deadline:
                    raise Error(
                        f"{_owner(fd)} has held {self._lock} for more than {self._wait_s:g} s",
                        hint="end that process if it hangs or is paused; the lock goes with it",
                        where=str(self._lock),
                    ) from e
                time.sleep(POLL_S)
            except OSError as e:
                raise _unusable(self._lock, e) from e
        try:
            owner = this_owner(self._name)
            text = json.dumps({"name": owner.name, "host": owner.host, "pid": owner.pid}).encode()
            os.ftruncate(fd, 0)
            os.pwrite(fd, text, 0)
        except OSError as e:
            raise _unusable(self._lock, e) from e

    def _store(self, number: int) -> None:
        # Under the lock nobody else writes, so one fixed temporary name is enough and a kill leaves at most one.
        temporary = self._number.with_name("fence.tmp")
        try:
            with temporary.open("w", encoding="ascii") as file:
                file.write(f"{number}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._number)
        except OSError as e:
            raise _unusable(self._number, e) from e


def _owner(fd: int) -> str:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
        return f"{holder['name']} on {holder['host']} (pid {holder['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it took the lock this very moment and has not written its name yet


def _unusable(path: Path, e: OSError) -> Error:
    return Error(f"cannot use {path}: {e.strerror}", hint="see to the disk and the owner of that folder", where=str(path))
