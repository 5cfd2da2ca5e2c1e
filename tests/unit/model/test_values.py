"""The small words: moments, health, directions of a whole Change, gates that open, observations, findings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.change import Change, ChangeKind, ComponentChange, Direction, Health, Plan
from mlrelease.model.finding import Finding
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.model.live import Role
from mlrelease.model.spec import Spec
from mlrelease.model.when import from_iso, iso
from support.core import bundle, instance, live

F, B, N = Direction.FORWARD, Direction.BACK, Direction.NONE


def test_a_moment_has_milliseconds_and_the_zone():
    """Files and output show UTC, and a moment comes back as it went."""
    assert iso(1_700_000_000.1256) == "2023-11-14T22:13:20.125Z"
    assert from_iso("2023-11-14T22:13:20.125Z") == 1_700_000_000.125
    assert from_iso("2023-11-14T23:13:20.125+01:00") == 1_700_000_000.125


def test_health_is_merged_by_the_worst():
    """Each word is worse than the one before it, from either side."""
    assert list(Health) == ["Healthy", "Progressing", "Degraded", "Missing", "Unknown"]
    for better, worse in pairwise(Health):
        assert better.worse(worse) is worse
        assert worse.worse(better) is worse


@pytest.mark.parametrize(
    ("moves", "whole"),
    [
        pytest.param((), N, id="nothing moved"),
        pytest.param((N,), N, id="nothing moved by itself"),
        pytest.param((F,), F, id="one forward"),
        pytest.param((B,), B, id="one back"),
        pytest.param((B, B), B, id="all back"),
        pytest.param((B, F), F, id="mixed is forward"),
        pytest.param((B, N), B, id="what stands still has no say"),
    ],
)
def test_a_change_goes_back_only_when_all_of_it_does(moves, whole):
    """One component forward makes the whole a forward move."""
    components = tuple(ComponentChange(model_key(str(n)), "a", "b", direction) for n, direction in enumerate(moves))
    assert Change("risk", ChangeKind.UPDATE, "", None, None, components).direction is whole


@pytest.mark.parametrize(
    ("kind", "blocked", "acts"),
    [
        pytest.param(ChangeKind.UPDATE, "", True, id="an update"),
        pytest.param(ChangeKind.UPDATE, "held", False, id="a blocked update"),
        pytest.param(ChangeKind.NOOP, "", False, id="a noop"),
        pytest.param(ChangeKind.REPAIR, "", True, id="a repair"),
    ],
)
def test_a_change_acts_unless_it_is_blocked_or_nothing(kind, blocked, acts):
    """Only acting Changes are in `Plan.acting`."""
    change = Change("risk", kind, "", None, None, blocked=blocked)
    assert change.acts is acts
    assert Plan("production", "abc", 0, (change,)).acting == ((change,) if acts else ())


@pytest.mark.parametrize(
    ("status", "skip", "opens"),
    [
        pytest.param(GateStatus.PASSED, None, True, id="passed"),
        pytest.param(GateStatus.FAILED, None, False, id="failed"),
        pytest.param(GateStatus.ERRORED, None, False, id="errored"),
        pytest.param(GateStatus.INCONCLUSIVE, None, False, id="inconclusive"),
        pytest.param(GateStatus.SKIPPED, None, False, id="skipped for no reason"),
        *(pytest.param(GateStatus.SKIPPED, reason, True, id=f"skipped: {reason}") for reason in SkipReason),
        pytest.param(GateStatus.FAILED, SkipReason.WAIVED, False, id="failed with a stray skip reason"),
    ],
)
def test_only_passed_and_a_reasoned_skip_open(status, skip, opens):
    """Nothing else does, whatever it carries."""
    assert GateResult("metric", "model:A", status, "", skip_reason=skip).opens is opens


def test_the_reasons_to_skip_are_a_closed_list():
    """A sixth way around the gates would be a change of policy, to be made here too."""
    assert set(SkipReason) == {"rollback", "first_deploy", "not_applicable", "waived", "dry_run"}


def test_a_gate_result_has_a_receipt_form():
    """Every key is there, skipped or not."""
    result = GateResult("exists", IMAGE, GateStatus.SKIPPED, "went back", {"n": 1}, SkipReason.ROLLBACK)
    assert result.to_json() == {
        "gate": "exists",
        "component": "image",
        "status": "skipped",
        "reason": "went back",
        "evidence": {"n": 1},
        "skip_reason": "rollback",
    }


def test_an_observation_is_asked_by_service_and_bundle():
    """Strays belong to nobody; warm ones and candidates do."""
    old, new, other = bundle(), bundle(models={"A": "8"}), bundle("churn")
    warm, stray = instance(old, 9, role=Role.WARM), instance(new, 9, role=Role.STRAY)
    seen = live(new, other, replicas=1, extra=(warm, stray))
    assert seen.of("risk") == (instance(new), warm)
    assert seen.of("risk", old.id) == (warm,)
    assert seen.of("nobody") == ()


def test_a_finding_blocks_what_it_names():
    """One of a service blocks that service only; one of an environment it; one of the repository all."""
    of_service = Finding("a", 1, 1, "r", "m", environment="production", service="risk")
    of_environment = Finding("b", 0, 0, "r", "m", environment="production")
    of_all = Finding("c", 0, 0, "r", "m")
    spec = Spec({}, (of_service, of_environment, of_all))
    assert spec.blocking("production") == (of_environment, of_all)
    assert spec.blocking("staging") == (of_all,)


def test_a_finding_knows_its_place():
    """`path:line:column` when known, else the file; and where the rule is explained."""
    assert Finding("a.yaml", 3, 9, "pin-digest", "m").place == "a.yaml:3:9"
    assert Finding("a.yaml", 0, 0, "pin-digest", "m").place == "a.yaml"
    assert Finding("a.yaml", 3, 9, "pin-digest", "m").docs == "docs/rules.md#pin-digest"
