"""Whether the host has dealt with a revision, told from receipts, plan and heartbeat: each case with its exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.delivery.waiting import life, standing
from mlrelease.history.dealings import dealings
from mlrelease.model.beat import SILENT_S, Beat, Blocked
from mlrelease.model.change import ChangeKind, Outcome
from support.core import Story, environment, service

TIP = "abc"  # the revision of what a Story plans and records
ONE, TWO = environment(service()), environment(service(models={"A": "8"}))
BOTH = environment(service(), service("fraud", {"B": "1"}))


@pytest.fixture
def story():
    """Version 7 of A is deployed and proved at the tip."""
    story = Story()
    story.apply(ONE)
    return story


def beat(story, **other):
    """The agent's word after a pass in which nothing was to be done."""
    said = Beat(story.now, TIP, story.history.height, 0, "nothing to do", {"risk": "InSync"}, {"risk": "Healthy"})
    return replace(said, **other)


def judge(story, env=ONE, said=None, *, revision=TIP):
    plan = story.plan(env, observation=None, impatient=False, revision=revision)
    return standing(plan, story.history, dealings(story.events, revision), said)


def words(found):
    return {s.change.service: (s.word, s.code) for s in found.services}


def test_a_receipt_at_the_revision_is_the_answer_without_any_heartbeat(story):
    """The host wrote it down: that is proof enough."""
    found = judge(story)
    assert (found.code, words(found)) == (0, {"risk": ("succeeded", 0)})
    assert found.services[0].dealt.event.id == "e1"


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.ROLLED_BACK, 6), (Outcome.FAILED, 1), (Outcome.ERRORED, 1), (Outcome.BLOCKED, 5)],
    ids=["rolled back", "failed", "errored", "shut by a gate"],
)
def test_a_bad_receipt_gives_its_own_exit_code(story, outcome, code):
    """As `deploy` on the host would have ended."""
    story.fail(TWO, outcome, "golden rows differ")
    found = judge(story, TWO)
    assert (found.code, words(found)) == (code, {"risk": (outcome.value, code)})
    assert found.services[0].why == "golden rows differ"


def test_a_pass_that_was_interrupted_is_not_the_end(story):
    """The agent takes it up again when it is back."""
    story.err(TWO, Outcome.ABORTED)
    assert judge(story, TWO).code is None


def test_what_is_still_to_be_done_is_waited_for(story):
    """Nobody has come to it; then somebody is at work."""
    found = judge(story, TWO, beat(story), revision="new")
    assert (found.code, words(found)) == (None, {"risk": ("waits for its update", None)})
    assert "the agent has not come to it" in found.line
    story.start()
    assert "process on host (pid 1) is at work" in judge(story, TWO).line


def test_a_repair_of_what_is_recorded_does_not_answer_for_what_waits(story):
    """The tip's move is held; at the same revision an instance that had died was started again."""
    story.hold("risk")
    (change,) = story.plan(ONE).changes
    repaired = replace(story.succeeded(ONE, change), change=ChangeKind.REPAIR)
    story.finish({"risk": repaired}, revision="new")
    found = judge(story, TWO, revision="new")
    assert (found.code, words(found)) == (5, {"risk": ("blocked", 5)})


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda s: None, None),
        (lambda s: beat(s, revision="new"), 0),
        (lambda s: beat(s, revision="old"), None),
        (lambda s: beat(s, revision="new", height=s.history.height - 1), None),
        (lambda s: beat(s, revision="new", height=-1, exit_code=-1), None),
        (lambda s: beat(s, revision="new", sync={"risk": "Drifted"}), None),
        (lambda s: beat(s, revision="new", sync={"fraud": "InSync"}), None),
        (lambda s: beat(s, revision="new", sync={}, exit_code=1, verdict="no space left"), 1),
    ],
    ids=[
        "no agent ever said anything",
        "the agent says that it is in sync",
        "the agent speaks of another revision",
        "the agent had not read the whole ledger",
        "an older agent does not say what came of it",
        "the agent says that it drifted",
        "the agent says nothing of this service",
        "the agent's pass ended in an error",
    ],
)
def test_a_tip_that_changes_nothing_needs_the_agents_word(story, said, code):
    """No receipt is written for it, so the heartbeat alone can confirm it."""
    assert judge(story, ONE, said(story), revision="new").code == code


def test_what_waits_for_a_person_ends_the_wait(story):
    """Blocked is an answer: nothing moves until somebody speaks."""
    story.hold("risk")
    found = judge(story, TWO, revision="new")
    assert (found.code, words(found)) == (5, {"risk": ("blocked", 5)})
    assert "held by ada: freeze" in found.line
    story.unhold("risk")
    assert judge(story, TWO, revision="new").code is None


