"""One writer per `state_dir`: a file lock held around single effects, and the highest fencing number ever claimed.

A pass claims the ledger height of its start. Whoever was paused past its expiry wakes to a higher number and is refused
before its next effect. Owns two files: `fence` (the number) and `fence.lock` (who holds the lock now).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.ledger.filelock import held
from mlrelease.listing import unusable
from mlrelease.targets.interface import Fenced


class Fence:
    """The fence of one `state_dir`. Safe between threads and processes and against a kill at any point; not reentrant."""

    def __init__(self, state_dir: Path, *, name: str = "mlrelease", wait_s: float = DEADLINES_S["fence.wait"]) -> None:
        self._dir = state_dir
        self._number = state_dir / "fence"
        self._name = name
        self._wait_s = wait_s

    def claim(self, number: int) -> None:
        """Makes `number` the one to beat. Raises `Fenced` when a higher one was claimed; the same number is no harm."""
        with self.guard(number):
            pass

    @contextmanager
    def guard(self, number: int) -> Iterator[None]:
        """Holds the file lock for one effect. Raises `Fenced` before it when a higher number was claimed.

        Raises `Busy`, an `Error` naming the holder, when the lock is not free within `fence.wait`. A number higher than
        the stored one is stored on the way, so that a lost file never lets an older pass in.
        """
        with held(self._dir / "fence.lock", wait_s=self._wait_s, name=self._name):
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

    def was_claimed(self) -> bool:
        """Whether a pass ever worked in this folder. One that may not be looked into counts: whoever acts then hears why."""
        try:
            return self._number.exists()
        except OSError:
            return True

    def highest(self) -> int:
        """The highest number claimed so far, 0 when there is none. Raises `Error` when the file is damaged or unreadable."""
        try:
            return int(self._number.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except ValueError as e:
            raise Error(
                f"{self._number} does not hold a number", hint=f"remove it: rm {self._number}", where=str(self._number)
            ) from e
        except OSError as e:
            raise unusable(self._number, e) from e

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
            raise unusable(self._number, e) from e
