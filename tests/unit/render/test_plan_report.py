"""A plan as people and programs read it: the whole table of every kind of Change, every detail line, every key of JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlrelease.commands.output import emit
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.change import Change, ChangeKind, ComponentChange, Direction, Health, Plan, Sync
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.render.plan import change_json, plan_json, plan_report, waits_for
from support.core import START, bundle

A = model_key("A")
OLD, NEW = bundle(models={"A": "7"}), bundle(models={"A": "8"})
BARE = replace(NEW, models=())
UNTIL = "2023-11-14T22:13:20.000Z"
OPEN = GateResult("digest", A, GateStatus.PASSED, "the artifacts have the pinned digest")
SHUT = GateResult("metric", A, GateStatus.FAILED, "rmse 90: 90 is above the maximum 80", {"value": 90})
PASSED_OVER = GateResult("size", A, GateStatus.SKIPPED, "this model does not move", {}, SkipReason.NOT_APPLICABLE)
SKIPPED_FOR_NOTHING = replace(PASSED_OVER, skip_reason=None)


def change(kind=ChangeKind.UPDATE, service="risk", before=OLD, after=NEW, reason="git moved forward", **more):
    return Change(service, kind, reason, before, after, **more)


def plan(*changes, sync=Sync.OUT_OF_SYNC, health=Health.HEALTHY):
    names = [one.service for one in changes]
    return Plan("production", "c0ffee" * 6, 4, changes, dict.fromkeys(names, sync), dict.fromkeys(names, health))


def verdict(*changes, **more):
    return plan_report(plan(*changes, **more), next_command="").verdict


def test_a_plan_with_one_of_everything_is_read_from_top_to_bottom(capsys):
    """Verdict, a row a service, what moves, what drifted, who is waited for, which gate is shut, a note, the next command."""
    moved = ComponentChange(A, "d7", "d8", Direction.FORWARD, "7", "8")
    changes = (
        change(ChangeKind.CREATE, "born", None, NEW, "never deployed here"),
        change(service="churn", components=(moved,), gate_results=(OPEN, PASSED_OVER)),
        change(ChangeKind.REMOVE, "gone", OLD, None, "its file says absent"),
        change(service="held", blocked="held by ada: freeze", blocked_by="hold", waits_until=START),
        change(ChangeKind.NOOP, "idle", OLD, OLD, "as it should be"),
        change(ChangeKind.REPAIR, "lost", OLD, OLD, "1 of 2 instances", drift=("1 of 2 instances answers", "no route")),
        change(service="shut", gate_results=(OPEN, SHUT), blocked="gate metric failed", blocked_by="gate:metric"),
        change(ChangeKind.SETTINGS, "wide", OLD, OLD, "replicas 2 → 3"),
        change(ChangeKind.ROLLBACK, "wine", NEW, OLD, "git moved back"),
    )
    report = plan_report(plan(*changes), next_command="mlrelease deploy production", notes=("a note",), exit_code=3)
    assert emit(report, output="table") == 3
    old, new = f"A 7 ({OLD.id[:7]})", f"A 8 ({NEW.id[:7]})"
    assert (
        capsys.readouterr().out
        == f"""\
production: 1 to create, 1 to update, 1 to roll back, 1 to repair, 1 with new settings, 1 to remove, 2 blocked, gates 3 of 4
service  change            from           to             gates   reason
born     create            nothing        {new}  –       never deployed here
churn    update            {old}  {new}  2 of 2  git moved forward
gone     remove            {old}  nothing        –       its file says absent
held     update (blocked)  {old}  {new}  –       held by ada: freeze
idle     noop              {old}  {old}  –       as it should be
lost     repair            {old}  {old}  –       1 of 2 instances
shut     update (blocked)  {old}  {new}  1 of 2  gate metric failed
wide     settings          {old}  {old}  –       replicas 2 → 3
wine     rollback          {new}  {old}  –       git moved back
  churn: model:A 7 → 8 (forward)
  churn: gate size skipped for model:A: this model does not move
  held: waits until {UNTIL}, or until somebody lifts the hold: mlrelease unhold production (--service held where it alone \
is held)
  lost: 1 of 2 instances answers
  lost: no route
  shut: gate metric failed for model:A: rmse 90: 90 is above the maximum 80
  a note
