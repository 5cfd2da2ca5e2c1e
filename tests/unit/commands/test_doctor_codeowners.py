"""CODEOWNERS as GitHub reads it: patterns, the last line that matches, lines that take ownership away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.commands.doctor.github.codeowners import Line, owners, parsed
from support.repositories import git

SHIPPED = Path(__file__).parents[3] / "templates" / "github" / "CODEOWNERS"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*", "README.md", True),
        ("*", "a/b/c.py", True),
        ("*.yaml", "environments/production/environment.yaml", True),
        ("*.yaml", "environments/production/environment.yml", False),
        ("/*", "README.md", True),
        ("/*", "docs/index.md", False),
        ("docs/*", "docs/index.md", True),
        ("docs/*", "docs/build/index.md", False),
        ("docs/*", "more/docs/index.md", False),
        ("docs/", "docs/build/index.md", True),
        ("docs/", "more/docs/index.md", True),
        ("docs/", "docs", False),
        ("/docs/", "docs/index.md", True),
        ("/docs/", "more/docs/index.md", False),
        ("apps/github", "apps/github/x.py", True),
        ("apps/github", "apps/github", True),
        ("apps/github", "apps/githubbing", False),
        ("**/logs", "build/logs/today.txt", True),
        ("**/logs", "logs", True),
        ("environments/**", "environments/production/models/wine.yaml", True),
        ("environments/**/models/", "environments/production/models/wine.yaml", True),
        ("environments/**/models/", "environments/models/wine.yaml", True),
        ("/environments/*/environment.yaml", "environments/staging/environment.yaml", True),
        ("/environments/*/environment.yaml", "environments/a/b/environment.yaml", False),
        ("file?.md", "file1.md", True),
        ("file?.md", "file/.md", False),
        ("a.b", "axb", False),
        ("/.github/CODEOWNERS", ".github/CODEOWNERS", True),
    ],
)
def test_which_files_a_pattern_means(pattern, path, expected):
    """As gitignore has it, but for a folder's `*`, which stays in that folder."""
    assert Line(pattern, ("@a",)).matches(path) is expected


PATTERNS = (
    "*", "*.yaml", "/a/", "a/", "a", "/a", "a/b", "/a/b/", "**/b", "a/**", "a/**/c.yaml", "**/b/**", "?", "/a/?/c.yaml", "b*",
)  # fmt: skip
PATHS = (
    "a",
    "b",
    "c.yaml",
    "a/b",
    "a/c.yaml",
    "a/b/c.yaml",
    "a/x/y/c.yaml",
    "x/a/b",
    "x/a/b/c",
    "bb",
    "x/b/y.yaml",
    "b.yaml/z",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_git_takes_it_for(pattern, tmp_path_factory):
    """GitHub says "the patterns of gitignore": git itself is asked. `folder/*` is GitHub's own, and not in this list."""
    folder = tmp_path_factory.getbasetemp() / "patterns"
    if not folder.exists():
        folder.mkdir()
        git(folder, "init", "--quiet")
    (folder / ".git" / "info" / "exclude").write_text(pattern + "\n")
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=folder, input="\n".join(PATHS), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    line = Line(pattern, ("@a",))
    assert [path for path in PATHS if line.matches(path)] == asked.stdout.splitlines()


def test_the_last_line_that_matches_counts():
    """Also when it names fewer owners, or none."""
    lines = parsed("* @all\n/environments/ @models @oncall\n/environments/scratch/\n")
    assert owners(lines, "README.md") == ("@all",)
    assert owners(lines, "environments/production/environment.yaml") == ("@models", "@oncall")
    assert owners(lines, "environments/scratch/x.yaml") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("# only a comment\n\n   \n", ()),
        ("*   @a\t@b   # why\n", (Line("*", ("@a", "@b")),)),
        ("/a\\ b/ ann@example.com", (Line("/a b/", ("ann@example.com",)),)),
        ("*.py", (Line("*.py", ()),)),
        ("* @a\r\n/x @b\r\n", (Line("*", ("@a",)), Line("/x", ("@b",)))),
    ],
    ids=["empty", "comments", "blanks and a comment", "a blank in a name", "without owners", "line ends of Windows"],
)
def test_lines(text, expected):
    """Patterns and owners; comments and empty lines say nothing."""
    assert parsed(text) == expected


@given(st.text(max_size=200), st.text(min_size=1, max_size=40))
def test_no_text_breaks_it(text, path):
    """A file is anybody's text: it is read without an error, whatever it holds."""
    assert isinstance(owners(parsed(text), path), tuple)


def test_the_file_that_is_shipped_has_no_gap():
    """Every file that decides what runs, and the file itself."""
    lines = parsed(SHIPPED.read_text())
    for path in ("environments/staging/models/wine.yaml", ".github/workflows/deploy.yml", ".github/CODEOWNERS"):
        assert owners(lines, path), path
