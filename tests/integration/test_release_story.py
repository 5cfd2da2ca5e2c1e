"""Releases by the real program on a real estate: the page on releases as written, and a host that was lost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlrelease.spec.release_file import load
from support.estate import Estate

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("release-story"), pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "releases.md"


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1 pinned and deployed by hand, as a reader would have it."""
    estate = Estate(tmp_path_factory.mktemp("r"), mlflow_uri).create()
    estate.cli("deploy", "production")
    yield estate
    estate.down()


def commands() -> list[tuple[str, int]]:
    """Every `$ ` line of the page, with the exit code that a comment `# exit N` names."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            command, _, comment = line.removeprefix("$ ").partition("  #")
            said = re.search(r"exit (\d+)$", comment.strip())
            found.append((command.strip(), int(said[1]) if said else 0))
    return found


def test_the_page_on_releases_runs_as_written(estate):
    """Cut, proved, back, refused, published: each command ends as the page says."""
    assert len(commands()) >= 9
    for command, expected in commands():
        words = command.split()[1:]
        estate.cli(*words, expect=expected)
    assert estate.git("tag").split() == ["v0.1.0", "v0.2.0"]
    assert estate.live() == "1"
    record = load("releases/v0.1.0.yaml", (estate.laptop / "releases/v0.1.0.yaml").read_bytes())
    model = record.environments["production"].services["wine"].models[0]
    assert model.run_id or model.model_id
    assert model.registered_at
    assert model.gates["digest"] == "passed"
    assert "wine 1 → 2 in production" in (estate.laptop / "CHANGELOG.md").read_text()


def test_a_lost_host_with_a_lost_ledger_is_rebuilt_from_the_release(estate):
    """Nothing is left but git and MLflow: the release answers again, with the real target, and proves itself."""
    estate.site().target.down()
    shutil.rmtree(estate.state)
    estate.git("update-ref", "-d", "refs/heads/mlrelease/ledger", cwd=estate.root / "o.git")
    for folder in (estate.laptop, estate.host):
        estate.git("update-ref", "-d", "refs/mlrelease/remote/ledger", cwd=folder)
    report = estate.json("deploy", "production", "--release", "v0.2.0", cwd=estate.host)
    assert report["exit_code"] == 0
    assert estate.live() == "2"
    again = estate.json("release", "verify", "v0.2.0", expect=5)
    failed = {(line["what"], line["check"]) for line in again["lines"] if line["result"] == "failed"}
    assert failed == {("production", "ledger"), ("production/wine", "receipt")}


def test_what_the_program_says_in_json_is_one_object(estate):
    """A refusal too, with every reason as data."""
    (estate.laptop / "scratch.txt").write_text("x")
    done = estate.cli("--output", "json", "release", "minor", expect=5)
    (estate.laptop / "scratch.txt").unlink()
    data = json.loads(done.stdout)
    assert any("scratch.txt" in problem["message"] for problem in data["problems"])
    assert data["commit"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("release", "minor", "--pr", "--no-push"), "a pull request needs its branch"),
        (("release", "verify"), "Missing argument"),
        (("release", "huge"), "No such command"),
        (("rollback", "production", "--to", "1", "--to-release", "v0.1.0"), "say one of"),
        (("rollback", "production", "--model", "wine", "--to-release", "v0.1.0"), "a release goes back by services"),
    ],
    ids=[
        "a pull request without a push",
        "verify without a tag",
        "a level that is none",
        "two targets",
        "a model of a release",
    ],
)
def test_a_command_line_that_makes_no_sense_is_misuse(estate, words, said):
    """Exit code 2, and what is wrong with it."""
    done = estate.cli(*words, expect=2)
    assert said in done.stderr


def test_help_names_the_levels_and_imports_nothing_heavy():
    """`release --help` is as quick as any."""
    script = (
        "import sys; from mlrelease.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('requests', 'yaml', 'mlflow', 'jwt', 'mlrelease.commands.release.cut') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, "release", "--help"], capture_output=True, text=True, check=True)
    assert all(word in done.stdout for word in ("auto", "major", "minor", "patch", "publish", "verify"))
    assert done.stdout.splitlines()[-1] == "[]"
