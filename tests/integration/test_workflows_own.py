"""The workflows of mlrelease itself, executed by act: `ci`, `e2e` and `package`.

What they call is played where it would call itself: `scripts/lint` and `scripts/test` would run this very test, and
`scripts/demo` has tests of its own. The package is really built.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
import zipfile

import pytest
from mlrelease.files import version
from support.runner_desk import Desk, program
from support.workflow_rules import ROOT, WORKFLOWS, content

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflows-parts"), pytest.mark.timeout(300)]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
ONE_FAILS = 'mkdir "{0}/failed" 2> /dev/null && exit 1; exit 0'


@pytest.fixture
def desk(tmp_path):
    """The workflows as they are, in a repository that has nothing else of mlrelease."""
    desk = Desk(tmp_path).create()
    for name in ("ci", "e2e", "package"):
        desk.write(f".github/workflows/{name}.yml", (WORKFLOWS / f"{name}.yml").read_text())
    return desk


def scripts(desk, **texts):
    for name, text in texts.items():
        program(desk.tree / "scripts", name, f'printf "%s\\n" "{name} $*" >> {desk.root}/asked\n{text}')


def asked(desk):
    return sorted((desk.root / "asked").read_text().splitlines())


@pytest.mark.parametrize(
    ("lint", "test", "red"),
    [
        ("exit 0", "exit 0", set()),
        ("exit 1", "exit 0", {"lint", "all-green"}),
        ("exit 0", ONE_FAILS, {"test", "all-green"}),
    ],
    ids=["all is well", "lint fails", "the tests fail on one Python"],
)
def test_ci_is_green_when_lint_and_the_tests_on_every_python_are(desk, lint, test, red):
    """The tests run once for each Python that the package says it supports, whatever the others came to."""
    scripts(desk, lint=lint, test=test.format(desk.root))
    run = desk.run("ci")
    assert asked(desk) == ["lint ", *["test --durations=15"] * len(PYTHONS)], run.text
    assert {line for _, line in run.lines if line.startswith("python 3")} == {
        f"python {wanted} is {sys.executable}" for wanted in PYTHONS
    }
    assert set(run.jobs) == {"lint", "test", "all-green"}
    assert {job for job, result in run.jobs.items() if result != "success"} == red, run.text


def test_the_pythons_of_ci_are_those_of_the_package():
    """Those of its classifiers, of which the first is the oldest that it installs on."""
    jobs = content((WORKFLOWS / "ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == PYTHONS
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"


@pytest.mark.parametrize(("code", "result"), [(0, "success"), (6, "failure")], ids=["it ends well", "it fails"])
def test_what_the_story_reports_is_kept_however_it_ends(desk, code, result):
    """The report of a story that failed is the one that somebody wants to read."""
    scripts(desk, demo=f'[ "$1" = --report ] && echo "{{}}" > "$2"; exit {code}')
    run = desk.run("e2e")
    assert run.jobs == {"demo": result}, run.text
    assert asked(desk) == ["demo --report demo.json"]
    assert (run.artifacts / "demo" / "demo.json").read_text() == "{}\n"


def test_the_package_is_built_attested_and_kept(desk):
    """A wheel and a source archive of this version, from the files of the checkout."""
    for name in (
        "pyproject.toml",
        *(part.lstrip("/") for part in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]),
    ):
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, desk.tree / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, desk.tree / name)
    scripts(desk, setup=f"ln -s {sys.prefix} .venv")
    desk.write(".gitignore", ".venv\n")
    run = desk.run("package")
    assert run.jobs == {"build": "success"}, run.text
    files = {f"mlrelease-{version()}-py3-none-any.whl", f"mlrelease-{version()}.tar.gz"}
    assert {file.name for file in (run.artifacts / "package").iterdir()} == files
    assert set((run.artifacts / "attested").read_text().split()) == {f"dist/{name}" for name in files}
    with zipfile.ZipFile(next((run.artifacts / "package").glob("*.whl"))) as wheel:
        assert "mlrelease/cli.py" in wheel.namelist()
