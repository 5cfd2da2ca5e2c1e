"""Approvals in the fold: which Change one fits, and what uses it up."""

from __future__ import annotations

import pytest
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Approved
from support.core import Story, absent, bundle, digest, environment, live, model, service

A = model_key("A")
SPEC = service(models={"A": "7"})
SEVEN, EIGHT, NINE = (bundle(models={"A": version}) for version in "789")


def on(version="8", **other):
    return environment(service(models={"A": version}, **other), approval_required=True)


def open_to(version):
    return environment(service(models={"A": version}))


def at_seven_with_eight_approved(**terms) -> Story:
    story = Story()
    story.apply(open_to("7"))
    story.approve(story.change(on("8")), **terms)
    return story


def approval(story, before=SEVEN, after=EIGHT, name="risk", later=0.0):
    return story.history.approval_of(name, before, after, story.now + later)


def test_it_fits_the_change_that_it_names():
    """All components before and after, by digest, until it expires."""
    story = at_seven_with_eight_approved(for_s=3600.0)
    found = approval(story)
    assert (found.approver, found.service) == ("grace", "risk")
    assert approval(story, later=3599.0) == found


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"after": NINE}, id="to another version"),
        pytest.param({"before": NINE}, id="from another version"),
        pytest.param({"before": None}, id="as a first deploy"),
        pytest.param({"after": None}, id="as a removal"),
        pytest.param({"after": bundle(tag="2", models={"A": "8"})}, id="with another image as well"),
        pytest.param({"after": bundle(models={"A": "8", "B": "1"})}, id="with another model as well"),
        pytest.param({"after": bundle(models={"A": "8"}, MODE="fast")}, id="with other settings that change answers"),
        pytest.param({"name": "churn"}, id="of another service"),
        pytest.param({"later": 3600.0}, id="from the moment on at which it expires"),
    ],
)
def test_it_fits_nothing_else(other):
    """Exactly, or not at all."""
    assert approval(at_seven_with_eight_approved(for_s=3600.0), **other) is None


def test_labels_do_not_matter():
    """The same bytes under another number are what was approved."""
    story = at_seven_with_eight_approved()
    other = service(models={"A": model("A", "80", content="8")}).bundle
    assert approval(story, after=other) is not None


def test_the_newest_that_fits_is_the_one():
    """Somebody approved again, for longer."""
    story = at_seven_with_eight_approved(for_s=60.0)
    story.approve(story.change(open_to("8")), for_s=3600.0, approver="hopper")
    assert approval(story).approver == "hopper"
    assert len(story.history.approvals) == 2


def test_the_change_uses_it_up():
    """After 8 came and 7 came back, 8 needs a new yes: the old one must not come to fit again."""
    story = at_seven_with_eight_approved()
    story.apply(on("8"))
    assert story.history.bundle("risk") == EIGHT
    assert story.history.approvals == ()
    story.apply(on("7"))
    story.unreject("risk", (A, model("A", "8").digest))
    again = story.change(on("8"))
    assert (again.blocked_by, again.acts) == ("approval", False)


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda s: s.apply(open_to("9")), id="another move forward"),
        pytest.param(lambda s: s.apply(environment(absent())), id="a removal"),
        pytest.param(lambda s: s.reject("risk", (A, model("A", "8").digest)), id="a person's rejection of what it approved"),
        pytest.param(lambda s: s.fail(on("8")), id="a failed verification of what it approved"),
    ],
)
def test_it_is_used_up_by(happens):
    """What it was given for is not there any more, or is known to be worse than its approver knew."""
    story = at_seven_with_eight_approved()
    happens(story)
    assert story.history.approvals == ()


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda s: s.err(on("8")), id="a try that errored"),
        pytest.param(lambda s: s.err(on("8"), Outcome.ABORTED), id="a try that was interrupted"),
        pytest.param(lambda s: s.apply(open_to("7"), observation=live(SEVEN, replicas=1)), id="a repair"),
        pytest.param(lambda s: s.apply(environment(service(models={"A": "7"}, replicas=3))), id="other replicas"),
        pytest.param(lambda s: s.hold("risk"), id="a hold"),
        pytest.param(lambda s: s.reject("risk", (A, digest("A 9"))), id="the rejection of another version"),
        pytest.param(lambda s: s.reject("churn", (A, model("A", "8").digest)), id="a rejection in another service"),
        pytest.param(
            lambda s: s.apply(environment(service(models={"A": "7"}), service("churn"))), id="another service's deploy"
        ),
    ],
)
def test_it_outlives(happens):
    """What moves nothing of the service leaves it in force."""
    story = at_seven_with_eight_approved()
    happens(story)
    assert approval(story) is not None


def test_a_first_deploy_and_a_removal_are_approved_as_such():
    """From nothing, and to nothing."""
    story = Story()
    birth = story.change(on("7"))
    assert (birth.kind, birth.blocked_by) == (ChangeKind.CREATE, "approval")
    story.approve(birth)
    assert story.change(on("7")).acts
    story.apply(on("7"))
    end = story.change(environment(absent(), approval_required=True))
    assert (end.kind, end.blocked_by, end.reason) == (ChangeKind.REMOVE, "approval", "state: absent")
    story.approve(end)
    assert story.change(environment(absent(), approval_required=True)).acts


def test_what_a_newer_version_approves_is_not_taken_for_ours():
    """An approval with terms that we do not know folds to nothing: it stays an unknown event."""
    from mlrelease.history.fold import fold
    from mlrelease.model.event_json import event_from_json, event_to_json

    known = Approved("e1", "production", 1.0, "ada", "risk", (), (), "ada", 2.0)
    newer = event_from_json(event_to_json(known) | {"schema": 2})
    assert fold("production", [newer]).approvals == ()
    assert fold("production", [known]).approvals == (known,)
