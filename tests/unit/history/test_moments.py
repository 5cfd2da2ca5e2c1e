"""What served at a moment: every case in which the ledger is sure, and every case in which it must say that it is not."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.history.fold import fold
from mlrelease.history.moments import Certainty, first_moment, serving, timelines, window
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import DeployFinished, UnknownEvent
from support.core import ENVIRONMENT, START
from support.receipts import BACK, HOUR, PASS, SWITCH, Ledger, of, steps

SWITCHED = 10.0
"""Seconds of a pass before its switch."""

RECORDED, SWITCHING, UNPROVED, UNKNOWN, UNRECORDED = Certainty


def line(ledger, service="risk"):
    return timelines(ledger.events)[service]


def told(ledger, moment, service="risk"):
    """Certainty, version and what else it may have been."""
    stretch = line(ledger, service).at(moment)
    return stretch.certainty, version(stretch.bundle), tuple(version(other) for other in stretch.others)


def version(bundle):
    return bundle.versions()["A"] if bundle else None


def test_no_events_are_no_services():
    """Nothing is known of anything."""
    assert timelines([]) == {}
    assert first_moment([]) == math.inf


def test_before_the_first_receipt_nothing_is_recorded():
    """Also when something ran there by hand: the ledger did not see it."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    assert told(ledger, START - HOUR) == (UNRECORDED, None, ())
    assert told(ledger, START + SWITCHED - 0.1) == (UNRECORDED, None, ())
    assert first_moment(ledger.events) == START


def test_during_the_switch_it_was_one_of_two():
    """The steps say when it was: after those before it, before those after it."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(HOUR)
    began = ledger.now
    ledger.deploy(of("8"))
    assert told(ledger, began + SWITCHED - 0.1) == (RECORDED, "7", ())
    assert told(ledger, began + SWITCHED + SWITCH / 2) == (SWITCHING, "7", ("8",))
    assert told(ledger, began + SWITCHED + SWITCH + 0.1) == (RECORDED, "8", ())
    assert "between" in line(ledger).at(began + SWITCHED + 0.1).reason


def test_time_of_the_pass_that_is_in_no_step_widens_the_doubt():
    """Another service went first, or after it: the receipt does not say."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    began = ledger.now
    ledger.deploy(of("8"), idle=30.0)
    assert told(ledger, began + SWITCHED - 0.1) == (RECORDED, "7", ())
    assert told(ledger, began + SWITCHED + 20.0) == (SWITCHING, "7", ("8",))
    assert told(ledger, began + SWITCHED + SWITCH + 30.1) == (RECORDED, "8", ())


def test_a_receipt_without_steps_says_no_more_than_the_pass():
    """From its start to its end."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    began = ledger.now
    ledger.deploy(of("8"), taken=(), idle=60.0)
    assert told(ledger, began + 1.0) == (SWITCHING, "7", ("8",))
    assert told(ledger, began + 60.0) == (RECORDED, "8", ())


def test_a_removed_service_serves_nothing():
    """That is recorded, too."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(None)
    assert told(ledger, ledger.now + HOUR) == (RECORDED, None, ())


def test_a_failed_proof_that_was_put_back_leaves_the_old_one_in_place():
    """For the seconds in between it may have been the candidate; the era is unbroken."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.wait(HOUR)
    began = ledger.now
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    taken = ledger.now - began
    assert told(ledger, began + SWITCHED + 1.0) == (SWITCHING, "7", ("8",))
    assert told(ledger, began + taken + BACK) == (RECORDED, "7", ())
    era = line(ledger).era(ledger.now + HOUR)
    assert (version(era.bundle), era.event, era.ended) == ("7", first, math.inf)
    assert era.began == line(ledger).era(START + PASS).began


def test_a_candidate_that_failed_before_the_switch_was_never_seen():
    """It did not get a request."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    began = ledger.now
    ledger.deploy(of("8"), Outcome.ROLLED_BACK, taken=steps(until="golden"))
    assert {told(ledger, began + n) for n in range(12)} == {(RECORDED, "7", ())}


@pytest.mark.parametrize("outcome", [Outcome.BLOCKED, Outcome.RUNNING])
def test_what_a_gate_shut_out_changed_nothing(outcome):
    """Nor did what was only beginning."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), outcome, taken=())
    assert told(ledger, ledger.now + 1.0) == (RECORDED, "7", ())


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ERRORED, Outcome.ABORTED])
@pytest.mark.parametrize("taken", [(), steps(until="ready")], ids=["that did not begin", "before the switch"])
def test_a_pass_that_ended_before_its_switch_changed_nothing(outcome, taken):
    """What served serves on."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), outcome, taken=taken)
    assert told(ledger, ledger.now + 1.0) == (RECORDED, "7", ())


