"""Gates as configured → their results. Pure; the order is that of the files."""

from __future__ import annotations

from collections.abc import Sequence

from mlrelease.gates.interface import Evidence, Subject, word
from mlrelease.gates.table import GATES
from mlrelease.model.gate import GateResult, GateSpec, GateStatus


def evaluate(specs: Sequence[GateSpec], subject: Subject, evidence: Evidence) -> tuple[GateResult, ...]:
    """One result for each spec. No specs at all: one failed result, since "all of nothing" must not open."""
    if not specs:
        reason = "no gates are configured, so nothing vouches for this model"
        return (word("none", subject, GateStatus.FAILED, reason),)
    return tuple(_one(spec, subject, evidence) for spec in specs)


def _one(spec: GateSpec, subject: Subject, evidence: Evidence) -> GateResult:
    gate = GATES.get(spec.gate)
    if gate is None:
        known = ", ".join(GATES)
        return word(spec.gate, subject, GateStatus.ERRORED, f"there is no gate {spec.gate!r}; known are {known}")
    return gate.evaluate(spec.options, subject, evidence)
