"""Gates as configured → their results, with waivers applied. Pure; the order is that of the files, `rejected` last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlrelease.gates import rejected
from mlrelease.gates.interface import Evidence, Subject, word
from mlrelease.gates.table import GATES
from mlrelease.model.gate import WAIVABLE, GateResult, GateSpec, GateStatus, SkipReason, Waiver
from mlrelease.model.when import iso


def evaluate(
    specs: Sequence[GateSpec], subject: Subject, evidence: Evidence, waivers: Sequence[Waiver] = ()
) -> tuple[GateResult, ...]:
    """One result for each spec, and that of `rejected`, which no file lists.

    No specs at all: one failed result, since "all of nothing" must not open.
    """
    if not specs:
        reason = "no gates are configured, so nothing vouches for this model"
        return (word("none", subject, GateStatus.FAILED, reason),)
    results = [_waived(_one(spec, subject, evidence), spec, subject, waivers) for spec in specs]
    return (*results, rejected.evaluate({}, subject, evidence))


def _one(spec: GateSpec, subject: Subject, evidence: Evidence) -> GateResult:
    gate = GATES.get(spec.gate)
    if gate is None:
        known = ", ".join(GATES)
        return word(spec.gate, subject, GateStatus.ERRORED, f"there is no gate {spec.gate!r}; known are {known}")
    return gate.evaluate(spec.options, subject, evidence)


def _waived(result: GateResult, spec: GateSpec, subject: Subject, waivers: Sequence[Waiver]) -> GateResult:
    """The result, opened by a waiver in force for this gate and exactly this version; of an expired one it is said."""
    if spec.gate not in WAIVABLE or result.status not in (GateStatus.FAILED, GateStatus.INCONCLUSIVE):
        return result
    mine = [w for w in waivers if _is_for(w, spec, subject)]
    if not mine:
        return result
    last = max(mine, key=lambda waiver: waiver.expires)
    if last.expires < iso(subject.now)[:10]:
        return replace(result, reason=f"{result.reason}; the waiver of {last.approver} expired on {last.expires}")
    return replace(
        result,
        status=GateStatus.SKIPPED,
        skip_reason=SkipReason.WAIVED,
        reason=f"waived by {last.approver} until {last.expires}: {last.reason} (else {result.status}: {result.reason})",
        evidence={
            **result.evidence,
            "waived": {
                "status": result.status.value,
                "reason": last.reason,
                "approver": last.approver,
                "expires": last.expires,
            },
        },
    )


def _is_for(waiver: Waiver, spec: GateSpec, subject: Subject) -> bool:
    same_metric = waiver.metric in ("", spec.options.get("metric"))
    return waiver.gate == spec.gate and waiver.version == subject.pin.version and same_metric
