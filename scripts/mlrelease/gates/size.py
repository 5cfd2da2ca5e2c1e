"""`size`: the version's files are not much larger than those of the version that serves now.

A file that had doubled in size once killed every proxy that read it (DESIGN §6 row 2). Options: `max_growth` (a share of the
baseline's size, by default `100%`: at most twice as large) and `max_mb` (a limit of its own, in units of 1,000,000 bytes).

No minimum sample: sizes are exact. Both bounds are inclusive. Without a baseline only `max_mb` is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mlrelease.gates.decimals import exact, is_number, text
from mlrelease.gates.interface import Evidence, Subject, not_moving, word
from mlrelease.model.gate import MAX_GROWTH, GateResult, GateStatus, SkipReason

ID = "size"
_MB = 1_000_000
_OPTIONS = frozenset({"max_growth", "max_mb"})


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Failed: larger than allowed. Errored: the files could not be looked at. First deploy without `max_mb`: skipped."""
    try:
        growth, most = _bounds(options)
    except ValueError as e:
        return word(ID, subject, GateStatus.ERRORED, str(e))
    if still := not_moving(ID, subject):
        return still
    if evidence.size is None:
        if evidence.asked and evidence.facts is None:
            reason = f"{subject.pin.name} version {subject.pin.version} does not exist: it has no files"
            return word(ID, subject, GateStatus.FAILED, reason)
        problem = evidence.error or evidence.digest_error or "its files were not looked at"
        return word(ID, subject, GateStatus.ERRORED, problem)
    said: dict[str, Any] = {"bytes": evidence.size}
    if most is not None and evidence.size > most * _MB:
        reason = f"{_mb(evidence.size)} is more than the {text(most)} MB allowed"
        return word(ID, subject, GateStatus.FAILED, reason, **said)
    pin = subject.baseline
    if pin is None:
        reason = f"{_mb(evidence.size)}; first deploy here: nothing to compare with"
        if most is None:
            return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.FIRST_DEPLOY, **said)
        return word(ID, subject, GateStatus.PASSED, reason, **said)
    label = f"version {pin.version} ({subject.baseline_origin})"
    said["baseline"] = {"version": pin.version, "origin": subject.baseline_origin.value, "bytes": evidence.baseline_size}
    if evidence.baseline_size is None:
        if evidence.baseline_gone:
            reason = f"nothing to compare with: the baseline, {label}, {evidence.baseline_gone}"
            return word(ID, subject, GateStatus.INCONCLUSIVE, reason, **said)
        problem = evidence.baseline_error or "its files were not looked at"
        return word(ID, subject, GateStatus.ERRORED, f"the baseline, {label}, cannot be asked for: {problem}", **said)
    sizes = f"{_mb(evidence.size)}, beside {_mb(evidence.baseline_size)} of {label}"
    if evidence.size > evidence.baseline_size * (1 + growth):
        return word(ID, subject, GateStatus.FAILED, f"{sizes}: grown by more than {text(growth * 100)}%", **said)
    return word(ID, subject, GateStatus.PASSED, sizes, **said)


def _bounds(options: Mapping[str, Any]) -> tuple[Fraction, Fraction | None]:
    """The share by which it may grow, and the most megabytes. Raises `ValueError` for what the files' types keep out."""
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise ValueError(f"the gate has no option {unknown[0]!r}")
    written, most = options.get("max_growth", MAX_GROWTH), options.get("max_mb")
    try:
        growth = Fraction(str(written).removesuffix("%")) / 100
    except (ValueError, ZeroDivisionError) as e:
        raise ValueError(f"max_growth is no share: {written!r}") from e
    if growth < 0 or not str(written).endswith("%"):
        raise ValueError(f"max_growth is no share: {written!r}")
    if most is not None and (not is_number(most) or most <= 0):
        raise ValueError("max_mb is a number above zero")
    return growth, None if most is None else exact(most)


def _mb(size: int) -> str:
    return f"{size / _MB:.1f} MB" if size >= _MB else f"{size} bytes"
