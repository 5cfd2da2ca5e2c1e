"""Stretches and eras at their edges: what is one time of a bundle, and which receipt a stretch is told by."""

from __future__ import annotations

import itertools
import math

import pytest
from mlrelease.history.moments import Certainty, first_moment, serving, timelines, window
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Step
from support.core import START
from support.receipts import BEFORE, DAY, HOUR, PASS, Ledger, of, steps


def told(ledger):
    """Each stretch of the service: what, how sure, and by which event."""
    return [
        (s.bundle.versions()["A"] if s.bundle else None, s.certainty.value, s.event)
        for s in timelines(ledger.events)["risk"].stretches
    ]


def line(ledger):
    return timelines(ledger.events)["risk"]


# -- which receipt -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChangeKind.REPAIR, ChangeKind.SETTINGS, ChangeKind.UPDATE])
def test_the_same_bundle_again_goes_on_under_the_receipt_that_brought_it(kind):
    """Since when it serves does not change by proving it again."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.wait(HOUR)
    ledger.deploy(of("7"), kind=kind)
    assert told(ledger)[-1] == ("7", "recorded", first)
    assert [one.certainty for one in line(ledger).stretches].count(Certainty.RECORDED) == 1
    assert len(line(ledger).repairs) == (kind is ChangeKind.REPAIR)


def test_a_repair_is_told_with_its_moment_and_its_reason():
    """Of several the one before the moment asked about ends is found."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(HOUR)
    event = ledger.deploy(of("7"), kind=ChangeKind.REPAIR, reason="one of two died")
    (repair,) = line(ledger).repairs
    assert (repair.at, repair.event, repair.reason) == (ledger.now, event, "one of two died")


def test_what_was_put_back_goes_on_as_what_it_was():
    """The failed candidate interrupts it; before and after it is the same receipt's."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.wait(HOUR)
    failed = ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    assert told(ledger)[-3:] == [("7", "recorded", first), ("7", "switching", failed), ("7", "recorded", first)]
    assert line(ledger).era(ledger.now).event == first


def test_a_failed_repair_leaves_it_unproved_until_the_next_proof_without_a_switch():
    """The same bundle had the traffic all the time: nobody else can have answered."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(HOUR)
    failed = ledger.deploy(of("7"), Outcome.FAILED, kind=ChangeKind.REPAIR, taken=steps(until="proof"))
    ledger.wait(HOUR)
    mended = ledger.deploy(of("7"), kind=ChangeKind.REPAIR)
    assert told(ledger)[-2:] == [("7", "unproved", failed), ("7", "recorded", mended)]
    era = line(ledger).era(ledger.now)
    assert (era.bundle, era.ended) == (of("7"), math.inf)
    assert era.began < ledger.now - HOUR


# -- one time, several times -------------------------------------------------------------------------------------------


def test_the_time_before_the_ledger_is_no_time_of_a_bundle():
    """Nothing is known of it: a service that was removed, and one that never was, are not the same time."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(HOUR)
    removal = ledger.deploy(None)
    timeline = line(ledger)
    before, gone = timeline.era(START - DAY), timeline.era(ledger.now)
    assert (before.bundle, before.began) == (None, -math.inf)
    assert before.ended <= START + PASS
    assert (gone.bundle, gone.ended, gone.event) == (None, math.inf, removal)
    assert gone.began > START
    # The first is that of the first switch: the ledger knows of the service, and nothing of it was proved yet.
    assert [era.bundle for era in timeline.eras()] == [None, of("7"), None]


def test_times_of_a_bundle_that_came_back_are_two():
    """Between them another one served."""
    ledger = Ledger()
    for version, kind in (("7", None), ("8", None), ("7", ChangeKind.ROLLBACK)):
        ledger.deploy(of(version), kind=kind)
        ledger.wait(HOUR)
    eras = line(ledger).eras()
    assert [era.bundle.versions()["A"] for era in eras if era.bundle] == ["7", "8", "7"]
    assert all(one.ended == other.began for one, other in itertools.pairwise(eras))
    assert eras[-1].ended == math.inf


def test_every_moment_has_exactly_one_stretch():
    """The beginning of one belongs to it, and is the end of the one before, which does not have it."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(HOUR)
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    timeline = line(ledger)
    for one, other in itertools.pairwise(timeline.stretches):
        assert one.ended == other.began
        assert timeline.at(other.began) == other
        assert timeline.at(math.nextafter(other.began, -math.inf)) == one
    assert timeline.at(-math.inf) == timeline.stretches[0]
    assert timeline.at(1e18) == timeline.stretches[-1]


def test_each_service_is_told_at_the_moment():
    """By name, whether it was there by then or not."""
    ledger = Ledger()
    ledger.deploy(of("7", service="wine"), service="wine")
    then = ledger.now
    ledger.wait(HOUR)
    ledger.deploy(of("8"))
    found = serving(timelines(ledger.events), then)
    assert list(found) == ["risk", "wine"]
    assert (found["risk"].certainty, found["wine"].certainty) == (Certainty.UNRECORDED, Certainty.RECORDED)


def test_a_ledger_begins_with_its_first_event():
    """Whatever it is; an empty one never began."""
    ledger = Ledger()
    ledger.hold()
    ledger.wait(DAY)
    ledger.deploy(of("7"))
    assert first_moment(ledger.events) == START
    assert first_moment([]) == math.inf


# -- when the traffic moved --------------------------------------------------------------------------------------------

EARLY = sum(seconds for _, seconds in BEFORE)


@pytest.mark.parametrize(
    ("taken", "idle", "bounds"),
    [
        (steps(), 0.0, (EARLY, EARLY + 0.5)),
        (steps(), 3.0, (EARLY, EARLY + 3.5)),
        ((Step("switch", 2.0),), 0.0, (0.0, 2.0)),
        ((), 5.0, (0.0, 5.0)),
        (steps(until="golden"), 0.0, None),
    ],
    ids=[
        "after the steps before it, before the steps after it",
        "what the pass did besides may have been before it or after it",
        "a switch alone",
        "without steps: somewhere within the pass",
        "it came not so far",
    ],
)
def test_the_switch_lies_between_its_neighbours(taken, idle, bounds):
    """Seconds from the beginning of the pass."""
    ledger = Ledger()
    ledger.deploy(of("7"), taken=taken, idle=idle)
    event = ledger.events[-1]
    found = window(event, event.services["risk"], until=event.at)
    assert found == (None if bounds is None else tuple(START + second for second in bounds))


def test_a_clock_that_ran_backwards_gives_no_negative_time():
    """The end of the pass was before its beginning: both bounds are the end."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    event = ledger.events[-1]
    earlier = START - DAY
    found = window(event, event.services["risk"], until=earlier)
    assert found == (earlier, earlier)
    ledger.deploy(of("8"), taken=())
    event = ledger.events[-1]
    assert window(event, event.services["risk"], until=earlier) == (earlier, earlier)
