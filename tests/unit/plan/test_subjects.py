"""Which models a Change's gates judge, with what beside them; and how the plan words what it keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.gates.interface import Origin, Subject
from mlrelease.model.bundle import IMAGE
from mlrelease.model.change import ChangeKind, Direction, Health, Outcome, Sync
from mlrelease.model.gate import GateResult, GateStatus
from mlrelease.plan.make import JUDGED_WHILE_WAITING, judge, subjects
from support.core import START, Story, absent, bundle, environment, image, instance, live, model, service

PROMOTED = {"promotes_from": "staging"}


def at(*services) -> Story:
    story = Story()
    story.apply(environment(*services))
    return story


def pins(found: tuple[Subject, ...]) -> list[tuple[str, str, Direction]]:
    return [(s.pin.name, s.pin.version, s.direction) for s in found]


# -- which models ------------------------------------------------------------------------------------------------------


def test_a_subject_says_all_that_a_gate_may_ask():
    """Where, which pin under which image, what it replaces and who says so, when, and whether it may be loaded here."""
    story = at(service(models={"A": "7", "B": "1"}))
    change = story.change(environment(service(models={"A": "8", "B": "1"})))
    assert subjects(change, environment(), now=START + 5.0, may_load=False) == (
        Subject(
            environment="production",
            service="risk",
            pin=model("A", "8"),
            direction=Direction.FORWARD,
            image=image("1").reference,
            baseline=model("A", "7"),
            baseline_origin=Origin.RECORDED,
            now=START + 5.0,
            may_load=False,
        ),
    )


def test_of_a_first_deploy_there_is_nothing_to_compare_with():
    """Every model is judged, none has a baseline, and whoever does not say otherwise may load it."""
    found = subjects(Story().change(environment(service(models={"A": "7", "B": "1"}))), environment(), now=START)
    assert [(s.pin, s.baseline, s.baseline_origin, s.may_load) for s in found] == [
        (model("A", "7"), None, Origin.NONE, True),
        (model("B", "1"), None, Origin.NONE, True),
    ]


def test_a_model_that_comes_into_a_service_has_no_baseline():
    """The one beside it stays, and is not judged."""
    change = at(service()).change(environment(service(models={"A": "7", "B": "1"})))
    (found,) = subjects(change, environment(), now=START)
    assert (found.pin, found.baseline, found.baseline_origin) == (model("B", "1"), None, Origin.NONE)


@pytest.mark.parametrize(
    ("before", "after", "policy", "judged"),
    [
        ({"tag": "1"}, {"tag": "2"}, {}, []),
        ({"tag": "1"}, {"tag": "2"}, PROMOTED, [("A", "7", Direction.NONE), ("B", "1", Direction.NONE)]),
        (
            {"tag": "1"},
            {"tag": "2", "models": {"A": "8", "B": "1"}},
            PROMOTED,
            [("A", "8", Direction.FORWARD), ("B", "1", Direction.NONE)],
        ),
        ({}, {"models": {"A": "8", "B": "1"}}, PROMOTED, [("A", "8", Direction.FORWARD)]),
        ({}, {"env": (("MODE", "fast"),)}, PROMOTED, []),
        ({"models": {"A": "7", "B": "1"}}, {"models": {"A": "7"}}, PROMOTED, []),
    ],
    ids=[
        "an image alone, in an environment that is promoted to by nobody",
        "an image alone, in a promoted environment: all under it",
        "an image and a model, in a promoted environment: both models",
        "a model alone, in a promoted environment: that one",
        "settings alone: no model",
        "a model that goes: none",
    ],
)
def test_what_moves_is_judged_and_under_a_promoted_image_all_of_it(before, after, policy, judged):
    """A model must have been verified under the image that it will run with."""
    both = {"models": {"A": "7", "B": "1"}}
    change = replace(at(service(**both | before)).change(environment(service(**both | after))), blocked="", blocked_by="")
    assert pins(subjects(change, environment(**policy), now=START)) == judged


def test_under_an_image_that_moves_back_nothing_else_is_judged():
    """All of it ran here before."""
    story = at(service())
    story.apply(environment(service(tag="2")))
    change = story.change(environment(service()))
    assert (change.kind, [c.key for c in change.components]) == (ChangeKind.ROLLBACK, [IMAGE])
    assert subjects(change, environment(**PROMOTED), now=START) == ()


def test_a_model_that_goes_back_is_judged_as_one():
    """The gates skip by their own rules; the direction tells them."""
    story = at(service())
    story.apply(environment(service(models={"A": "8"})))
    assert pins(subjects(story.change(environment(service())), environment(), now=START)) == [("A", "7", Direction.BACK)]


@pytest.mark.parametrize("blocked_by", sorted([*JUDGED_WHILE_WAITING, "promotion:errored"]))
def test_what_waits_for_a_person_or_for_time_is_judged_when_a_person_asks(blocked_by):
    """Whoever approves it sees what its gates say; an agent does not ask them again and again."""
    waiting = replace(at(service()).change(environment(service(models={"A": "8"}))), blocked="no", blocked_by=blocked_by)
    assert pins(subjects(waiting, environment(), now=START, impatient=True)) == [("A", "8", Direction.FORWARD)]
    assert subjects(waiting, environment(), now=START) == ()


@pytest.mark.parametrize("blocked_by", ["rejected", "waiting", "findings", "undeclared", "removals"])
def test_what_will_not_move_whatever_they_say_is_not_judged(blocked_by):
    """No gate opens it."""
    shut = replace(at(service()).change(environment(service(models={"A": "8"}))), blocked="no", blocked_by=blocked_by)
    assert subjects(shut, environment(), now=START, impatient=True) == ()


def test_a_removal_that_waits_has_no_models_to_judge():
    """There is nothing after it."""
    change = at(service()).change(environment(absent(), approval_required=True))
    assert (change.kind, change.blocked_by) == (ChangeKind.REMOVE, "approval")
    assert subjects(change, environment(), now=START, impatient=True) == ()


# -- the gates' word on a plan -----------------------------------------------------------------------------------------


def gate(name, status):
    return GateResult(name, "model:A", status, f"{name} says so")


def test_one_that_failed_is_named_before_one_that_could_not_tell():
    """Another try opens the second, and does not help the first."""
    plan = at(service()).plan(environment(service(models={"A": "8"})))
    said = (gate("a", GateStatus.ERRORED), gate("b", GateStatus.FAILED), gate("c", GateStatus.FAILED))
    (change,) = judge(plan, {"risk": said}).changes
    assert change.blocked == "gate b failed for model:A: b says so (and 2 more)"
    assert (change.blocked_by, change.gate_results) == ("gate:b:failed", said)


def test_a_word_on_a_service_that_is_not_in_the_plan_changes_nothing():
    """The plan was narrowed to some services."""
    plan = at(service()).plan(environment(service(models={"A": "8"})))
    assert judge(plan, {"other": (gate("a", GateStatus.FAILED),)}) == plan


# -- what is kept, in words --------------------------------------------------------------------------------------------

ONE_DEAD = live(bundle(), replicas=1)
EIGHT = environment(service(models={"A": "8"}))


@pytest.mark.parametrize(
    ("tell", "files", "reason"),
    [
        (lambda s: s.hold("risk"), EIGHT, "git moved forward (held by ada: freeze)"),
        (lambda s: None, environment(invalid=["risk"]), "its files have findings"),
        (lambda s: None, environment(), "its file is gone without `state: absent`"),
        (
            lambda s: s.fail(EIGHT),
            EIGHT,
            "git wants a rejected bundle (rejected by ada: golden rows differ)",
        ),
    ],
    ids=["a hold, with who and why", "findings", "a file that is gone", "a rejection, with who and why"],
)
def test_a_repair_beside_a_blocked_move_says_what_is_kept_and_why(tell, files, reason):
    """The reason of the block goes along where there is one."""
    story = at(service())
    tell(story)
    change = story.change(files, observation=ONE_DEAD)
    assert (change.kind, change.reason) == (ChangeKind.REPAIR, f"keeps what is recorded: {reason}")
    assert (change.blocked, change.blocked_by, change.components) == ("", "", ())


@pytest.mark.parametrize(
    ("files", "drift"),
    [(EIGHT, ()), (environment(service(replicas=3)), ("replicas: 2 → 3",))],
    ids=["a move does not list what it replaces", "new settings list themselves"],
)
def test_drift_is_listed_where_it_is_what_is_mended(files, drift):
    """A move to another bundle starts new instances: what is wrong with the old ones is no matter."""
    assert at(service()).change(files, observation=ONE_DEAD).drift == drift


class TestHealthOfWhatIsNotRecorded:
    """Nothing of it was ever verified."""

    def test_a_service_that_is_wanted_is_missing_until_it_is_there(self):
        """While a pass works on it, it is on its way."""
        story = Story()
        assert story.plan(EIGHT).health == {"risk": Health.MISSING}
        story.start()
        assert story.plan(EIGHT).health == {"risk": Health.PROGRESSING}

    def test_a_failed_first_deploy_is_missing(self):
        """What is left of it answers to nobody."""
        story = Story()
        story.fail(EIGHT, Outcome.FAILED)
        plan = story.plan(EIGHT)
        assert (plan.health, plan.sync) == ({"risk": Health.MISSING}, {"risk": Sync.OUT_OF_SYNC})

    def test_a_ghost_that_runs_is_drift_of_nothing_wanted(self):
        """It is to be removed, and nothing that is wanted is ill."""
        found = instance(bundle("ghost"))
        plan = Story().plan(environment(), observation=replace(live(), instances=(found,)))
        assert (plan.health, plan.sync) == ({"ghost": Health.HEALTHY}, {"ghost": Sync.DRIFTED})
