"""How the story looks: narration, commands as typed, their output indented, tables. Text in, text out."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlrelease.demo.load import Summary
from mlrelease.render.report import inert

WIDTH = 100
INDENT = "    "
LONGEST = 150
"""Columns of a line that a command wrote; a longer one is folded, for those who read the story in a file."""

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_ANY_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")


@dataclass(frozen=True, slots=True)
class Teller:
    """Prints to stdout at most `width` columns wide; `styled` is for a terminal that shows bold and dim."""

    width: int
    styled: bool

    @property
    def room(self) -> int:
        """Columns of a command's own output."""
        return self.width - len(INDENT)

    def say(self, text: str) -> None:
        """A paragraph of narration, with a blank line before it."""
        self._print("\n" + textwrap.fill(text, self.width))

    def command(self, where: str, argv: Sequence[str]) -> None:
        """A command as it is typed, behind the folder that it is typed in."""
        for line in typed(where, argv, self.width):
            self._print(f"\x1b[1m{line}\x1b[0m" if self.styled else line)

    def output(self, line: str) -> None:
        """One line that a command wrote."""
        text = tame(line, styled=self.styled)
        for part in folded(text, self.room) if len(text) > LONGEST else [text]:
            self._print(f"{INDENT}{part}" if part else "")

    def lines(self, lines: Sequence[str]) -> None:
        """Lines as they are."""
        for line in lines:
            self._print(line)

    def _print(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def typed(where: str, argv: Sequence[str], width: int) -> Iterator[str]:
    """`laptop$ mlrelease …`, broken between arguments with a backslash where it would be wider than `width`."""
    line = f"{where}$"
    for words in _together([shlex.quote(word) for word in argv]):
        if len(line) + 1 + len(words) > width - len(" \\"):
            yield f"{line} \\"
            line = " " * (len(where) + 3) + words
        else:
            line = f"{line} {words}"
    yield line


def _together(words: Sequence[str]) -> Iterator[str]:
    """The words, an option and its value as one."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        has_value = word.startswith("--") and rest and not rest[0].startswith("-")
        yield f"{word} {rest.pop(0)}" if has_value else word


def folded(text: str, width: int) -> list[str]:
    """A line as several, each but the first indented beneath it; nothing is left out but the blanks it is folded at."""
    indent = text[: len(text) - len(text.lstrip())] + "  "
    return textwrap.wrap(text, width, initial_indent="", subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)


def tame(line: str, *, styled: bool) -> str:
    """A line of output with nothing in it that moves the cursor; bold and colours stay where the terminal shows them."""
    text = line.rstrip("\r\n").rpartition("\r")[2]
    if not styled:
        return inert(_ANY_ESCAPE.sub("", text)).rstrip()
    kept = _STYLES.split(text)
    styles = [*_STYLES.findall(text), ""]
    return "".join(inert(_ANY_ESCAPE.sub("", part)) + style for part, style in zip(kept, styles, strict=True)).rstrip()


def ending(summary: Summary, roles: Mapping[tuple[str, str], str]) -> list[str]:
    """The table of the load: what was sent, what failed, and which version answered when, by the requests' names.

    `roles` describe versions, by name and version.
    """
    seconds = summary.answers[-1].end - summary.answers[0].start if summary.answers else 0.0
    begin = summary.answers[0].start if summary.answers else 0.0
    rows = [("asked", "version", "answered from", "until", "requests", "")]
    rows += [
        (name, s.version, _clock(s.first - begin), _clock(s.last - begin), str(s.answers), roles.get((name, s.version), ""))
        for name in dict.fromkeys(answer.name for answer in summary.answers)
        for s in summary.of(name).spans
    ]
    lines = [f"{summary.sent} requests in {seconds:.1f} s, {summary.failed} failed"]
    if summary.sent and not summary.failed:
        # Rule of three: with no failure in n trials, the 95 % upper bound of the rate is 3/n.
        lines[0] += f" (so with 95 % confidence fewer than {300 / summary.sent:.2g} % do)"
    return [*lines, "", *table(rows)]


def _clock(seconds: float) -> str:
    return f"{seconds:.2f} s"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell; columns of numbers are flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numeric = [all(row[i][:1].isdigit() for row in rows[1:]) for i in range(len(rows[0]))]
    cells = [
        [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True)]
        for row in rows
    ]
    return [f"{INDENT}{'  '.join(row)}".rstrip() for row in cells]
