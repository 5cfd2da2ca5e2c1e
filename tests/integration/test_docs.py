"""The documentation, executed: console blocks run, quoted output and help are the program's own, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.estate import Estate
from support.program import program

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GOLDEN = ROOT / "tests" / "golden" / "readme" / "plan.txt"


def blocks(page: Path, language: str) -> list[str]:
    """The texts of all fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[tuple[str, int]]:
    """Every `$ ` line of console blocks, with the exit code that a comment `# exit N` names."""
    found = []
    for line in "\n".join(blocks(page, "console")).splitlines():
        if line.startswith("$ "):
            command, _, comment = line[2:].partition("  #")
            said = re.search(r"exit (\d+)$", comment.strip())
            found.append((command.strip(), int(said[1]) if said else 0))
    return found


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1 pinned and deployed by hand, as a reader would have it."""
    estate = Estate(tmp_path_factory.mktemp("d"), mlflow_uri).create()
    estate.cli("deploy", "production")
    yield estate
    estate.down()


def parts(command):
    """A verb, or the verbs that stand under one word (`new environment`, …)."""
    return getattr(command, "commands", {"": command}).values()


def run(estate: Estate, command: str, expected: int) -> str:
    """One documented command in the laptop's clone."""
    words = command.split()
    if words[0] == "mlrelease":
        done = program(*words[1:], cwd=estate.laptop, environ=estate.environ(), timeout=120)
    else:
        done = subprocess.run(
            words, cwd=estate.laptop, env=estate.environ(), capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.timeout(600)
def test_the_readmes_round_runs_as_written(estate, update_golden):
    """Each command of the README ends as it says, and its plan is the one that is quoted."""
    for command, expected in commands(ROOT / "README.md"):
        out = run(estate, command, expected)
        if command.startswith("mlrelease plan"):
            plan = _normalised(out)
            if update_golden:
                GOLDEN.write_text(plan)
            assert plan == GOLDEN.read_text()
    assert estate.live() == "1"
    estate.forgive()


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.timeout(600)
def test_the_operating_page_runs_as_written(estate):
    """Looking, rolling back and taking down: each command ends as the page says."""
    estate.git("pull", "--quiet")
    estate.pin("2")
    estate.cli("deploy", "production")
    for command, expected in commands(ROOT / "docs" / "operating.md"):
        run(estate, command, expected)
    assert not (estate.state / "instances").exists() or not list((estate.state / "instances").iterdir())


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.timeout(600)
def test_the_page_of_verbs_runs_as_written(estate):
    """From version 1 deployed, each command ends with the exit code that the page names."""
    estate.git("pull", "--quiet")
    estate.forgive()
    estate.pin("1")
    estate.cli("deploy", "production")
    for command, expected in commands(ROOT / "docs" / "cli.md"):
        run(estate, command, expected)


def test_the_page_of_verbs_has_every_verb_and_every_option():
    """A verb or an option that is added, renamed or removed shows here."""
    import typer
    from mlrelease.cli import app

    sections = re.split(r"^## (.+)$", (ROOT / "docs" / "cli.md").read_text(), flags=re.MULTILINE)[1:]
    documented = {
        verb: set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
        for verb, text in zip(sections[::2], sections[1::2], strict=True)
    }
    built = {
        verb: {o for part in parts(command) for p in part.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
        - {"--help"}
        for verb, command in typer.main.get_command(app).commands.items()
    }
    assert documented == built


def test_no_page_has_commands_that_nobody_runs():
    """Console blocks stand only in pages that a test above runs, or `test_release_story.py`."""
    assert [page.name for page in PAGES if commands(page)] == ["README.md", "cli.md", "operating.md", "releases.md"]


def test_the_quoted_plan_is_the_golden_one():
    """The README's table cannot rot."""
    text = (ROOT / "README.md").read_text()
    quoted = re.search(r"<!-- golden: tests/golden/readme/plan.txt -->\n```text\n(.*?)```", text, flags=re.DOTALL)
    assert quoted is not None
    assert quoted[1] == GOLDEN.read_text()


def test_the_help_block_is_the_programs():
    """The verbs in the README are those of `--help`."""
    text = (ROOT / "README.md").read_text()
    quoted = re.search(r"<!-- help -->\n```text\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-m", "mlrelease.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "80", "PATH": ""},
    )
    said = done.stdout[done.stdout.index("Commands:") :].rstrip() + "\n"
    assert quoted is not None
    assert quoted[1] == said


def test_the_readme_stays_short():
    """Its first screen is what people read."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    """No relative link is dead, anchors included."""
    for target in re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_named_scripts_exist_and_run():
    """The two commands are there and executable."""
    for name in re.findall(r"^\./(scripts/\w+)", "\n".join(blocks(ROOT / "README.md", "sh")), flags=re.MULTILINE):
        assert (ROOT / name).stat().st_mode & 0o111, name


def _normalised(plan: str) -> str:
    """The plan with bundle ids by order of appearance, without the digest's own lines."""
    ids: dict[str, str] = {}
    return re.sub(r"\(([0-9a-f]{7})\)", lambda m: f"({ids.setdefault(m[1], f'BUNDLE{len(ids) + 1}')})", plan)
