"""Blank lines around pins: what keeps `git revert` free of conflicts (DESIGN §3). Looks at lines, not at values."""

from __future__ import annotations

import re

from mlrelease.spec.rules import Defect
from mlrelease.spec.tree import Node

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,60})[ ]*:(?:\s|$)")
_EXPECTED = "the pin alone between blank lines, comments allowed"


def pin_defects(text: str, root: Node, pins: tuple[str, ...]) -> list[Defect]:
    """`pin-adjacent` for a pin that is not a block of its own. `pins` are the keys of one pin."""
    nodes = [(key, value) for key, value in root.entries.values() if key.value in pins]
    if not nodes:
        return []
    at = nodes[0][0]
    if root.is_flow:
        return [_defect(at, "the file is written in braces", "{")]
    if _is_alone(text, nodes):
        return []
    return _careful(text, nodes, pins)


def _is_alone(text: str, nodes: list[tuple[Node, Node]]) -> bool:
    """Whether the pin is plainly as it should be, without comments or Windows line ends: most are, and this is quick."""
    first, last = nodes[0][0].start, nodes[-1][1].end
    after = text.find("\n", last)
    return (
        text.endswith("\n\n", 0, first)
        and text.count("\n", first, last) == len(nodes) - 1
        and all(text[key.start - 1] == "\n" for key, _ in nodes)
        and (after in (-1, len(text) - 1) or text[after + 1] == "\n")
    )


def _careful(text: str, nodes: list[tuple[Node, Node]], pins: tuple[str, ...]) -> list[Defect]:
    """The same, line by line, with a defect for what is not."""
    at = nodes[0][0]
    lines = text.split("\n")
    spans = [(key.line - 1, _last_row(text, key, value)) for key, value in nodes]
    defects = [
        _defect(key, f"{' and '.join(pins)} are not on adjacent lines", str(key.value))
        for (key, _), (row, _), (_, before) in zip(nodes[1:], spans[1:], spans, strict=False)
        if row != before + 1
    ]
    own = {row for first, last in spans for row in range(first, last + 1)}
    above = [line for first, _ in spans if (line := _neighbour(lines, first, -1, own))]
    below = [line for _, last in spans if (line := _neighbour(lines, last, 1, own))]
    if above or below:
        sides = " and ".join(word for word, found in (("before", above), ("after", below)) if found)
        defects.append(_defect(at, f"no blank line {sides} the pin", ", ".join(_key_of(line) for line in (*above, *below))))
    return defects


def _last_row(text: str, key: Node, value: Node) -> int:
    """The row (from 0) on which the value's own text ends; a block value's end mark lies behind its blank lines."""
    written = text[key.start : max(value.end, key.end)].rstrip()
    return key.line - 1 + written.count("\n")


def _neighbour(lines: list[str], row: int, step: int, own: set[int]) -> str:
    """The first line beyond the pin's comments, empty if it is blank, the end of the file, or part of the same pin."""
    row += step
    while 0 <= row < len(lines) and lines[row].lstrip().startswith("#"):
        row += step
    return lines[row].strip() if 0 <= row < len(lines) and row not in own else ""


def _key_of(line: str) -> str:
    # only the name: what stands behind the colon, or in a value of several lines, may be a secret
    name = _KEY.match(line)
    return f"{name[1]}:" if name else "a line"


def _defect(at: Node, message: str, found: str) -> Defect:
    return Defect("pin-adjacent", message, at.line, at.column, found, _EXPECTED)
