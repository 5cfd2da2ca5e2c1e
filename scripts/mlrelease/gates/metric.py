"""`metric`: a logged metric of the version keeps its bounds, and is not worse than the baseline's by more than is allowed.

Options: `metric`, `min`, `max`, `max_regression` (`5%` of the baseline, or a number of the metric's own unit),
`direction`, `min_samples` with `samples`. Default bounds: none; one of the three must be given.

NaN policy: a value that is NaN or infinite fails, before anything is compared (MLflow's own thresholds let it pass).
A baseline that is, or that has no such metric, is nothing to compare with: inconclusive.
Minimum sample: `min_samples`, by default none. Below it, or where nobody logged the count, of the version or of the
baseline: inconclusive, whatever the value.
Bounds are inclusive; numbers are compared as the decimals they are written as, so that 0.85 ≥ 0.80 + 0.05.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mlrelease.gates.decimals import apart, exact, is_number, text
from mlrelease.gates.interface import Evidence, Metrics, Subject, not_moving, word
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "metric"
_OPTIONS = frozenset({"metric", "min", "max", "max_regression", "direction", "min_samples", "samples"})
_SEVERITY = (GateStatus.FAILED, GateStatus.ERRORED, GateStatus.INCONCLUSIVE, GateStatus.SKIPPED, GateStatus.PASSED)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The options, read. `tolerance` is a share of the baseline if `relative`, else in its unit; None: no such bound."""

    metric: str
    least: float | None = None
    most: float | None = None
    tolerance: Fraction | None = None
    relative: bool = False
    higher_is_better: bool = False
    min_samples: int = 0
    samples: str = ""

    @property
    def allowed(self) -> str:
        """The tolerance as people write it."""
        if self.tolerance is None:
            return ""
        return f"{text(self.tolerance * 100)}%" if self.relative else text(self.tolerance)


@dataclass(frozen=True, slots=True)
class Part:
    """What one of the questions came to: within bounds, enough rows, not worse than the baseline."""

    status: GateStatus
    reason: str


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Failed: out of bounds, worse than allowed, not finite or never logged. Errored: the numbers could not be read."""
    try:
        bounds = bounds_of(options)
    except ValueError as e:
        return word(ID, subject, GateStatus.ERRORED, str(e))
    if still := not_moving(ID, subject):
        return still
    label = f"{subject.pin.name} version {subject.pin.version}"
    metrics = evidence.metrics
    if metrics is None or metrics.error:
        problem = metrics.error if metrics else evidence.error
        if not problem and evidence.asked and evidence.facts is None:
            return word(ID, subject, GateStatus.FAILED, f"{label} does not exist: it has no metrics")
        return word(ID, subject, GateStatus.ERRORED, problem or "the metrics were not read")
    found = metrics.values.get(bounds.metric)
    if found is None:
        return word(ID, subject, GateStatus.FAILED, f"{label} has no metric {bounds.metric}{_near(bounds.metric, metrics)}")
    said: dict[str, Any] = {"metric": bounds.metric, "value": _plain(found), "source": metrics.source} | dict(options)
    if not is_number(found):
        reason = f"{bounds.metric} is {found}: no number that could be good enough"
        return word(ID, subject, GateStatus.FAILED, reason, **said)
    if few := _enough(bounds, metrics, "it"):
        return _verdict(subject, bounds, found, [few], said)
    parts = _within(bounds, found)
    if bounds.tolerance is not None:
        part, baseline = _regression(bounds, found, subject, evidence)
        parts.append(part)
        said |= baseline
    return _verdict(subject, bounds, found, parts, said)


def bounds_of(options: Mapping[str, Any]) -> Bounds:
    """The options as numbers. Raises `ValueError` for what no file can say: the types of the files keep it out."""
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise ValueError(f"the gate has no option {unknown[0]!r}")
    least, most, regression = options.get("min"), options.get("max"), options.get("max_regression")
    if not options.get("metric") or (least is None and most is None and regression is None):
        raise ValueError("the gate needs a metric, and one of min, max and max_regression")
    if not all(bound is None or is_number(bound) for bound in (least, most)):
        raise ValueError("min and max are finite numbers")
    direction = options.get("direction")
    if direction not in (None, "lower", "higher") or (
        regression is not None and direction is None and (least is None) is (most is None)
    ):
        raise ValueError("the gate does not say which way is better: direction: lower, or higher")
    min_samples, samples = options.get("min_samples", 0), options.get("samples", "")
    if bool(min_samples) is not bool(samples):
        raise ValueError("min_samples and samples need each other")
    relative = isinstance(regression, str)
    return Bounds(
        metric=options["metric"],
        least=least,
        most=most,
        tolerance=None if regression is None else _tolerance(regression),
        relative=relative,
        higher_is_better=direction == "higher" if direction else most is None,
        min_samples=min_samples,
        samples=samples,
    )


def _tolerance(written: float | str) -> Fraction:
    try:
        is_share = isinstance(written, str) and written.endswith("%")
        found = Fraction(str(written)[:-1]) / 100 if is_share else Fraction(repr(written))
    except (ValueError, ZeroDivisionError) as e:
        raise ValueError(f"max_regression is no tolerance: {written!r}") from e
    if found < 0:
        raise ValueError("max_regression is not below zero")
    return found


def _enough(bounds: Bounds, metrics: Metrics, whose: str) -> Part | None:
    """None where the rows suffice, or no number of them was asked for."""
    if not bounds.min_samples:
        return None
    rows = metrics.values.get(bounds.samples)
    if rows is None or not is_number(rows):
        found = "not logged" if rows is None else f"{rows}"
        reason = f"on how many rows {whose} was measured is not known: {bounds.samples} is {found}"
        return Part(GateStatus.INCONCLUSIVE, reason)
    if exact(rows) < bounds.min_samples:
        reason = f"{whose} was measured on {text(rows)} rows, fewer than {bounds.min_samples}"
        return Part(GateStatus.INCONCLUSIVE, reason)
    return None


def _within(bounds: Bounds, value: float) -> list[Part]:
    """One part for each of `min` and `max`."""
    parts = []
    if bounds.least is not None:
        shown, limit = apart(value, bounds.least)
        keeps = exact(value) >= exact(bounds.least)
        parts.append(_bound(f"the minimum is {limit}" if keeps else f"{shown} is below the minimum {limit}", keeps=keeps))
    if bounds.most is not None:
        shown, limit = apart(value, bounds.most)
        keeps = exact(value) <= exact(bounds.most)
        parts.append(_bound(f"the maximum is {limit}" if keeps else f"{shown} is above the maximum {limit}", keeps=keeps))
    return parts


def _bound(reason: str, *, keeps: bool) -> Part:
    return Part(GateStatus.PASSED if keeps else GateStatus.FAILED, reason)


def _regression(bounds: Bounds, value: float, subject: Subject, evidence: Evidence) -> tuple[Part, dict[str, Any]]:
    """How the value stands to the baseline's, and what the receipt says of that."""
    pin = subject.baseline
    if pin is None:
        return Part(GateStatus.SKIPPED, "first deploy here: nothing to compare with"), {}
    label = f"version {pin.version} ({subject.baseline_origin})"
    said: dict[str, Any] = {"baseline": {"version": pin.version, "origin": subject.baseline_origin.value}}
    metrics = evidence.baseline_metrics
    if metrics is None or metrics.error:
        problem = (metrics.error if metrics else evidence.baseline_error) or "its metrics were not read"
        return Part(GateStatus.ERRORED, f"the baseline, {label}, cannot be asked for: {problem}"), said
    base = metrics.values.get(bounds.metric)
    if base is None:
        missing = evidence.baseline_gone or f"has no metric {bounds.metric}"
        return Part(GateStatus.INCONCLUSIVE, f"nothing to compare with: the baseline, {label}, {missing}"), said
    said["baseline"] |= {"value": _plain(base), "source": metrics.source}
    if not is_number(base):
        return Part(GateStatus.INCONCLUSIVE, f"nothing to compare with: it is {base} for the baseline, {label}"), said
    if few := _enough(bounds, metrics, f"that of the baseline, {label},"):
        return few, said
    return _compared(bounds, value, base, label), said


