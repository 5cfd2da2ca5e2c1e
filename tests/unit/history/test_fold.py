"""What the events of an environment add up to: recorded, verified, rejected, held, tried, at work."""

from __future__ import annotations

import pytest
from mlrelease.history.fold import fold
from mlrelease.model.bundle import ABSENT, IMAGE, SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import Held, ServiceReceipt, Unheld, UnknownEvent
from support.core import START, Story, absent, bundle, environment, model, service

A = model_key("A")
NOT_SUCCEEDED = [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED]


def on(version: str, **other):
    return environment(service(models={"A": version}, **other))


def rejected(story):
    return [set(r.components) for r in story.history.rejections]


def test_no_events_is_no_history():
    """An empty ledger knows nothing, and says so."""
    history = fold("production", [])
    assert (history.height, history.recorded, history.started, history.applied) == (0, {}, None, "")
    assert history.bundle("risk") is None
    assert history.last_good("risk", before=None) is None


def test_recorded_is_the_newest_succeeded_change():
    """With its revision, moment, event and settings."""
    story = Story()
    story.apply(on("7"))
    story.apply(on("8", replicas=3))
    entry = story.history.recorded["risk"]
    assert entry.bundle == bundle(models={"A": "8"})
    assert (entry.revision, entry.at, entry.event, entry.settings["replicas"]) == ("abc", START + 120, "e2", 3)
    assert [e.bundle.versions()["A"] for e in story.history.verified["risk"]] == ["7", "8"]


@pytest.mark.parametrize("outcome", NOT_SUCCEEDED)
def test_what_did_not_succeed_is_not_recorded(outcome):
    """Neither recorded nor verified, whatever else became of it."""
    story = Story()
    story.apply(on("7"))
    story.err(on("8"), outcome)
    assert story.history.bundle("risk") == bundle(models={"A": "7"})
    assert ("risk", A, model("A", "8").digest) not in story.history.first_verified


def test_the_first_verification_counts():
    """Coming back to a value does not make it younger."""
    story = Story()
    for version in ("7", "8", "7"):
        story.apply(on(version))
    first = story.history.first_verified
    assert first["risk", A, model("A", "7").digest] == 1
    assert first["risk", A, model("A", "8").digest] == 2


def test_a_service_was_without_a_model_until_it_had_one():
    """The absence of a model is a value that was verified from the first deploy on."""
    story = Story()
    story.apply(on("7"))
    story.apply(on("8"))
    story.apply(environment(service(models={"A": "8", "B": "1"})))
    first = story.history.first_verified
    assert first["risk", model_key("B"), ABSENT] == 1
    assert first["risk", model_key("B"), model("B", "1").digest] == 3
    assert ("risk", A, ABSENT) not in first


def test_a_removed_service_is_recorded_as_nothing():
    """Every component it had is then verified as absent."""
    story = Story()
    story.apply(on("7"))
    story.apply(environment(absent()))
    assert story.history.recorded["risk"].bundle is None
    assert story.history.bundle("risk") is None
    assert {key for (_, key, value) in story.history.first_verified if value == ABSENT} == {A, IMAGE, SETTINGS}


def test_services_do_not_share_history():
    """The same model name in two services is two components."""
    story = Story()
    story.apply(environment(service("churn"), service("risk")))
    story.fail(environment(service("churn", {"A": "8"}), service("risk")))
    assert {r.service for r in story.history.rejections} == {"churn"}
    assert {name for name, _ in story.history.attempts} == {"churn"}
    assert story.history.last_good("risk", before=None).bundle == bundle("risk")


def test_a_failed_verification_rejects_the_one_component_that_moved():
    """One changed component is rejected alone, with the reason and by whom."""
    story = Story()
    story.apply(on("7"))
    story.fail(on("8"))
    (rejection,) = story.history.rejections
    assert rejection.components == {(A, model("A", "8").digest)}
    assert (rejection.reason, rejection.actor, rejection.event) == ("golden rows differ", "ada", "e2")
    assert not rejection.by_person


def test_a_failed_verification_of_several_rejects_them_together():
    """Which of them it was is not known, so only the set is rejected."""
    story = Story()
    story.apply(environment(service(models={"A": "7", "B": "1"})))
    story.fail(environment(service(models={"A": "8", "B": "2"})))
    assert rejected(story) == [{(A, model("A", "8").digest), (model_key("B"), model("B", "2").digest)}]


