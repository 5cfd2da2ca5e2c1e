"""What keeps a forward move from happening now: waiting after a try, holds, policies not built, gates."""

from __future__ import annotations

import pytest
from mlrelease.history.fold import Attempt
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import ServiceReceipt
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.model.live import Role
from mlrelease.plan.classify import not_before
from mlrelease.plan.make import judge
from support.core import Story, absent, bundle, environment, instance, judged, live, model, service

SEVEN, EIGHT = environment(service()), environment(service(models={"A": "8"}))


def at_seven() -> Story:
    story = Story()
    story.apply(SEVEN)
    return story


@pytest.mark.parametrize(
    ("outcome", "count", "wait_s"),
    [
        pytest.param(Outcome.ERRORED, 1, 5, id="errored once"),
        pytest.param(Outcome.ERRORED, 2, 10, id="errored twice"),
        pytest.param(Outcome.ERRORED, 7, 320, id="errored seven times"),
        pytest.param(Outcome.ERRORED, 8, 600, id="errored eight times"),
        pytest.param(Outcome.ERRORED, 10**6, 600, id="errored for ever"),
        pytest.param(Outcome.FAILED, 1, 5, id="failed once"),
        pytest.param(Outcome.FAILED, 99, 600, id="failed for ever"),
        pytest.param(Outcome.BLOCKED, 1, 5, id="blocked once"),
        pytest.param(Outcome.BLOCKED, 10, 2560, id="blocked ten times"),
        pytest.param(Outcome.BLOCKED, 11, 3600, id="blocked hourly"),
        pytest.param(Outcome.ABORTED, 3, 0, id="interrupted"),
        pytest.param(Outcome.ROLLED_BACK, 1, 5, id="rolled back with nothing to reject"),
        pytest.param(Outcome.RUNNING, 3, 0, id="running"),
    ],
)
def test_an_agent_waits_longer_after_each_try(outcome, count, wait_s):
    """Doubling from five seconds to a bound; what a gate shut is asked hourly."""
    assert not_before(Attempt(outcome, "", count, 1000.0)) == 1000.0 + wait_s


def test_an_errored_try_rejects_nothing_and_waits():
    """An agent waits, and then tries again."""
    story = at_seven()
    story.err(EIGHT)
    assert story.history.rejections == ()
    waiting = story.change(EIGHT, impatient=False, now=story.now + 4.9)
    assert (waiting.kind, waiting.blocked_by) == (ChangeKind.UPDATE, "waiting")
    assert waiting.blocked == "errored: MLflow did not answer; tried once"
    assert story.change(EIGHT, impatient=False, now=story.now + 5.0).acts


def test_a_candidate_of_a_bundle_that_waits_is_no_leftover():
    """The next try takes it over; of a rejected bundle there is none, so there it is stopped."""
    candidate = instance(bundle(models={"A": "8"}), 3, role=Role.CANDIDATE)
    observation = live(bundle(), extra=[candidate])
    story = at_seven()
    story.err(EIGHT)
    assert story.change(EIGHT, observation=observation, impatient=False).blocked_by == "waiting"
    story.fail(EIGHT)
    mended = story.change(EIGHT, observation=observation, impatient=False)
    assert (mended.kind, mended.after) == (ChangeKind.REPAIR, bundle())
    assert mended.drift == (f"leftover {candidate.id}: of bundle {candidate.bundle}",)


def test_a_persons_deploy_does_not_wait():
    """Somebody asked: now."""
    story = at_seven()
    story.err(EIGHT)
    assert story.change(EIGHT, impatient=True).acts


def test_a_repair_that_failed_waits_and_then_tries_again():
    """What is recorded cannot be mended now: an agent does not write two events a second about it."""
    story = at_seven()
    one_dead = live(bundle(), replicas=1)
    seven = bundle()
    failed = ServiceReceipt(Outcome.ERRORED, ChangeKind.REPAIR, Direction.NONE, "no memory", seven, seven)
    story.finish({"risk": failed})
    waiting = story.change(SEVEN, observation=one_dead, impatient=False, now=story.now + 4.9)
    assert (waiting.kind, waiting.blocked_by, waiting.blocked) == (
        ChangeKind.REPAIR,
        "waiting",
        "errored: no memory; tried once",
    )
    assert story.change(SEVEN, observation=one_dead, impatient=False, now=story.now + 5.0).acts
    assert story.change(SEVEN, observation=one_dead, impatient=True).acts


