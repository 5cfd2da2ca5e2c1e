"""Pages for people in a hurry, and for people who build: their form, their links, and that what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mlrelease.gates.table import GATES
from mlrelease.spec.gates import BY_ID
from support.pages import ROOT, anchors, lines, sections

DOCS = ROOT / "docs"
BOOKS = sorted(path for path in (DOCS / "runbooks").glob("*.md") if path.name != "README.md")
OTHERS = [ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", DOCS / "adopt.md", DOCS / "runbooks" / "README.md"]
PAGES = [*OTHERS, *BOOKS]
FORM = ["Signs", "First look", "Do", "Verify", "Not"]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
each_book = pytest.mark.parametrize("page", BOOKS, ids=lambda page: page.stem)


@each_book
def test_a_runbook_has_its_five_parts(page):
    """Signs, first look, what to do, how to see that it is over, what not to do: always in this order."""
    assert list(sections(page)) == FORM


@each_book
def test_a_runbook_is_commands_not_prose(page):
    """There is something to type to look, to act and to verify; and what not to do is a list."""
    typed = {line.section for line in lines(page) if not line.not_run}
    assert {"First look", "Do", "Verify"} <= typed
    assert sections(page)["Not"].count("\n- ") >= 3
    assert len(page.read_text().splitlines()) < 110


@each_book
def test_looking_changes_nothing(page):
    """The first look is made of verbs that only look."""
    harmless = {"status", "history", "logs", "predict", "doctor", "validate", "plan", "reconcile"}
    for line in lines(page):
        if line.section == "First look":
            program, verb, *rest = line.command.split()
            assert program == "mlrelease"
            assert verb in harmless
            assert verb != "reconcile" or "--check" in rest


def test_the_index_lists_every_runbook_once():
    """In the table by what one sees."""
    text = (DOCS / "runbooks" / "README.md").read_text()
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", text)
    assert sorted(listed) == [page.name for page in BOOKS]


@each_page
def test_links_lead_to_files_and_headings_that_exist(page):
    """No relative link is dead, its heading included."""
    for place, _, anchor in (link.partition("#") for link in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text())):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name}: {place}"
        if anchor:
            assert anchor in set(anchors(target)), f"{page.name}: {place}#{anchor}"


def option_names(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


@pytest.mark.parametrize("page", [*BOOKS, DOCS / "adopt.md"], ids=lambda page: page.stem)
def test_every_verb_and_option_that_a_page_types_exists(page):
    """Also in lines that no test runs: a renamed option is found here."""
    import typer
    from mlrelease.cli import app

    verbs = typer.main.get_command(app).commands
    for line in lines(page):
        for typed in re.findall(r"(?:^|&& |; )mlrelease ([^&|;>]+)", line.command):
            words = typed.split()
            if words[0].startswith("-"):
                continue
            command = verbs[words[0]]
            command = command.commands[words[1]] if hasattr(command, "commands") and words[1] in command.commands else command
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            assert option_names(words) <= known, line.command


def test_a_line_that_is_no_command_is_an_error_of_the_page(tmp_path):
    """Nothing in a console block escapes the tests by its form."""
    page = tmp_path / "page.md"
    page.write_text("## Do\n\n```console\nyou$ mlrelease status  # exit 3\nhost$ ls  # not run: why\n```\n")
    found = [(line.where, line.command, line.code, line.not_run) for line in lines(page)]
    assert found == [("you", "mlrelease status", 3, ""), ("host", "ls", 0, "why")]
    page.write_text("## Do\n\n```console\nmlrelease status\n```\n")
    with pytest.raises(AssertionError, match="is no command of a place"):
        lines(page)


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
_FOLDERS = "scripts|tests|docs|targets|gates|spec|model|delivery"
NAMED = sorted(set(re.findall(rf"`((?:{_FOLDERS})/[\w/.]+)`", CONTRIBUTING)))
TYPED = re.findall(r"^\$ (.+)$", CONTRIBUTING, flags=re.MULTILINE)


@pytest.mark.parametrize("command", TYPED)
def test_what_a_contributor_types_works(command):
    """In the checkout, as written."""
    program, *words = command.split()
    # the environment that runs this test stands for the one that setup makes
    words = [str(Path(sys.executable).parent / Path(program).name), *words]
    if "pytest" in words:
        words += ["-p", "no:cacheprovider", "--collect-only"]  # the tests themselves run elsewhere in this suite
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scripts_that_a_contributor_is_told_exist():
    """They set up the environment that runs this test, and run this test: so they are not run from within it."""
    named = set(re.findall(r"\./(scripts/\w+)", CONTRIBUTING))
    assert named == {"scripts/setup", "scripts/lint", "scripts/test", "scripts/lock"}
    assert all((ROOT / name).stat().st_mode & 0o111 for name in named)


@pytest.mark.parametrize("path", NAMED)
def test_every_place_that_a_contributor_is_sent_to_exists(path):
    """From the top of the checkout, or below the package."""
    assert (ROOT / path).exists() or (ROOT / "scripts" / "mlrelease" / path).exists()


@pytest.mark.parametrize("gate", sorted(GATES))
def test_every_gate_was_added_as_the_page_says(gate):
    """A module of its id with ID and evaluate, a row, tests, and a heading with the same name."""
    package = ROOT / "scripts" / "mlrelease" / "gates"
    module = (package / f"{gate}.py").read_text()
    assert f'ID = "{gate}"' in module
    assert "def evaluate(" in module
    headings = re.findall(r"^### (.+)$", (DOCS / "rules.md").read_text(), flags=re.MULTILINE)
    assert gate in headings
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "unit" / "gates").glob("*.py"))
    assert re.search(rf"\b{gate}\b", tests)
    if gate not in ("promoted_from", "rejected"):  # asked by policy and by the ledger, never named in a file
        assert gate in BY_ID


def test_the_threats_name_tests_or_pages():
    """Each row of the table of threats ends with where it is shown."""
    rows = [
        row
        for row in sections(ROOT / "SECURITY.md")["Threats, and what stands against them"].splitlines()
        if row.startswith("| ")
    ]
    assert len(rows) > 8
    assert [row for row in rows[1:] if not re.search(r"\]\([^)]+\) \|$", row)] == []


def test_security_has_no_address_that_nobody_reads():
    """Reports go by the private form of the repository: no mail address, no server."""
    assert not re.search(r"\S+@\S+\.\w+|https?://", (ROOT / "SECURITY.md").read_text())
