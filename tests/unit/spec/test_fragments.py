"""Changelog fragments: the section by the name, the line by the text, and everything that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlrelease.model.release import LEVELS, UNRELEASED, Level, Section
from mlrelease.model.spec import SourceFile
from mlrelease.spec.fragments import LONGEST, PREFIXES, fragments

ROOT = Path(__file__).parents[3]


def read(**files):
    return fragments({f"{UNRELEASED}/{name}": SourceFile(data.encode()) for name, data in files.items()})


def one(name, text):
    found, wrong = fragments({f"{UNRELEASED}/{name}": SourceFile(text.encode())})
    assert wrong == ()
    (entry,) = found.values()
    return entry


@pytest.mark.parametrize("section", list(Section))
def test_the_name_says_the_section_and_its_level(section):
    """One prefix each."""
    entry = one(f"{section.value.lower()}-a-thing.md", "A thing.\n")
    assert (entry.section, entry.text, entry.level) == (section, "A thing.", LEVELS[section])


def test_breaking_is_changed_and_major():
    """Whatever section it might belong to."""
    entry = one("breaking-api.md", "The old API is gone.")
    assert (entry.section, entry.level) == (Section.CHANGED, Level.MAJOR)
    assert entry.text == "**Breaking:** The old API is gone."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A thing.", "A thing."),
        ("\n  A thing.  \n\n", "A thing."),
        ("- A thing.", "A thing."),
        ("* A thing.", "A thing."),
        ("A thing,\nin two lines.", "A thing,\n  in two lines."),
        ("A thing.\n\nAnd a paragraph.\n", "A thing.\n\n  And a paragraph."),
        ("Größe → 5 %", "Größe → 5 %"),
    ],
    ids=["plain", "blank lines around", "with a dash", "with a star", "two lines", "two paragraphs", "any language"],
)
def test_the_text_becomes_one_item_of_a_list(text, line):
    """Later lines are indented below it."""
    assert one("added-x.md", text).text == line


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("misc-x.md", b"x", "is no changelog fragment"),
        ("added.md", b"x", "is no changelog fragment"),
        ("added-.md", b"x", "is no changelog fragment"),
        ("added-x.txt", b"x", "is no changelog fragment"),
        ("Added-x.md", b"x", "is no changelog fragment"),
        ("deep/added-x.md", b"x", "is no changelog fragment"),
        ("added-x.md", b"", "is empty"),
        ("added-x.md", b" \n\t\n", "is empty"),
        ("added-x.md", b"\xff\xfe", "is not UTF-8"),
        ("added-x.md", b"x" * (LONGEST + 1), "is longer than"),
        ("added-x.md", b"fine\n## [9.9.9] - 2027-01-15\n", "holds a heading"),
        ("added-x.md", b"# Title\n", "holds a heading"),
    ],
)
def test_what_is_no_fragment_is_said_with_what_to_do(name, data, said):
    """Exit code 4: a finding in the files. A heading would end its section, or make another version."""
    found, (problem,) = fragments({f"{UNRELEASED}/{name}": SourceFile(data)})
    assert found == {}
    assert said in problem.message
    assert f"{UNRELEASED}/{name}" in problem.message
    assert (problem.code, bool(problem.hint)) == (4, True)


@pytest.mark.parametrize("trouble", ["symlink", "submodule", "too large", "unreadable"])
def test_what_cannot_be_read_is_said(trouble):
    """A link may lead anywhere: it is not followed."""
    found, (problem,) = fragments({f"{UNRELEASED}/added-x.md": SourceFile(b"", trouble)})
    assert found == {}
    assert problem.message.endswith(f"cannot be read: {trouble}")


def test_the_explanation_and_the_keep_file_are_no_fragments():
    """Nor is anything elsewhere."""
    files = {
        f"{UNRELEASED}/README.md": SourceFile(b"x"),
        f"{UNRELEASED}/.gitkeep": SourceFile(b""),
        "releases/v1.0.0.yaml": SourceFile(b"x"),
        "releases/unreleased-notes/misc.md": SourceFile(b"x"),
        "added-x.md": SourceFile(b"x"),
    }
    assert fragments(files) == ({}, ())


def test_fragments_come_in_the_order_of_their_names():
    """So that the same files make the same changelog."""
    found, _ = fragments({f"{UNRELEASED}/added-{name}.md": SourceFile(name.encode()) for name in "cab"})
    assert [entry.text for entry in found.values()] == ["a", "b", "c"]


def test_the_folders_own_explanation_names_every_prefix():
    """What people read is what is read."""
    text = (ROOT / UNRELEASED / "README.md").read_text(encoding="utf-8")
    assert [prefix for prefix in PREFIXES if f"{prefix}-" not in text] == []
