"""An agent of the pair's world in a thread, as on a host of its own: it looks again and again until the block ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlrelease.delivery.agent import Agent
from support.pair import Pair

INTERVAL_S = 0.05


def agent_of(pair: Pair, environment: str = "production") -> Agent:
    """One agent over the pair's fakes; its lines go nowhere."""
    return Agent(
        open_desired=lambda: (pair.site(environment), pair.desired()),
        order=pair.order(impatient=False),
        describe=lambda result: {"revision": result.plan.revision},
        report=lambda _line: None,
    )


@contextmanager
def watched(pair: Pair, *environments: str) -> Iterator[threading.Event]:
    """Agents at work on these environments; setting the event makes them look away until it is cleared."""
    over, away = threading.Event(), threading.Event()
    agents = [agent_of(pair, name) for name in environments or ("production",)]

    def run() -> None:
        while not over.wait(INTERVAL_S):
            for agent in () if away.is_set() else agents:
                agent.once()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield away
    finally:
        over.set()
        thread.join(30)
        assert not thread.is_alive()