@pytest.mark.parametrize(
    ("outcome", "kind", "taken", "expected"),
    [
        (Outcome.FAILED, ChangeKind.ROLLBACK, steps(until="proof"), (UNPROVED, "8", ())),
        (Outcome.ERRORED, ChangeKind.ROLLBACK, steps(until="switch"), (UNPROVED, "8", ())),
        (Outcome.ERRORED, ChangeKind.UPDATE, steps(until="proof", back=True), (RECORDED, "7", ())),
        (Outcome.ERRORED, ChangeKind.UPDATE, steps(until="proof", back=True, back_failed=True), (UNKNOWN, "7", ("8",))),
        (Outcome.ERRORED, ChangeKind.UPDATE, steps(until="switch"), (UNKNOWN, "7", ("8",))),
        (Outcome.FAILED, ChangeKind.UPDATE, steps(until="proof"), (UNKNOWN, "7", ("8",))),
        (Outcome.ABORTED, ChangeKind.UPDATE, steps(until="switch"), (UNKNOWN, "7", ("8",))),
        (Outcome.ABORTED, ChangeKind.ROLLBACK, steps(until="switch"), (UNKNOWN, "7", ("8",))),
    ],
    ids=[
        "a rollback stays on its target, unproved",
        "a rollback that errored stays there too",
        "an update that errored was put back",
        "one that could not be put back is unknown",
        "one that errored in the switch is unknown",
        "a failure with nothing to put back is unknown",
        "an interrupted update is unknown",
        "an interrupted rollback is unknown",
    ],
)
def test_after_the_switch_it_depends_on_what_could_be_done(outcome, kind, taken, expected):
    """What the receipt says of putting back decides, and a reason stands beside every doubt."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), outcome, kind=kind, taken=taken)
    assert told(ledger, ledger.now + 1.0) == expected
    assert bool(line(ledger).at(ledger.now + 1.0).reason) is (expected[0] is not RECORDED)


@pytest.mark.parametrize("kind", [ChangeKind.REPAIR, ChangeKind.SETTINGS])
def test_a_repair_that_failed_leaves_the_bundle_unproved(kind):
    """It is still the same bundle, and nothing proved it."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("7"), Outcome.FAILED, kind=kind)
    assert told(ledger, ledger.now + 1.0) == (UNPROVED, "7", ())
    ledger.wait(HOUR)
    ledger.deploy(of("7"), kind=ChangeKind.REPAIR)
    assert told(ledger, ledger.now + 1.0) == (RECORDED, "7", ())


def test_a_removal_that_failed_leaves_it_open():
    """The route may be gone or not."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(None, Outcome.ERRORED, taken=steps(until="switch"))
    assert told(ledger, ledger.now + 1.0) == (UNKNOWN, "7", (None,))


def test_a_first_deploy_that_failed_leaves_nothing():
    """Its candidate answered for a while; its route was taken away again."""
    ledger = Ledger()
    began = ledger.now
    ledger.deploy(of("7"), Outcome.FAILED)
    assert told(ledger, began + SWITCHED + 1.0) == (SWITCHING, None, ("7",))
    assert told(ledger, ledger.now + 1.0) == (UNPROVED, None, ())
    ledger.deploy(of("7"))
    assert told(ledger, ledger.now) == (RECORDED, "7", ())


def test_a_pass_that_never_recorded_its_end_makes_it_unknown_until_the_next_receipt():
    """It was killed, or still runs; the next pass converges and says so."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(HOUR)
    lost = ledger.start("risk")
    ledger.wait(HOUR)
    assert told(ledger, ledger.now) == (UNKNOWN, "7", ())
    stretch = line(ledger).at(ledger.now)
    assert stretch.event == lost
    assert "did not record its end" in stretch.reason
    ledger.deploy(of("8"))
    assert told(ledger, ledger.now)[:2] == (RECORDED, "8")
    assert told(ledger, ledger.now - PASS)[0] is UNKNOWN


def test_a_lost_pass_that_changed_nothing_is_over_with_the_next_proof_of_the_same():
    """The era is unbroken then."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.start("risk")
    ledger.wait(HOUR)
    ledger.deploy(of("7"), kind=ChangeKind.REPAIR)
    era = line(ledger).era(ledger.now)
    assert (era.event, told(ledger, ledger.now)[0]) == (first, RECORDED)


def test_a_lost_pass_is_about_the_services_that_it_names():
    """One that names none may be about any that there is."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("7", service="other"), service="other")
    ledger.start("risk")
    assert (told(ledger, ledger.now)[0], told(ledger, ledger.now, "other")[0]) == (UNKNOWN, RECORDED)
    ledger.start()
    assert told(ledger, ledger.now, "other")[0] is UNKNOWN


