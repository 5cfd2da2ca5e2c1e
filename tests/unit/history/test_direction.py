"""Which way components move, what that rejects, and which rejection stands in the way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.history.direction import component_changes, direction, left_behind, moved_forward, rejection_of
from mlrelease.model.bundle import ABSENT, IMAGE, SETTINGS, model_key
from mlrelease.model.change import ComponentChange, Direction
from support.core import Story, bundle, environment, image, model, service

A, B = model_key("A"), model_key("B")
F, K = Direction.FORWARD, Direction.BACK


def visited(*versions: str) -> Story:
    story = Story()
    for version in versions:
        story.apply(environment(service(models={"A": version})))
        story.unreject("risk", (A, model("A", version).digest))
    return story


@pytest.mark.parametrize(
    ("path", "before", "after", "expected"),
    [
        pytest.param(["7", "8"], "7", "8", F, id="to the younger"),
        pytest.param(["7", "8"], "8", "7", K, id="to the older"),
        pytest.param(["7"], "7", "8", F, id="to one never verified"),
        pytest.param(["8"], "7", "8", F, id="from one never verified"),
        pytest.param(["8", "7"], "8", "7", F, id="the number does not matter, the order here does"),
        pytest.param(["7", "8", "7"], "7", "8", F, id="coming back does not make older"),
        pytest.param(["7", "8", "9", "8", "7"], "9", "8", K, id="one back of three"),
    ],
)
def test_direction_is_the_order_of_first_verification(path, before, after, expected):
    """Back is to what was verified here earlier; all else is forward."""
    history = visited(*path).history
    assert direction(history, "risk", A, model("A", before).digest, model("A", after).digest) is expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("1234"), min_size=2, max_size=7))
def test_two_verified_values_have_one_way_back(path):
    """Of each pair, exactly one way is back; so no two moves in a circle are both free."""
    history = visited(*path).history
    for key in (A, IMAGE):
        values = [value for (_, k, value) in history.first_verified if k == key]
        for one in values:
            for other in set(values) - {one}:
                there = direction(history, "risk", key, one, other)
                assert {there, direction(history, "risk", key, other, one)} == {F, K}


def test_another_services_history_has_no_say():
    """What was verified in one service is new in another."""
    history = visited("7", "8").history
    assert direction(history, "churn", A, model("A", "8").digest, model("A", "7").digest) is F


def test_component_changes_name_what_differs_with_labels():
    """Sorted by key; what is equal by digest is not in it."""
    story = Story()
    before = bundle("risk", "1", {"A": "7", "B": "1", "C": "1"})
    after = bundle("risk", "2", {"A": "8", "C": "1", "D": "5"}, MODE="fast")
    assert component_changes(story.history, "risk", before, after) == (
        ComponentChange(
            *(IMAGE, image("1").digest, image("2").digest, F),
            before_label="ghcr.io/acme/serve:1",
            after_label="ghcr.io/acme/serve:2",
        ),
        ComponentChange(A, model("A", "7").digest, model("A", "8").digest, F, "7", "8"),
        ComponentChange(B, model("B", "1").digest, ABSENT, F, "1", ABSENT),
        ComponentChange(model_key("D"), ABSENT, model("D", "5").digest, F, ABSENT, "5"),
        ComponentChange(SETTINGS, before.components()[SETTINGS], after.components()[SETTINGS], F, "none", "MODE"),
    )
    assert component_changes(story.history, "risk", before, before) == ()


def test_component_changes_of_a_birth_and_an_end():
    """From nothing and to nothing, every component moves."""
    story, one = Story(), bundle()
    assert {(c.key, c.before) for c in component_changes(story.history, "risk", None, one)} == {
        (IMAGE, ABSENT),
        (SETTINGS, ABSENT),
        (A, ABSENT),
    }
    assert {c.after_label for c in component_changes(story.history, "risk", one, None)} == {ABSENT}


def move(key, before, after, way):
    return ComponentChange(key, before, after, way)


def test_a_move_back_rejects_what_it_left():
    """Only what went back, and never an absence."""
    moves = (move(A, "8", "7", K), move(B, "1", "2", F), move(model_key("C"), ABSENT, "1", K))
    assert left_behind(moves) == ((A, "8"),)


def test_a_failed_verification_rejects_what_moved_forward():
    """Only what went forward, and never an absence."""
    moves = (move(A, "8", "7", K), move(B, "1", "2", F), move(model_key("C"), "1", ABSENT, F))
    assert moved_forward(moves) == ((B, "2"),)


def asked(story, recorded, desired):
    return rejection_of(story.history, "risk", desired, component_changes(story.history, "risk", recorded, desired))


SEVEN, EIGHT = (A, model("A", "7").digest), (A, model("A", "8").digest)
ONE, TWO = (B, model("B", "1").digest), (B, model("B", "2").digest)


@pytest.mark.parametrize(
    ("rejects", "recorded", "desired", "stands"),
    [
        pytest.param([EIGHT], "71", "81", True, id="the value itself"),
        pytest.param([EIGHT], "71", "72", False, id="another value"),
        pytest.param([EIGHT], "81", "82", False, id="a rejected value that stands still"),
        pytest.param([EIGHT, TWO], "71", "81", False, id="half of a rejected set"),
        pytest.param([EIGHT, TWO], "71", "82", True, id="the whole set at once"),
        pytest.param([EIGHT, TWO], "81", "82", True, id="the set completed"),
        pytest.param([EIGHT, TWO], "71", "83", False, id="half of the set and another"),
    ],
)
def test_a_rejection_stands_in_the_way_of_forward_moves(rejects, recorded, desired, stands):
    """When the desired bundle holds all of it and part of it moves."""
    story = Story()
    story.reject("risk", *rejects)
    old, new = (bundle(models=dict(zip("AB", pair, strict=True))) for pair in (recorded, desired))
    assert (asked(story, old, new) is not None) is stands


def test_a_left_value_may_be_gone_back_to_from_a_younger_one():
    """7→8→7 rejects 8 as a step forward; after 9, eight lies behind."""
    story = Story()
    for version in ("7", "8", "7", "9"):
        story.apply(environment(service(models={"A": version})))
    nine, eight, seven = (bundle(models={"A": version}) for version in "987")
    assert asked(story, nine, eight) is None
    assert asked(story, seven, eight) is not None


def test_a_persons_rejection_forbids_going_back_too():
    """Somebody knew why."""
    story = visited("7", "8")
    story.reject("risk", SEVEN)
    rejection = asked(story, bundle(models={"A": "8"}), bundle(models={"A": "7"}))
    assert rejection.reason == "biased"


def test_the_newest_rejection_is_named():
    """Of several that forbid the move."""
    story = Story()
    story.reject("risk", EIGHT)
    story.reject("risk", EIGHT)
    assert asked(story, bundle(), bundle(models={"A": "8"})).event == "e2"


def test_another_services_rejection_has_no_say():
    """Rejections are of a service."""
    story = Story()
    story.reject("churn", EIGHT)
    assert asked(story, bundle(), bundle(models={"A": "8"})) is None


def test_labels_are_not_compared():
    """The same digest under another number has not moved."""
    other = service(models={"A": model("A", "70", content="7")}, tag=image("9", content="1")).bundle
    assert (other.versions(), other.image.short) == ({"A": "70"}, "ghcr.io/acme/serve:9")
    assert component_changes(Story().history, "risk", bundle(), other) == ()
