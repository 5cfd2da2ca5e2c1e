"""`exists`: the pinned version is registered and READY.

No minimum sample, no numbers, no options. READY says nothing about the files (FACTS §9.2): that is `digest`'s part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlrelease.gates.interface import Evidence, Subject, stands_in_cache, word
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "exists"


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Passed for a READY version, or one that moves back to verified bytes in the cache; failed for a missing one."""
    label = f"{subject.pin.name} version {subject.pin.version}"
    if options:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {min(options)!r}")
    if stands_in_cache(subject, evidence):
        return word(ID, subject, GateStatus.PASSED, f"{label} is in this host's cache", source="cache")
    if evidence.error:
        return word(ID, subject, GateStatus.ERRORED, evidence.error)
    if not evidence.asked and subject.direction is Direction.NONE:
        reason = "this model does not move: the registry was not asked"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)
    if not evidence.asked:
        return word(ID, subject, GateStatus.ERRORED, "the registry was not asked")
    facts = evidence.facts
    if facts is None:
        return word(ID, subject, GateStatus.FAILED, f"{label} does not exist in the registry")
    if facts.status != "READY":
        found = facts.status or "unknown"
        return word(ID, subject, GateStatus.FAILED, f"{label} is not READY: its status is {found}", found=found)
    return word(ID, subject, GateStatus.PASSED, f"{label} is READY", found=facts.status, source="registry")