next: mlrelease deploy production
"""
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ((), "production: nothing to do, all in sync"),
        ((change(ChangeKind.NOOP),), "production: nothing to do, all in sync"),
        ((change(service="a"), change(service="b")), "production: 2 to update"),
        ((change(), change(ChangeKind.NOOP, "b")), "production: 1 to update"),
        ((change(blocked="held"),), "production: 1 blocked"),
        ((change(ChangeKind.NOOP, gate_results=(SHUT,)),), "production: gates 0 of 1"),
        ((change(gate_results=(OPEN,)), change(service="b", gate_results=(SHUT,))), "production: 2 to update, gates 1 of 2"),
        ((change(gate_results=(SKIPPED_FOR_NOTHING,)),), "production: 1 to update, gates 0 of 1"),
    ],
    ids=[
        "no service",
        "one that stands",
        "two of a kind are counted together",
        "one that stands is not counted",
        "a blocked one does not count as what it would be",
        "gates are counted also where nothing moves",
        "gates of all services together",
        "a skip without a reason of the list does not open",
    ],
)
def test_the_verdict_counts(changes, said):
    """What acts by its kind, what is blocked, and the gates that open of those that were asked."""
    assert verdict(*changes) == said


def test_a_plan_that_could_not_look_does_not_say_in_sync():
    """What was compared agrees; what runs nobody has seen."""
    idle = change(ChangeKind.NOOP)
    assert verdict(idle, sync=Sync.UNKNOWN) == "production: git and the ledger agree; what runs was not looked at"
    assert verdict(change(), sync=Sync.UNKNOWN) == "production: 1 to update"
    assert verdict(idle, sync=Sync.DRIFTED) == "production: nothing to do, all in sync"


@pytest.mark.parametrize(
    ("changes", "outputs"),
    [
        ((), {"changes": "0", "approval": "none"}),
        ((change(), change(service="b"), change(ChangeKind.NOOP, "c")), {"changes": "2", "approval": "none"}),
        (
            (change(), change(service="b", blocked="not approved", blocked_by="approval")),
            {"changes": "1", "approval": "required"},
        ),
    ],
    ids=["nothing", "two act", "one waits for a person beside one that acts"],
)
def test_a_workflow_learns_how_many_act_and_whether_a_person_is_asked(changes, outputs):
    """As words for the steps that follow."""
    assert plan_report(plan(*changes), next_command="").outputs == outputs


def test_a_change_as_json_is_whole():
    """Every key, whatever is known; what is not there is null or empty, never left out."""
    moved = ComponentChange(IMAGE, "absent", "sha256:ab", Direction.FORWARD, after_label="serve:1")
    full = change(
        components=(moved,),
        drift=("a route is gone",),
        blocked="not soaked",
        blocked_by="soak",
        gate_results=(OPEN, PASSED_OVER),
        waits_until=START,
    )
    bare = Change("bare", ChangeKind.REMOVE, "gone", None, None)
    of = plan(full, bare, health=Health.DEGRADED)
    assert json.loads(json.dumps(plan_json(of))) == {
        "environment": "production",
        "revision": "c0ffee" * 6,
        "changes": {
            "risk": {
                "change": "update",
                "reason": "git moved forward",
                "blocked": "not soaked",
                "blocked_by": "soak",
                "waits_until": UNTIL,
                "direction": "forward",
                "before": OLD.to_json(),
                "after": NEW.to_json(),
                "components": [{"key": "image", "before": "absent", "after": "serve:1", "direction": "forward"}],
                "drift": ["a route is gone"],
                "gates": [
                    {
                        "gate": "digest",
                        "component": "model:A",
                        "status": "passed",
                        "reason": "the artifacts have the pinned digest",
                        "evidence": {},
                        "skip_reason": None,
                    },
                    {
                        "gate": "size",
                        "component": "model:A",
                        "status": "skipped",
                        "reason": "this model does not move",
                        "evidence": {},
                        "skip_reason": "not_applicable",
                    },
                ],
                "sync": "OutOfSync",
                "health": "Degraded",
            },
            "bare": {
                "change": "remove",
                "reason": "gone",
                "blocked": "",
                "blocked_by": "",
                "waits_until": "",
                "direction": "none",
                "before": None,
                "after": None,
                "components": [],
                "drift": [],
                "gates": [],
                "sync": "OutOfSync",
                "health": "Degraded",
            },
        },
    }
    assert plan_report(of, next_command="").data == plan_json(of)
    assert list(change_json(bare, of)) == list(change_json(full, of))


@pytest.mark.parametrize(
    ("blocked_by", "until", "said"),
    [
        ("approval", 0.0, "waits for anybody who may approve"),
        ("soak", START, f"waits until {UNTIL}, by itself"),
        (
            "hold",
            START,
            (
                f"waits until {UNTIL}, or until somebody lifts the hold: "
                "mlrelease unhold production (--service risk where it alone is held)"
            ),
        ),
        ("hold", 0.0, "waits for: mlrelease unhold production (--service risk where it alone is held)"),
        ("waiting", START, f"is tried again at {UNTIL} (at once: mlrelease deploy production --service risk)"),
        ("promotion", 0.0, "waits for the environment that it is promoted from"),
        ("rejected", 0.0, ""),
        ("gate:metric", START, ""),
        ("", 0.0, ""),
    ],
    ids=[
        "an approval",
        "a soak",
        "a hold with an end",
        "a hold without",
        "the next try",
        "the source",
        "a rejection ends by nobody's waiting",
        "nor does a gate",
        "nothing in the way",
    ],
)
def test_a_change_says_what_it_waits_for(blocked_by, until, said):
    """The whole sentence, with the moment and the command that ends the wait."""
    assert waits_for("production", change(blocked="x", blocked_by=blocked_by, waits_until=until)) == said


def test_a_bundle_without_models_is_called_by_its_image():
    """From and to are never empty."""
    (row,) = plan_report(plan(change(before=None, after=BARE)), next_command="").rows
    assert row[2:4] == ("nothing", f"ghcr.io/acme/serve:1 ({BARE.id[:7]})")
