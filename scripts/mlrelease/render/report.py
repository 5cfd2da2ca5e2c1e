"""What a verb has to say, as data: a verdict, at most one table, notes, the next command, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1

LONGEST_LINE = 1000
"""Characters of one error: names and answers of others may be of any length."""


@dataclass(frozen=True, slots=True)
class Report:
    """A verb's result. `data` is what `--output json` prints, with stable keys; `rows` are cells of plain text."""

    verdict: str
    data: Mapping[str, Any]
    headers: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    next: str = ""
    exit_code: int = 0
    details: Sequence[str] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """`schema`, `verdict`, `exit_code`, `next` and the verb's own keys."""
        return {"schema": SCHEMA, "verdict": self.verdict, "exit_code": self.exit_code, "next": self.next} | dict(self.data)


def inert(text: str) -> str:
    """The text without anything a terminal would act on: control characters are shown, not sent."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The text on one line, inert, line breaks shown too; what is longer than a screen ends in `…`."""
    flat = inert(text[:LONGEST_LINE]).replace("\n", "\\n")
    return flat if len(text) <= LONGEST_LINE else f"{flat}…"


def markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown for a job summary; cells and texts are inert."""
    lines = [f"### {_cell(report.verdict)}", ""]
    if report.headers:
        lines += ["| " + " | ".join(map(_cell, report.headers)) + " |", "|" + " --- |" * len(report.headers)]
        lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in report.rows]
        lines.append("")
    lines += [f"- {_cell(note)}" for note in (*report.details, *report.notes)]
    if report.next:
        lines += ["", f"Next: `{_cell(report.next)}`"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    flat = inert(text).replace("\n", " ")
    for sign in ("\\", "|", "<", "`", "[", "]", "@"):
        flat = flat.replace(sign, f"&#{ord(sign)};")
    return flat
