"""CHANGELOG.md in the form of Keep a Changelog: what stands under Unreleased, and a new version's section. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from mlrelease.history.releases import MovedBack
from mlrelease.model.bundle import Bundle
from mlrelease.model.release import LEVELS, Entry, Level, Section, Version
from mlrelease.model.when import iso
from mlrelease.render.report import cell, inert

PATH = "CHANGELOG.md"
NEW = """\
# Changelog

All notable changes. The form is [Keep a Changelog](https://keepachangelog.com/en/1.1.0/), the versions are
[semantic](https://semver.org/).

## [Unreleased]
"""
ROLLBACKS_SHOWN = 20
LONGEST_REASON = 200

_HEADING = re.compile(r"^## +\[?v?([^\]\s]+)\]?.*$", re.MULTILINE)
_COMPARE = re.compile(r"^\[unreleased\]: *(\S+)/compare/(\S+?)\.\.\.HEAD *$", re.MULTILINE | re.IGNORECASE)
_LINKS = re.compile(r"(?:^\[[^\]\n]+\]: [^\n]*(?:\n\s*|\Z))+\Z", re.MULTILINE)
"""Definitions of links that end a text: those in the midst of it belong to what is around them."""


def unreleased(text: str) -> dict[Section, str]:
    """What stands under `## [Unreleased]` by section, as it is written; lines before the first section count as changed."""
    body = _bodies(text).get("unreleased", "")
    found: dict[Section, str] = {}
    section = Section.CHANGED
    for block in re.split(r"^(?=### )", body, flags=re.MULTILINE):
        head, _, rest = block.partition("\n") if block.startswith("### ") else ("", "", block)
        if head:
            name = head.removeprefix("### ").strip().capitalize()
            section = Section(name) if name in Section.__members__.values() else Section.CHANGED
        if rest.strip():
            found[section] = "\n".join(filter(None, (found.get(section, ""), rest.strip("\n"))))
    return found


def unmarked(section: str) -> str:
    """The section for the message of a commit or a tag, where a line that begins with `#` is a comment to git's editor."""
    return re.sub(r"^#+ (.*)$", r"\1:", section.strip(), flags=re.MULTILINE)


def shown(section: str) -> list[str]:
    """The lines of a section for a terminal or a summary: no blank ones, no marks of headings, signs and not their entities."""
    text = html.unescape(unmarked(section)).replace("\u200b", "")
    return [line for line in text.splitlines() if line.strip()]


def section_of(text: str, version: Version) -> str:
    """What the changelog says of a version, without its heading; empty where it says nothing."""
    return _bodies(text).get(str(version), "").strip()


def written(kept: Mapping[Section, str]) -> tuple[Entry, ...]:
    """The lines that were written under Unreleased by hand, as entries: for their levels."""
    return tuple(Entry(section, text, LEVELS[section]) for section, text in kept.items())


def body(kept: Mapping[Section, str], entries: Iterable[Entry]) -> str:
    """The sections of a version: lines by hand first, then the entries in their order."""
    lists = list(entries)
    parts = []
    for section in Section:
        lines = [kept[section]] if section in kept else []
        lines += [f"- {entry.text}" for entry in lists if entry.section is section]
        if lines:
            parts.append(f"### {section}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def released(text: str, version: Version, day: str, section: str) -> str:
    """The changelog with the section of a version, and nothing under Unreleased any more. Links to comparisons move on."""
    text = text or NEW
    found = list(_HEADING.finditer(text))
    heading = f"## [{version}] - {day}"
    top = next((match for match in found if match[1].lower() == "unreleased"), None)
    after = next((match for match in found if top is None or match.start() > top.start()), None)
    links = _LINKS.search(text, top.end() if top else 0, after.start() if after else len(text))
    end = after.start() if after else links.start() if links else len(text)
    begin = top.start() if top else end
    before = text[:begin].rstrip("\n")
    middle = f"{text[begin : top.end()] if top else '## [Unreleased]'}\n\n{heading}\n\n{section.strip()}\n"
    if top and after and links:  # the lines that they belong to move into the section
        middle += f"\n{links[0].strip()}\n"
    result = "\n".join([f"{before}\n", middle, text[end:]]).rstrip("\n") + "\n"
    return _COMPARE.sub(
        lambda m: f"[Unreleased]: {m[1]}/compare/{version.tag}...HEAD\n[{version}]: {m[1]}/compare/{m[2]}...{version.tag}",
        result,
    )


def rollback_entries(environment: str, moves: Sequence[MovedBack]) -> tuple[Entry, ...]:
    """One line for each rollback, the newest first; what is more than a screen is counted."""
    lines = [
        Entry(Section.FIXED, f"{_moved(move)} in {environment} on {iso(move.at)[:10]}: {plain(move.reason)}", Level.PATCH)
        for move in reversed(moves)
    ]
    more = len(lines) - ROLLBACKS_SHOWN
    if more > 0:
        lines = [
            *lines[:ROLLBACKS_SHOWN],
            Entry(Section.FIXED, f"{more} more rollback{'' if more == 1 else 's'} in {environment}", Level.PATCH),
        ]
    return tuple(lines)


def plain(text: str) -> str:
    """Text of others on one line, inert in a terminal and in Markdown, not too long."""
    flat = " ".join(inert(text).split())
    return cell(flat if len(flat) <= LONGEST_REASON else f"{flat[:LONGEST_REASON]}…")


def _moved(move: MovedBack) -> str:
    if move.automatic:
        stays = f", {_label(move.kept, move.left)} went on answering" if move.kept else ""
        return f"{_label(move.left, move.kept)} failed its verification{stays}"
    return f"{_label(move.left, move.kept)} rolled back to {_label(move.kept, move.left, short=True)}"


def _label(bundle: Bundle | None, other: Bundle | None, *, short: bool = False) -> str:
    """`wine 8`: the models in which it differs from the other; the image's tag where none does."""
    if bundle is None:
        return "nothing"
    there = {pin.name: pin.digest for pin in other.models} if other else {}
    moved = [pin for pin in bundle.models if there.get(pin.name) != pin.digest]
    if not moved:
        return bundle.image.short if short else f"{bundle.service} with {bundle.image.short}"
    if short and len(moved) == 1:
        return moved[0].version
    named = ", ".join(f"{pin.name} {pin.version}" for pin in moved[:3])
    return f"{named} and {len(moved) - 3} more" if len(moved) > 3 else named


def _bodies(text: str) -> dict[str, str]:
    """What stands below each `## ` heading, by the version it names, lower case."""
    found = list(_HEADING.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    bodies: dict[str, str] = {}
    for match, end in zip(found, ends, strict=True):
        part = text[match.end() : end]
        links = _LINKS.search(part)
        bodies.setdefault(match[1].lower(), part[: links.start()] if links else part)
    return bodies
