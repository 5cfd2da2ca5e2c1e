"""What an environment asks of a forward move before it may happen: promotion, soak, approval. Pure.

A move back is never asked: what is gone back to passed all of it when it was live. Settings updated in place (replicas,
timeout) are not asked either: what answers stays the same bundle. `env` is part of the bundle, so a change of it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mlrelease.history.fold import History
from mlrelease.history.promotion import objection, promotion_of, soak_word
from mlrelease.model.bundle import IMAGE, Bundle, ModelPin, model_key
from mlrelease.model.change import ComponentChange, Direction
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.model.when import iso


class Policy(StrEnum):
    """What is waited for; the values are those of the situations in `classify`."""

    UNREAD = "unread"
    UNPROMOTED = "unpromoted"
    SOAKING = "soaking"
    UNAPPROVED = "unapproved"


@dataclass(frozen=True, slots=True)
class Wait:
    """The first policy that is not satisfied, why, and until when (0: nobody knows)."""

    policy: Policy
    why: str
    until: float = 0.0


def first_wait(
    environment: EnvironmentSpec,
    history: History,
    source: History | None,
    changes: tuple[ComponentChange, ...],
    *,
    recorded: Bundle | None,
    desired: Bundle,
    now: float,
) -> Wait | None:
    """What this forward move waits for, or None. `source` is the history of `promotes_from`; None: it could not be read."""
    return _promotion(environment, source, changes, desired, now) or approval_wait(
        environment, history, desired.service, recorded, desired, now=now
    )


def approval_wait(
    environment: EnvironmentSpec,
    history: History,
    service: str,
    recorded: Bundle | None,
    desired: Bundle | None,
    *,
    now: float,
) -> Wait | None:
    """That the move from `recorded` to `desired` waits for an approval; None when it has one, or needs none."""
    if not environment.approval_required or history.approval_of(service, recorded, desired, now) is not None:
        return None
    given = [approval for approval in history.approvals if approval.service == service]
    note = ""
    if given:
        newest = given[-1]
        ended = newest.expires_at <= now
        note = f" ({newest.approver}'s " + (f"expired at {iso(newest.expires_at)})" if ended else "is for another change)")
    return Wait(Policy.UNAPPROVED, f"waits for an approval: mlrelease approve {environment.name} --service {service}{note}")


def to_prove(changes: tuple[ComponentChange, ...], desired: Bundle) -> tuple[ModelPin, ...]:
    """The models that must have been verified in the source: those that move forward, and all under an image that does."""
    forward = {change.key for change in changes if change.direction is Direction.FORWARD}
    return tuple(pin for pin in desired.models if IMAGE in forward or model_key(pin.name) in forward)


def _promotion(
    environment: EnvironmentSpec,
    source: History | None,
    changes: tuple[ComponentChange, ...],
    desired: Bundle,
    now: float,
) -> Wait | None:
    name = environment.promotes_from
    if not name:
        # Fail closed: a soak is time spent in the environment promoted from, and there is none.
        return Wait(Policy.UNPROMOTED, "soak is set without promotes_from: where?") if environment.soak_s else None
    if source is None:
        return Wait(Policy.UNREAD, f"the ledger of {name} could not be read: mlrelease history {name}")
    waits = list(_each(environment, source, to_prove(changes, desired), desired, now))
    never = [wait for wait in waits if wait.policy is Policy.UNPROMOTED]
    if never:
        return _with_count(never[0], len(never))
    if waits:
        return _with_count(max(waits, key=lambda wait: wait.until), len(waits))
    return None


def _each(
    environment: EnvironmentSpec, source: History, pins: tuple[ModelPin, ...], desired: Bundle, now: float
) -> Iterator[Wait]:
    for pin in pins:
        promotion = promotion_of(
            source,
            desired.service,
            pin,
            desired.image.reference,
            soak_s=environment.soak_s,
            environment=environment.promotes_from,
            beside=desired,
        )
        why = objection(promotion, pin, target=environment.target.kind)
        if why:
            yield Wait(Policy.UNPROMOTED, why)
        elif promotion.not_before > now:
            yield Wait(Policy.SOAKING, f"{pin.name} {pin.version}: {soak_word(promotion)}", promotion.not_before)


def _with_count(wait: Wait, count: int) -> Wait:
    return Wait(wait.policy, f"{wait.why} (and {count - 1} more)", wait.until) if count > 1 else wait
