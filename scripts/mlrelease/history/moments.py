"""What served a service at any moment, read off its receipts, and how sure the ledger is of that. Pure.

`fold.py` answers for now, this for then. The ledger has proofs, not a film: between the switch of the traffic and the
receipt, in a pass that never recorded its end, or after a failure that could not put back, it cannot know, and says so.
Moments never run backwards here: an event of a host whose clock is behind counts as of the event before it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mlrelease.model.bundle import Bundle, BundleId
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import DeployFinished, DeployStarted, Event, ServiceReceipt, UnknownEvent
from mlrelease.model.when import iso


class Certainty(StrEnum):
    """How sure the ledger is. Recorded: a receipt proved it, and none since speaks against it.

    Switching: a pass moved the traffic about then, so it was this bundle or one of the others. Unproved: the traffic was
    there, the proof failed. Unknown: a pass did not say how it ended. Unrecorded: before the ledger knew of the service.
    """

    RECORDED = "recorded"
    SWITCHING = "switching"
    UNPROVED = "unproved"
    UNKNOWN = "unknown"
    UNRECORDED = "unrecorded"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time (`began` included, `ended` not) in which nothing changed in what is known of a service.

    `bundle` is what served (None: nothing), `others` what may have served instead; `event` says so, and `reason` says why
    it is not sure. `began` of the first is minus infinity, `ended` of the last infinity.
    """

    began: float
    ended: float
    bundle: Bundle | None
    certainty: Certainty
    event: str = ""
    others: tuple[Bundle | None, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Era:
    """An unbroken time of one bundle: what interrupted it, if anything, left it in place."""

    bundle: Bundle | None
    began: float
    ended: float
    event: str


@dataclass(frozen=True, slots=True)
class Mended:
    """A repair: at `at` a pass found that what ran was not what is recorded. Since when it was so, nobody wrote down."""

    at: float
    event: str
    reason: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """All stretches of one service, without gaps from the beginning of time to its end; and its repairs, oldest first."""

    service: str
    stretches: tuple[Stretch, ...]
    repairs: tuple[Mended, ...] = ()

    def at(self, moment: float) -> Stretch:
        """The stretch that holds the moment."""
        return self.stretches[self._index(moment)]

    def era(self, moment: float) -> Era:
        """The unbroken time of the bundle that the stretch of this moment names."""
        first = last = self._index(moment)
        bundle = _id(self.stretches[first].bundle)

        def same(stretch: Stretch) -> bool:
            return _id(stretch.bundle) == bundle and stretch.certainty is not Certainty.UNRECORDED

        while first > 0 and same(self.stretches[first - 1]) and same(self.stretches[first]):
            first -= 1
        while last + 1 < len(self.stretches) and same(self.stretches[last + 1]) and same(self.stretches[last]):
            last += 1
        begins, ends = self.stretches[first], self.stretches[last]
        return Era(begins.bundle, begins.began, ends.ended, begins.event)

    def eras(self) -> tuple[Era, ...]:
        """All of them but the time before the ledger knew of the service, oldest first."""
        found: list[Era] = []
        moment = self.stretches[0].ended
        while moment < math.inf:
            found.append(self.era(moment))
            moment = found[-1].ended
        return tuple(found)

    def mended_after(self, moment: float) -> Mended | None:
        """The first repair after the moment within the same era: what ran may have drifted by then."""
        ended = self.era(moment).ended
        return next((repair for repair in self.repairs if moment < repair.at <= ended), None)

    def _index(self, moment: float) -> int:
        return max(0, bisect_right(self.stretches, moment, key=lambda stretch: stretch.began) - 1)


def timelines(events: Iterable[Event | UnknownEvent]) -> dict[str, Timeline]:
    """The timeline of every service that any receipt or start names, by name; events in chain order."""
    known = tuple(events)
    ended = {event.started for event in known if isinstance(event, DeployFinished)}
    tellers: dict[str, _Teller] = {}
    clock = -math.inf
    for event in known:
        clock = max(clock, event.at)
        if isinstance(event, DeployFinished):
            for service, receipt in event.services.items():
                tellers.setdefault(service, _Teller(service)).finish(event, receipt, clock)
        elif isinstance(event, DeployStarted) and event.id not in ended:
            # One without names may be about any service that there is.
            for service in event.services or tuple(tellers):
                tellers.setdefault(service, _Teller(service)).lose(event, clock)
    return {service: tellers[service].told() for service in sorted(tellers)}


def first_moment(events: Iterable[Event | UnknownEvent]) -> float:
    """When the ledger of the environment begins; infinity where it has no event."""
    return next((event.at for event in events), math.inf)


def window(event: DeployFinished, receipt: ServiceReceipt, *, until: float) -> tuple[float, float] | None:
    """The bounds within which the pass moved the service's traffic; None when it did not touch it.

    The receipt has the length of each step and the two ends of the pass, so the switch lies after the steps before it and
    before the steps after it. A receipt without steps says no more than that it was within the pass.
    """
    names = [step.name for step in receipt.steps]
    if "switch" not in names:
        return None if names else (min(event.started_at, until), until)
    at = names.index("switch")
    earliest = event.started_at + sum(step.seconds for step in receipt.steps[:at])
    latest = until - sum(step.seconds for step in receipt.steps[at + 1 :])
    earliest = min(earliest, until)
    return earliest, max(earliest, latest)


@dataclass(slots=True)
class _Teller:
    """Takes the receipts of one service in order, and tells its stretches."""

    service: str
    began: float = -math.inf
    bundle: Bundle | None = None
    certainty: Certainty = Certainty.UNRECORDED
    event: str = ""
    others: tuple[Bundle | None, ...] = ()
    reason: str = ""
    done: list[Stretch] = field(default_factory=list)
    repairs: list[Mended] = field(default_factory=list)

    def finish(self, event: DeployFinished, receipt: ServiceReceipt, clock: float) -> None:
        """One receipt, recorded at `clock`."""
        span = window(event, receipt, until=clock)
        match receipt.outcome:
            case Outcome.SUCCEEDED:
                self._succeed(event, receipt, span or (clock, clock), clock)
            case Outcome.ROLLED_BACK:
                self._put_back(event, receipt, span, clock)
            case Outcome.FAILED | Outcome.ERRORED | Outcome.ABORTED:
                self._fall(event, receipt, span, clock)
            case Outcome.BLOCKED | Outcome.RUNNING:
                pass

    def lose(self, event: DeployStarted, clock: float) -> None:
        """A pass that never recorded its end: from here on it is not known how far it came."""
        reason = f"the pass {event.id} by {event.owner} began at {iso(event.at)} and did not record its end"
        self._turn(clock, self.bundle, Certainty.UNKNOWN, event.id, reason=reason)

    def told(self) -> Timeline:
        return Timeline(self.service, (*self.done, self._stretch(math.inf)), tuple(self.repairs))

    def _succeed(self, event: DeployFinished, receipt: ServiceReceipt, span: tuple[float, float], clock: float) -> None:
        if receipt.change is ChangeKind.REPAIR:
            self.repairs.append(Mended(clock, event.id, receipt.reason))
        if self.certainty is Certainty.RECORDED and _id(self.bundle) == _id(receipt.after):
            return
        if self.certainty is Certainty.UNRECORDED or _id(self.bundle) != _id(receipt.after):
            self._switch(event, span, (receipt.after,))
        self._turn(span[1], receipt.after, Certainty.RECORDED, event.id)

    def _put_back(self, event: DeployFinished, receipt: ServiceReceipt, span: tuple[float, float] | None, clock: float) -> None:
        """The candidate failed its proof and what was before serves again, which the pass saw to."""
        names = [step.name for step in receipt.steps]
        ended = clock
        if span is not None and names:
            back = names.index("switch_back") if "switch_back" in names else len(names) - 1
            ended = max(span[0], clock - sum(step.seconds for step in receipt.steps[back + 1 :]))
            # After a failure that left something unproved in place, what was put back is not what was there.
            others = [one for one in (receipt.after, receipt.before) if _id(one) != _id(self.bundle)]
            self._switch(event, (span[0], ended), tuple(others), back=True)
        if self.certainty is not Certainty.RECORDED:
            self._turn(ended, receipt.before, Certainty.RECORDED, event.id)

    def _fall(self, event: DeployFinished, receipt: ServiceReceipt, span: tuple[float, float] | None, clock: float) -> None:
        """It failed, could not tell, or was interrupted."""
        if span is None or not receipt.steps:
            return  # it did not begin, or did not come as far as the traffic
        restored = any(step.name == "switch_back" and not step.detail.startswith("failed: ") for step in receipt.steps)
        if restored:
            self._put_back(event, receipt, span, clock)
            return
        said = f"{receipt.change} {receipt.outcome} at {iso(clock)}: {receipt.reason}"
        aborted = receipt.outcome is Outcome.ABORTED
        if receipt.after is not None and receipt.direction is not Direction.FORWARD and not aborted:
            # A rollback stays on its target, and so does what was only repaired or given new settings.
            if _id(receipt.after) != _id(self.bundle):
                self._switch(event, span, (receipt.after,))
            self._turn(span[1], receipt.after, Certainty.UNPROVED, event.id, reason=said)
        elif receipt.before is None and not aborted:
            # Nothing was there before: the candidate's route was taken away again.
            self._switch(event, (span[0], clock), (receipt.after,))
            self._turn(clock, None, Certainty.UNPROVED, event.id, reason=said)
        else:
            self._turn(span[0], self.bundle, Certainty.UNKNOWN, event.id, others=(receipt.after,), reason=said)

    def _switch(
        self, event: DeployFinished, span: tuple[float, float], others: tuple[Bundle | None, ...], *, back: bool = False
    ) -> None:
        """For the time of the span one of several answered; after it, what is known is as before. Unknown stays unknown."""
        if self.certainty is Certainty.UNKNOWN:
            return
        bundle, certainty, known, more, reason = self.bundle, self.certainty, self.event, self.others, self.reason
        did = "moved the traffic and back again" if back else "moved the traffic"
        said = f"the pass {event.id} {did} between {iso(span[0])} and {iso(span[1])}"
        self._turn(span[0], bundle, Certainty.SWITCHING, event.id, others=others, reason=said)
        self._turn(span[1], bundle, certainty, known, others=more, reason=reason)

    def _turn(
        self,
        moment: float,
        bundle: Bundle | None,
        certainty: Certainty,
        event: str,
        *,
        others: tuple[Bundle | None, ...] = (),
        reason: str = "",
    ) -> None:
        moment = max(moment, self.began)
        if moment > self.began:
            self.done.append(self._stretch(moment))
        self.began, self.bundle, self.certainty, self.event = moment, bundle, certainty, event
        self.others, self.reason = others, reason

    def _stretch(self, ended: float) -> Stretch:
        return Stretch(self.began, ended, self.bundle, self.certainty, self.event, self.others, self.reason)


def serving(told: Mapping[str, Timeline], moment: float) -> dict[str, Stretch]:
    """What is known of every service at the moment, by name."""
    return {service: timeline.at(moment) for service, timeline in told.items()}


def _id(bundle: Bundle | None) -> BundleId | None:
    return bundle.id if bundle else None
