"""What `promote` would move, and why it would not: the source's record beside the destination's files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.when import iso
from mlrelease.plan.promote import Chosen, candidates, unplaced
from support.core import START, Story, environment, image, model, service

A, B = model_key("A"), model_key("B")
HOUR = 3600.0


def on(models, tag="1", **policy):
    return environment(service(models=models, tag=tag), **policy)


def told(*files) -> Story:
    story = Story()
    for env in files:
        story.apply(env)
    return story


ALL = Chosen()


def asked(staging, story, files, chosen=ALL, now=None):
    source = replace(staging.history, environment="staging")
    return candidates(source, files, story.history, chosen, now=staging.now if now is None else now)


def said(found):
    return {c.key: c.refused for c in found}


SEVEN = on({"A": "7"})


def test_what_the_source_recorded_is_what_moves():
    """By digest; equal pins are left out."""
    (found,) = asked(told(on({"A": "7"}), on({"A": "8"})), told(SEVEN), SEVEN)
    assert (found.service, found.key, found.name, found.labels) == ("risk", A, "A", ("7", "8"))
    assert (found.before, found.after) == (model("A", "7"), model("A", "8"))
    assert (found.image, found.refused, found.note) == (image("1").reference, "", "")
    assert asked(told(SEVEN), told(SEVEN), SEVEN) == ()


def test_what_the_source_only_wants_does_not_move():
    """Pinned there, tried, and refused: recorded is still 7."""
    staging = told(SEVEN)
    staging.fail(on({"A": "8"}))
    assert asked(staging, told(SEVEN), SEVEN) == ()


def test_another_number_for_the_same_bytes_is_no_move():
    """Versions are labels."""
    staging = told(on({"A": model("A", "70", content="7")}))
    assert asked(staging, told(SEVEN), SEVEN) == ()


def test_an_image_moves_before_its_models():
    """Each of them under the image that moves."""
    staging = told(on({"A": "7"}, "1"), on({"A": "8"}, "2"))
    first, second = asked(staging, told(SEVEN), SEVEN)
    assert (first.key, first.name, first.labels) == (IMAGE, "image", ("ghcr.io/acme/serve:1", "ghcr.io/acme/serve:2"))
    assert (second.key, second.image) == (A, image("2").reference)
    assert said((first, second)) == {IMAGE: "", A: ""}


def test_without_its_image_a_model_is_not_proved():
    """It ran under the other one."""
    staging = told(on({"A": "7"}, "1"), on({"A": "8"}, "2"))
    found = asked(staging, told(SEVEN), SEVEN, Chosen(images=False))
    assert said(found) == {A: "A 8 was never verified in staging under the image that it would run with here"}


def test_an_image_is_refused_for_a_model_that_stays():
    """It would move under B too, which never ran under it; and A falls back to the image that stays."""
    staging = told(on({"A": "8", "B": "2"}, "2"))
    files = on({"A": "7", "B": "1"}, "1")
    found = asked(staging, told(files), files, Chosen(models=frozenset({"A"})))
    assert said(found) == {
        IMAGE: "B 1 was never verified in staging under the image that it would run with here",
        A: "A 8 was never verified in staging under the image that it would run with here",
    }


@pytest.mark.parametrize(
    ("chosen", "keys"),
    [
        pytest.param(Chosen(), [IMAGE, A, B], id="all"),
        pytest.param(Chosen(images=False), [A, B], id="no images"),
        pytest.param(Chosen(models=frozenset({"B"})), [IMAGE, B], id="one model, and the image that it needs"),
        pytest.param(Chosen(services=frozenset({"risk"})), [IMAGE, A, B], id="its service"),
        pytest.param(Chosen(services=frozenset({"churn"})), [], id="another service"),
        pytest.param(Chosen(models=frozenset({"C"})), [], id="another model"),
    ],
)
def test_only_what_is_asked_for(chosen, keys):
    """Services and models narrow it; `--no-image` leaves images alone."""
    staging = told(on({"A": "8", "B": "2"}, "2"))
    files = on({"A": "7", "B": "1"})
    assert [c.key for c in asked(staging, told(files), files, chosen)] == keys


class TestRefused:
    """What may not move forward there."""

    def test_a_version_rejected_here(self):
        """It failed here before, whatever it did in staging."""
        story = told(SEVEN)
        story.fail(on({"A": "8"}))
        found = asked(told(on({"A": "8"})), story, SEVEN)
        assert said(found) == {A: "rejected by ada: golden rows differ (in production)"}

    def test_a_set_rejected_here(self):
        """Neither alone, both together."""
        story, both = told(on({"A": "7", "B": "1"})), on({"A": "8", "B": "2"})
        story.fail(both)
        files = on({"A": "7", "B": "1"})
        staging = told(both)
        assert said(asked(staging, story, files)) == dict.fromkeys(
            (A, B), "rejected by ada: golden rows differ (in production)"
        )
        assert said(asked(staging, story, files, Chosen(models=frozenset({"A"})))) == {A: ""}

    def test_each_of_several_that_were_rejected_by_themselves(self):
        """The newest rejection does not hide an older one of another pin."""
        files = on({"A": "7", "B": "1"})
        story = told(files)
        for one in (model("A", "8"), model("B", "2")):
            story.reject("risk", (model_key(one.name), one.digest))
        found = asked(told(on({"A": "8", "B": "2"})), story, files)
        assert said(found) == dict.fromkeys((A, B), "rejected by ada: biased (in production)")

    def test_a_set_beside_one_that_was_rejected_by_itself(self):
        """Both are kept out: C for itself, A and B for being together."""
        c = model_key("C")
        files = on({"A": "7", "B": "1", "C": "1"})
        story = told(files)
        story.fail(on({"A": "8", "B": "2", "C": "1"}))
        story.reject("risk", (c, model("C", "2").digest))
        found = said(asked(told(on({"A": "8", "B": "2", "C": "2"})), story, files))
        assert found.pop(c) == "rejected by ada: biased (in production)"
        assert found == dict.fromkeys((A, B), "rejected by ada: golden rows differ (in production)")

    def test_a_version_rejected_in_the_source(self):
        """Staging records it no more once it moved back: there is nothing to promote; a person's word is named."""
        staging = told(SEVEN, on({"A": "8"}))
        staging.reject("risk", (A, model("A", "8").digest))
        assert said(asked(staging, told(SEVEN), SEVEN)) == {A: "A 8 was rejected by ada: biased (in staging)"}

    def test_a_move_back(self):
        """Staging was taken back to what production left long ago: that is a rollback, and another verb."""
        eight = on({"A": "8"})
        found = asked(told(SEVEN), told(SEVEN, eight), eight)
        assert said(found) == {A: "production was there before: mlrelease rollback goes back to it"}

    def test_what_runs_there_already(self):
        """Git is ahead: the pin that failed is undone by a rollback, not by a promotion."""
        story = told(SEVEN)
        nine = on({"A": "9"})
        story.fail(nine)
        found = asked(told(SEVEN), story, nine)
        assert said(found) == {A: "production runs it already, and git wants another there: mlrelease rollback goes back"}

    def test_one_that_is_refused_leaves_the_others(self):
        """Each pin gets its own line."""
        files = on({"A": "7", "B": "1"})
        story = told(files)
        story.reject("risk", (A, model("A", "8").digest))
        found = asked(told(on({"A": "8", "B": "2"})), story, files)
        assert said(found) == {A: "rejected by ada: biased (in production)", B: ""}

    def test_a_soak_that_cannot_be_served_any_more(self):
        """Staging moved on before; 9 is what soaks now."""
        staging = told(on({"A": "8"}, "1"), on({"A": "8"}, "2"))
        found = asked(staging, told(SEVEN), on({"A": "7"}, soak_s=HOUR), Chosen(images=False))
        assert said(found) == {A: "A 8 was replaced in staging before its soak was served"}


