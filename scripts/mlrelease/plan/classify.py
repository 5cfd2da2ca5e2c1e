"""Step one of deciding: which situation a service is in. A table of cases, no action yet (that is `table.py`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mlrelease.history.direction import component_changes, rejection_of, rejection_text
from mlrelease.history.fold import Attempt, History
from mlrelease.model.bundle import Bundle
from mlrelease.model.change import ComponentChange, Direction, Outcome
from mlrelease.model.event import Held
from mlrelease.model.live import Observation, Role
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, State
from mlrelease.model.when import iso
from mlrelease.plan.drift import drift, leftovers, settings_changes, settings_of
from mlrelease.plan.policy import approval_wait, first_wait

RETRY_FIRST_S = 5.0
"""A bundle whose try did not succeed is tried again after 5 s, 10 s, 20 s … (at once when a person says `deploy`)."""

RETRY_MOST_S = {Outcome.ERRORED: 600.0, Outcome.FAILED: 600.0, Outcome.ROLLED_BACK: 600.0, Outcome.BLOCKED: 3600.0}
"""The longest wait. What a gate shut stays shut until git, the registry or a person changes something: hourly is enough."""


class Situation(StrEnum):
    """How one service's desired, recorded and live states stand to each other."""

    INVALID = "invalid"
    UNDECLARED = "undeclared"
    GONE = "gone"
    UNWANTED = "unwanted"
    FIRST = "first"
    FORWARD = "forward"
    BACK = "back"
    REJECTED = "rejected"
    HELD = "held"
    UNREAD = "unread"
    UNPROMOTED = "unpromoted"
    SOAKING = "soaking"
    UNAPPROVED = "unapproved"
    WAITING = "waiting"
    UNMENDED = "unmended"
    RESET = "reset"
    DRIFTED = "drifted"
    IN_SYNC = "in_sync"


@dataclass(frozen=True, slots=True)
class Classified:
    """The situation of one service with what it was judged from.

    Where the desired bundle may not run, the recorded one is kept as it should be, and `drift` is its. `until` is the
    moment at which a wait ends by itself (0: it does not).
    """

    service: str
    situation: Situation
    desired: Bundle | None
    recorded: Bundle | None
    components: tuple[ComponentChange, ...] = ()
    drift: tuple[str, ...] = ()
    why: str = ""
    until: float = 0.0


def classify(
    service: str,
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    now: float,
    impatient: bool,
    source: History | None = None,
) -> Classified:
    """The situation of `service`. `impatient`: a person asked, so no waiting after an errored try.

    `source` is the history of the environment promoted from. Without an observation nothing is drifted: we could not
    look.
    """
    spec = environment.services.get(service)
    recorded = history.bundle(service)
    tired = None if recorded is None or impatient else _waits(history, recorded, now)
    # While a repair waits for its next try, drift of what is recorded is not acted on.
    seen = None if tired else observation
    if service in environment.invalid:
        return Classified(service, Situation.INVALID, None, recorded, drift=_drift_of(recorded, spec, history, seen))
    if spec is None:
        if recorded is None:
            return Classified(service, Situation.GONE, None, None, drift=_left(observation, service))
        return Classified(service, Situation.UNDECLARED, None, recorded, drift=_drift_of(recorded, None, history, seen))
    if State.ABSENT in (spec.state, environment.state):
        if recorded is None:
            return Classified(service, Situation.GONE, None, None, drift=_left(observation, service))
        return _unwanted(service, environment, history, seen, recorded=recorded, now=now)
    desired = spec.bundle
    if recorded is not None and recorded.id == desired.id:
        return _settled(spec, environment, history, observation, desired=desired, recorded=recorded, tired=tired)
    return _moving(
        spec, environment, history, seen, desired=desired, recorded=recorded, now=now, impatient=impatient, source=source
    )


def _unwanted(
    service: str,
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    recorded: Bundle,
    now: float,
) -> Classified:
    """A removal. It is no move back: where forward moves need an approval, taking a service away needs one too."""
    changes = component_changes(history, service, recorded, None)
    wait = approval_wait(environment, history, service, recorded, None, now=now)
    if wait is None:
        return Classified(service, Situation.UNWANTED, None, recorded, changes)
    wrong = _drift_of(recorded, None, history, observation)
    return Classified(service, Situation.UNAPPROVED, None, recorded, changes, wrong, wait.why)


