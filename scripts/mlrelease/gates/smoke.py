"""`smoke`: the version loads and predicts its own example, alone in a process (DESIGN §5.7).

Minimum sample: one row. NaN and infinities fail unless `allow_nan`. Options: `max_seconds` for loading (none by default;
the trial itself has a deadline). A version without an example is skipped: `log_model(input_example=…)` gives it one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlrelease.gates.interface import Evidence, SmokeReport, Subject, not_moving, word
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "smoke"

_OPTIONS = frozenset({"max_seconds", "allow_nan"})


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Passed when it predicted every row in time; failed for the model, errored for the place it was tried in."""
    unknown = set(options) - _OPTIONS
    if unknown:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {min(unknown)!r}")
    still = not_moving(ID, subject)
    if still is not None:
        return still
    report = evidence.smoke
    if report is not None:
        return _judged(options, subject, report)
    if not subject.may_load:
        reason = "no model is loaded here: it is tried where it will run"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.DRY_RUN)
    reason = evidence.digest_error or evidence.error or "it was not tried, since what comes before did not open"
    return word(ID, subject, GateStatus.ERRORED, reason)


def _judged(options: Mapping[str, Any], subject: Subject, report: SmokeReport) -> GateResult:
    if not report.example:
        reason = "the version has no input example"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)
    told = asdict(report)
    if report.error:
        status = GateStatus.ERRORED if report.errored else GateStatus.FAILED
        return word(ID, subject, status, report.error, **told)
    if report.rows < 1:
        return word(ID, subject, GateStatus.FAILED, "it answers no rows for its own example", **told)
    if not report.finite and options.get("allow_nan") is not True:
        return word(ID, subject, GateStatus.FAILED, "it answers NaN or infinity for its own example", **told)
    most = options.get("max_seconds")
    seconds = report.seconds_to_load
    if most is not None and not (math.isfinite(seconds) and seconds <= float(most)):
        reason = f"it took {seconds:g} s to load, more than {float(most):g} s"
        return word(ID, subject, GateStatus.FAILED, reason, **told)
    counted = f"{report.rows} {'row' if report.rows == 1 else 'rows'}"
    reason = f"it loads in {seconds:.1f} s and predicts the {counted} of its own example"
    return word(ID, subject, GateStatus.PASSED, reason, **told)
