"""The recorded steps of a pass: each is timed, told to whoever listens, and kept for the receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlrelease.model.event import Step


@dataclass(frozen=True, slots=True)
class StepMark:
    """A step of a service (empty: of the pass itself) that ended, well or not."""

    service: str
    name: str
    seconds: float
    detail: str
    failed: bool


Listener = Callable[[StepMark], None]
"""Told of every step after it was done; what it raises ends the pass, so that a test can end it anywhere."""


@dataclass(slots=True)
class Steps:
    """The steps of one service in one pass, in order."""

    service: str
    listener: Listener
    clock: Callable[[], float] = time.monotonic
    done: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Times the block; strings put into the yielded list become the step's detail."""
        began = self.clock()
        detail: list[str] = []
        failed = True
        try:
            yield detail
            failed = False
        finally:
            mark = StepMark(self.service, name, self.clock() - began, "; ".join(detail), failed)
            self.done.append(Step(mark.name, mark.seconds, ("failed: " if failed else "") + mark.detail))
            if failed:
                # The error on its way out says more than a listener could.
                self._tell_quietly(mark)
            else:
                self.listener(mark)

    def _tell_quietly(self, mark: StepMark) -> None:
        try:
            self.listener(mark)
        except Exception as error:  # noqa: BLE001 - must not replace the error that ended the step
            self.done.append(Step(f"{mark.name}:listener", 0.0, type(error).__name__))
