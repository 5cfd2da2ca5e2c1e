"""Single deeds, as the KPIs add them up: what counts as failed, from when to when it was restored, and by which commits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from mlrelease.history.deeds import UNDONE_WITHIN_S, Failure, deeds, waits
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Approved, Step
from support.core import ENVIRONMENT
from support.receipts import AFTER, BACK, DAY, NOWHERE, PASS, SWITCH, Branch, Ledger, of, steps

FAILED = steps(until="proof")


def told(ledger, branch=None):
    return deeds(ledger.events, ENVIRONMENT, branch.landings if branch else NOWHERE)


def newest(ledger, branch=None):
    return told(ledger, branch)[-1]


# -- failure and restoring ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.SUCCEEDED, ChangeKind.UPDATE),
        (Outcome.ERRORED, ChangeKind.UPDATE),
        (Outcome.FAILED, ChangeKind.ROLLBACK),
        (Outcome.FAILED, ChangeKind.REPAIR),
        (Outcome.ROLLED_BACK, ChangeKind.SETTINGS),
    ],
    ids=["it succeeded", "it could not tell", "a rollback", "a repair", "new settings"],
)
def test_what_is_no_failed_change_is_restored_from_nothing(outcome, kind):
    """Though its traffic moved: there is no time in which something bad served."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), outcome, kind=kind, taken=FAILED)
    assert (newest(ledger).failure, newest(ledger).restore, newest(ledger).is_open) == (None, None, False)


def test_an_errored_change_is_not_made_a_failed_one_by_a_later_rollback():
    """It said nothing of the version, and never served."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    ledger.deploy(of("9"), Outcome.ERRORED)
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    assert [deed.failure for deed in told(ledger)] == [None, Failure.UNDONE, None, None]


def test_a_week_to_the_second_is_within_it():
    """A second more is not."""
    for late, failure in ((0.0, Failure.UNDONE), (1.0, None)):
        ledger = Ledger()
        ledger.deploy(of("7"))
        ledger.deploy(of("8"))
        ledger.wait(UNDONE_WITHIN_S - PASS + late)
        ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
        assert told(ledger)[1].failure is failure


@pytest.mark.parametrize(
    ("taken", "restore"),
    [
        (steps(until="proof", back=True), SWITCH + AFTER[0][1] + BACK),
        (steps(until="proof"), SWITCH + AFTER[0][1]),
        ((*steps(until="proof", back=True), Step("retire", 100.0)), SWITCH + AFTER[0][1] + BACK),
        (steps(until="golden"), None),
        ((), None),
    ],
    ids=[
        "from the switch to the switch back",
        "without one, to the last step",
        "what comes after it does not count",
        "without a switch nothing served",
        "without steps nobody knows",
    ],
)
def test_an_automatic_rollback_is_restored_by_its_own_pass(taken, restore):
    """The seconds in which the candidate had the traffic."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.ROLLED_BACK, taken=taken)
    assert newest(ledger).restore == (None if restore is None else Decimal(str(restore)).quantize(Decimal("0.001")))
    assert newest(ledger).is_open is False


def test_one_that_was_not_put_back_is_open_until_anything_is_proved():
    """A repair is a proof as well; a try that failed is none."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.FAILED, taken=FAILED)
    assert (newest(ledger).restore, newest(ledger).is_open) == (None, True)
    ledger.wait(10.0)
    ledger.deploy(of("9"), Outcome.FAILED, taken=())
    ledger.deploy(of("7"), kind=ChangeKind.REPAIR, taken=())
    found = told(ledger)[1]
    assert (found.restore, found.is_open) == (Decimal("15.000"), False)


def test_one_that_a_person_undid_is_restored_by_what_moves():
    """Repairs of the bad version prove only that the bad version answers."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), taken=())
    ledger.wait(100.0)
    ledger.deploy(of("8"), kind=ChangeKind.REPAIR, taken=())
    ledger.wait(100.0)
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK, taken=())
    assert (told(ledger)[1].failure, told(ledger)[1].restore) == (Failure.UNDONE, Decimal("200.000"))


# -- what counts, and what is counted ----------------------------------------------------------------------------------


def test_seconds_and_steps_are_those_of_the_receipt():
    """A step that was done twice counts with both; of what was not proved the steps are not told."""
    ledger = Ledger()
    taken = (Step("ready", 1.5), Step("switch", 0.25), Step("ready", 2.0))
    ledger.deploy(of("7"), taken=taken)
    ledger.deploy(of("8"), Outcome.FAILED, taken=taken)
    good, bad = told(ledger)
    assert good.took == bad.took == Decimal("3.750")
    assert (good.steps, bad.steps) == ({"ready": Decimal("3.500"), "switch": Decimal("0.250")}, {})


@pytest.mark.parametrize(
    ("status", "skip", "shut"),
    [
        ("passed", None, ()),
        ("skipped", "waived", ()),
        ("skipped", None, ("a", "b")),
        ("skipped", "", ("a", "b")),
        ("failed", None, ("a", "b")),
        ("errored", None, ("a", "b")),
        ("inconclusive", None, ("a", "b")),
        ("", None, ("a", "b")),
        ("PASSED", None, ("a", "b")),
    ],
)
def test_a_gate_shuts_unless_it_passed_or_was_skipped_for_a_reason(status, skip, shut):
    """Each once, by name; a word of another version opens nothing."""
    results = [{"gate": gate, "status": status, "skip_reason": skip} for gate in ("b", "a", "b")]
    ledger = Ledger()
    ledger.deploy(of("7"), Outcome.ERRORED, taken=(), gates=results)
    assert (newest(ledger).gates, newest(ledger).acted) == (shut, not shut)


