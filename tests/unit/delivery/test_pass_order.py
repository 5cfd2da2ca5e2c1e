"""A pass among others: the lock, a history that moves, an order that cannot be told, what is worst, and what is reaped."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from mlrelease.delivery import lock as locks
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.lock import LockHeld, PlanStale, take
from mlrelease.delivery.passes import PLAN_TRIES, ROLLBACK, changed_anything, look, run_pass
from mlrelease.delivery.staleness import KNOWN_REWRITTEN
from mlrelease.delivery.upstream import source_history
from mlrelease.errors import Error
from mlrelease.ledger.lock import this_owner
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import DeployFinished, DeployStarted, Held, Owner
from mlrelease.model.live import Role
from structlog.testing import capture_logs

ELSEWHERE = Owner("web-2", 77, 1.0, "mlrelease deploy", "m/b/n")


def started(place, owner=ELSEWHERE, *, expires_in=600.0):
    """Somebody's pass that began and has not ended."""
    one = DeployStarted("01OTHER", "production", place.clock, "bob", "r1" * 20, "deploy", owner, place.clock + expires_in)
    place.ledger.append([one])
    return one


def took(place, **changes):
    terms = {"new_id": place.ids, "actor": "ada", "revision": "r1", "trigger": "agent", "services": ("wine",), "run_id": "7"}
    return take(place.site(), place.history(), **(terms | changes))


def word(place, name="01WORD"):
    place.ledger.append([Held(name, "production", place.clock, "bob", "wait", "tea")])


def test_the_start_says_all_that_a_lock_must_say(place):
    """Who, for whom, of what, until when; the height after it is the fencing number."""
    word(place)
    lock = took(place)
    one = place.ledger.told[-1]
    assert lock.started == one
    assert lock.height == 2
    assert (one.actor, one.revision, one.trigger, one.services, one.run_id) == ("ada", "r1", "agent", ("wine",), "7")
    assert (one.at, one.expires_at, one.supersedes) == (place.clock, place.clock + 900.0, "")
    assert one.owner == this_owner("mlrelease agent")


def test_a_lock_that_is_held_is_said_with_its_holder(place):
    """Environment, process, person, commit; and what to do."""
    holder = started(place)
    with pytest.raises(LockHeld) as caught:
        took(place)
    assert caught.value.message == ("production is locked by mlrelease deploy on web-2 (pid 77), working for bob on r1r1r1r1r")
    assert caught.value.hint == "wait for it, or give it longer: --lock-timeout SECONDS"
    assert (caught.value.where, caught.value.holder) == ("mlrelease deploy on web-2 (pid 77)", holder)
    assert place.ledger.told == [holder]


@pytest.mark.parametrize(
    ("owner", "expires_in"),
    [
        (ELSEWHERE, 0.0),
        (replace(this_owner(), pid=2**22 + 1), 600.0),
        (replace(this_owner(), process_started=1.0), 600.0),
        (this_owner("mlrelease deploy"), 600.0),
    ],
    ids=[
        "its time ends this very moment",
        "its process is gone",
        "its pid is another process now",
        "it is this process, whose pass ended in an error",
    ],
)
def test_a_holder_that_is_gone_is_superseded_by_name(place, owner, expires_in):
    """At once: nobody waits for a dead process."""
    started(place, owner, expires_in=expires_in)
    assert took(place).started.supersedes == "01OTHER"
    assert took(place).started.supersedes == place.ledger.told[-2].id


def test_a_history_that_moved_while_it_was_planned_takes_no_lock(place):
    """Somebody wrote between the look and the start: the plan is made anew."""
    site, history = place.site(), place.history()
    word(place)
    with pytest.raises(PlanStale):
        take(site, history, new_id=place.ids, actor="", revision="", trigger="", services=(), run_id="")
    assert len(place.ledger.told) == 1


def test_a_pass_plans_anew_when_somebody_was_faster(place):
    """And sees what was written: here a hold on another service."""
    place.ledger.before_append = lambda: word(place)
    result = place.run()
    assert result.receipts["wine"].outcome is Outcome.SUCCEEDED
    assert [type(event).__name__ for event in place.ledger.told] == ["Held", "DeployStarted", "DeployFinished"]
    assert place.target.highest == 2


def test_a_history_that_never_rests_ends_in_an_error_with_the_way_out(place):
    """After as many tries as it has patience."""
    numbers = itertools.count()

    def meddle():
        word(place, f"01WORD{next(numbers)}")
        place.ledger.before_append = meddle

    place.ledger.before_append = meddle
    with pytest.raises(Error) as caught:
        place.run()
    assert (caught.value.message, caught.value.hint) == ("the ledger kept moving while this pass planned", "run it again")
    assert next(numbers) > PLAN_TRIES
    assert place.target.instances == {}


