"""How often an outside call is tried, and how long it waits between: few tries, full jitter, what the server asks for."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tenacity import RetryCallState

ATTEMPTS = 5
FIRST_WAIT_S = 0.2
"""Full jitter over 0.2, 0.4, 0.8, 1.6 s: a refused port is reported after 1.5 s on average."""


class Again(Exception):  # noqa: N818 - never leaves the calls
    """An attempt failed in a way that another one may mend. `sent`: the server may have acted on it."""

    def __init__(self, reason: str, *, sent: bool = True, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.status = status
        self.retry_after_s = retry_after_s


def outcome(state: RetryCallState) -> BaseException | None:
    """What the last attempt raised; None when it did not."""
    return state.outcome.exception() if state.outcome else None


def wait(state: RetryCallState) -> float:
    """Full jitter; or what the server asks for, plus jitter, so that not all clients come back at once."""
    jitter = random.uniform(0, FIRST_WAIT_S * 2 ** (state.attempt_number - 1))  # noqa: S311 - spreads load, guards nothing
    error = outcome(state)
    asked = error.retry_after_s if isinstance(error, Again) else None
    return jitter if asked is None else asked + min(jitter, FIRST_WAIT_S)


@dataclass(slots=True)
class Budget:
    """What is left of one call: its deadline, which the waiting that the server asks for moves, as far as patience goes."""

    deadline: float
    patience_s: float

    def is_spent(self, state: RetryCallState) -> bool:
        """Whether there is no further try: the attempts are used up, or the next one would begin too late."""
        if state.attempt_number >= ATTEMPTS:
            return True
        error = outcome(state)
        asked = isinstance(error, Again) and error.retry_after_s is not None
        if asked and state.upcoming_sleep <= self.patience_s:
            self.patience_s -= state.upcoming_sleep
            self.deadline += state.upcoming_sleep
        return time.monotonic() + state.upcoming_sleep >= self.deadline
