"""What `approve` reads and says, without a world: files that are half a plan, words for each service, and the way out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.approve import _moved_on, _read_plan, _report
from mlrelease.errors import UsageError
from mlrelease.model.event import Approved
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.model.when import iso
from mlrelease.plan.make import judge
from mlrelease.render.plan import plan_json
from support.core import Story, bundle, environment, live, service

STRICT = {"approval_required": True}
SEVEN, EIGHT = (environment(service(models={"A": version}), **STRICT) for version in "78")
PASSED = GateResult("exists", "model:A", GateStatus.PASSED, "it is there")


def at_seven() -> Story:
    story = Story()
    story.apply(environment(service()))
    return story


def written(folder, plan, **changes):
    path = folder / "plan.json"
    path.write_text(json.dumps(plan_json(plan) | changes))
    return str(path)


# -- the plan that was read --------------------------------------------------------------------------------------------


def test_a_plan_is_read_as_it_was_written(tmp_path):
    """Both sides of each Change, by digest: what was planned has not moved on."""
    plan = Story().plan(environment(service("a"), service("b", models={"B": "3"}, env=(("MODE", "fast"),))))
    read = _read_plan(written(tmp_path, plan), "production")
    assert read == {change.service: (change.before, change.after) for change in plan.changes}
    assert _moved_on(read, plan) == ()


GOOD = {"image": bundle().image.reference, "models": [{"name": "A", "version": "7", "digest": "sha256:0"}], "settings": {}}
ODD = {
    "an image that is a number": {"image": 5},
    "an image that is a list": {"image": ["a@b"]},
    "no image": {"image": None},
    "models that are words": {"models": ["A"]},
    "models that are one": {"models": {"name": "A"}},
    "a model without a digest": {"models": [{"name": "A", "version": "7"}]},
    "models of several kinds": {"models": [{"name": n, "version": "7", "digest": "d"} for n in ("A", 7)]},
    "settings that are a list": {"settings": [["MODE", "fast"]]},
    "a setting that is half a sign": {"settings": {"MODE": "\ud800"}},
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("side", ["before", "after"])
def test_half_a_bundle_is_no_plan(tmp_path, name, side):
    """A file that somebody edited, or another program wrote: a slip of the pen, never a traceback."""
    path = tmp_path / "plan.json"
    change = {"before": None, "after": None} | {side: GOOD | ODD[name]}
    path.write_text(json.dumps({"environment": "production", "changes": {"risk": change}}))
    with pytest.raises(UsageError) as refused:
        _read_plan(str(path), "production")
    assert refused.value.message == f"{path} is not a plan"
    assert refused.value.hint == "mlrelease --output json plan production > FILE"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["image", "models", "name"]), inner),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(JSON, JSON)
def test_whatever_stands_in_the_file_it_is_a_plan_or_a_clear_no(tmp_path_factory, before, after):
    """And a plan that was read can be compared with the one of now."""
    path = tmp_path_factory.getbasetemp() / "any-plan.json"
    path.write_text(json.dumps({"environment": "production", "changes": {"risk": {"before": before, "after": after}}}))
    try:
        read = _read_plan(str(path), "production")
    except UsageError as refused:
        assert refused.message == f"{path} is not a plan"  # noqa: PT017 - either end is right
    else:
        assert len(_moved_on(read, at_seven().plan(EIGHT))) in (0, 1)


def test_each_service_that_moved_on_is_a_line_with_both_moves(tmp_path):
    """One that came, one that moved, one that stayed."""
    story = Story()
    story.apply(environment(service("a"), service("b")))
    was = story.plan(environment(service("a", models={"A": "8"}), service("b"), **STRICT))
    now = story.plan(environment(service("a", models={"A": "9"}), service("b"), service("c"), **STRICT))
    ids = {(s, v): bundle(s, models={"A": v}).id[:7] for s in "abc" for v in "789"}
    assert _moved_on(_read_plan(written(tmp_path, was), "production"), now) == (
        f"a: was A 7 ({ids['a', '7']}) → A 8 ({ids['a', '8']}), is A 7 ({ids['a', '7']}) → A 9 ({ids['a', '9']})",
        f"c: not in the plan that was read, is nothing → A 7 ({ids['c', '7']})",
    )


# -- what is said of each service --------------------------------------------------------------------------------------


def approval(story, change, name="grace"):
    terms = {"before": (), "after": (), "approver": name, "expires_at": story.now + 3600.0}
    return Approved("e9", "production", story.now, name, change.service, **terms)


def report(story, plan, approved=()):
    given_ = {c.service: approval(story, c) for c in plan.changes if c.service in approved}
    return _report(EIGHT, plan, story.history, given_, [], story.now)


@pytest.mark.parametrize(
    ("status", "command", "code"),
    [
        (GateStatus.FAILED, "mlrelease bump production A --to VERSION", 5),
        (GateStatus.INCONCLUSIVE, "mlrelease bump production A --to VERSION", 5),
        (GateStatus.ERRORED, "mlrelease plan production", 1),
    ],
)
def test_where_a_gate_is_shut_the_next_command_is_not_to_approve_again(status, command, code):
    """An approval opens no gate: what was just asked for would be refused in the same words."""
    story = at_seven()
    shut = GateResult("digest", "model:A", status, "its bytes are others")
    found = report(story, judge(story.plan(EIGHT), {"risk": (PASSED, shut)}))
    assert (found.next, found.exit_code) == (command, code)
    assert found.rows[0][1:] == (
        "blocked",
        f"A 7 ({bundle().id[:7]})",
        f"A 8 ({bundle(models={'A': '8'}).id[:7]})",
        "1 of 2",
        "",
        f"an approval opens no gate: digest {status}",
    )
    assert found.details == [f"risk: gate digest {status} for model:A: its bytes are others"]


def test_where_something_else_blocks_it_the_gates_do_not_say_what_next():
    """A hold is lifted by a person, whatever version is pinned."""
    story = at_seven()
    story.hold("risk")
    shut = GateResult("digest", "model:A", GateStatus.FAILED, "its bytes are others")
    found = report(story, judge(story.plan(EIGHT), {"risk": (shut,)}))
    assert (found.next, found.exit_code) == ("mlrelease history production --service risk", 5)
    assert found.data["blocked"] == {"risk": "held by ada: freeze"}


def test_a_failure_beside_an_error_is_a_no_and_no_failure_to_tell():
    """One gate has spoken: another try does not help."""
    story = at_seven()
    shut = tuple(GateResult(s.value, "model:A", s, "so") for s in (GateStatus.ERRORED, GateStatus.FAILED))
    assert report(story, judge(story.plan(EIGHT), {"risk": shut})).exit_code == 5


def test_a_gate_that_was_skipped_for_a_reason_counts_as_open():
    """Of three gates all three let it pass."""
    story = at_seven()
    skipped = GateResult("metric", "model:A", GateStatus.SKIPPED, "waived", skip_reason=SkipReason.WAIVED)
    found = report(story, judge(story.plan(EIGHT), {"risk": (PASSED, skipped)}), approved=("risk",))
    seven, eight = bundle().id[:7], bundle(models={"A": "8"}).id[:7]
    assert found.verdict == (
        f"production: approved risk A 7 ({seven}) → A 8 ({eight}), gates 2 of 2; a rollback goes back to A 7 ({seven})"
    )
    assert (found.next, found.exit_code) == ("mlrelease deploy production", 0)
    assert found.rows[0][-1] == f"until {iso(story.now + 3600.0)}"


def test_a_first_deploy_has_nothing_to_go_back_to():
    """Whoever says yes to it is told."""
    story = Story()
    found = report(story, story.plan(EIGHT), approved=("risk",))
    assert found.verdict == (
        f"production: approved risk nothing → A 8 ({bundle(models={'A': '8'}).id[:7]}); there is nothing to go back to"
    )
    assert found.rows[0][4:6] == ("–", "nothing")


def test_one_that_is_blocked_beside_one_that_is_approved():
    """Both are said, the blocked one decides the exit code and the next command."""
    story = Story()
    story.apply(environment(service("a"), service("b")))
    story.hold("b")
    files = environment(*(service(name, models={"A": "8"}) for name in "ab"), **STRICT)
    found = report(story, story.plan(files), approved=("a",))
    assert found.verdict.endswith("; 1 blocked")
    assert (found.next, found.exit_code) == ("mlrelease history production --service b", 5)
    assert (sorted(found.data["approvals"]), found.data["blocked"]) == (["a"], {"b": "held by ada: freeze"})


def test_what_needs_no_approval_is_listed_with_the_reason():
    """A rollback, and what is in sync; nothing is approved, and that is no error."""
    story = at_seven()
    story.apply(environment(service(models={"A": "8"})))
    assert report(story, story.plan(SEVEN)).verdict == (
        "production: nothing to approve: risk: a rollback waits for no approval"
    )
    assert report(story, story.plan(EIGHT)).verdict == "production: nothing to approve: risk: in sync"
    broken = story.plan(EIGHT, observation=live(bundle(models={"A": "8"}), replicas=1))
    assert report(story, broken).verdict == "production: nothing to approve: risk: what runs is not what is recorded"


def test_one_that_was_approved_before_names_who_said_yes():
    """Until when it holds."""
    story = at_seven()
    story.approve(story.change(EIGHT), approver="hopper")
    until = story.history.approvals[0].expires_at
    assert report(story, story.plan(EIGHT)).verdict == (
        f"production: nothing to approve: risk: hopper approved it, until {iso(until)}"
    )


def test_an_environment_without_services_says_so():
    """Nothing waits where nothing is."""
    found = _report(replace(EIGHT, services={}), Story().plan(environment()), Story().history, {}, [], 0.0)
    assert found.verdict == "production: nothing to approve: it has no services"
