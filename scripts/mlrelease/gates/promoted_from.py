"""`promoted_from`: this model was verified in the environment promoted from, under the image that it will run with here.

No minimum sample, no numbers. The soak is time, not evidence: a PR passes with "not before T", and the Change waits for T
(`plan/policy.py`), so that a merge may be made ahead of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlrelease.gates.interface import Evidence, Promotion, Subject, word
from mlrelease.history.promotion import objection, soak_word
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.model.when import iso

ID = "promoted_from"
OPTIONS = frozenset({"environment", "soak_s", "target"})
"""`target` is the kind of place that the model moves to: any but `local` demands an image that ran in the source."""


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Failed when never verified there, rejected there or replaced there too early; inconclusive while it soaks."""
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {unknown[0]!r}")
    if subject.direction is Direction.BACK:
        reason = "it was verified here before: moving back needs no promotion"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.ROLLBACK)
    promotion = evidence.promotion
    if promotion is None and subject.direction is Direction.NONE:
        reason = "neither the model nor the image under it moves"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)
    if promotion is None:
        return word(ID, subject, GateStatus.ERRORED, "the ledger of the environment promoted from was not read")
    if promotion.error:
        reason = f"the ledger of {promotion.environment} could not be read: {promotion.error}"
        return word(ID, subject, GateStatus.ERRORED, reason)
    shown = _shown(promotion)
    why = objection(promotion, subject.pin, target=str(options.get("target", "local")))
    if why:
        return word(ID, subject, GateStatus.FAILED, why, **shown)
    reason = f"verified in {promotion.environment} at {iso(promotion.verified_at)}"
    if promotion.not_before <= subject.now:
        return word(ID, subject, GateStatus.PASSED, reason, **shown)
    status = GateStatus.INCONCLUSIVE if subject.may_load else GateStatus.PASSED
    return word(ID, subject, status, f"{reason}; {soak_word(promotion)}", **shown)


def _shown(promotion: Promotion) -> dict[str, Any]:
    """The evidence as JSON can hold it: moments as text, none for what never comes."""
    soaked = promotion.not_before and not math.isinf(promotion.not_before)
    return {
        "source": promotion.environment,
        "verified_at": iso(promotion.verified_at) if promotion.verified_at else "",
        "not_before": iso(promotion.not_before) if soaked else "",
        "exercised": list(promotion.exercised),
    }