def _settled(
    spec: ServiceSpec,
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    desired: Bundle,
    recorded: Bundle,
    tired: Attempt | None,
) -> Classified:
    entry = history.recorded[spec.name]
    changed = settings_changes(entry.settings, settings_of(environment, spec), recorded, desired)
    wrong = changed or (drift(observation, spec.name, desired, replicas=spec.replicas) if observation else ())
    if wrong and tired:
        return Classified(
            spec.name, Situation.UNMENDED, desired, recorded, drift=wrong, why=_tried(tired), until=not_before(tired)
        )
    if changed:
        return Classified(spec.name, Situation.RESET, desired, recorded, drift=changed)
    return Classified(spec.name, Situation.DRIFTED if wrong else Situation.IN_SYNC, desired, recorded, drift=wrong)


def _moving(
    spec: ServiceSpec,
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    desired: Bundle,
    recorded: Bundle | None,
    now: float,
    impatient: bool,
    source: History | None,
) -> Classified:
    changes = component_changes(history, spec.name, recorded, desired)
    wrong = _drift_of(recorded, spec, history, observation)

    def found(situation: Situation, why: str = "", until: float = 0.0) -> Classified:
        return Classified(spec.name, situation, desired, recorded, changes, wrong, why, until)

    back = bool(changes) and all(change.direction is Direction.BACK for change in changes)
    rejection = rejection_of(history, spec.name, desired, changes)
    if rejection:
        # Nothing is on the move to a rejected bundle: what its try left behind is a leftover.
        wrong = _drift_of(recorded, None, history, observation)
        return found(Situation.REJECTED, rejection_text(rejection))
    tired = None if impatient else _waits(history, desired, now)
    if tired:
        return found(Situation.WAITING, _tried(tired), not_before(tired))
    if back:
        return found(Situation.BACK)
    holds = history.holds_on(spec.name, now)
    if holds:
        return found(Situation.HELD, *_held(holds))
    wait = first_wait(environment, history, source, changes, recorded=recorded, desired=desired, now=now)
    if wait:
        return found(Situation(wait.policy.value), wait.why, wait.until)
    return found(Situation.FIRST if recorded is None else Situation.FORWARD)


def _held(holds: tuple[Held, ...]) -> tuple[str, float]:
    """Who holds and why, and when the last of the holds ends (0: one of them has no end)."""
    newest = holds[-1]
    ends = f" until {iso(newest.until)}" if newest.until else ""
    until = max(h.until for h in holds) if all(h.until for h in holds) else 0.0
    return f"held by {newest.actor}{ends}: {newest.reason}", until


def _waits(history: History, bundle: Bundle, now: float) -> Attempt | None:
    """The last try at the bundle, where it did not succeed and the wait after it is not over; None: it may be tried."""
    attempt = history.attempts.get((bundle.service, bundle.id))
    return None if attempt is None or not_before(attempt) <= now else attempt


def _tried(attempt: Attempt) -> str:
    times = "once" if attempt.count == 1 else f"{attempt.count} times"
    return f"{attempt.outcome}: {attempt.reason}; tried {times}"


def not_before(attempt: Attempt) -> float:
    """The moment before which an agent does not try this bundle again."""
    if attempt.outcome not in RETRY_MOST_S:
        return attempt.at
    delay = RETRY_FIRST_S * 2.0 ** min(attempt.count - 1, 20)
    return attempt.at + min(delay, RETRY_MOST_S[attempt.outcome])


def _drift_of(
    recorded: Bundle | None, spec: ServiceSpec | None, history: History, observation: Observation | None
) -> tuple[str, ...]:
    if recorded is None or observation is None:
        return ()
    settings: Mapping[str, Any] = history.recorded[recorded.service].settings
    replicas = int(settings.get("replicas", spec.replicas if spec else 1))
    wrong = drift(observation, recorded.service, recorded, replicas=replicas)
    # While the service is on the move to the desired bundle, its instances are no leftovers.
    moving_to = spec.bundle.id if spec else None
    candidates = {i.id for i in observation.of(recorded.service) if i.bundle == moving_to}
    return tuple(line for line in wrong if not any(line.startswith(f"leftover {name}:") for name in candidates))


def _left(observation: Observation | None, service: str) -> tuple[str, ...]:
    if observation is None:
        return ()
    return (
        *(f"leftover {i.id}: of bundle {i.bundle}" for i in leftovers(observation, service, None)),
        *(f"stray {i.id}" for i in observation.instances if i.role is Role.STRAY and i.service == service),
    )
