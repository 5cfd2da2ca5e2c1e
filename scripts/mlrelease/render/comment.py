"""What a pull request's check says, as the Markdown of its comment and its annotations' texts. Pure.

Everything in it may be a stranger's: names and values come out of the files of the pull request, reasons out of MLflow.
`cell` makes all of it inert. Each section has its share of what GitHub takes, so that 5,000 findings hide nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlrelease.model.finding import Finding
from mlrelease.render.report import cell, code, cut, inert, table_within

_MOVES, _GATES, _BASELINES, _FINDINGS, _NOTES = 12_000, 18_000, 4_000, 24_000, 4_000
"""Characters of each section; together less than the 65,000 of a comment."""


@dataclass(frozen=True, slots=True)
class CheckedPull:
    """What was found. `moves` are rows of environment, service, change, from, to, and why or what stands in its way;
    `gates` rows of environment, model, version, gate, status and reason; `baselines` and `notes` are sentences.
    """

    verdict: str
    commit: str
    scope: str
    findings: tuple[Finding, ...] = ()
    moves: tuple[tuple[str, ...], ...] = ()
    gates: tuple[tuple[str, ...], ...] = ()
    baselines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    next: str = ""
    url: str = ""
    base_known: bool = True


def comment_text(checked: CheckedPull) -> str:
    """The comment, without its hidden marker."""
    where = f" ([the run]({checked.url}))" if checked.url else ""
    lines = [f"### {cell(checked.scope)}: {cell(checked.verdict)}", "", f"Commit {code(checked.commit[:12])}{where}", ""]
    lines += ["#### What merging would change", "", *_moves(checked), ""]
    if checked.gates:
        lines += ["#### Gates", ""]
        lines += _within(("environment", "model", "version", "gate", "status", "reason"), checked.gates, _GATES)
        lines += ["", *_listed(checked.baselines, _BASELINES), ""]
    if checked.findings:
        rows = [(f.place, f.rule, f.message, f.found, f.expected, f.fix) for f in checked.findings]
        lines += ["#### Findings", ""]
        lines += [*_within(("where", "rule", "what", "found", "expected", "to do"), rows, _FINDINGS), ""]
    lines += _listed(checked.notes, _NOTES)
    if checked.next:
        lines += ["", f"Next: {code(cut(checked.next))}"]
    return "\n".join(lines) + "\n"


def annotation_text(finding: Finding) -> str:
    """A finding as plain text of some lines, none of which a terminal or a runner acts on."""
    rows = {"found": finding.found, "expected": finding.expected, "try": finding.fix, "docs": finding.docs}
    lines = [finding.message, *(f"{name}: {value}" for name, value in rows.items() if value)]
    return "\n".join(inert(line).replace("\n", "\\n") for line in lines)


def _moves(checked: CheckedPull) -> list[str]:
    if not checked.base_known:
        return ["Not known: this clone does not have the commit that the pull request began at."]
    if not checked.moves:
        return ["Nothing of what runs."]
    return _within(("environment", "service", "change", "from", "to", "reason"), checked.moves, _MOVES)


def _within(headers: Sequence[str], rows: Sequence[Sequence[str]], longest: int) -> list[str]:
    """The table, or as many of its first rows as fit, with a line that says how many do not."""
    lines, left = table_within(headers, rows, longest)
    return [*lines, "", f"**… and {left:,} more: the check's annotations and the log have them.**"] if left else lines


def _listed(sentences: Sequence[str], longest: int) -> list[str]:
    """A line for each sentence, or for as many of the first as fit, and one that says how many do not."""
    lines: list[str] = []
    for sentence in sentences:
        line = f"- {cell(cut(sentence))}"
        longest -= len(line) + 1
        if longest < 0:
            return [*lines, f"- … and {len(sentences) - len(lines):,} more: the log has them."]
        lines.append(line)
    return lines
