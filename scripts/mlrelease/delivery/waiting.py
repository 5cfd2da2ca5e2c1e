"""Whether the host has dealt with a revision, judged from elsewhere: by the ledger, the plan of git, and the heartbeat. Pure.

A receipt at the revision is the host's own word. Where there is none, the plan says what is still to be done or what blocks
it; and that there is nothing to do counts only once the agent, having seen the whole ledger, says that what runs is in sync.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.delivery.exit_codes import OUTCOME_CODE, blocked_code, worst
from mlrelease.history.dealings import Dealings, Dealt
from mlrelease.history.fold import History
from mlrelease.model.beat import Beat, in_words
from mlrelease.model.change import Change, ChangeKind, Outcome, Plan, Sync

_GOES_ON = frozenset({Outcome.RUNNING, Outcome.ABORTED})
"""Outcomes after which the agent takes the service up again: not dealt with yet."""


@dataclass(frozen=True, slots=True)
class ServiceStanding:
    """One service: a word, why, and its exit code; None while it is not dealt with. `dealt` is the receipt, if one says it."""

    change: Change
    word: str
    why: str
    code: int | None
    dealt: Dealt | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An environment at one revision, service by service."""

    revision: str
    services: tuple[ServiceStanding, ...]

    @property
    def code(self) -> int | None:
        """The worst of the services' codes; None while one is not dealt with."""
        codes = {service.code for service in self.services}
        return None if None in codes else worst({0, *(code for code in codes if code is not None)})

    @property
    def line(self) -> str:
        """All of it in one line that stays the same while nothing changes."""
        return "; ".join(f"{s.change.service} {s.word}: {s.why}" for s in self.services) or "it has no services"


def standing(plan: Plan, history: History, dealt: Dealings, beat: Beat | None) -> Standing:
    """How far the host is with the plan's revision, as far as this look at ledger and heartbeat can tell."""
    said = beat if beat is not None and _is_of(beat, plan) else None
    return Standing(plan.revision, tuple(_service(change, history, dealt, said) for change in plan.changes))


def life(beat: Beat | None, now: float) -> str:
    """Whether the agent lives, in words."""
    if beat is None:
        return "no agent ever reported"
    age = in_words(beat.age_s(now))
    at = f"at {beat.revision[:9]}" if beat.revision else "it could not read what git wants"
    said = f": {beat.verdict}" if beat.verdict else ""
    if beat.is_silent(now):
        return f"the agent has been silent for {age}; its last word ({at}){said}"
    return f"the agent reported {age} ago ({at}){said}"


def _is_of(beat: Beat, plan: Plan) -> bool:
    """Whether the beat is about this revision and was made after all that the ledger holds now."""
    return beat.says_all and beat.revision == plan.revision and beat.height >= plan.height


def _service(change: Change, history: History, dealings: Dealings, beat: Beat | None) -> ServiceStanding:
    dealt = dealings.services.get(change.service)
    if dealt is not None and _answers(dealt, change):
        outcome = dealt.receipt.outcome
        return ServiceStanding(change, outcome.value, dealt.receipt.reason, OUTCOME_CODE[outcome], dealt)
    if change.blocked:
        return ServiceStanding(change, "blocked", change.blocked, _blocked(change, history))
    if beat is not None and not beat.sync:
        return ServiceStanding(change, "errored", beat.verdict, beat.exit_code or 1)
    if beat is not None and change.service in beat.blocked:
        # The host sees what nobody else does: what runs, and which commit it applied last.
        return ServiceStanding(change, "blocked", beat.blocked[change.service].why, beat.exit_code or 1)
    if change.kind is not ChangeKind.NOOP:
        holder = dealings.at_work
        why = f"{holder.owner} is at work" if holder is not None else "the agent has not come to it"
        return ServiceStanding(change, f"waits for its {change.kind}", why, None)
    if beat is None:
        return ServiceStanding(change, "unchanged", "the agent has not said yet that it runs as recorded", None)
    if beat.sync.get(change.service) != Sync.IN_SYNC:
        return ServiceStanding(change, beat.sync.get(change.service, "unknown"), "the agent is to repair it", None)
    return ServiceStanding(change, "in sync", "nothing to do", 0)


def _answers(dealt: Dealt, change: Change) -> bool:
    """Whether the receipt is about what git wants: while that waits, a repair of what is recorded may succeed beside it."""
    receipt = dealt.receipt
    return not dealt.outdated and receipt.outcome not in _GOES_ON and receipt.after == change.after


def _blocked(change: Change, history: History) -> int:
    """The exit code of what stands in the way; of a wait after a try that did not succeed, that of the try."""
    if change.blocked_by == "waiting" and change.after is not None:
        attempt = history.attempts.get((change.service, change.after.id))
        if attempt is not None:
            return OUTCOME_CODE[attempt.outcome]
    return blocked_code(change)
