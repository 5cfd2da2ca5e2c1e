"""Step one of deciding: which situation a service is in. A table of cases, no action yet (that is `table.py`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mlrelease.history.direction import component_changes, rejection_of
from mlrelease.history.fold import Attempt, History
from mlrelease.model.bundle import Bundle
from mlrelease.model.change import ComponentChange, Direction, Outcome
from mlrelease.model.live import Observation, Role
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, State
from mlrelease.plan.drift import drift, leftovers, settings_changes, settings_of

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
    UNSUPPORTED = "unsupported"
    WAITING = "waiting"
    UNMENDED = "unmended"
    RESET = "reset"
    DRIFTED = "drifted"
    IN_SYNC = "in_sync"


@dataclass(frozen=True, slots=True)
class Classified:
    """The situation of one service with what it was judged from.

    `keep` is set where the desired bundle may not run: then the recorded one is kept as it should be, and `drift` is its.
    """

    service: str
    situation: Situation
    desired: Bundle | None
    recorded: Bundle | None
    components: tuple[ComponentChange, ...] = ()
    drift: tuple[str, ...] = ()
    why: str = ""


def classify(
    service: str,
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    now: float,
    impatient: bool,
) -> Classified:
    """The situation of `service`. `impatient`: a person asked, so no waiting after an errored try.

    Without an observation nothing is drifted: we could not look.
    """
    spec = environment.services.get(service)
    recorded = history.bundle(service)
    tired = "" if recorded is None or impatient else _waits(history, recorded, now)
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
        return Classified(service, Situation.UNWANTED, None, recorded, component_changes(history, service, recorded, None))
    desired = spec.bundle
    if recorded is not None and recorded.id == desired.id:
        return _settled(spec, environment, history, observation, desired=desired, recorded=recorded, tired=tired)
    return _moving(spec, environment, history, seen, desired=desired, recorded=recorded, now=now, impatient=impatient)


def _settled(
    spec: ServiceSpec,
    environment: EnvironmentSpec,
    history: History,
    observation: Observation | None,
    *,
    desired: Bundle,
    recorded: Bundle,
    tired: str,
) -> Classified:
    entry = history.recorded[spec.name]
    changed = settings_changes(entry.settings, settings_of(environment, spec), recorded, desired)
    wrong = changed or (drift(observation, spec.name, desired, replicas=spec.replicas) if observation else ())
    if wrong and tired:
        return Classified(spec.name, Situation.UNMENDED, desired, recorded, drift=wrong, why=tired)
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
) -> Classified:
    changes = component_changes(history, spec.name, recorded, desired)
    wrong = _drift_of(recorded, spec, history, observation)

    def found(situation: Situation, why: str = "") -> Classified:
        return Classified(spec.name, situation, desired, recorded, changes, wrong, why)

    back = bool(changes) and all(change.direction is Direction.BACK for change in changes)
    rejection = rejection_of(history, spec.name, desired, changes)
    if rejection:
        # Nothing is on the move to a rejected bundle: what its try left behind is a leftover.
        wrong = _drift_of(recorded, None, history, observation)
        return found(Situation.REJECTED, f"rejected by {rejection.actor}: {rejection.reason}")
    waits = "" if impatient else _waits(history, desired, now)
    if waits:
        return found(Situation.WAITING, waits)
    if back:
        return found(Situation.BACK)
    holds = history.holds_on(spec.name, now)
    if holds:
        return found(Situation.HELD, f"held by {holds[-1].actor}: {holds[-1].reason}")
    if environment.approval_required or environment.promotes_from or environment.soak_s:
        # Fail closed: a policy that this version cannot keep must not be passed over in silence.
        return found(Situation.UNSUPPORTED, "approval, promotes_from and soak are not built in this version")
    return found(Situation.FIRST if recorded is None else Situation.FORWARD)


def _waits(history: History, bundle: Bundle, now: float) -> str:
    """Why the bundle is not tried now: its last try did not succeed, and the wait is not over. Empty: it may be."""
    attempt = history.attempts.get((bundle.service, bundle.id))
    if attempt is None or not_before(attempt) <= now:
        return ""
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