@pytest.mark.parametrize("outcome", [Outcome.ERRORED, Outcome.ABORTED, Outcome.BLOCKED])
def test_what_could_not_be_told_rejects_nothing(outcome):
    """Errored is not failed."""
    story = Story()
    story.apply(on("7"))
    story.err(on("8"), outcome)
    assert story.history.rejections == ()


def test_a_persons_rejection_is_marked():
    """Because it also forbids going back."""
    story = Story()
    story.reject("risk", (A, "x"))
    (rejection,) = story.history.rejections
    assert rejection.by_person
    assert rejection.reason == "biased"


def test_a_rejection_of_nothing_forbids_nothing():
    """An event without components must not cover every bundle there is."""
    story = Story()
    story.apply(on("7"))
    story.reject("risk")
    assert story.history.last_good("risk", before=None).bundle == bundle(models={"A": "7"})


def test_lifting_takes_every_rejection_that_names_the_component():
    """Of that service only, and leaves those of other components."""
    story = Story()
    story.reject("risk", (A, "8"))
    story.reject("risk", (A, "8"), (IMAGE, "2"))
    story.reject("risk", (A, "9"))
    story.reject("churn", (A, "8"))
    story.unreject("risk", (A, "8"))
    assert [(r.service, set(r.components)) for r in story.history.rejections] == [("risk", {(A, "9")}), ("churn", {(A, "8")})]


def test_holds_are_in_force_until_they_end_or_are_lifted():
    """On the service, or on the whole environment; an ended one is as if lifted."""
    story = Story()
    story.hold("risk")
    story.hold("churn", for_s=3600)
    story.hold()
    history = story.history
    assert [h.service for h in history.holds_on("risk", story.now)] == ["risk", ""]
    assert [h.service for h in history.holds_on("churn", story.now)] == ["churn", ""]
    assert [h.service for h in history.holds_on("churn", story.now + 3600)] == [""]


def test_lifting_a_hold_lifts_exactly_that_one():
    """The environment's hold survives the service's, and the other way round."""
    story = Story()
    story.hold("risk")
    story.hold()
    story.unhold("risk")
    assert [h.service for h in story.history.holds] == [""]
    story.hold("risk")
    story.unhold()
    assert [h.service for h in story.history.holds] == ["risk"]


def pinned(story, commit, name="risk", **more):
    """A rollback whose commit waits in a pull request."""
    story.tell(Held, reason="rolled back", service=name, pinned_to=commit, **more)
    return story.events[-1].id


def test_a_hold_with_a_commit_says_what_its_service_should_be():
    """Of its own service alone, while it is in force; an ordinary hold says no such thing."""
    story = Story()
    story.hold("risk")
    assert story.history.pinned_hold("risk", story.now) is None
    pinned(story, "c1", until=story.now + 3600)
    history = story.history
    assert history.pinned_hold("risk", story.now).pinned_to == "c1"
    assert history.pinned_hold("churn", story.now) is None
    assert history.pinned_hold("risk", story.now + 7200) is None
    assert [h.pinned_to for h in history.holds_on("risk", story.now)] == ["", "c1"]


def test_a_newer_commit_takes_the_place_of_the_older_one():
    """Of the same service; ordinary holds and other services' commits stand."""
    story = Story()
    pinned(story, "c1")
    story.hold("risk")
    pinned(story, "d1", "churn")
    pinned(story, "c2")
    assert [(h.service, h.pinned_to) for h in story.history.holds] == [("risk", ""), ("churn", "d1"), ("risk", "c2")]


def test_the_end_of_one_hold_leaves_the_others():
    """By its id; without one, all of the service's end."""
    story = Story()
    story.hold("risk")
    one = pinned(story, "c1")
    story.tell(Unheld, reason="main has its pins", service="risk", hold=one)
    assert [h.pinned_to for h in story.history.holds] == [""]
    pinned(story, "c2")
    story.unhold("risk")
    assert story.history.holds == ()


def test_the_end_of_a_hold_that_is_gone_ends_nothing():
    """Two passes may write it, or a newer rollback came between."""
    story = Story()
    one = pinned(story, "c1")
    pinned(story, "c2")
    story.tell(Unheld, reason="main has its pins", service="risk", hold=one)
    assert [h.pinned_to for h in story.history.holds] == ["c2"]


def test_tries_at_the_same_bundle_are_counted():
    """In a row, each bundle for itself; a success ends them all."""
    story = Story()
    story.apply(on("7"))
    for version, count in (("8", 1), ("8", 2), ("8", 3), ("9", 1), ("8", 4)):
        story.err(on(version))
        attempt = story.history.attempts["risk", bundle(models={"A": version}).id]
        assert attempt.count == count
    assert (attempt.outcome, attempt.reason, attempt.at) == (Outcome.ERRORED, "MLflow did not answer", story.now)


