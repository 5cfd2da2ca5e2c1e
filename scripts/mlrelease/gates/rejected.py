"""`rejected`: nothing that failed verification here, or was moved back from, moves forward here again (DESIGN §6 row 5).

No options, no numbers. In force in every environment, configured or not: an empty gate list does not open it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlrelease.gates.interface import Evidence, Subject, word
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "rejected"


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Failed where a rejection stands in the way of a pin that moves; of a pin that stands it is said, and opens.

    A pin that moves back has a rejection in its way only by a person's word (`history.direction.rejection_of`).
    """
    label = f"{subject.pin.name} {subject.pin.version}"
    if options:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {min(options)!r}")
    if not evidence.rejection:
        return word(ID, subject, GateStatus.PASSED, f"nothing is said against {label} in {subject.environment}")
    reason = f"{label} is {evidence.rejection}"
    if subject.direction is Direction.NONE:
        reason = f"the pin stands, though {reason}"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)
    return word(ID, subject, GateStatus.FAILED, reason)