def test_a_pass_waits_for_a_lock_and_goes_on_when_it_is_given_back(place, monkeypatch):
    """Within its patience; the plan is made after the other one's receipt."""
    holder = started(place)

    def gives_back(until):
        done = DeployFinished("01DONE", "production", place.clock, "bob", "r1", "deploy", holder.id, place.clock, {})
        place.ledger.append([done])
        return True

    monkeypatch.setattr(locks, "wait", gives_back)
    assert place.run(lock_timeout_s=60.0).receipts["wine"].outcome is Outcome.SUCCEEDED


def test_a_lock_that_is_not_given_back_in_time_is_an_error_and_nothing_moves(place):
    """The holder is named."""
    started(place, expires_in=1e6)
    with pytest.raises(LockHeld):
        place.run()
    assert (len(place.ledger.told), place.target.calls) == (1, [])


def test_a_pass_with_nothing_to_do_needs_no_lock(running):
    """It writes nothing and waits for nobody."""
    started(running, expires_in=1e6)
    result = running.run()
    assert (result.finished, dict(result.receipts)) == (None, {})
    assert not changed_anything(result)


def test_waiting_ends_at_its_deadline(monkeypatch):
    """True while there is time left."""
    monkeypatch.setattr(locks, "LOCK_POLL_S", 0.0)
    assert locks.wait(float("inf"))
    assert not locks.wait(float("-inf"))


def test_a_broken_ledger_stops_everything_with_the_way_out(running):
    """Nothing is planned on a history that was tampered with."""
    running.ledger.broken = "B.json does not follow A.json"
    running.bump("wine", "2")
    with pytest.raises(Error) as caught:
        running.run()
    assert caught.value.message == ("the ledger of production does not hold together: B.json does not follow A.json")
    assert running.target.calls == []


# -- which commit is newer ------------------------------------------------------------------------------------------------


def test_an_older_tip_is_refused_by_name(running):
    """A branch that was moved back is an old job."""
    running.bump("wine", "2")
    running.run()
    with pytest.raises(Error) as caught:
        running.run(revision="r1")
    assert caught.value.message == "origin/main is at r1, which is older than what was applied here: r2"
    assert caught.value.hint == ("to go back, revert: git revert, or mlrelease rollback; the branch must not be moved back")


@pytest.fixture
def unknown(running):
    """The applied commit is not in this clone; version 2 is wanted."""
    running.line.gone = {"r1"}
    running.bump("wine", "2")
    return running


@pytest.mark.parametrize(
    ("online", "way"),
    [
        (True, "git config mlrelease.rewritten r1 in this clone, if the branch was rewritten on purpose"),
        (False, "the git host does not answer; it goes on by itself when it does"),
    ],
)
def test_an_order_that_cannot_be_told_moves_nothing(unknown, online, way):
    """Errored with the way out; asked for at the host, once, where there is one."""
    result = unknown.run(online=online)
    (change,) = result.plan.changes
    why = f"whether r2 is newer than what was applied here cannot be told: r1 is not in this clone ({way})"
    assert (change.blocked, change.blocked_by) == (why, "order:errored")
    assert (exit_code(result), result.finished) == (1, None)
    assert unknown.line.fetches == ([("origin", "r1")] if online else [])
    assert unknown.live() == {"wine": unknown.history().bundle("wine").id}


def test_what_the_host_still_has_settles_it(unknown):
    """It is fetched by its id, and the tip is newer."""
    unknown.line.brings = {"r1"}
    assert unknown.run().receipts["wine"].outcome is Outcome.SUCCEEDED


def test_a_host_that_fails_meanwhile_settles_nothing(unknown):
    """Logged with the commit; the pass goes on with what it knows."""
    unknown.line.away = True
    with capture_logs() as lines:
        assert exit_code(unknown.run()) == 1
    assert ("what was applied could not be fetched", "r1") in [(line["event"], line.get("revision")) for line in lines]


def test_a_person_who_knows_settles_it_for_that_commit_alone(unknown):
    """Another commit's name does nothing."""
    unknown.line.settings[KNOWN_REWRITTEN] = "r0"
    assert exit_code(unknown.run()) == 1
    unknown.line.settings[KNOWN_REWRITTEN] = "r1"
    assert exit_code(unknown.run()) == 0


def test_a_rollback_by_a_person_asks_for_no_order(unknown):
    """The way back is open whatever became of the branch."""
    assert unknown.run(trigger=ROLLBACK).receipts["wine"].outcome is Outcome.SUCCEEDED


def test_a_repair_goes_on_without_an_order(unknown):
    """It moves nothing: what is recorded is started again."""
    unknown.want(unknown.service("wine", "1"))
    del unknown.target.instances["wine-1"]
    result = unknown.run()
    assert result.receipts["wine"].change is ChangeKind.REPAIR
    assert result.receipts["wine"].outcome is Outcome.SUCCEEDED