def test_a_repair_that_failed_does_not_hurry_what_git_wants():
    """Each bundle has its own wait: neither try forgets the other's."""
    story = at_seven()
    for _ in range(8):
        story.err(EIGHT)
    seven = bundle()
    story.finish({"risk": ServiceReceipt(Outcome.ERRORED, ChangeKind.REPAIR, Direction.NONE, "no memory", seven, seven)})
    change = story.change(EIGHT, observation=live(seven, replicas=1), impatient=False)
    assert (change.kind, change.blocked_by) == (ChangeKind.UPDATE, "waiting")


def test_another_bundle_does_not_wait():
    """The wait is for the bundle that was tried."""
    story = at_seven()
    story.err(EIGHT)
    assert story.change(environment(service(models={"A": "9"})), impatient=False).acts
    assert story.change(SEVEN, impatient=False).kind is ChangeKind.NOOP


def test_a_rollback_that_errored_waits_too():
    """It is tried again, not all the time."""
    story = at_seven()
    story.apply(EIGHT)
    story.err(SEVEN)
    assert story.change(SEVEN, impatient=False).blocked_by == "waiting"
    later = story.change(SEVEN, impatient=False, now=story.now + 5.0)
    assert (later.kind, later.acts) == (ChangeKind.ROLLBACK, True)


@pytest.mark.parametrize("name", ["risk", ""], ids=["of the service", "of the environment"])
def test_a_hold_blocks_forward_only(name):
    """Updates and first deploys wait; rollback, repair, settings and removal pass."""
    story = at_seven()
    story.apply(EIGHT)
    story.hold(name)
    forward = story.change(environment(service(models={"A": "9"})))
    assert (forward.kind, forward.blocked_by, forward.blocked) == (ChangeKind.UPDATE, "hold", "held by ada: freeze")
    passing = {
        ChangeKind.ROLLBACK: story.change(SEVEN),
        ChangeKind.REPAIR: story.change(EIGHT, observation=live(bundle(models={"A": "8"}), replicas=1)),
        ChangeKind.SETTINGS: story.change(environment(service(models={"A": "8"}, replicas=3))),
        ChangeKind.REMOVE: story.change(environment(absent())),
    }
    assert {kind: (change.kind, change.acts) for kind, change in passing.items()} == {kind: (kind, True) for kind in passing}


def test_a_hold_blocks_a_first_deploy():
    """It is forward."""
    story = Story()
    story.hold()
    assert story.change(SEVEN).blocked_by == "hold"


def test_a_hold_on_another_service_blocks_nothing_here():
    """Holds are of a service or of the environment."""
    story = at_seven()
    story.hold("churn")
    assert story.change(EIGHT).acts


def test_a_hold_ends_by_itself():
    """From its end on it is as if lifted."""
    story = at_seven()
    story.hold("risk", for_s=3600)
    assert story.change(EIGHT, now=story.now + 3599).blocked_by == "hold"
    assert story.change(EIGHT, now=story.now + 3600).acts


def test_a_lifted_hold_blocks_no_more():
    """The one on the service, and only that one."""
    story = at_seven()
    story.hold("risk")
    story.unhold()
    assert story.change(EIGHT).blocked_by == "hold"
    story.unhold("risk")
    assert story.change(EIGHT).acts


POLICIES = [
    pytest.param({"approval_required": True}, "approval", id="approval"),
    pytest.param({"promotes_from": "staging"}, "promotion:errored", id="a source that cannot be read"),
    pytest.param({"soak_s": 60.0}, "promotion", id="a soak without a source"),
]


@pytest.mark.parametrize(("policy", "blocked_by"), POLICIES)
def test_a_policy_that_is_not_kept_fails_closed(policy, blocked_by):
    """Forward moves and first deploys are blocked rather than let through unasked."""
    held = environment(service(models={"A": "8"}), **policy)
    update, birth = at_seven().change(held), Story().change(held)
    assert (update.kind, update.blocked_by) == (ChangeKind.UPDATE, blocked_by)
    assert (birth.kind, birth.blocked_by) == (ChangeKind.CREATE, blocked_by)


