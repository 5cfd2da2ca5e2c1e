"""The text of a pull request that moves pins: what, from which run, how good, how judged, how to merge, how to undo. Pure.

Every text from outside (names of runs and metrics, reasons, messages) goes through `cell`: it is shown and does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlrelease.model.gate import GateResult
from mlrelease.render.report import cell, code, table, table_within

METRICS_SHOWN = 40
"""Metrics of one model: a run may log thousands, and a reader looks at a few."""

GATES_SHOWN = 200
"""Gate results of one pull request; those that do not open come first."""

LONGEST_METRICS, LONGEST_GATES = 24_000, 20_000
"""Characters of all metrics and of all gates: what follows them says how to merge and how to undo, and has to fit too."""


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
    lines += _measured(about.measured)
    lines += _gates(about.gates)
    lines += _section("Evidence", about.evidence)
    lines += _section("What could not be found out", about.problems)
    lines += _section("To merge", about.merging)
    lines += _section("To undo", about.undoing)
    return "\n".join(lines) + "\n"


def _measured(models: Sequence[Measured]) -> list[str]:
    """The metrics of as many models as fit, and of how many more there are some."""
    lines: list[str] = []
    room = LONGEST_METRICS
    for number, measured in enumerate(models):
        section = _metrics(measured)
        room -= sum(len(line) + 1 for line in section)
        if room < 0:
            left = len(models) - number
            return [*lines, "", f"… and the metrics of {left} more model{'' if left == 1 else 's'}: MLflow has them."]
        lines += section
    return lines


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
    """The table, those that do not open first, and what is left out of it."""
    if not results:
        return []
    ordered = sorted(results, key=lambda result: result.opens)
    rows = [(r.component.removeprefix("model:"), r.gate, r.status.value, r.reason) for r in ordered[:GATES_SHOWN]]
    lines, out = table_within(("model", "gate", "status", "reason"), rows, LONGEST_GATES)
    left = ordered[len(rows) - out :]
    shut = sum(not result.opens for result in left)
    rest = f"of which {shut} do not open" if shut else "that open"
    more = [f"… and {len(left)} more{',' if shut else ''} {rest}"] if left else []
    opened = sum(result.opens for result in results)
    return ["", f"### Gates: {opened} of {len(results)} open", "", *lines, *more]


def _section(title: str, sentences: Sequence[str]) -> list[str]:
    return ["", f"### {title}", "", *(f"- {cell(sentence)}" for sentence in sentences)] if sentences else []
