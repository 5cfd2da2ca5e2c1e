"""Text that GitHub keeps for us: hidden markers by which it is found again, and cuts at GitHub's limits."""

from __future__ import annotations

from mlrelease.errors import Error

LONGEST_BODY = 65_000
"""Characters; GitHub refuses more than 65,536 in a comment, an issue or a pull request."""

LONGEST_RELEASE = 124_000
"""Characters of a release's text; GitHub refuses more than 125,000."""

_CUT = "\n\n**… cut here: the text is longer than GitHub takes.**\n"


def marker_line(marker: str) -> str:
    """The hidden first line. Raises `Error` for a marker that would end the comment or the line."""
    if not marker.strip() or "--" in marker or "\n" in marker or ">" in marker:
        raise Error(f"not a marker: {marker[:80]!r}", hint="letters, digits, `:`, `/` and single hyphens")
    return f"<!-- {marker} -->"


def marked(marker: str, body: str) -> str:
    """The body under its hidden marker, cut to what GitHub takes, with a visible mark."""
    return cut(f"{marker_line(marker)}\n{body}")


def is_marked(marker: str, body: str) -> bool:
    """Whether a text begins with that marker."""
    first, _, _ = body.lstrip().partition("\n")
    return first.strip() == marker_line(marker)


def cut(text: str, longest: int = LONGEST_BODY) -> str:
    """The text, or its whole lines up to the limit and a visible mark. A text of one endless line is cut within it."""
    if len(text) <= longest:
        return text
    kept = text[: longest - len(_CUT)]
    lines = kept.rpartition("\n")[0]
    return (lines if len(lines) > longest // 2 else kept) + _CUT


def shortened(text: str, longest: int) -> str:
    """The text in at most so many characters, ending in `…` when it was longer."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def same(one: str, other: str) -> bool:
    """Whether two texts are the same to GitHub, which keeps line ends as browsers send them, and strips the ends."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
