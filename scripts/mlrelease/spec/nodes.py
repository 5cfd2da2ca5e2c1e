"""What a YAML text is read into: values with their places. `tree` reads it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from mlrelease.spec.rules import Defect


class Opaque:
    """The value of a node that has a defect of its own, or a type the format never uses (a date)."""


class Lines:
    """Where the lines of a text begin. Counted only when somebody asks: most files have nothing to point at."""

    __slots__ = ("_newlines", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._newlines: list[int] | None = None

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, both from 1, of a character."""
        if self._newlines is None:
            self._newlines = [match.start() for match in re.finditer("\n", self._text)]
        row = bisect_right(self._newlines, index - 1)
        return row + 1, index - (self._newlines[row - 1] + 1 if row else 0) + 1


@dataclass(slots=True)
class Node:
    """One value: `start` and `end` are offsets into the text in characters, `value` is what it stands for as plain Python.

    `style` is that of a scalar: empty for plain, else its first character. `is_refused` says that a defect names it.
    """

    value: Any
    start: int
    end: int
    lines: Lines
    raw: str = ""
    style: str = ""
    is_flow: bool = False
    is_refused: bool = False
    entries: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)

    @property
    def line(self) -> int:
        """The line it begins on, from 1."""
        return self.lines.place(self.start)[0]

    @property
    def column(self) -> int:
        """The column it begins in, from 1."""
        return self.lines.place(self.start)[1]

    @property
    def is_scalar(self) -> bool:
        """Whether it is neither mapping nor sequence."""
        return not isinstance(self.value, dict | list)

    def get(self, key: str) -> Node | None:
        """The value of `key`, if this is a mapping that has it."""
        return self.entries[key][1] if key in self.entries else None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file as YAML: its text, its root (None when there is none that can be used), and its defects."""

    text: str
    root: Node | None
    defects: tuple[Defect, ...]