@pytest.mark.parametrize(("policy", "_blocked_by"), POLICIES)
def test_a_policy_lets_rollback_and_repair_pass(policy, _blocked_by):
    """They are not what it is for."""
    story = at_seven()
    story.apply(EIGHT)
    assert story.change(environment(service(), **policy)).kind is ChangeKind.ROLLBACK
    assert story.change(environment(service(), **policy)).acts
    broken = live(bundle(models={"A": "8"}), replicas=1)
    assert story.change(environment(service(models={"A": "8"}), **policy), observation=broken).kind is ChangeKind.REPAIR


def test_the_first_reason_is_the_one_that_lasts():
    """A rejection is named before a wait, a wait before a hold, a hold before a policy."""
    story = at_seven()
    strict = environment(service(models={"A": "8"}), approval_required=True)
    assert story.change(strict, impatient=False).blocked_by == "approval"
    story.hold("risk")
    assert story.change(strict, impatient=False).blocked_by == "hold"
    story.unhold("risk")
    story.err(EIGHT)
    story.hold("risk")
    assert story.change(strict, impatient=False, now=story.now - 60).blocked_by == "waiting"
    story.reject("risk", (model_key("A"), model("A", "8").digest))
    assert story.change(strict, impatient=False, now=story.now - 120).blocked_by == "rejected"


def gate(name, status, skip=None):
    return GateResult(name, "model:A", status, f"{name} says so", skip_reason=skip)


PASSED = gate("exists", GateStatus.PASSED)


@pytest.mark.parametrize(
    ("results", "blocked_by", "blocked"),
    [
        pytest.param((PASSED,), "", "", id="all passed"),
        pytest.param((PASSED, gate("metric", GateStatus.SKIPPED, SkipReason.ROLLBACK)), "", "", id="one skipped with a reason"),
        *(
            pytest.param(
                (PASSED, gate("digest", status)),
                f"gate:digest:{status}",
                f"gate digest {status} for model:A: digest says so",
                id=f"one {status}",
            )
            for status in (GateStatus.FAILED, GateStatus.ERRORED, GateStatus.INCONCLUSIVE, GateStatus.SKIPPED)
        ),
        pytest.param(
            (gate("digest", GateStatus.FAILED), PASSED, gate("metric", GateStatus.ERRORED)),
            "gate:digest:failed",
            "gate digest failed for model:A: digest says so (and 1 more)",
            id="two shut",
        ),
    ],
)
def test_a_gate_that_does_not_open_blocks_the_change(results, blocked_by, blocked):
    """The first that shuts is named, and every result is kept."""
    plan = judge(at_seven().plan(EIGHT), {"risk": results})
    (change,) = plan.changes
    assert (change.blocked_by, change.blocked, change.gate_results) == (blocked_by, blocked, results)
    assert change.acts is (not blocked_by)


def test_gates_of_one_service_do_not_block_another():
    """Services are independent."""
    files = environment(service("churn"), service("risk"))
    plan = judge(Story().plan(files), {"churn": (gate("digest", GateStatus.FAILED),), "risk": (PASSED,)})
    assert [c.service for c in plan.acting] == ["risk"]


def test_what_is_blocked_already_keeps_its_reason():
    """A gate does not hide a hold."""
    story = at_seven()
    story.hold("risk")
    plan = judge(story.plan(EIGHT), {"risk": (gate("digest", GateStatus.FAILED),)})
    assert plan.changes[0].blocked_by == "hold"


def test_only_moves_are_judged():
    """A noop, a repair, a settings change, a removal and a blocked Change have no pins to judge; a first deploy has all."""
    story = at_seven()
    unjudged = (
        story.change(SEVEN),
        story.change(SEVEN, observation=live(bundle(), replicas=1)),
        story.change(environment(service(replicas=3))),
        story.change(environment(absent())),
    )
    assert [judged(change) for change in unjudged] == [()] * 4
    story.hold("risk")
    assert judged(story.change(EIGHT)) == ()
    first = Story().change(environment(service(models={"A": "7", "B": "1"})))
    assert judged(first) == ((model("A", "7"), False), (model("B", "1"), False))