@pytest.mark.parametrize(
    ("later", "note"),
    [
        (0.0, f"not before {iso(START + 60 + HOUR)}, when its soak in staging is served"),
        (HOUR - 1, f"not before {iso(START + 60 + HOUR)}, when its soak in staging is served"),
        (HOUR, ""),
    ],
    ids=["just verified", "a second too early", "served"],
)
def test_a_soak_not_served_may_be_promoted_and_says_when(later, note):
    """The merge may be made ahead; the Change waits."""
    staging = told(on({"A": "8"}))
    files = on({"A": "7"}, soak_s=HOUR)
    (found,) = asked(staging, told(SEVEN), files, now=staging.now + later)
    assert (found.refused, found.note) == ("", note)


class TestWhereItComesFrom:
    """Environments group and name their services differently."""

    def test_a_service_of_another_name_that_alone_serves_the_model(self):
        """The bytes and the image are what was proved."""
        staging = told(environment(service("scores", {"A": "8"})))
        (found,) = asked(staging, told(SEVEN), SEVEN)
        assert (found.service, found.after) == ("risk", model("A", "8"))

    def test_two_services_that_serve_different_versions_are_no_answer(self):
        """Nothing is guessed."""
        staging = told(environment(service("one", {"A": "8"}), service("two", {"A": "9"})))
        assert asked(staging, told(SEVEN), SEVEN) == ()

    def test_its_own_service_comes_first(self):
        """Whatever others serve."""
        staging = told(environment(service("risk", {"A": "8"}), service("two", {"A": "9"})))
        (found,) = asked(staging, told(SEVEN), SEVEN)
        assert found.after == model("A", "8")

    def test_a_model_of_another_service_there(self):
        """One that the source serves elsewhere, with one value only."""
        staging = told(environment(service("risk", {"A": "7"}), service("two", {"B": "2"})))
        files = on({"A": "7", "B": "1"})
        (found,) = asked(staging, told(files), files)
        assert (found.key, found.after, found.refused) == (B, model("B", "2"), "")

    def test_models_without_a_file_are_named_not_made(self):
        """With the service that has them there."""
        staging = told(environment(service("risk", {"A": "8", "B": "1"}), service("two", {"C": "1"})))
        assert unplaced(staging.history, SEVEN) == (("risk", "B"), ("two", "C"))

    def test_an_absent_service_gets_nothing(self):
        """It is on its way out."""
        from support.core import absent

        assert asked(told(on({"A": "8"})), told(SEVEN), environment(absent())) == ()