# -- after the pass -------------------------------------------------------------------------------------------------------


@pytest.fixture
def warm(running):
    """Version 2 runs, version 1 is warm."""
    running.bump("wine", "2")
    running.run()
    running.target.calls.clear()
    running.clock = max(i.until for i in running.target.instances.values())
    return running


def quietly(place):
    """A pass at this very moment."""
    return run_pass(place.site(), place.desired(), place.order())


@pytest.mark.parametrize(("later", "left"), [(-0.5, 4), (0.0, 2)], ids=["a moment before its time", "at its time"])
def test_a_later_pass_stops_warm_instances_at_their_time(warm, later, left):
    """Under the number of the history; no event is written for it."""
    warm.clock += later
    height = warm.history().height
    assert quietly(warm).finished is None
    assert len(warm.target.instances) == left
    assert warm.history().height == height
    assert warm.target.calls[:1] == ([] if left == 4 else [("prepare", str(height))])


def test_a_newer_pass_reaps_for_itself(warm):
    """Fenced housekeeping is no error."""
    warm.target.highest = 10**6
    assert quietly(warm).finished is None
    assert sum(i.role is Role.WARM for i in warm.target.instances.values()) == 2


def test_what_is_left_to_do_after_a_recorded_pass_cannot_undo_it(running):
    """The alias queue cannot be written: a word in the log, no more."""
    (running.root / "state" / "aliases.json").unlink()
    (running.root / "state" / "aliases.json").mkdir()
    running.bump("wine", "2")
    with capture_logs() as lines:
        result = running.run()
    assert exit_code(result) == 0
    assert "after the pass" in [line["event"] for line in lines]


def test_the_source_s_history_is_read_from_the_same_branch(place):
    """None where nothing is promoted from, and where its chain does not hold: then its gate errs, and nothing else."""
    site = place.site()
    assert source_history(site) is None
    word(place)
    staged = replace(site, environment=replace(place.environment, promotes_from="production"))
    assert source_history(staged).height == 1
    place.ledger.broken = "B does not follow A"
    with capture_logs() as lines:
        assert source_history(staged) is None
    assert [(line["environment"], line["error"]) for line in lines] == [("production", "B does not follow A")]


def test_a_shut_gate_is_written_once_and_then_stands(running):
    """The receipt names what was asked; the next look writes nothing, and the ledger does not grow with each poll."""
    running.bump("wine", "2")
    running.registry.delete("wine", "2")
    result = running.run(impatient=False)
    receipt = result.receipts["wine"]
    assert (receipt.outcome, receipt.after, receipt.steps) == (Outcome.BLOCKED, running.bundle(), ())
    assert [r["status"] for r in receipt.gate_results if r["gate"] == "exists"] == ["failed"]
    assert exit_code(result) == 5
    assert ("prepare", "4") not in running.target.calls, "nothing is claimed on the target for a word"
    height = running.history().height
    running.clock += 1
    again = run_pass(running.site(), running.desired(), running.order(impatient=False))
    assert (again.finished, running.history().height, exit_code(again)) == (None, height, 5)


def test_looking_changes_nothing_and_asks_nobody_it_was_not_told_to(place):
    """A plan without the target's and the gates' word."""
    plan, history, observation = look(place.site(), place.desired(), observe=False, judged=False)
    assert (plan.changes[0].kind, plan.changes[0].gate_results, observation) == (ChangeKind.CREATE, (), None)
    assert (history.height, place.target.calls, place.ledger.told, place.registry.described) == (0, [], [], [])


# -- what waits for the git host ------------------------------------------------------------------------------------------


def test_what_waits_is_brought_over_by_a_pass_with_nothing_to_do(running):
    """The receipt of the pass before lies in the spool, and somebody waits for it."""
    running.ledger.waiting = 2
    result = running.run()
    assert (result.finished, result.spooled, running.ledger.waiting) == (None, 0, 0)


def test_while_the_host_is_away_it_goes_on_waiting(running):
    """Nobody is asked in vain."""
    running.ledger.waiting, running.ledger.away, running.ledger.refuses = 2, True, AssertionError("asked in vain")
    assert running.run().spooled == 2


def test_a_host_that_refuses_it_ends_no_pass(running):
    """Said in the log, and tried again at the next look."""
    running.ledger.waiting, running.ledger.refuses = 2, Error("origin refused the push: protected branch")
    with capture_logs() as lines:
        result = running.run()
    assert (exit_code(result), result.spooled) == (0, 2)
    (line,) = [line for line in lines if line["event"] == "what waits in the spool was not taken"]
    assert (line["waiting"], line["error"]) == (2, "origin refused the push: protected branch")
