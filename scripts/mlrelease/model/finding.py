"""A defect in the user's files, as data with a place and a way out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One defect: `path:line:column`, the rule, what stands there, what should, what to do.

    `line` and `column` count from 1; 0 means the file as a whole. `found` holds the offending token only, never a
    file's content. `environment` and `service` say what it blocks: no service, the whole environment; no environment,
    everything.
    """

    path: str
    line: int
    column: int
    rule: str
    message: str
    found: str = ""
    expected: str = ""
    fix: str = ""
    environment: str = ""
    service: str = ""

    @property
    def place(self) -> str:
        """`path:line:column`, without the parts that are not known."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    @property
    def docs(self) -> str:
        """Where the rule is explained."""
        return f"docs/rules.md#{self.rule}"
