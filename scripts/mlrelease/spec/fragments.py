"""Changelog fragments: `releases/unreleased/<section>-<what>.md`, one line of the changelog each. Pure.

The beginning of the name says the section, so that two people never edit one file, and a pin commit needs none.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlrelease.model.release import LEVELS, UNRELEASED, Entry, Level, Problem, Section
from mlrelease.model.spec import SourceFile

BREAKING = "breaking"
"""The beginning of a name whose change is major, whatever section it belongs to; it is listed as changed."""

PREFIXES = (*(section.value.lower() for section in Section), BREAKING)
IGNORED = frozenset({"README.md", ".gitkeep"})
LONGEST = 20_000
"""Characters of one fragment: a line of a changelog, not a document."""

FORM = f"{UNRELEASED}/added-what-it-is.md, where added is one of: {', '.join(PREFIXES)}"


def fragments(files: Mapping[str, SourceFile]) -> tuple[dict[str, Entry], tuple[Problem, ...]]:
    """The entries by path, and what is wrong with files that are none; other files of the repository are left alone."""
    found: dict[str, Entry] = {}
    wrong: list[Problem] = []
    for path, file in sorted(files.items()):
        folder, _, name = path.rpartition("/")
        if not (folder == UNRELEASED or folder.startswith(f"{UNRELEASED}/")) or name in IGNORED:
            continue
        prefix, dash, rest = name.removesuffix(".md").partition("-")
        if folder != UNRELEASED or not name.endswith(".md") or prefix not in PREFIXES or not (dash and rest):
            wrong.append(Problem(f"{path} is no changelog fragment", f"name it {FORM}", 4))
        elif why := _unreadable(file):
            wrong.append(Problem(f"{path} {why}", "write the line of the changelog into it, in the users' words", 4))
        else:
            found[path] = _entry(prefix, file.data.decode())
    return found, tuple(wrong)


def _unreadable(file: SourceFile) -> str:
    if file.problem:
        return f"cannot be read: {file.problem}"
    try:
        text = file.data.decode()
    except UnicodeDecodeError:
        return "is not UTF-8"
    if not text.strip():
        return "is empty"
    if len(text) > LONGEST:
        return f"is longer than {LONGEST:,} characters"
    if any(line.startswith(("# ", "## ", "### ")) for line in text.splitlines()):
        return "holds a heading: it would end its section of the changelog"
    return ""


def _entry(prefix: str, text: str) -> Entry:
    """The text as one item of a list: without a mark of its own, later lines indented below it."""
    first, *rest = text.strip().removeprefix("- ").removeprefix("* ").splitlines()
    body = "\n".join([first.strip(), *(f"  {line.strip()}" if line.strip() else "" for line in rest)])
    if prefix == BREAKING:
        return Entry(Section.CHANGED, f"**Breaking:** {body}", Level.MAJOR)
    section = Section(prefix.capitalize())
    return Entry(section, body, LEVELS[section])