def test_success_ends_the_counting():
    """After it the next try is a first one."""
    story = Story()
    story.apply(on("7"))
    story.err(on("8"))
    story.apply(on("8"))
    assert story.history.attempts == {}


def test_a_repair_does_not_forget_the_try_at_another_bundle():
    """Mending what is recorded says nothing about the bundle that git wants: its wait goes on."""
    story = Story()
    story.apply(on("7"))
    story.err(on("8"))
    seven = bundle(models={"A": "7"})
    repaired = ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.REPAIR, Direction.NONE, "mended", seven, seven)
    story.finish({"risk": repaired})
    assert set(story.history.attempts) == {("risk", bundle(models={"A": "8"}).id)}


def test_a_repair_ends_the_counting_of_failed_repairs():
    """The try that it settles is forgotten."""
    story = Story()
    story.apply(on("7"))
    seven = bundle(models={"A": "7"})
    for outcome in (Outcome.ERRORED, Outcome.SUCCEEDED):
        story.finish({"risk": ServiceReceipt(outcome, ChangeKind.REPAIR, Direction.NONE, "", seven, seven)})
    assert story.history.attempts == {}


def test_a_start_is_at_work_until_its_finish():
    """The lock is the started event."""
    story = Story()
    begun = story.start()
    assert story.history.started.id == begun
    story.finish({"risk": ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.NOOP, Direction.NONE, "", None, None)}, started=begun)
    assert story.history.started is None


def test_a_start_that_supersedes_takes_over():
    """The finish of the one that lost the lock does not free it; its own does."""
    story = Story()
    lost = story.start()
    held = story.start(supersedes=lost)
    story.apply(on("7"))
    assert story.history.started.id == held
    late = {"risk": ServiceReceipt(Outcome.ERRORED, ChangeKind.UPDATE, Direction.FORWARD, "", None, bundle())}
    story.finish(late, started=lost)
    assert story.history.started.id == held
    story.finish(late, started=held)
    assert story.history.started is None


def test_applied_is_the_revision_that_last_succeeded():
    """A pass in which nothing succeeded applied nothing."""
    story = Story()
    done = ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "", None, bundle())
    undone = ServiceReceipt(Outcome.ERRORED, ChangeKind.UPDATE, Direction.FORWARD, "", bundle(), bundle(models={"A": "8"}))
    story.finish({"risk": done}, revision="aaa")
    story.finish({"risk": undone}, revision="bbb")
    assert story.history.applied == "aaa"
    story.finish({"churn": done, "risk": undone}, revision="ccc")
    assert story.history.applied == "ccc"


def test_events_from_the_future_are_counted_and_named():
    """They raise the height, are kept by kind, and change nothing else."""
    story = Story()
    story.apply(on("7"))
    before = story.history
    story.events.append(UnknownEvent("approved", "e9", "production", START, "bob", {"service": "risk"}))
    after = story.history
    assert (after.height, after.unknown) == (2, ("approved",))
    assert (after.recorded, after.rejections, after.first_verified) == (
        before.recorded,
        before.rejections,
        before.first_verified,
    )


def test_last_good_is_the_newest_other_bundle():
    """Not the one that is to be left."""
    story = Story()
    for version in ("7", "8", "9"):
        story.apply(on(version))
    good = story.history.last_good
    assert good("risk", before=bundle(models={"A": "9"}).id).bundle == bundle(models={"A": "8"})
    assert good("risk", before=None).bundle == bundle(models={"A": "9"})


def test_last_good_skips_what_is_rejected():
    """By a move back or by a person, alone or as part of the bundle."""
    story = Story()
    for version in ("6", "7", "8", "9", "8"):
        story.apply(on(version))
    assert story.history.last_good("risk", before=bundle(models={"A": "8"}).id).bundle == bundle(models={"A": "7"})
    story.reject("risk", (A, model("A", "7").digest))
    assert story.history.last_good("risk", before=bundle(models={"A": "8"}).id).bundle == bundle(models={"A": "6"})
    story.reject("churn", (A, model("A", "6").digest))
    assert story.history.last_good("risk", before=bundle(models={"A": "8"}).id).bundle == bundle(models={"A": "6"})


def test_last_good_passes_over_a_removal():
    """That nothing answered is no bundle to go back to."""
    story = Story()
    story.apply(on("7"))
    story.apply(environment(absent()))
    assert story.history.last_good("risk", before=None).bundle == bundle(models={"A": "7"})
