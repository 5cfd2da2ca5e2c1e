"""Findings as text, as JSON and as GitHub annotations. Pure: what they say is decided by whoever found them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from mlrelease.model.finding import Finding
from mlrelease.render.report import inert
from mlrelease.spec.shown import shown

MANY = 20
"""More findings than this do not fit on a screen: a line that counts them stands first. None is ever left out."""
_LONGEST_PATH = 400


def text(findings: Iterable[Finding]) -> str:
    """One block per finding, a blank line between, each line ended; empty without findings. Many are counted first."""
    found = tuple(findings)
    blocks = [summary(found)] if len(found) > MANY else []
    return "\n".join([*blocks, *map(_block, found)])


def summary(findings: Collection[Finding]) -> str:
    """One line: how many, and of which rules, the most frequent first."""
    rules = Counter(finding.rule for finding in findings)
    counts = sorted(rules.items(), key=lambda entry: (-entry[1], entry[0]))
    files = len({finding.path for finding in findings})
    counted = ", ".join(f"{count:,} {rule}" for rule, count in counts)
    return f"{len(findings):,} findings in {files:,} file{'' if files == 1 else 's'}: {counted}\n"


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings with stable keys. `line` and `column` are 0 for the file as a whole."""
    return [
        {
            "path": f.path,
            "line": f.line,
            "column": f.column,
            "rule": f.rule,
            "message": f.message,
            "found": f.found,
            "expected": f.expected,
            "fix": f.fix,
            "docs": f.docs,
            "environment": f.environment,
            "service": f.service,
        }
        for f in findings
    ]


def github(findings: Iterable[Finding]) -> str:
    """One `::error` command per finding and line, escaped as the runner reads it back.

    Source: `packages/core/src/command.ts` of actions/toolkit, escapeData and escapeProperty.
    """
    return "".join(_annotation(finding) for finding in findings)


def _block(finding: Finding) -> str:
    rows = {"found": finding.found, "expected": finding.expected, "try": finding.fix, "docs": finding.docs}
    lines = [f"{shown(finding.place, _LONGEST_PATH)}: error[{finding.rule}]: {finding.message}"]
    lines += [f"  {name:<8}  {value}" for name, value in rows.items() if value]
    return "".join(f"{line}\n" for line in lines)


def _annotation(finding: Finding) -> str:
    place = {"file": finding.path}
    if finding.line:
        place |= {"line": str(finding.line), "col": str(finding.column)}
    properties = ",".join(f"{key}={_property(value)}" for key, value in (place | {"title": finding.rule}).items())
    rows = {"found": finding.found, "expected": finding.expected, "try": finding.fix}
    message = "\n".join([finding.message, *(f"{name}: {value}" for name, value in rows.items() if value), finding.docs])
    return f"::error {properties}::{_data(message)}\n"


def _data(value: str) -> str:
    # What is left of control characters comes out of file names: a log is shown on terminals too.
    return inert(value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
