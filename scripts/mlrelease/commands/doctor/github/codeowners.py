"""Who owns which path, as CODEOWNERS says it and GitHub reads it. Pure.

https://docs.github.com/repositories/…/about-code-owners: the patterns of gitignore without `!`, `[ ]` and an escaped `#`;
the last line that matches counts, and one without owners takes ownership away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks, in this order; the first that is there is used."""

LARGEST = 3 << 20
"""Bytes; a larger file is not loaded by GitHub."""

_WILD = {"/**/": "/(?:.*/)?", "**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Line:
    """One pattern with its owners; without owners it takes ownership away."""

    pattern: str
    owners: tuple[str, ...]

    def matches(self, path: str) -> bool:
        """Whether it speaks of that file."""
        return _compiled(self.pattern).fullmatch(path) is not None


def parsed(text: str) -> tuple[Line, ...]:
    """The lines that say something."""
    found = []
    for line in text.splitlines():
        words = re.sub(r"(?<!\\)\s+", "\n", line.partition("#")[0].strip()).split("\n")
        if words[0]:
            found.append(Line(words[0].replace("\\ ", " "), tuple(words[1:])))
    return tuple(found)


def owners(lines: tuple[Line, ...], path: str) -> tuple[str, ...]:
    """Who owns the file; empty when nobody does."""
    return next((line.owners for line in reversed(lines) if line.matches(path)), ())


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as gitignore reads it: anchored by a `/` that is not its last sign; a folder means all below it.

    `folder/*` is the exception: it stops at the files of that folder.
    """
    body = pattern.strip("/")
    anchored = pattern.startswith("/") or "/" in body
    text = ""
    for part in re.split(r"(/\*\*/|\*\*/|/\*\*|\*\*|\*|\?)", body):
        text += _WILD.get(part) or re.escape(part)
    start = "" if anchored else "(?:.*/)?"
    is_flat = anchored and re.search(r"(^|/)\*$", body) is not None
    end = "/.*" if pattern.endswith("/") else "" if is_flat else "(?:/.*)?"
    return re.compile(start + text + end)
