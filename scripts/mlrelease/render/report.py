"""What a verb has to say, as data: a verdict, at most one table, notes, the next command, and the same as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1

LONGEST_LINE = 1000
"""Characters of one error: names and answers of others may be of any length."""

LONGEST_CELL = 240
"""Characters of one cell of a table that has to fit into a comment."""


@dataclass(frozen=True, slots=True)
class Report:
    """A verb's result. `data` is what `--output json` prints, with stable keys; `rows` are cells of plain text.

    `outputs` are words for the later steps of a workflow, by name.
    """

    verdict: str
    data: Mapping[str, Any]
    headers: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    next: str = ""
    exit_code: int = 0
    details: Sequence[str] = field(default_factory=tuple)
    outputs: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """`schema`, `verdict`, `exit_code`, `next` and the verb's own keys."""
        return {"schema": SCHEMA, "verdict": self.verdict, "exit_code": self.exit_code, "next": self.next} | dict(self.data)


def handed_on(report: Report) -> dict[str, str]:
    """The report's outputs, and `pull_requests` where it proposed any: their numbers, as JSON for a matrix."""
    numbers = sorted(set(_proposed(report.data)))
    return {**report.outputs, **({"pull_requests": json.dumps(numbers)} if numbers else {})}


def _proposed(data: Any) -> Iterator[int]:
    """The numbers of all pull requests in a report's data that have a commit: without one nothing is proposed."""
    if isinstance(data, Mapping):
        pull = data.get("pull_request")
        if isinstance(pull, Mapping) and pull.get("number") and pull.get("commit"):
            yield int(pull["number"])
        for value in data.values():
            yield from _proposed(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _proposed(value)


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
    lines = [f"### {cell(report.verdict)}", ""]
    if report.rows:
        lines += [*table(report.headers, report.rows), ""]
    lines += [f"- {cell(note)}" for note in (*report.details, *report.notes)]
    if report.next:
        lines += ["", f"Next: {code(report.next)}"]
    return "\n".join(lines) + "\n"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of plain texts, all inert."""
    return [_line(headers), "|" + " --- |" * len(headers), *map(_line, rows)]


def table_within(headers: Sequence[str], rows: Sequence[Sequence[str]], longest: int) -> tuple[list[str], int]:
    """The lines of the table with as many of its first rows as fit into so many characters, and how many rows do not."""
    lines = table(headers, ())
    size = sum(map(len, lines))
    for number, row in enumerate(rows):
        line = _line(map(cut, row))
        size += len(line) + 1
        if size > longest:
            return lines, len(rows) - number
        lines.append(line)
    return lines, 0


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(cell, cells)) + " |"


def cut(text: str) -> str:
    """The text, or as much of it as a cell has room for, ending in `…`."""
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def cell(text: str) -> str:
    """The text on one line as Markdown that shows just it: no HTML, no link, no image, nobody mentioned, no issue closed.

    An entity alone does not do for `@`, `#` and addresses: GitHub looks for them after it has read the Markdown. A zero-width
    space behind the sign does.
    """
    flat = inert(text).replace("\n", " ").translate(_SIGNS)
    return _AT_AN_EDGE.sub("&#95;", _LINKED.sub("\\1&#8203;", flat))


def code(text: str) -> str:
    """The text on one line as a code span: nothing in it means anything."""
    flat = inert(text).replace("\n", " ")
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    pad = " " if flat[:1] in ("`", " ") or flat[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


_SIGNS = {ord(sign): f"&#{ord(sign)};" for sign in "\\|<>`[]*~"} | {
    ord("&"): "&amp;",
    ord("@"): "@&#8203;",
    ord("#"): "#&#8203;",
}
_LINKED = re.compile(r"(?i:(:(?=//)|\bwww(?=\.)|\bgh-(?=[0-9])))")
"""What GitHub makes a link of without being asked: `https://…`, `www.…`, `GH-7`."""
_AT_AN_EDGE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""An underscore that may begin or end emphasis; the one in `credit_risk` may not."""
