"""Gates inside a pass: real git, ledger and cache; registry and target are fakes. What is shut, by what, and what it costs."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.passes import look
from mlrelease.errors import Error
from mlrelease.history.fold import fold
from mlrelease.model.change import ChangeKind, Direction, Outcome

METRIC = "gates:\n  - {gate: metric, metric: rmse, max: 80, max_regression: 5%}\n"
WAIVER = """waivers:
  - gate: metric
    metric: rmse
    version: "2"
    reason: the new test set is harder
    approver: ada@example.com
    expires: "2027-12-31"
"""


def gated(world, lines):
    """One commit that adds lines to the model's file."""
    path = world.model_file("wine")
    path.write_text(f"{path.read_text()}\n{lines}")
    return world.commit("Gates")


def judged(world, **more):
    plan, _, _ = look(world.site(), world.desired(), **more)
    (change,) = plan.changes
    return change, {result.gate: result for result in change.gate_results}


@pytest.fixture
def measured(deployed):
    """Version 1 runs with an rmse of 70; version 2 has one of 76, version 3 of 72."""
    for version, rmse in (("1", 70.0), ("2", 76.0), ("3", 72.0)):
        deployed.pin("wine", version)
        deployed.registry.numbers["wine", version] = ({"rmse": rmse}, "model")
    gated(deployed, METRIC)
    return deployed


def test_a_worse_metric_blocks_the_change_with_its_reason(measured):
    """Exit code 5, nothing moved, and a receipt that says why."""
    measured.bump("wine", "2")
    result = measured.run()
    receipt = result.receipts["wine"]
    reason = "rmse 76: 8.57143% worse than the 70 of version 1 (recorded), 5% allowed"
    assert (receipt.outcome, exit_code(result), measured.live()) == (Outcome.BLOCKED, 5, {"wine": "1"})
    assert receipt.reason == f"gate metric failed for model:wine: {reason}"
    (said,) = [r for r in receipt.gate_results if r["gate"] == "metric"]
    assert said["evidence"]["baseline"] == {"version": "1", "origin": "recorded", "value": 70.0, "source": "model"}


def test_a_metric_within_the_tolerance_is_let_through(measured):
    """The same gates, a better version."""
    measured.bump("wine", "3")
    result = measured.run()
    assert (result.receipts["wine"].outcome, measured.live()) == (Outcome.SUCCEEDED, {"wine": "3"})
    assert [r["gate"] for r in result.receipts["wine"].gate_results] == ["exists", "digest", "metric", "rejected"]


def test_a_waiver_in_the_file_lets_one_version_through(measured):
    """Its reason and approver are in the receipt."""
    gated(measured, WAIVER)
    measured.bump("wine", "2")
    receipt = measured.run().receipts["wine"]
    (said,) = [r for r in receipt.gate_results if r["gate"] == "metric"]
    assert (receipt.outcome, said["skip_reason"]) == (Outcome.SUCCEEDED, "waived")
    assert said["reason"].startswith("waived by ada@example.com until 2027-12-31: the new test set is harder (else failed: ")


def test_an_expired_waiver_lets_nothing_through(measured):
    """The day decides, and the reason says so."""
    gated(measured, WAIVER.replace("2027-12-31", "2026-12-31"))
    measured.bump("wine", "2")
    receipt = measured.run().receipts["wine"]
    assert receipt.outcome is Outcome.BLOCKED
    assert receipt.reason.endswith("; the waiver of ada@example.com expired on 2026-12-31")


def test_a_move_back_needs_no_metric_and_no_registry(measured):
    """Skipped as a rollback: the bytes are in the cache, and nobody is asked."""
    bumped = measured.bump("wine", "3")
    measured.run()
    measured.revert(bumped)
    measured.registry.down = True
    result = measured.run()
    said = {r["gate"]: r for r in result.receipts["wine"].gate_results}
    assert (result.receipts["wine"].outcome, measured.live()) == (Outcome.SUCCEEDED, {"wine": "1"})
    assert (said["metric"]["status"], said["metric"]["skip_reason"]) == ("skipped", "rollback")


def test_a_registry_that_is_down_is_errored_and_not_bad(measured):
    """Exit code 1: nobody said that the version is bad, so it is tried again soon."""
    measured.bump("wine", "3")
    measured.registry.down = True
    result = measured.run()
    assert (result.receipts["wine"].outcome, exit_code(result)) == (Outcome.ERRORED, 1)
    assert measured.history().rejections == ()


def test_what_failed_is_named_before_what_errored(measured):
    """Another try will not open it."""
    measured.bump("wine", "2")

    def broken(*_):
        raise Error("the files cannot be read")

    measured.registry.files = measured.registry.download = broken
    change, said = judged(measured)
    assert {gate: result.status.value for gate, result in said.items()} == {
        "exists": "passed",
        "digest": "errored",
        "metric": "failed",
        "rejected": "passed",
    }
    assert change.blocked_by == "gate:metric:failed"
    assert change.blocked.endswith("(and 1 more)")


