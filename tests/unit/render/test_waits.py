"""What the plan says of a blocked Change: for whom or until when it waits, and the command that helps."""

from __future__ import annotations

import pytest
from mlrelease.commands.plan import way_out
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind
from mlrelease.model.when import iso
from mlrelease.render.plan import plan_report, waits_for
from support.core import START, Story, environment, model, service

A = model_key("A")
HOUR = 3600.0


def on(version="8", **policy):
    return environment(service(models={"A": version}), **policy)


def at(version) -> Story:
    story = Story()
    story.apply(on(version))
    return story


def unapproved():
    return at("7"), on(approval_required=True), {}


def soaking():
    return at("7"), on(promotes_from="staging", soak_s=HOUR), {"source": at("8").history}


def unproved():
    return at("7"), on(promotes_from="staging"), {"source": at("7").history}


def unread():
    return at("7"), on(promotes_from="staging"), {}


def held(for_s=0.0):
    story = at("7")
    story.hold("risk", for_s=for_s)
    return story, on(), {}


def tried():
    story = at("7")
    story.err(on())
    return story, on(), {"impatient": False}


def rejected():
    story = at("7")
    story.reject("risk", (A, model("A", "8").digest))
    return story, on(), {}


LIFT = "mlrelease unhold production (--service risk where it alone is held)"
CASES = {
    "an approval": (unapproved, "waits for anybody who may approve", "", "mlrelease approve production --service risk"),
    "a soak": (
        soaking,
        f"waits until {iso(START + 60 + HOUR)}, by itself",
        iso(START + 60 + HOUR),
        "mlrelease plan production",
    ),
    "a proof": (unproved, "waits for the environment that it is promoted from", "", "mlrelease status"),
    "a ledger": (unread, "", "", "mlrelease plan production"),
    "a hold without end": (held, f"waits for: {LIFT}", "", "mlrelease history production --service risk"),
    "a hold with an end": (
        lambda: held(HOUR),
        f"waits until {iso(START + 120 + HOUR)}, or until somebody lifts the hold: {LIFT}",
        iso(START + 120 + HOUR),
        "mlrelease history production --service risk",
    ),
    "the next try": (
        tried,
        f"is tried again at {iso(START + 125)} (at once: mlrelease deploy production --service risk)",
        iso(START + 125),
        "mlrelease plan production",
    ),
    "nobody, being rejected": (rejected, "", "", "mlrelease rollback production --service risk --last-good"),
}


@pytest.mark.parametrize(("made", "waits", "until", "command"), CASES.values(), ids=CASES)
def test_a_blocked_change_says_for_whom_and_until_when(made, waits, until, command):
    """In the table's notes and in JSON, as an absolute moment; and the next command is the one that helps."""
    story, files, other = made()
    plan = story.plan(files, **other)
    (change,) = plan.changes
    report = plan_report(plan, next_command="")
    assert waits_for("production", change) == waits
    assert (f"risk: {waits}" in report.details) is bool(waits)
    said = report.data["changes"]["risk"]
    assert (said["waits_until"], said["blocked_by"], said["blocked"]) == (until, change.blocked_by, change.blocked)
    assert way_out("production", change) == command


def test_what_does_not_wait_says_nothing_of_it():
    """A Change that acts, and one that has nothing to do."""
    for files in (on("8"), on("7")):
        plan = at("7").plan(files)
        assert waits_for("production", plan.changes[0]) == ""
        assert plan_report(plan, next_command="").data["changes"]["risk"]["waits_until"] == ""


def test_a_blocked_first_deploy_is_a_create_and_a_blocked_end_a_removal():
    """The table names what it would be."""
    birth = Story().change(on(approval_required=True))
    assert (birth.kind, birth.blocked_by) == (ChangeKind.CREATE, "approval")
    report = plan_report(Story().plan(on(approval_required=True)), next_command="")
    assert report.rows[0][1] == "create (blocked)"