def test_an_approval_given_meanwhile_is_waited_for(story):
    """The agent's last word was "waits for an approval"; it has one now, and has not looked yet."""
    wanted = replace(TWO, approval_required=True)
    change = story.change(wanted)
    blocked = {"risk": Blocked("approval", "waits for an approval")}
    said = beat(story, exit_code=5, sync={"risk": "OutOfSync"}, blocked=blocked)
    said = replace(said, revision="new")
    assert judge(story, wanted, said, revision="new").code == 5
    story.approve(change)
    assert judge(story, wanted, said, revision="new").code is None
    story.finish({"risk": story.succeeded(wanted, change)}, revision="new")
    assert judge(story, wanted, said, revision="new").code == 0


def test_a_refusal_before_an_approval_is_not_the_answer_to_it(story):
    """A gate was shut at this revision; then something was lifted: what comes next counts."""
    story.err(TWO, Outcome.BLOCKED)
    assert judge(story, TWO).code == 5
    story.unhold("risk")
    story.now += 3600  # the agent waits before it asks the gate again
    assert judge(story, TWO).code is None


def test_a_version_rejected_at_an_older_revision_is_still_blocked(story):
    """The tip moved on without mending it."""
    story.fail(TWO)
    found = judge(story, TWO, revision="new")
    assert (found.code, found.services[0].change.blocked_by) == (5, "rejected")


def test_a_try_that_errored_at_an_older_revision_is_the_trys_exit_code(story):
    """MLflow did not answer, another commit came: it is not done, and not for want of a word."""
    story.err(TWO)
    found = judge(story, TWO, revision="new")
    assert (found.code, found.services[0].change.blocked_by) == (1, "waiting")


def test_what_only_the_host_can_see_is_believed(story):
    """From here it would be done; the host says what stands in the way."""
    blocked = {"risk": Blocked("order:errored", "whether it is newer cannot be told")}
    said = beat(story, revision="new", exit_code=1, sync={"risk": "OutOfSync"}, blocked=blocked)
    found = judge(story, TWO, said, revision="new")
    assert (found.code, words(found)) == (1, {"risk": ("blocked", 1)})
    assert "cannot be told" in found.line


def test_a_word_of_the_host_that_is_not_known_here_is_no_success(story):
    """Of a newer agent: blocked, with a code that means nothing to this one."""
    said = beat(story, revision="new", exit_code=77, sync={"risk": "OutOfSync"}, blocked={"risk": Blocked("moon:full", "wait")})
    found = judge(story, TWO, said, revision="new")
    assert (found.code, words(found)) == (1, {"risk": ("blocked", 77)})


def test_several_services_end_together_with_the_worst():
    """One that is done does not end the wait for the other."""
    story = Story()
    story.apply(BOTH)
    moved = environment(service(models={"A": "8"}), service("fraud", {"B": "2"}))
    plan = story.plan(moved)
    risk, fraud = plan.changes if plan.changes[0].service == "risk" else reversed(plan.changes)
    story.finish({"risk": story.succeeded(moved, risk)}, revision="new")
    assert judge(story, moved, revision="new").code is None
    story.finish({"fraud": replace(story.succeeded(moved, fraud), outcome=Outcome.ROLLED_BACK)}, revision="new")
    found = judge(story, moved, revision="new")
    assert (found.code, words(found)) == (6, {"fraud": ("rolled_back", 6), "risk": ("succeeded", 0)})


def test_findings_block_only_their_service_with_four():
    """Its file cannot be read: no receipt will ever come."""
    story = Story()
    story.apply(BOTH)
    broken = environment(service(), invalid=("fraud",))
    said = Beat(story.now, "new", story.history.height, 4, "", {"risk": "InSync", "fraud": "OutOfSync"})
    found = judge(story, broken, said, revision="new")
    assert (found.code, words(found)) == (4, {"fraud": ("blocked", 4), "risk": ("in sync", 0)})


def test_an_environment_without_services_is_done():
    """There is nothing to deal with."""
    found = judge(Story(), environment())
    assert (found.code, found.line) == (0, "it has no services")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "no agent ever reported"),
        (Beat(0.0, "a" * 40, 1, 0, "all well"), "the agent reported 12 s ago (at aaaaaaaaa): all well"),
        (Beat(0.0, "", verdict="no branch"), "the agent reported 12 s ago (it could not read what git wants): no branch"),
        (Beat(-SILENT_S, "a" * 40), "the agent has been silent for 5 min; its last word (at aaaaaaaaa)"),
    ],
    ids=["never", "lately", "lately, and blind", "long ago"],
)
def test_whether_the_agent_lives_is_said_in_words(said, expected):
    """With what it said last."""
    assert life(said, 12.0) == expected
