"""What a pass did: one row a service with what came of it, how long it took, what was proved and what was not."""

from __future__ import annotations

import json

import pytest
from mlrelease.commands.output import emit
from mlrelease.model.change import Change, ChangeKind, Direction, Health, Outcome, Plan, Sync
from mlrelease.model.event import Probe, ServiceReceipt, Step
from mlrelease.model.event_json import receipt_to_json
from mlrelease.render.plan import change_json, receipts_report
from support.core import bundle

OLD, NEW = bundle(models={"A": "7"}), bundle(models={"A": "8"})
FROM, TO = f"A 7 ({OLD.id[:7]})", f"A 8 ({NEW.id[:7]})"


def receipt(outcome=Outcome.SUCCEEDED, kind=ChangeKind.UPDATE, reason="git moved forward", **more):
    more = {"before": OLD, "after": NEW} | more
    return ServiceReceipt(outcome, kind, Direction.FORWARD, reason, more.pop("before"), more.pop("after"), **more)


def plan(*names, blocked=()):
    changes = tuple(
        Change(name, ChangeKind.UPDATE, "git moved forward", OLD, NEW, blocked="held by ada" if name in blocked else "")
        for name in names
    )
    return Plan(
        "production",
        "c0ffee" * 6,
        4,
        changes,
        dict.fromkeys(names, Sync.OUT_OF_SYNC),
        dict.fromkeys(names, Health.HEALTHY),
    )


def reported(of, receipts, **more):
    return receipts_report(of, receipts, **({"next_command": "", "notes": (), "exit_code": 0} | more))


def details(one):
    """The lines below the table for one service's receipt."""
    return list(reported(plan("risk"), {"risk": one}).details)


def test_a_pass_is_read_from_top_to_bottom(capsys):
    """What was done with its seconds, what was undone, what stood in the way, what there was no need to touch."""
    of = plan("churn", "held", "idle", "risk", blocked=("held",))
    probes = (
        Probe("identity", "passed", "", "a"),
        Probe("identity", "passed", "", "b"),
        Probe("golden:A", "skipped", "the version has no input example"),
    )
    receipts = {
        "risk": receipt(steps=(Step("start", 1.004), Step("switch", 0.25)), probes=probes, exercised=("model",)),
        "churn": receipt(
            Outcome.ROLLED_BACK,
            reason="golden rows differ",
            steps=(Step("start", 2.0),),
            probes=(Probe("identity", "passed", "fine"), Probe("golden:A", "failed", "3 of 5 rows differ")),
        ),
    }
    report = reported(of, receipts, next_command="mlrelease status", notes=("the agent runs",), exit_code=4)
    assert emit(report, output="table") == 4
    assert (
        capsys.readouterr().out
        == f"""\
production at c0ffeec0f: update rolled_back, update succeeded, 1 blocked
service  outcome              from           to             seconds  reason
churn    update: rolled_back  {FROM}  {TO}  2.00     golden rows differ
held     blocked              {FROM}  {TO}           held by ada
idle     noop                 {FROM}  {TO}           git moved forward
risk     update: succeeded    {FROM}  {TO}  1.25     git moved forward
  churn: golden:A failed: 3 of 5 rows differ
  risk: proved by identity ×2
  risk: golden:A skipped: the version has no input example
  risk: exercised model; the image is not run by this target
  the agent runs
next: mlrelease status
"""
    )


@pytest.mark.parametrize(
    ("names", "blocked", "receipts", "said"),
    [
        ((), (), {}, "nothing to do"),
        (("a",), (), {}, "nothing to do"),
        (("a", "b"), (), {"a": receipt(), "b": receipt()}, "2 update succeeded"),
        (("a",), ("a",), {}, "1 blocked"),
        (("a",), ("a",), {"a": receipt(Outcome.BLOCKED)}, "update blocked"),
        (
            ("a", "b", "c"),
            (),
            {"a": receipt(), "b": receipt(Outcome.FAILED), "c": receipt(kind=ChangeKind.REPAIR)},
            "repair succeeded, update failed, update succeeded",
        ),
    ],
    ids=[
        "no service",
        "nothing was done",
        "two alike are counted",
        "one that stood in the way of itself",
        "one with a receipt that says so is not counted twice",
        "several, in the order of the words",
    ],
)
def test_the_verdict_of_a_pass(names, blocked, receipts, said):
    """What came of it, each kind of outcome once."""
    assert reported(plan(*names, blocked=blocked), receipts).verdict == f"production at c0ffeec0f: {said}"


def test_a_blocked_receipt_without_steps_has_no_seconds():
    """Zero would say that something was tried."""
    (row,) = reported(plan("risk"), {"risk": receipt(Outcome.BLOCKED, reason="gate metric failed")}).rows
    assert row == ("risk", "update: blocked", FROM, TO, "", "gate metric failed")


@pytest.mark.parametrize(
    ("one", "lines"),
    [
        (receipt(), []),
        (receipt(probes=(Probe("ready", "passed", ""),)), ["risk: proved by ready ×1"]),
        (receipt(probes=(Probe("ready", "skipped", "no such port"),)), ["risk: ready skipped: no such port"]),
        (receipt(Outcome.FAILED, probes=(Probe("ready", "passed", ""),)), []),
        (
            receipt(Outcome.ERRORED, probes=(Probe("a", "errored", "no answer"), Probe("b", "skipped", "not asked"))),
            ["risk: a errored: no answer", "risk: b skipped: not asked"],
        ),
        (receipt(exercised=("model", "image")), []),
        (receipt(exercised=("model", "proxy")), ["risk: exercised model, proxy; the image is not run by this target"]),
        (receipt(exercised=("model",), after=None), []),
        (receipt(Outcome.FAILED, exercised=("model",)), []),
    ],
    ids=[
        "no probe",
        "one that passed",
        "one that was skipped proves nothing",
        "of a failure what passed is not told",
        "of a failure all the rest is",
        "the image ran",
        "the image did not run",
        "nothing runs after a removal",
        "a failure proves no image",
    ],
)
def test_what_was_proved_and_what_was_not(one, lines):
    """One line for what passed, one for each that did not, one where the image was no part of it."""
    assert details(one) == lines


def test_a_fleet_of_exactly_as_many_models_as_fit_is_named():
    """Four golden probes have their names; five are counted."""

    def proved(count):
        return details(receipt(probes=tuple(Probe(f"golden:m{n}", "passed", "") for n in range(count))))

    assert proved(4) == ["risk: proved by golden:m0 ×1, golden:m1 ×1, golden:m2 ×1, golden:m3 ×1"]
    assert proved(5) == ["risk: proved by golden predictions of 5 models ×5"]


def test_services_are_told_in_the_order_of_their_names():
    """Whatever order the receipts came in."""
    one = receipt(probes=(Probe("ready", "passed", ""),))
    forth, back = (reported(plan("a", "b"), dict(pairs)) for pairs in ([("a", one), ("b", one)], [("b", one), ("a", one)]))
    assert list(forth.details) == list(back.details) == ["a: proved by ready ×1", "b: proved by ready ×1"]
    assert json.dumps(forth.data) == json.dumps(back.data)


def test_a_pass_as_json_is_whole():
    """Receipts by service, and what the plan wanted."""
    of, one = plan("risk", "idle"), receipt(steps=(Step("start", 1.0),))
    report = reported(of, {"risk": one}, exit_code=0)
    assert report.data == {
        "environment": "production",
        "revision": "c0ffee" * 6,
        "services": {"risk": receipt_to_json(one)},
        "changes": {change.service: change_json(change, of) for change in of.changes},
    }