def test_a_pass_that_put_back_ends_the_doubt_of_a_lost_one():
    """It saw to it that what is recorded serves."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.start("risk")
    ledger.wait(HOUR)
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    assert told(ledger, ledger.now) == (RECORDED, "7", ())


def test_new_settings_and_repairs_do_not_break_an_era():
    """The same bundle answers before and after."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    for kind in (ChangeKind.SETTINGS, ChangeKind.REPAIR, ChangeKind.SETTINGS):
        ledger.wait(HOUR)
        ledger.deploy(of("7"), kind=kind)
    assert len([era for era in line(ledger).eras() if era.bundle]) == 1
    assert line(ledger).era(ledger.now).event == first


def test_a_repair_casts_doubt_on_the_time_before_it():
    """It found drift, and nobody knows since when; the time after it is not concerned, nor another bundle's."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    early = ledger.now
    ledger.deploy(of("8"))
    ledger.wait(HOUR)
    ledger.deploy(of("8"), kind=ChangeKind.REPAIR, reason="drift: one instance is gone")
    repaired = line(ledger).mended_after(ledger.now - HOUR)
    assert repaired is not None
    assert repaired.reason == "drift: one instance is gone"
    assert line(ledger).mended_after(early) is None
    assert line(ledger).mended_after(ledger.now) is None


def test_eras_come_in_order_and_a_bundle_may_have_several():
    """Going back to a version begins another time of it."""
    ledger = Ledger()
    for number in ("7", "8", "7"):
        ledger.deploy(of(number))
        ledger.wait(HOUR)
    eras = [era for era in line(ledger).eras() if era.bundle]
    assert [version(era.bundle) for era in eras] == ["7", "8", "7"]
    assert [era.ended for era in eras[:-1]] == [era.began for era in eras[1:]]
    assert eras[-1].ended == math.inf


def test_events_of_a_host_whose_clock_is_behind_do_not_go_back_in_time():
    """The order of the chain is the truth."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    first = ledger.now
    ledger.wait(-HOUR)
    ledger.deploy(of("8"))
    assert told(ledger, first + 1.0) == (RECORDED, "8", ())
    stretches = line(ledger).stretches
    assert all(one.ended == two.began for one, two in itertools.pairwise(stretches))


def test_what_a_newer_version_wrote_is_passed_over():
    """As in the fold."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    events = [*ledger.events, UnknownEvent("paused", "x", ENVIRONMENT, ledger.now + 5, "ada")]
    assert timelines(events) == timelines(ledger.events)


def test_the_window_is_none_for_a_pass_that_did_not_come_to_the_switch():
    """And lies within the pass where the clock was set meanwhile."""
    ledger = Ledger()
    ledger.deploy(of("7"), Outcome.ERRORED, taken=steps(until="ready"))
    event = ledger.events[-1]
    assert isinstance(event, DeployFinished)
    assert window(event, event.services["risk"], until=event.at) is None
    ledger.deploy(of("7"))
    event = ledger.events[-1]
    low, high = window(event, event.services["risk"], until=event.started_at)
    assert low == high == event.started_at


def test_every_service_is_told_at_once():
    """By name."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("3", service="other"), service="other")
    found = serving(timelines(ledger.events), ledger.now)
    assert {name: version(stretch.bundle) for name, stretch in found.items()} == {"other": "3", "risk": "7"}


# -- properties ------------------------------------------------------------------------------------------------------

ENDS = st.sampled_from(
    [
        *[(Outcome.SUCCEEDED, ChangeKind.UPDATE, "retire", False)] * 4,
        (Outcome.SUCCEEDED, ChangeKind.REPAIR, "retire", False),
        (Outcome.ROLLED_BACK, ChangeKind.UPDATE, "proof", True),
        (Outcome.ROLLED_BACK, ChangeKind.UPDATE, "golden", False),
        (Outcome.FAILED, ChangeKind.ROLLBACK, "proof", False),
        (Outcome.ERRORED, ChangeKind.ROLLBACK, "switch", False),
        (Outcome.ERRORED, ChangeKind.UPDATE, "ready", False),
        (Outcome.ERRORED, ChangeKind.UPDATE, "proof", True),
        (Outcome.ABORTED, ChangeKind.UPDATE, "switch", False),
        (Outcome.BLOCKED, ChangeKind.UPDATE, "", False),
    ]
)
PASSES = st.lists(
    st.tuples(ENDS, st.sampled_from("6789"), st.floats(0, 100), st.floats(0, 20), st.booleans(), st.booleans()),
    min_size=1,
    max_size=12,
)