def test_a_change_that_waits_for_a_person_is_judged_when_a_person_asks(measured):
    """Whoever lifts a hold sees what the gates say; an agent's look at it costs nothing."""
    measured.bump("wine", "2")
    site = measured.site()
    from mlrelease.commands.workspace import new_ulid
    from mlrelease.model.event import Held

    site.ledger.append([Held(new_ulid(), "production", measured.clock, "ada", "wait", "wine", 0.0)])
    change, said = judged(measured, impatient=True)
    assert (change.blocked_by, said["metric"].status.value) == ("hold", "failed")
    assert change.blocked.startswith("held by ada")
    measured.registry.described.clear()
    change, said = judged(measured, impatient=False)
    assert (change.blocked_by, said, measured.registry.described) == ("hold", {}, [])


def test_a_pass_with_nothing_to_judge_imports_no_gate(deployed, tmp_path):
    """An agent looks every few seconds for weeks: it does not pay for what it does not need."""
    import subprocess

    code = "import sys; import mlrelease.delivery.passes; print(*[m for m in sys.modules if m.startswith('mlrelease.gates.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["mlrelease.gates.interface"]


PROMOTES = "promotes_from: staging\nalias: production\n"


@pytest.fixture
def promoted(deployed):
    """Production promotes from staging, whose ledger is still empty."""
    base = deployed.laptop / "environments"
    for path in sorted((base / "production").rglob("*.yaml")):
        other = base / "staging" / path.relative_to(base / "production")
        other.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text().replace("environment: production", "environment: staging")
        other.write_text(text.replace("alias: production", "alias: staging").replace(":8080", ":8081"))
    environment = base / "production" / "environment.yaml"
    environment.write_text(environment.read_text().replace("alias: production\n", PROMOTES))
    deployed.commit("Promote from staging")
    return deployed


def test_promoted_from_is_asked_for_every_model_under_an_image_that_moves(promoted):
    """The model stays, and its other gates have nothing to say; nobody asks the registry."""
    path = promoted.service_file("wine")
    path.write_text(path.read_text().replace("serve:0.1.0@sha256:" + "ab12" * 16, "serve:0.2.0@sha256:" + "ef56" * 16))
    promoted.commit("Another image")
    promoted.registry.described.clear()
    change, said = judged(promoted)
    assert (change.kind, change.direction, change.blocked_by) == (ChangeKind.UPDATE, Direction.FORWARD, "promotion")
    assert {gate: (r.status.value, r.skip_reason) for gate, r in said.items()} == {
        "exists": ("skipped", "not_applicable"),
        "digest": ("skipped", "not_applicable"),
        "promoted_from": ("failed", None),
        "rejected": ("passed", None),
    }
    assert said["promoted_from"].reason == "wine 1 was never verified in staging under the image that it would run with here"
    assert promoted.registry.described == []


def test_without_promotion_an_image_that_moves_asks_no_gate(deployed):
    """The image is no model: it is proved by running it."""
    path = deployed.service_file("wine")
    path.write_text(path.read_text().replace("serve:0.1.0@sha256:" + "ab12" * 16, "serve:0.2.0@sha256:" + "ef56" * 16))
    deployed.commit("Another image")
    change, said = judged(deployed)
    assert (change.kind, change.blocked, said) == (ChangeKind.UPDATE, "", {})


def test_a_version_that_was_verified_in_the_source_opens(promoted):
    """The source's receipt, on the same ledger branch, is the evidence."""
    promoted.bump("wine", "2")
    change, said = judged(promoted)
    assert (change.blocked_by, said["promoted_from"].status.value) == ("promotion", "failed")
    receipt = fold("production", promoted.site().ledger.read("production").events).recorded["wine"]
    bundle = replace(receipt.bundle, models=(promoted.pins["wine", "2"],))
    _verified_in_staging(promoted, bundle)
    change, said = judged(promoted)
    assert (change.blocked, said["promoted_from"].status.value) == ("", "passed")
    assert said["promoted_from"].reason.startswith("verified in staging at ")


def _verified_in_staging(world, bundle):
    """A receipt of staging that says that the bundle was proved there."""
    from mlrelease.model.event import DeployFinished, ServiceReceipt

    receipt = ServiceReceipt(
        Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "test", None, bundle, exercised=("model",)
    )
    finished = DeployFinished(
        id=world.ids(),
        environment="staging",
        at=world.clock,
        actor="test",
        revision="0" * 40,
        trigger="deploy",
        started=world.ids(),
        started_at=world.clock,
        services={"wine": receipt},
    )
    world.site().ledger.append([finished])