def _compared(bounds: Bounds, value: float, base: float, label: str) -> Part:
    """Worse by more than allowed or not; a share is of the baseline's size, whatever its sign."""
    worse = exact(base) - exact(value) if bounds.higher_is_better else exact(value) - exact(base)
    size, tolerance = abs(exact(base)), bounds.tolerance or Fraction(0)
    limit = tolerance * size if bounds.relative else tolerance
    status = GateStatus.PASSED if worse <= limit else GateStatus.FAILED
    shown = apart(value, base)[1]
    if worse == 0:
        return Part(status, f"equal to {label}")
    by = f"{text(abs(worse) / size * 100)}%" if bounds.relative and size else text(abs(worse))
    reason = f"{by} {'worse' if worse > 0 else 'better'} than the {shown} of {label}"
    if worse > 0:
        share_of_nothing = bounds.relative and not size
        reason += (
            f", where a share of 0 allows nothing ({bounds.allowed})" if share_of_nothing else f", {bounds.allowed} allowed"
        )
    return Part(status, reason)


def _verdict(subject: Subject, bounds: Bounds, value: float, parts: list[Part], said: Mapping[str, Any]) -> GateResult:
    """The worst part decides; those as bad as it are named, and all of them where it opens."""
    worst = min((part.status for part in parts), key=_SEVERITY.index)
    opens = worst in (GateStatus.PASSED, GateStatus.SKIPPED)
    # Within bounds, on a first deploy: the bounds were judged, so the gate has passed. With no bounds nothing was.
    status = GateStatus.PASSED if any(p.status is GateStatus.PASSED for p in parts) and opens else worst
    reasons = "; ".join(part.reason for part in parts if opens or part.status is worst)
    skip = SkipReason.FIRST_DEPLOY if status is GateStatus.SKIPPED else None
    return word(ID, subject, status, f"{bounds.metric} {text(value)}: {reasons}", skip_reason=skip, **said)


def _near(metric: str, metrics: Metrics) -> str:
    """What it has instead: the likely one, else some of all."""
    near = difflib.get_close_matches(metric, list(metrics.values), 1, 0.6)
    if near:
        return f"; did you mean {near[0]}?"
    some = sorted(metrics.values)
    more = f" and {len(some) - 5} more" if len(some) > 5 else ""
    return f"; it has {', '.join(some[:5])}{more}" if some else ": no metric was logged with it"


def _plain(value: float) -> float | str:
    """The number, as text where JSON has none for it."""
    return value if is_number(value) else str(value)
