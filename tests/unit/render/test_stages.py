"""The order in which environments are deployed, whatever their files say of each other: a workflow that GitHub accepts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.model.spec import State
from mlrelease.render.workflow import Stage, stages
from support.core import environment

NAMES = ["dev", "staging", "canary", "production", "eu"]


def named(name, source="", state=State.PRESENT, *, approval=False):
    return replace(environment(promotes_from=source, approval_required=approval, state=state), name=name)


worlds = st.lists(
    st.builds(
        lambda name, source, present, approval: named(
            name, source, State.PRESENT if present else State.ABSENT, approval=approval
        ),
        st.sampled_from(NAMES),
        st.sampled_from(["", "gone", *NAMES]),
        st.sampled_from([True, True, True, False]),
        st.booleans(),
    ),
    max_size=5,
    unique_by=lambda one: one.name,
)


def circular(one, present):
    """Whether following its sources comes back to itself."""
    seen, at = set(), one.promotes_from
    while at in present and at not in seen:
        seen.add(at)
        at = present[at].promotes_from
    return one.name in seen


@given(worlds)
@settings(max_examples=80, deadline=None)
def test_any_files_give_an_order_in_which_nobody_waits_for_a_later_one(world):
    """Each present environment once; it waits for its own source, which comes before it, or for nobody."""
    found = stages(world)
    present = {one.name: one for one in world if one.state is State.PRESENT}
    assert sorted(stage.name for stage in found) == sorted(present)
    for place, stage in enumerate(found):
        assert stage.approval is present[stage.name].approval_required
        assert stage.after in ("", present[stage.name].promotes_from)
        assert not stage.after or stage.after in [before.name for before in found[:place]]


@given(worlds)
@settings(max_examples=80, deadline=None)
def test_only_a_circle_or_a_missing_source_makes_nobody_wait(world):
    """Whatever is promoted from an environment that is there waits for it."""
    present = {one.name: one for one in world if one.state is State.PRESENT}
    for stage in stages(world):
        one = present[stage.name]
        if one.promotes_from in present and not circular(one, present):
            assert stage.after == one.promotes_from


@given(worlds, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_files_is_nothing(world, random):
    """What a reviewer reads does not change because a folder was listed otherwise."""
    turned = list(world)
    random.shuffle(turned)
    assert stages(turned) == stages(world)


def test_a_circle_of_three_is_cut_once():
    """The first by name is reached last."""
    assert stages([named("a", "b"), named("b", "c"), named("c", "a", approval=True)]) == (
        Stage("c", approval=True),
        Stage("b", approval=False, after="c"),
        Stage("a", approval=False, after="b"),
    )


def test_one_that_is_promoted_from_itself_waits_for_nobody():
    """A finding elsewhere; here it must not hang."""
    assert stages([named("a", "a")]) == (Stage("a", approval=False),)


def test_two_that_share_a_source_both_wait_for_it():
    """And stand behind it in the order of their names."""
    found = stages([named("eu", "staging"), named("us", "staging"), named("staging")])
    assert [(stage.name, stage.after) for stage in found] == [("staging", ""), ("eu", "staging"), ("us", "staging")]
