"""The fold at its edges: which tries are forgotten, which holds replace which, whose values are known, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.history.fold import fold
from mlrelease.model.bundle import ABSENT, IMAGE, SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import DeployFinished, Held, ServiceReceipt, Unheld
from support.core import ENVIRONMENT, Story, absent, bundle, environment, model, service

A, B = model_key("A"), model_key("B")
SEVEN, EIGHT, NINE = (bundle(models={"A": version}) for version in "789")


def receipt(outcome, after=SEVEN, kind=ChangeKind.UPDATE, before=None, rejects=()):
    return ServiceReceipt(outcome, kind, Direction.FORWARD, f"{kind} {outcome}", before, after, rejects=tuple(rejects))


def tries(story):
    return {(name, one.count) for (_, name), one in story.history.attempts.items()}


# -- tries -------------------------------------------------------------------------------------------------------------


def test_a_removal_that_failed_is_a_try_at_no_bundle():
    """There is none that could be tried again; the service stays recorded."""
    story = Story()
    story.apply(environment(service()))
    story.finish({"risk": receipt(Outcome.ERRORED, None, ChangeKind.REMOVE, SEVEN)})
    assert (story.history.attempts, story.history.bundle("risk")) == ({}, SEVEN)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (ChangeKind.REPAIR, {(NINE.id, 2)}),
        (ChangeKind.UPDATE, set()),
        (ChangeKind.SETTINGS, set()),
        (ChangeKind.ROLLBACK, set()),
    ],
)
def test_a_repair_forgets_the_tries_at_what_it_mended_and_anything_else_all(kind, left):
    """Mending 8 says nothing about 9, which git wants; moving to 8 makes a new start for both."""
    story = Story()
    for bundle_ in (NINE, EIGHT, NINE):
        story.finish({"risk": receipt(Outcome.ERRORED, bundle_)})
    story.finish({"risk": receipt(Outcome.SUCCEEDED, EIGHT, kind)})
    assert tries(story) == left


def test_a_removal_forgets_every_try_at_the_service():
    """What comes after it is a first deploy."""
    story = Story()
    story.apply(environment(service()))
    story.err(environment(service(models={"A": "8"})))
    story.apply(environment(absent()))
    assert tries(story) == set()


def test_the_tries_of_another_service_stay():
    """Services are independent, also where one receipt has both."""
    story = Story()
    other = bundle("wine")
    story.finish({"risk": receipt(Outcome.FAILED), "wine": receipt(Outcome.ERRORED, other)})
    story.finish({"risk": receipt(Outcome.SUCCEEDED)})
    assert tries(story) == {(other.id, 1)}


def test_the_newest_try_says_why_and_when():
    """The count goes on, whatever the outcomes were."""
    story = Story()
    for outcome in (Outcome.ERRORED, Outcome.FAILED, Outcome.BLOCKED):
        story.finish({"risk": receipt(outcome)})
    found = story.history.attempts["risk", SEVEN.id]
    assert (found.outcome, found.reason, found.count, found.at) == (Outcome.BLOCKED, "update blocked", 3, story.now)


# -- holds -------------------------------------------------------------------------------------------------------------


def hold(story, name="risk", *, pinned_to="", until=0.0) -> str:
    story.tell(Held, reason="freeze", service=name, pinned_to=pinned_to, until=until)
    return story.events[-1].id


def holds(story):
    return [(held.service, held.pinned_to) for held in story.history.holds]


def test_one_commit_is_desired_of_a_service_at_a_time():
    """The newer rollback takes the older one's place, for its own service only."""
    story = Story()
    hold(story, pinned_to="one")
    hold(story, "wine", pinned_to="two")
    hold(story, pinned_to="three")
    assert holds(story) == [("wine", "two"), ("risk", "three")]


def test_a_plain_hold_stands_beside_a_rollbacks():
    """It says that nothing moves forward; the other what is desired."""
    story = Story()
    hold(story, pinned_to="one")
    hold(story)
    hold(story, "")
    assert holds(story) == [("risk", "one"), ("risk", ""), ("", "")]
    assert story.history.pinned_hold("risk", story.now).pinned_to == "one"


def test_a_pinned_hold_is_its_own_services():
    """One on the environment, or on another service, says nothing of this one."""
    story = Story()
    hold(story, "", pinned_to="all")
    hold(story, "wine", pinned_to="two")
    assert story.history.pinned_hold("risk", story.now) is None
    assert story.history.pinned_hold("wine", story.now).pinned_to == "two"


def test_a_pinned_hold_ends_at_its_moment():
    """At the very second."""
    story = Story()
    hold(story, pinned_to="one", until=2e9)
    assert story.history.pinned_hold("risk", 2e9 - 1).pinned_to == "one"
    assert story.history.pinned_hold("risk", 2e9) is None


def test_lifting_one_by_its_id_leaves_the_others():
    """A rollback that was merged ends its own hold, and not the freeze that somebody put beside it."""
    story = Story()
    one = hold(story, pinned_to="one")
    hold(story)
    story.tell(Unheld, reason="merged", service="risk", hold=one)
    assert holds(story) == [("risk", "")]


