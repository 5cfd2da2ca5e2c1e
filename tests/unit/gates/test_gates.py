"""The gates `exists` and `digest`, and the evaluation of a list of gates: one row a case."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mlrelease import gates
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Evidence, Subject
from mlrelease.gates.table import GATES
from mlrelease.model.bundle import Digest, ModelPin
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec, GateStatus, SkipReason
from mlrelease.model.version import VersionFacts

GOOD, OTHER = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
PIN = ModelPin("risk", "8", GOOD)
READY = VersionFacts("risk", "8", "READY", "models:/m-1")
PENDING = VersionFacts("risk", "8", "PENDING_REGISTRATION", "models:/m-1")
DOWN = "MLflow at http://host:5000 did not answer: connection refused"


def judge(gate, evidence, direction=Direction.FORWARD, **options):
    subject = Subject("production", "credit", PIN, direction)
    result, rejected = evaluate([GateSpec(gate, options)], subject, evidence)
    assert rejected.gate == "rejected"
    return result


@pytest.mark.parametrize(
    ("evidence", "direction", "status", "reason"),
    [
        pytest.param(Evidence(READY, asked=True), Direction.FORWARD, "passed", "risk version 8 is READY", id="ready"),
        pytest.param(
            Evidence(None, asked=True),
            Direction.FORWARD,
            "failed",
            "risk version 8 does not exist in the registry",
            id="missing",
        ),
        pytest.param(
            Evidence(PENDING, asked=True),
            *(Direction.FORWARD, "failed", "risk version 8 is not READY: its status is PENDING_REGISTRATION"),
            id="not ready",
        ),
        pytest.param(Evidence(error=DOWN), Direction.FORWARD, "errored", DOWN, id="registry down"),
        pytest.param(Evidence(error=DOWN, cached=True), Direction.FORWARD, "errored", DOWN, id="down, forward, cached"),
        pytest.param(Evidence(error=DOWN), Direction.BACK, "errored", DOWN, id="down, back, not cached"),
        pytest.param(Evidence(), Direction.FORWARD, "errored", "the registry was not asked", id="nobody asked"),
        pytest.param(
            Evidence(error=DOWN, cached=True),
            Direction.BACK,
            "passed",
            "risk version 8 is in this host's cache",
            id="back, cached",
        ),
        pytest.param(
            Evidence(None, asked=True, cached=True),
            *(Direction.BACK, "passed", "risk version 8 is in this host's cache"),
            id="back, cached, deleted from the registry",
        ),
        pytest.param(Evidence(error=DOWN, cached=True), Direction.NONE, "errored", DOWN, id="no move is no move back"),
        pytest.param(
            Evidence(),
            *(Direction.NONE, "skipped", "this model does not move: the registry was not asked"),
            id="only the image under it moves",
        ),
    ],
)
def test_exists(evidence, direction, status, reason):
    """Only READY opens, or verified bytes in the cache for a way back; a registry that is down is not a missing version."""
    result = judge("exists", evidence, direction)
    assert (result.gate, result.component, result.status, result.reason) == ("exists", "model:risk", status, reason)
    assert result.opens is (status in ("passed", "skipped"))


@pytest.mark.parametrize(
    ("evidence", "direction", "status", "reason"),
    [
        pytest.param(
            Evidence(READY, asked=True, found_digest=GOOD),
            *(Direction.FORWARD, "passed", "the artifacts have the pinned digest"),
            id="equal",
        ),
        pytest.param(
            Evidence(READY, asked=True, found_digest=OTHER),
            *(Direction.FORWARD, "failed"),
            f"the artifacts were changed after the pin was written: expected {GOOD[:19]}…, found {OTHER[:19]}…",
            id="another",
        ),
        pytest.param(
            Evidence(READY, asked=True, found_digest=OTHER),
            *(Direction.BACK, "failed"),
            f"the artifacts were changed after the pin was written: expected {GOOD[:19]}…, found {OTHER[:19]}…",
            id="another, on the way back, not cached",
        ),
        pytest.param(
            Evidence(READY, asked=True, digest_error="cannot read"),
            Direction.FORWARD,
            "errored",
            "cannot read",
            id="unreadable",
        ),
        pytest.param(Evidence(error=DOWN), Direction.FORWARD, "errored", DOWN, id="registry down"),
        pytest.param(
            Evidence(None, asked=True),
            *(Direction.FORWARD, "failed", "risk version 8 does not exist: there are no artifacts"),
            id="missing version",
        ),
        pytest.param(
            Evidence(READY, asked=True),
            Direction.FORWARD,
            "skipped",
            "files are read for changed pins only",
            id="metadata only",
        ),
        pytest.param(
            Evidence(error=DOWN, cached=True, found_digest=GOOD),
            *(Direction.BACK, "passed", "this host's cache holds the pinned bytes, hashed now"),
            id="back, cached",
        ),
    ],
)
def test_digest(evidence, direction, status, reason):
    """Only equal digests open, or a check that was to read metadata alone."""
    result = judge("digest", evidence, direction)
    assert (result.gate, result.component, result.status, result.reason) == ("digest", "model:risk", status, reason)
    assert result.opens is (status in ("passed", "skipped"))
    assert result.skip_reason is (SkipReason.NOT_APPLICABLE if status == "skipped" else None)


@pytest.mark.parametrize(
    ("gate", "evidence", "direction", "expected"),
    [
        ("exists", Evidence(cached=True), Direction.BACK, {"source": "cache"}),
        ("exists", Evidence(READY, asked=True), Direction.FORWARD, {"source": "registry", "found": "READY"}),
        ("digest", Evidence(cached=True, found_digest=GOOD), Direction.BACK, {"source": "cache", "found": GOOD}),
        (
            "digest",
            Evidence(READY, asked=True, found_digest=OTHER),
            Direction.FORWARD,
            {"expected": GOOD, "found": OTHER, "source": "registry"},
        ),
    ],
    ids=["exists from the cache", "exists from the registry", "digest from the cache", "digest differs"],
)
def test_results_carry_their_evidence(gate, evidence, direction, expected):
    """Where it comes from, what was found."""
    assert judge(gate, evidence, direction).evidence == expected


def test_no_gates_at_all_fail_closed():
    """All of nothing must not open."""
    (result,) = evaluate([], Subject("production", "credit", PIN), Evidence(READY, asked=True, found_digest=GOOD))
    assert (result.gate, result.status, result.opens) == ("none", GateStatus.FAILED, False)


def test_an_unknown_gate_is_errored():
    """A typo does not open, and the known gates are named."""
    result = judge("exist", Evidence(READY, asked=True))
    assert (result.gate, result.status) == ("exist", GateStatus.ERRORED)
    assert "known are exists, digest" in result.reason


@pytest.mark.parametrize("gate", GATES)
def test_an_option_that_the_gate_does_not_have_is_errored(gate):
    """An option that does nothing would look like a rule."""
    result = judge(gate, Evidence(READY, asked=True, found_digest=GOOD), least=3)
    assert (result.status, result.reason) == (GateStatus.ERRORED, "the gate has no option 'least'")


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_is_listed_under_its_own_id(gate):
    """One file, one row, one id."""
    assert gate == GATES[gate].ID


def test_results_come_in_the_order_of_the_files():
    """One for each spec, and then the one that no file lists."""
    subject = Subject("production", "credit", PIN)
    results = evaluate([GateSpec("digest"), GateSpec("exists")], subject, Evidence(READY, asked=True, found_digest=GOOD))
    assert [r.gate for r in results] == ["digest", "exists", "rejected"]


def test_rejected_is_asked_without_being_listed():
    """In force everywhere; what it says closes like any other gate's word."""
    subject = Subject("production", "credit", PIN)
    *_, passed = evaluate([GateSpec("exists")], subject, Evidence(READY, asked=True))
    *_, failed = evaluate([GateSpec("exists")], subject, Evidence(READY, asked=True, rejection="rejected by ada: bad"))
    assert (passed.gate, passed.opens, failed.gate, failed.opens) == ("rejected", True, "rejected", False)


def test_gates_are_pure():
    """No gate imports what reads, waits, asks or draws (DESIGN §4)."""
    forbidden = {"os", "subprocess", "requests", "time", "random", "pathlib", "socket", "datetime"}
    for file in Path(gates.__file__).parent.glob("*.py"):
        tree = ast.walk(ast.parse(file.read_text()))
        names = {name for node in tree for name in _imported(node)}
        assert not {name.partition(".")[0] for name in names} & forbidden, file.name


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