def played(passes):
    """The ledger of these passes, and the truth: (moment, version) whenever what answers changes."""
    ledger, truth, live = Ledger(), [(-math.inf, None)], None
    for (outcome, kind, until, back), wanted, wait, idle, is_lost, went_on in passes:
        ledger.wait(wait)
        recorded = ledger.recorded.get("risk")
        after = recorded if kind is ChangeKind.REPAIR else of(wanted)
        if after is None or (recorded is None and outcome is not Outcome.SUCCEEDED):
            continue
        if is_lost:
            # Killed somewhere; the next pass finds it so, and what answers is either of the two.
            ledger.start("risk")
            if went_on:
                live = version(after)
                truth.append((ledger.now + 1.0, live))
            ledger.wait(60.0)
            continue
        taken = steps(until=until, back=back) if until else ()
        began = ledger.now
        ledger.deploy(after, outcome, kind=kind, taken=taken, idle=idle)
        names = [step.name for step in taken]
        if "switch" not in names:
            if outcome is Outcome.ROLLED_BACK:
                live = version(recorded)
                truth.append((ledger.now, live))
            continue
        moved = began + idle / 2 + sum(step.seconds for step in taken[: names.index("switch")]) + SWITCH / 2
        if kind is not ChangeKind.REPAIR or live != version(after):
            live = version(after)
            truth.append((moved, live))
        if back:
            live = version(recorded)
            truth.append((moved + SWITCH / 2 + sum(s.seconds for s in taken[names.index("switch") + 1 :]) - BACK / 2, live))
    return ledger, truth


@settings(max_examples=150, deadline=None)
@given(PASSES, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_it_never_says_for_sure_what_was_not_so(passes, fractions):
    """Whatever happened, the version that answered is the one recorded, among those named, or the ledger does not know."""
    ledger, truth = played(passes)
    if not ledger.events:
        return
    told_ = timelines(ledger.events)["risk"]
    edges = [at + by for at, _ in truth[1:] for by in (-SWITCH, -0.01, 0.0, 0.01, SWITCH)]
    for moment in (*edges, *(START + fraction * (ledger.now - START + 100.0) for fraction in fractions)):
        actual = [v for at, v in truth if at <= moment][-1]
        stretch = told_.at(moment)
        if stretch.certainty in (UNKNOWN, UNRECORDED):
            continue
        named = {version(stretch.bundle), *(version(other) for other in stretch.others)}
        assert actual in named, (moment, stretch)


@settings(max_examples=150, deadline=None)
@given(PASSES, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_outside_of_passes_it_agrees_with_a_naive_replay(passes, fractions):
    """Where it is sure, the fold of the events up to that moment says the same."""
    ledger, _ = played(passes)
    if not ledger.events:
        return
    spans = [(e.started_at, e.at) for e in ledger.events if isinstance(e, DeployFinished)]
    for fraction in fractions:
        moment = START + fraction * (ledger.now - START + 100.0)
        stretch = timelines(ledger.events)["risk"].at(moment)
        if stretch.certainty is not RECORDED or any(began <= moment < ended for began, ended in spans):
            continue
        replayed = fold(ENVIRONMENT, [event for event in ledger.events if event.at <= moment])
        assert stretch.bundle == replayed.bundle("risk")


@settings(max_examples=100, deadline=None)
@given(PASSES)
def test_the_stretches_have_no_gap_and_no_overlap(passes):
    """From the beginning of time to its end; eras cover what stretches cover."""
    ledger, _ = played(passes)
    for timeline in timelines(ledger.events).values():
        stretches = timeline.stretches
        assert (stretches[0].began, stretches[-1].ended) == (-math.inf, math.inf)
        assert all(one.began < one.ended for one in stretches)
        assert all(one.ended == two.began for one, two in itertools.pairwise(stretches))
        eras = timeline.eras()
        assert all(one.ended == two.began for one, two in itertools.pairwise(eras))
        assert all(timeline.era(era.began) == era for era in eras)


def test_direction_none_is_no_forward_move():
    """A failed change of settings only leaves the same bundle in place."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("7"), Outcome.ERRORED, kind=ChangeKind.SETTINGS, direction=Direction.NONE)
    assert told(ledger, ledger.now + 1.0) == (UNPROVED, "7", ())