@pytest.mark.parametrize(
    ("lifted", "left"), [("", [("risk", ""), ("wine", "")]), ("risk", [("", ""), ("wine", "")])], ids=["all's", "a service's"]
)
def test_lifting_by_service_lifts_just_those(lifted, left):
    """The environment's is lifted by the environment's name alone."""
    story = Story()
    for name in ("", "risk", "wine"):
        hold(story, name)
    story.unhold(lifted)
    assert holds(story) == left


# -- values that were verified -----------------------------------------------------------------------------------------


def test_each_service_has_its_own_first_time():
    """`wine` had model B long before `risk` came to have it."""
    story = Story()
    story.apply(environment(service("wine", models={"B": "1"})))
    story.apply(environment(service("wine", models={"B": "1"}), service("risk", models={"A": "7"})))
    story.apply(environment(service("wine", models={"B": "1"}), service("risk", models={"A": "7", "B": "1"})))
    first = story.history.first_verified
    one = str(model("B", "1").digest)
    assert (first["wine", B, one], first["risk", B, ABSENT], first["risk", B, one]) == (1, 2, 3)
    assert ("wine", A, ABSENT) not in first


def test_a_component_that_goes_is_absent_from_then_on():
    """And was first absent then, though it had been absent of the service before it came."""
    story = Story()
    for models in ({"A": "7"}, {"A": "7", "B": "1"}, {"A": "7"}):
        story.apply(environment(service(models=models)))
    assert story.history.first_verified["risk", B, ABSENT] == 1
    story.apply(environment(absent()))
    first = story.history.first_verified
    assert {first["risk", key, ABSENT] for key in (A, IMAGE, SETTINGS)} == {4}


def test_a_removal_is_recorded_without_a_bundle():
    """It is verified, and nothing that one could go back to."""
    story = Story()
    story.apply(environment(service()))
    story.apply(environment(absent()))
    history = story.history
    assert (history.bundle("risk"), history.recorded["risk"].bundle) == (None, None)
    assert [entry.bundle for entry in history.verified["risk"]] == [SEVEN, None]
    assert history.last_good("risk", before=None).bundle == SEVEN
    assert history.last_good("risk", before=SEVEN.id) is None


# -- order -------------------------------------------------------------------------------------------------------------


def test_rejections_of_one_receipt_come_by_service():
    """However the file had them: the newest is the same for everybody."""
    story = Story()
    story.finish(
        {
            name: receipt(Outcome.ROLLED_BACK, bundle(name), rejects=[(A, str(model("A", "7").digest))])
            for name in ("wine", "ale", "risk")
        }
    )
    assert [rejection.service for rejection in story.history.rejections] == ["ale", "risk", "wine"]


def test_of_two_approvals_in_force_the_newest_is_named():
    """Both fit; the one who said it last stands for it."""
    story = Story()
    change = story.change(environment(service(), approval_required=True))
    for name in ("grace", "hopper"):
        story.approve(change, for_s=9000.0, approver=name)
    assert story.history.approval_of("risk", None, SEVEN, story.now).approver == "hopper"


def test_what_was_applied_is_the_newest_pass_with_a_success():
    """A pass that only failed moved nothing there."""
    story = Story()
    story.finish({"risk": receipt(Outcome.SUCCEEDED), "wine": receipt(Outcome.FAILED, bundle("wine"))}, revision="one")
    story.finish({"risk": receipt(Outcome.BLOCKED, EIGHT)}, revision="two")
    assert story.history.applied == "one"


def test_only_its_own_finish_ends_a_start():
    """The receipt of a pass that was taken over comes late."""
    story = Story()
    first = story.start()
    second = story.start(supersedes=first)
    story.finish({"risk": receipt(Outcome.SUCCEEDED)}, started=first)
    assert story.history.started.id == second
    story.finish({"risk": receipt(Outcome.SUCCEEDED)}, started=second)
    assert story.history.started is None


OUTCOMES = st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.ERRORED, Outcome.ROLLED_BACK])
PASSES = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(OUTCOMES, st.sampled_from("789")), min_size=1), max_size=6
)


@settings(max_examples=40, deadline=None)
@given(PASSES, st.integers(0, 6))
def test_services_of_one_receipt_are_as_if_each_had_its_own(passes, cut):
    """The fold of one service depends on no other; and the fold of a beginning is what was known then."""

    def told(names):
        story = Story()
        for one in passes:
            kept = {
                name: receipt(outcome, bundle(name, models={"A": version}), rejects=[(A, str(model("A", version).digest))])
                for name, (outcome, version) in one.items()
                if name in names
            }
            story.tell(DeployFinished, revision="r", trigger="t", started="", started_at=story.now, services=kept)
        return story

    whole = told("abc")
    for name in "abc":
        alone = told(name).history
        history = whole.history
        assert history.recorded.get(name) == alone.recorded.get(name)
        assert history.verified.get(name) == alone.verified.get(name)
        assert {k: v for k, v in history.attempts.items() if k[0] == name} == alone.attempts
        assert {k: v for k, v in history.first_verified.items() if k[0] == name} == alone.first_verified
        assert tuple(r for r in history.rejections if r.service == name) == alone.rejections
    earlier = fold(ENVIRONMENT, whole.events[:cut])
    assert earlier.height == min(cut, len(passes))
    for name, entries in earlier.verified.items():
        assert whole.history.verified[name][: len(entries)] == entries
