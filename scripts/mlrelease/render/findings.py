"""Findings as text, as JSON and as GitHub annotations. Pure: what they say is decided by whoever found them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlrelease.model.finding import Finding
from mlrelease.spec.shown import shown

_LONGEST_PATH = 400


def text(findings: Iterable[Finding]) -> str:
    """One block per finding, a blank line between, each line ended; empty without findings."""
    return "\n".join(_block(finding) for finding in findings)


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
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
