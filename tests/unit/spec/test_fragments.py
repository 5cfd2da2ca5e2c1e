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


NAME_IT = (
    "name it releases/unreleased/added-what-it-is.md, where added is one of: "
    "added, changed, deprecated, removed, fixed, security, breaking"
)
WRITE_IT = "write the line of the changelog into it, in the users' words"


@pytest.mark.parametrize(
    ("name", "data", "message", "hint"),
    [
        ("misc-x.md", b"x", "releases/unreleased/misc-x.md is no changelog fragment", NAME_IT),
        ("added-x.md", b"\n", "releases/unreleased/added-x.md is empty", WRITE_IT),
        ("added-x.md", b"\xff", "releases/unreleased/added-x.md is not UTF-8", WRITE_IT),
        ("added-x.md", b"x" * (LONGEST + 1), "releases/unreleased/added-x.md is longer than 20,000 characters", WRITE_IT),
        ("added-x.md", b"a\n### b",
         "releases/unreleased/added-x.md holds a heading: it would end its section of the changelog", WRITE_IT),
    ],
    ids=["a name", "nothing", "bytes", "a document", "a heading"],
)  # fmt: skip
def test_a_problem_is_said_whole(name, data, message, hint):
    """Which file, why, and what to do with it."""
    _, (problem,) = fragments({f"{UNRELEASED}/{name}": SourceFile(data)})
    assert (problem.message, problem.hint, problem.code) == (message, hint, 4)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("é" * LONGEST, "é" * LONGEST),
        ("#5 is mended", "#5 is mended"),
        ("#hashtag", "#hashtag"),
        ("a\n#### b", "a\n  #### b"),
        ("a\r\nb\r\n", "a\n  b"),
        ("a\n\n\n    b  ", "a\n\n\n  b"),
        ("-5 °C is fine", "-5 °C is fine"),
        ("*bold* words", "*bold* words"),
        ("- a\n- b", "a\n  - b"),
        ("-  a", "a"),
    ],
    ids=["as long as may be, in characters", "a number of an issue", "a word", "a small heading", "Windows line ends",
         "blank lines and blanks", "a minus", "emphasis", "two items", "a dash and two blanks"],
)  # fmt: skip
def test_what_only_looks_odd_is_a_line_all_the_same(text, line):
    """One item, whatever it was written as."""
    assert one("fixed-x.md", text).text == line


def test_problems_come_in_the_order_of_their_names_beside_the_entries():
    """One bad file hides no other."""
    files = {f"{UNRELEASED}/{name}": SourceFile(b"x") for name in ("zzz-1.md", "added-1.md", "aaa-1.md", "fixed-1.md")}
    found, wrong = fragments(files)
    assert list(found) == [f"{UNRELEASED}/added-1.md", f"{UNRELEASED}/fixed-1.md"]
    assert [problem.message.split()[0] for problem in wrong] == [f"{UNRELEASED}/aaa-1.md", f"{UNRELEASED}/zzz-1.md"]


def test_a_file_that_cannot_be_read_has_its_name_looked_at_first():
    """A link of another name is no fragment, whatever it points at."""
    _, wrong = fragments(
        {f"{UNRELEASED}/{name}": SourceFile(b"", "symlink") for name in ("misc-x.md", "README.md", "added-x.md")}
    )
    assert [problem.message for problem in wrong] == [
        f"{UNRELEASED}/added-x.md cannot be read: symlink",
        f"{UNRELEASED}/misc-x.md is no changelog fragment",
    ]
