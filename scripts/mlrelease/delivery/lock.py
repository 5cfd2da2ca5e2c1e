"""Taking and giving back an environment: the `started` event is the lock, compare-and-swap decides who has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.history.fold import History
from mlrelease.ledger.ledger import LedgerMoved
from mlrelease.ledger.lock import owner_is_dead, this_owner
from mlrelease.log import get
from mlrelease.model.event import DeployStarted, Owner

LOCK_POLL_S = 0.25


class PlanStale(Exception):  # noqa: N818 - a state that the caller answers by planning again
    """Somebody wrote to the environment's history since the plan was made."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The environment is ours: the start that says so, and the ledger height after it, which fences."""

    started: DeployStarted
    height: int


def take(
    site: Site,
    history: History,
    *,
    new_id: Callable[[], str],
    actor: str,
    revision: str,
    trigger: str,
    services: tuple[str, ...],
    run_id: str,
) -> Lock:
    """The lock on the environment, if nobody holds it as of `history`.

    A holder on this host whose process is dead is superseded at once. Raises `LockHeld` when somebody holds it and
    `PlanStale` when the history moved on meanwhile.
    """
    holder = history.started
    supersedes = ""
    if holder is not None:
        # Our own unfinished start is a pass of this process that ended in an error: passes of a process never overlap.
        gone = owner_is_dead(holder.owner) or _same_process(holder.owner, this_owner())
        if holder.expires_at > site.now() and not gone:
            raise LockHeld(holder)
        supersedes = holder.id
        get("lock").warning("taking over from a holder that is gone", owner=str(holder.owner), started=holder.id)
    now = site.now()
    started = DeployStarted(
        id=new_id(),
        environment=site.environment.name,
        at=now,
        actor=actor,
        revision=revision,
        trigger=trigger,
        owner=this_owner(f"mlrelease {trigger}"),
        expires_at=now + DEADLINES_S["pass"],
        services=services,
        supersedes=supersedes,
        run_id=run_id,
    )
    try:
        appended = site.ledger.append([started], expect_height=history.height)
    except LedgerMoved as error:
        raise PlanStale from error
    return Lock(started, appended.height)


class LockHeld(Error):  # noqa: N818 - a state
    """Another pass owns the environment."""

    def __init__(self, holder: DeployStarted) -> None:
        super().__init__(
            f"{holder.environment} is locked by {holder.owner}, working for {holder.actor} on {holder.revision[:9]}",
            hint="wait for it, or give it longer: --lock-timeout SECONDS",
            where=str(holder.owner),
        )
        self.holder = holder


def _same_process(one: Owner, other: Owner) -> bool:
    return (one.host, one.pid, one.process_started) == (other.host, other.pid, other.process_started)


def wait(until: float) -> bool:
    """Sleeps one poll; False once `until` (monotonic) has passed."""
    if time.monotonic() >= until:
        return False
    time.sleep(LOCK_POLL_S)
    return True
