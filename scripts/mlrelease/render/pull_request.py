"""The text of a pull request that moves pins: what, from which run, how good, how judged, how to merge, how to undo. Pure.

Every text from outside (names of runs and metrics, reasons, messages) goes through `cell`: it is shown and does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlrelease.model.gate import GateResult
from mlrelease.render.report import cell, code, table

METRICS_SHOWN = 40
"""Metrics of one model: a run may log thousands, and a reader looks at a few."""

GATES_SHOWN = 200
"""Gate results of one pull request; those that do not open come first."""


@dataclass(frozen=True, slots=True)
class PinMove:
    """One pin: what it is called, its labels and digest, and the MLflow run or model that made it (empty: not known)."""

    name: str
    before: str
    after: str
    digest: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of one model that moves, beside those of what it is compared with; `baseline` says what that is."""

    name: str
    version: str
    baseline: str
    values: Mapping[str, float] = field(default_factory=dict)
    compared: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that a reviewer is told. `evidence`, `merging`, `undoing` and `problems` are sentences, one each."""

    title: str
    environment: str
    service: str
    pins: tuple[PinMove, ...]
    measured: tuple[Measured, ...] = ()
    gates: tuple[GateResult, ...] = ()
    evidence: tuple[str, ...] = ()
    merging: tuple[str, ...] = ()
    undoing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    lead: str = ""


def pull_request_text(about: Explanation) -> str:
    """The Markdown, without hidden markers."""
    lines = [f"{cell(about.lead)}\n"] if about.lead else []
    rows = [(pin.name, pin.before, pin.after, pin.origin or "–") for pin in about.pins]
    lines += [*table(("pin", "from", "to", "MLflow"), rows), ""]
    lines += [f"- {cell(pin.name)} {cell(pin.after)}: {code(pin.digest)}" for pin in about.pins]
    for measured in about.measured:
        lines += _metrics(measured)
    lines += _gates(about.gates)
    lines += _section("Evidence", about.evidence)
    lines += _section("What could not be found out", about.problems)
    lines += _section("To merge", about.merging)
    lines += _section("To undo", about.undoing)
    return "\n".join(lines) + "\n"


def gate_rows(results: Sequence[GateResult]) -> tuple[list[tuple[str, ...]], int]:
    """Rows of component, gate, status, reason, those that do not open first; and how many are left out."""
    ordered = sorted(results, key=lambda result: result.opens)
    rows: list[tuple[str, ...]] = [(r.component.removeprefix("model:"), r.gate, r.status.value, r.reason) for r in ordered]
    return rows[:GATES_SHOWN], max(0, len(rows) - GATES_SHOWN)


def _metrics(measured: Measured) -> list[str]:
    lines = ["", f"### Metrics of {cell(measured.name)} {cell(measured.version)}", "", cell(measured.baseline)]
    if measured.problem:
        return [*lines, "", f"Not read: {cell(measured.problem)}"]
    names = sorted(measured.values)
    if not names:
        return [*lines, "", "MLflow has no metrics of it."]
    rows = [(name, *_compared(measured.compared.get(name), measured.values[name])) for name in names[:METRICS_SHOWN]]
    lines += ["", *table(("metric", "baseline", "now", "change"), rows)]
    return [*lines, f"… and {len(names) - METRICS_SHOWN} more"] if len(names) > METRICS_SHOWN else lines


def _compared(before: float | None, after: float) -> tuple[str, str, str]:
    if before is None or not math.isfinite(before) or not math.isfinite(after):
        return "–" if before is None else f"{before:g}", f"{after:g}", "–"
    share = f" ({(after - before) / abs(before):+.1%})" if before else ""
    return f"{before:g}", f"{after:g}", f"{after - before:+.3g}{share}"


def _gates(results: Sequence[GateResult]) -> list[str]:
    if not results:
        return []
    opened = sum(result.opens for result in results)
    rows, left = gate_rows(results)
    more = [f"… and {left} more that open"] if left else []
    return ["", f"### Gates: {opened} of {len(results)} open", "", *table(("model", "gate", "status", "reason"), rows), *more]


def _section(title: str, sentences: Sequence[str]) -> list[str]:
    return ["", f"### {title}", "", *(f"- {cell(sentence)}" for sentence in sentences)] if sentences else []