def test_a_gate_without_a_name_is_one_all_the_same():
    """A receipt that somebody else wrote."""
    ledger = Ledger()
    ledger.deploy(of("7"), Outcome.BLOCKED, taken=(), gates=[{"status": "failed"}])
    assert newest(ledger).gates == ("",)


def test_a_gate_that_shut_in_the_middle_of_a_pass_does_not_undo_that_it_acted():
    """It touched the target: what it took counts, and the gate is not counted as a block."""
    ledger = Ledger()
    ledger.deploy(of("7"), Outcome.FAILED, taken=FAILED, gates=[{"gate": "smoke", "status": "failed"}])
    assert (newest(ledger).acted, newest(ledger).gates) == (True, ())


# -- the commit behind it ----------------------------------------------------------------------------------------------


def pinned(kind=ChangeKind.UPDATE, outcome=Outcome.SUCCEEDED, **hold):
    """Version 8, pinned by a commit a day before its pass; 7 was there before."""
    ledger, branch = Ledger(), Branch()
    first = branch.pin(of("7"), ledger.now)
    ledger.deploy(of("7"), revision=first)
    second = branch.pin(of("8"), ledger.now, authored=ledger.now - DAY)
    if hold:
        ledger.hold(**hold)
    ledger.wait(DAY - PASS)
    ledger.deploy(of("8"), outcome, kind=kind, revision=second, taken=None if outcome is Outcome.SUCCEEDED else ())
    return ledger, branch


@pytest.mark.parametrize("kind", [ChangeKind.UPDATE, ChangeKind.ROLLBACK])
def test_what_moved_has_the_time_since_it_was_written_and_since_it_landed(kind):
    """To the proof, in seconds."""
    assert (newest(*pinned(kind)).authored, newest(*pinned(kind)).landed) == (Decimal("172800.000"), Decimal("86400.000"))


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (ChangeKind.REPAIR, Outcome.SUCCEEDED),
        (ChangeKind.SETTINGS, Outcome.SUCCEEDED),
        (ChangeKind.UPDATE, Outcome.FAILED),
        (ChangeKind.UPDATE, Outcome.ERRORED),
    ],
)
def test_what_moved_no_pin_or_was_not_proved_has_no_commit(kind, outcome):
    """There is no lead time of it."""
    assert (newest(*pinned(kind, outcome)).authored, newest(*pinned(kind, outcome)).landed) == (None, None)


@pytest.mark.parametrize(
    ("hold", "placed"),
    [({}, True), ({"pinned_to": ""}, True), ({"pinned_to": "c0ffee"}, False), ({"service": "other", "pinned_to": "x"}, True)],
    ids=["no hold", "a freeze", "a rollback's commit", "a rollback of another service"],
)
def test_under_a_held_commit_the_branch_says_nothing(hold, placed):
    """What was applied came from the commit of the hold, which is on no line of the branch."""
    assert (newest(*pinned(**hold)).landed is not None) is placed


@pytest.mark.parametrize(("named", "placed"), [("", True), ("its own", True), ("another", False)])
def test_once_the_hold_is_lifted_the_branch_counts_again(named, placed):
    """By its own id, or all of the service's; the end of another hold is not its end."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), ledger.now))
    hold = ledger.hold(pinned_to="c0ffee")
    ledger.unhold()
    ledger.events[-1] = replace(ledger.events[-1], hold={"": "", "its own": hold, "another": "e99"}[named])
    ledger.deploy(of("8"), revision=branch.pin(of("8"), ledger.now))
    assert (newest(ledger, branch).landed is not None) is placed


# -- approvals ---------------------------------------------------------------------------------------------------------


def waited(branch, before, after, at):
    """The seconds that an approval of this move waited."""
    pairs = [tuple(sorted(one.components().items())) if one else () for one in (before, after)]
    event = Approved("e1", ENVIRONMENT, at, "ada", "risk", *pairs, approver="grace", expires_at=at + DAY)
    (wait,) = waits([event], ENVIRONMENT, branch.landings)
    return wait.waited


def test_an_approval_of_two_pins_waited_since_the_later_of_their_commits():
    """Before that there was nothing whole to approve."""
    branch = Branch()
    branch.pin(of("7"), 1000.0)
    branch.pin(of("8"), 2000.0)
    branch.pin(of("8", tag="2"), 5000.0)
    assert waited(branch, of("7"), of("8", tag="2"), 5060.0) == Decimal("60.000")


def test_where_one_of_two_commits_was_not_found_nobody_knows():
    """Half an answer would be too short."""
    branch = Branch()
    branch.pin(of("8"), 2000.0)
    assert waited(branch, of("7"), of("8", tag="2"), 5060.0) is None


def test_settings_have_no_digest_in_a_file_and_do_not_count():
    """A move of pins and settings waited since the pins."""
    branch = Branch()
    branch.pin(of("8"), 2000.0)
    assert waited(branch, of("7"), of("8", MODE="fast"), 2030.0) == Decimal("30.000")
    assert waited(branch, of("8"), of("8", MODE="fast"), 2030.0) is None