versions = st.fixed_dictionaries({"A": st.sampled_from("123"), "B": st.sampled_from("12")})
steps = st.lists(st.tuples(versions, st.sampled_from("12"), st.sampled_from(["ok", "fail"])), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(steps, steps, st.sampled_from([0.0, 90.0]))
def test_what_is_promoted_is_never_blocked_for_its_promotion(there, here, soak_s):
    """Whatever both went through: once the pins that may move have moved, the plan waits for nothing but time."""
    staging, story = Story(), Story()
    for path, one in ((there, staging), (here, story)):
        for models, tag, how in path:
            (one.apply if how == "ok" else one.fail)(on(models, tag))
    files = on(here[-1][0], here[-1][1], promotes_from="staging", soak_s=soak_s)
    found = asked(staging, story, files)
    pins = {c.key: c.after for c in found if not c.refused}
    spec = files.services["risk"]
    # Git and what runs agree here, and nothing was refused: what is left to wait for is the promotion alone.
    assume(pins and len(pins) == len(found) and story.history.bundle("risk") == spec.bundle)
    models = {m.name: pins.get(model_key(m.name), m.pin) for m in spec.models}
    after = environment(service(models=models, tag=pins.get(IMAGE, spec.image)), promotes_from="staging", soak_s=soak_s)
    change = story.change(after, source=replace(staging.history, environment="staging"), now=staging.now + 1000.0)
    assert {c.key for c in change.components} == set(pins)
    assert change.blocked_by in ("", "soak")
