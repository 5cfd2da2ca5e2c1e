"""All gates under any evidence: one word each, with a reason, as JSON; and what no evidence at all can make them open."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import (
    Column,
    Evidence,
    Metrics,
    Promotion,
    ScannedFile,
    ScanReport,
    Signature,
    SmokeReport,
    not_moving,
    stands_in_cache,
    word,
)
from mlrelease.gates.table import GATES
from mlrelease.model.bundle import Digest
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec, GateStatus, SkipReason
from support.gating import BASE, NOW, PIN, READY, subject

OPTIONS = {"metric": {"metric": "m", "min": 0, "max_regression": "5%"}}
PENDING = replace(READY, status="PENDING_REGISTRATION")
OTHER = Digest("sha256:" + "f" * 64)
ILL = "MLflow did not answer"

maybe_ill = st.sampled_from(["", ILL])
numbers = st.floats() | st.integers(-5, 5) | st.just(10**400)
metrics = st.none() | st.builds(
    Metrics, st.dictionaries(st.sampled_from(["m", "n"]), numbers, max_size=2), st.just("run"), maybe_ill
)
kinds = st.sampled_from(
    ["long", "double", "tensor(float32, [-1, 4])", "tensor(float32, [1, 4])", "tensor(float32, [x, [4])", "tensor(", ""]
)
columns = st.none() | st.lists(st.builds(Column, st.sampled_from(["", "a", "b"]), kinds, st.booleans()), max_size=3).map(tuple)
signatures = st.none() | st.builds(Signature, columns, columns)
files = st.builds(
    ScannedFile,
    st.sampled_from(["", "model.pkl"]),
    st.just("pickle"),
    st.lists(st.sampled_from(["numpy.ndarray", "os.system", "file:", "loader:", "file:x", ""]), max_size=3).map(tuple),
    st.sampled_from(["", "the pickle has no end"]),
    st.sampled_from([(), ("os.system",)]),
)
scans = st.none() | st.builds(ScanReport, st.lists(files, max_size=2).map(tuple), st.just("a scanner"))
trials = st.none() | st.builds(
    SmokeReport, st.integers(0, 2), st.floats(), st.floats(), st.booleans(), st.booleans(), maybe_ill, st.booleans()
)
promotions = st.none() | st.builds(
    Promotion,
    st.just("staging"),
    st.sampled_from([0.0, NOW - 60]),
    st.sampled_from([(), ("model", "image")]),
    st.sampled_from([0.0, NOW, NOW + 60, math.inf]),
    maybe_ill,
    st.sampled_from(["", "rejected by ada: biased"]),
)
sizes = st.none() | st.integers(0, 10**10)
evidences = st.builds(
    Evidence,
    facts=st.sampled_from([None, READY, PENDING]),
    asked=st.booleans(),
    error=maybe_ill,
    found_digest=st.sampled_from([None, PIN.digest, OTHER]),
    digest_error=st.sampled_from(["", "a file is missing"]),
    cached=st.booleans(),
    metrics=metrics,
    baseline_metrics=metrics,
    signature=signatures,
    baseline_signature=signatures,
    baseline_error=maybe_ill,
    baseline_gone=st.sampled_from(["", "is no longer in MLflow"]),
    scan=scans,
    smoke=trials,
    promotion=promotions,
    rejection=st.sampled_from(["", "rejected by ada: biased"]),
    size=sizes,
    baseline_size=sizes,
)
subjects = st.builds(
    lambda direction, baseline, may_load: subject(direction, baseline=baseline, may_load=may_load),
    st.sampled_from(list(Direction)),
    st.sampled_from([BASE, None]),
    st.booleans(),
)


def judged(gate, of, evidence):
    return GATES[gate].evaluate(OPTIONS.get(gate, {}), of, evidence)


@given(subjects, evidences)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_gate_gives_one_word_on_anything(of, evidence):
    """None raises; each names itself, the model and a reason; a skip has a reason of the closed list; all of it is JSON."""
    for gate in GATES:
        result = judged(gate, of, evidence)
        assert (result.gate, result.component) == (gate, "model:risk")
        assert result.reason
        assert (result.status is GateStatus.SKIPPED) is (result.skip_reason is not None)
        json.dumps(result.to_json(), allow_nan=False)


@given(evidences, st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_that_are_not_the_pins_never_move_forward(evidence, may_load):
    """Whatever else is known, and wherever it is asked."""
    result = judged("digest", subject(may_load=may_load), replace(evidence, found_digest=OTHER))
    assert (result.status, result.opens) == (GateStatus.FAILED, False)


@given(evidences)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_files_that_nobody_could_vouch_for_never_move_forward(evidence):
    """A report that refuses anything shuts `scan`; so does none where the files were read."""
    found = evidence.scan
    if found is not None:
        clean = bool(found.files) and all(
            not file.problem and all(name == "numpy.ndarray" for name in file.globals) for file in found.files
        )
        assert judged("scan", subject(), evidence).opens is clean
    elif evidence.cached:
        assert not judged("scan", subject(), evidence).opens


@given(subjects, evidences)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_was_rejected_never_moves(of, evidence):
    """In neither direction, whatever vouches for it."""
    result = judged("rejected", of, replace(evidence, rejection="rejected by ada: biased"))
    assert result.opens is (of.direction is Direction.NONE)


@given(evidences)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_way_back_to_bytes_in_the_cache_is_always_open(evidence):
    """No registry, no ledger and no number stands in the way of a rollback to what was verified here and is still here."""
    of = subject(Direction.BACK)
    cached = replace(evidence, cached=True, found_digest=PIN.digest, scan=None)
    for gate in ("exists", "digest", "metric", "signature", "size", "scan", "smoke", "promoted_from"):
        assert judged(gate, of, cached).opens, gate


@given(evidences)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_answer_is_never_a_yes(evidence):
    """Where the registry did not answer and nothing is known, no gate passes; what is skipped was no question here."""
    of, nothing = subject(), Evidence(error=ILL, promotion=evidence.promotion)
    for gate in ("exists", "digest", "metric", "signature", "size", "scan", "smoke"):
        result = judged(gate, of, nothing)
        assert (result.status, result.reason) == (GateStatus.ERRORED, ILL), gate


@given(subjects, evidences, st.lists(st.sampled_from(sorted(set(GATES) - {"rejected"})), min_size=1, unique=True))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_gate_says_the_same_in_any_company(of, evidence, chosen):
    """The order is that of the files, and no gate hears what another said."""
    specs = [GateSpec(gate, OPTIONS.get(gate, {})) for gate in chosen]
    together = evaluate(specs, of, evidence)
    assert list(together) == [*(judged(gate, of, evidence) for gate in chosen), judged("rejected", of, evidence)]
    assert sorted(map(repr, evaluate(specs[::-1], of, evidence))) == sorted(map(repr, together))


@pytest.mark.parametrize(
    ("direction", "cached", "stands"),
    [
        (Direction.BACK, True, True),
        (Direction.BACK, False, False),
        (Direction.FORWARD, True, False),
        (Direction.NONE, True, False),
    ],
    ids=["back, cached", "back, not cached", "forward, cached", "stays, cached"],
)
def test_when_the_cache_is_evidence_enough(direction, cached, stands):
    """Only for a way back."""
    assert stands_in_cache(subject(direction), Evidence(cached=cached)) is stands


def test_a_gate_on_quality_judges_only_what_moves_in():
    """The whole of the two words, and None where it must judge."""
    assert not_moving("metric", subject()) is None
    assert not_moving("metric", subject(Direction.BACK)) == word(
        "metric",
        subject(),
        GateStatus.SKIPPED,
        "it moves back to what was verified here before",
        skip_reason=SkipReason.ROLLBACK,
    )
    assert not_moving("size", subject(Direction.NONE)) == word(
        "size", subject(), GateStatus.SKIPPED, "this model does not move", skip_reason=SkipReason.NOT_APPLICABLE
    )


def test_a_word_keeps_its_evidence_in_the_receipts_form():
    """Under the names that the gate gave it."""
    result = word("metric", subject(), GateStatus.FAILED, "no", value=1, source="run")
    assert result.to_json() == {
        "gate": "metric",
        "component": "model:risk",
        "status": "failed",
        "reason": "no",
        "evidence": {"value": 1, "source": "run"},
        "skip_reason": None,
    }
