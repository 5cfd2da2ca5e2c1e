"""Which of several reasons to wait is said, and in which words; and differences of settings and identities, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.history.fold import History
from mlrelease.model.change import ChangeKind
from mlrelease.model.when import iso
from mlrelease.plan.drift import identity_mismatch, settings_changes, settings_of
from mlrelease.plan.promote import Chosen, candidates
from support.core import START, Story, bundle, environment, image, instance, model, service

HOUR = 3600.0
NEVER = "was never verified in staging under the image that it would run with here"


def told(*services) -> Story:
    story = Story()
    story.apply(environment(*services))
    return story


def staging(*versions: dict[str, str]) -> History:
    """What staging verified, one after the other."""
    story = Story()
    for models in versions:
        story.apply(environment(service(models=models)))
    return replace(story.history, environment="staging")


# -- promotion and soak ------------------------------------------------------------------------------------------------


def test_what_was_never_proved_is_said_before_what_only_soaks():
    """A soak ends by itself; waiting for it would be in vain while the other is not proved at all."""
    story = told(service(models={"A": "7", "B": "1"}))
    wanted = environment(service(models={"A": "8", "B": "2"}), promotes_from="staging", soak_s=HOUR)
    proved = staging({"A": "8", "B": "1"})
    change = story.change(wanted, source=proved, now=START + 61.0)
    assert (change.blocked_by, change.blocked, change.waits_until) == ("promotion", f"B 2 {NEVER}", 0.0)


def test_several_that_were_never_proved_are_counted():
    """The first by name, and how many there are beside it."""
    story = told(service(models={"A": "7", "B": "1", "C": "1"}))
    wanted = environment(service(models={"A": "8", "B": "2", "C": "2"}), promotes_from="staging")
    assert story.change(wanted, source=staging({"X": "1"})).blocked == f"A 8 {NEVER} (and 2 more)"


def test_several_that_soak_are_said_by_the_last():
    """It moves when all of them may."""
    source = staging({"A": "8", "B": "1"}, {"A": "8", "B": "2"})
    story = told(service(models={"A": "7", "B": "1"}))
    wanted = environment(service(models={"A": "8", "B": "2"}), promotes_from="staging", soak_s=HOUR)
    change = story.change(wanted, source=source, now=START + 130.0)
    last = START + 120.0 + HOUR
    assert change.blocked == f"B 2: not before {iso(last)}, when its soak in staging is served (and 1 more)"
    assert change.waits_until == last


def test_a_soak_without_an_environment_to_soak_in_fails_closed():
    """Nobody could say where."""
    change = told(service()).change(environment(service(models={"A": "8"}), soak_s=HOUR))
    assert (change.blocked_by, change.blocked) == ("promotion", "soak is set without promotes_from: where?")


class TestTheNoteOnAnApproval:
    """Why the yes that somebody gave does not count."""

    WANTED = environment(service(models={"A": "8"}), approval_required=True)
    ASKS = "waits for an approval: mlrelease approve production --service risk"

    def said(self, story, later=0.0):
        return story.change(self.WANTED, now=story.now + later).blocked

    def test_of_several_the_newest_is_named(self):
        """The one that somebody would wonder about."""
        story = told(service())
        story.approve(story.change(self.WANTED), for_s=HOUR, approver="hopper")
        story.approve(story.change(self.WANTED), for_s=2 * HOUR)
        end = story.now + 2 * HOUR
        assert self.said(story, 3 * HOUR) == f"{self.ASKS} (grace's expired at {iso(end)})"

    def test_at_the_very_moment_of_its_end_it_is_expired(self):
        """A second before, it counts."""
        story = told(service())
        story.approve(story.change(self.WANTED), for_s=HOUR)
        assert self.said(story, HOUR - 1.0) == ""
        assert self.said(story, HOUR) == f"{self.ASKS} (grace's expired at {iso(story.now + HOUR)})"

    def test_one_for_another_service_is_not_mentioned(self):
        """It was never meant for this one."""
        story = told(service(), service("wine"))
        other = environment(service(), service("wine", models={"A": "8"}), approval_required=True)
        story.approve(next(c for c in story.plan(other).changes if c.service == "wine"))
        files = environment(service(models={"A": "8"}), service("wine"), approval_required=True)
        (change,) = [c for c in story.plan(files).changes if c.service == "risk"]
        assert change.blocked == self.ASKS


# -- differences in words ----------------------------------------------------------------------------------------------


def test_all_settings_that_differ_are_listed_in_the_order_of_their_names():
    """Then the labels: a plan is read from top to bottom, and twice the same."""
    old = service(models={"A": "7", "B": "1"}, replicas=2)
    new = service(
        models={"A": model("A", "70", content="7"), "B": model("B", "10", content="1")},
        tag=image("1.0", content="1"),
        replicas=3,
        timeout_s=5.0,
    )
    env = environment()
    recorded = dict(reversed(settings_of(env, old).items()))
    assert settings_changes(recorded, settings_of(env, new), old.bundle, new.bundle) == (
        "replicas: 2 → 3",
        "timeout_s: 60.0 → 5.0",
        "A: 7 → 70",
        "B: 1 → 10",
        f"image: {image('1').reference} → {image('1.0', content='1').reference}",
    )


def test_a_receipt_knows_settings_by_these_names():
    """They are in every ledger: another name would be a change of settings everywhere."""
    assert settings_of(environment(), service()) == {
        "replicas": 2,
        "strategy": "blue_green",
        "timeout_s": 60.0,
        "listen": "127.0.0.1:8080",
        "golden_rtol": {"A": 1e-06},
    }


def test_a_setting_that_a_receipt_lacks_is_a_change():
    """An older version recorded fewer: they are given once, and said."""
    env, one = environment(), service()
    known = {k: v for k, v in settings_of(env, one).items() if k != "timeout_s"}
    assert settings_changes(known, settings_of(env, one), one.bundle, one.bundle) == ("timeout_s: None → 60.0",)


def test_an_instance_with_several_wrong_models_says_all_of_them():
    """Each by name, version and the beginning of its digest."""
    two = bundle(models={"A": "7", "B": "1"})
    identity = replace(instance(two).identity, models=(("A", "8", "sha256:0123456789abcdef"), ("B", "2", "sha256:ff")))
    assert identity_mismatch(identity, two) == "answers with models A 8 (sha256:01234567…), B 2 (sha256:ff…)"


# -- the order of candidates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "a", "b")], ids=["sorted", "as files come"])
def test_candidates_come_by_service_and_their_image_first(order):
    """Commits follow in this order: the same promotion makes the same history wherever it is run."""
    source = Story()
    source.apply(environment(*(service(name, models={f"{name}1": "2", f"{name}2": "2"}, tag="2") for name in order)))
    dest = environment(*(service(name, models={f"{name}1": "1", f"{name}2": "1"}) for name in order))
    found = candidates(source.history, dest, Story().history, Chosen(), now=source.now)
    assert [(c.service, c.name) for c in found] == [(s, n) for s in "abc" for n in ("image", f"{s}1", f"{s}2")]
    assert {c.image for c in found} == {image("2").reference}


def test_a_candidate_of_nothing_recorded_there_is_none():
    """The source has the service in its files, and never proved it."""
    failed = Story()
    failed.fail(environment(service(models={"A": "8"})))
    assert candidates(failed.history, environment(service()), Story().history, Chosen(), now=START) == ()
    assert failed.change(environment(service(models={"A": "8"}))).kind is ChangeKind.CREATE
