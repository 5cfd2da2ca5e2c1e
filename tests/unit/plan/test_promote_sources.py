"""Where a promotion's pins come from when the source changed its services, and which of several refusals names which pin."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.history.fold import History
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.plan.promote import Candidate, Chosen, candidates, unplaced
from support.core import Story, absent, environment, image, model, service

A, B = model_key("A"), model_key("B")
ALL = Chosen()
HERE = environment(service(models={"A": "7"}))


def went(*states, name="staging") -> History:
    story = Story()
    for state in states:
        story.apply(state)
    return replace(story.history, environment=name)


def on(models, tag="1", **policy):
    return environment(service(models=models, tag=tag), **policy)


def asked(source, files=HERE, history=None, chosen=ALL, now=2e9):
    return candidates(source, files, history or went(files, name="production"), chosen, now=now)


def said(found: tuple[Candidate, ...]) -> dict[str, str]:
    return {c.key: c.refused for c in found}


# -- services that the source gave up ----------------------------------------------------------------------------------


def test_what_was_removed_there_is_no_source():
    """It proved version 8 once, and nothing is recorded of it now."""
    assert asked(went(on({"A": "8"}), environment(absent()))) == ()


def test_a_removed_service_does_not_stand_in_the_way_of_another():
    """`old` served the model and is gone; `scores` alone serves it now."""
    files = environment(service("old", {"A": "9"}), service("scores", {"A": "8"}))
    source = went(files, environment(absent("old"), service("scores", {"A": "8"})))
    (found,) = asked(source)
    assert (found.service, found.after, found.refused) == ("risk", model("A", "8"), "")


def test_a_service_that_serves_none_of_its_models_is_no_source():
    """Nor is its image: it was proved with other models."""
    assert asked(went(environment(service("other", {"X": "1"}, tag="2")))) == ()


def test_among_several_the_one_that_serves_the_model_is_the_source():
    """Its image comes along."""
    source = went(environment(service("other", {"X": "1"}, tag="3"), service("scores", {"A": "8"}, tag="2")))
    assert [(c.key, c.image) for c in asked(source)] == [(IMAGE, image("2").reference), (A, image("2").reference)]


def test_a_model_that_two_other_services_serve_in_two_versions_is_left_alone():
    """Its own service there does not have it; which of the others is meant nobody knows."""
    source = went(environment(service(models={"A": "8"}), service("x", {"B": "2"}), service("y", {"B": "3"})))
    assert said(asked(source, on({"A": "7", "B": "1"}))) == {A: ""}


def test_the_same_bytes_in_two_services_are_one_value():
    """Whoever of them is asked."""
    source = went(environment(service(models={"A": "7"}), service("x", {"B": "2"}), service("y", {"B": "2"})))
    assert said(asked(source, on({"A": "7", "B": "1"}))) == {B: ""}


def test_what_is_served_without_a_file_here_is_listed_by_service():
    """A service that was removed there serves nothing."""
    files = environment(service("z", {"Z": "1"}), service("b", {"B": "1"}), service("gone", {"G": "1"}))
    source = went(files, environment(service("z", {"Z": "1"}), service("b", {"B": "1"}), absent("gone")))
    assert unplaced(source, HERE) == (("b", "B"), ("z", "Z"))


# -- which pin is refused ----------------------------------------------------------------------------------------------


def test_a_rejection_names_the_pin_that_it_is_about():
    """The image was rejected here; the model falls back to the one that stays, under which it was never proved."""
    story = Story()
    story.apply(HERE)
    story.reject("risk", (IMAGE, str(image("2").digest)))
    found = asked(went(on({"A": "8"}, "2")), history=story.history)
    assert said(found) == {
        IMAGE: "rejected by ada: biased (in production)",
        A: "A 8 was never verified in staging under the image that it would run with here",
    }
    assert {c.image for c in found} == {image("1").reference}


def test_an_image_is_judged_with_the_models_that_may_move():
    """B 2 was rejected here, so B 1 would run under the image: it never did there, and so the image stays."""
    story = Story()
    files = on({"A": "7", "B": "1"})
    story.apply(files)
    story.reject("risk", (B, str(model("B", "2").digest)))
    found = asked(went(on({"A": "8", "B": "2"}, "2")), files, story.history)
    assert said(found)[IMAGE] == "B 1 was never verified in staging under the image that it would run with here"
    assert said(found)[B] == "rejected by ada: biased (in production)"


def test_a_set_that_the_source_left_does_not_come_together():
    """Each ran there by itself; both at once are what was rejected there."""
    story = Story()
    for state in ({"A": "7", "B": "2"}, {"A": "8", "B": "1"}, {"A": "8", "B": "2"}):
        story.apply(on(state))
    story.reject("risk", (A, str(model("A", "8").digest)), (B, str(model("B", "2").digest)))
    source = replace(story.history, environment="staging")
    found = asked(source, on({"A": "7", "B": "1"}))
    refusal = "was rejected by ada: biased (in staging)"
    assert said(found) == {A: f"A 8 {refusal}", B: f"B 2 {refusal}"}
    (alone,) = asked(source, on({"A": "7", "B": "1"}), chosen=Chosen(models=frozenset("A")))
    assert (alone.key, alone.refused) == (A, "")


@pytest.mark.parametrize("runs", ["8", "7"], ids=["what runs", "what ran before"])
def test_what_production_had_is_not_promoted_to_it(runs):
    """Going back is another command, with its own proof."""
    history = went(on({"A": "7"}), on({"A": "8"}), name="production")
    wanted = on({"A": "6"})
    (found,) = asked(went(on({"A": runs})), wanted, history)
    assert found.refused == (
        "production runs it already, and git wants another there: mlrelease rollback goes back"
        if runs == "8"
        else "production was there before: mlrelease rollback goes back to it"
    )


def test_a_pin_that_may_move_carries_no_words():
    """Neither a refusal nor a note: `promote` prints what stands there."""
    (found,) = asked(went(on({"A": "8"})))
    assert (found.refused, found.note) == ("", "")
