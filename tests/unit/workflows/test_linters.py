"""actionlint, zizmor and GitHub's schemas have nothing to say about the workflows, and each sees a planted defect."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.workflow_rules import ROOT, WORKFLOWS, texts

BIN = Path(sys.executable).parent


def run(name, *words, cwd):
    """How one linter ended, offline."""
    done = subprocess.run([BIN / name, *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def actionlint(root):
    return run("actionlint", "-no-color", *sorted(map(str, (root / ".github/workflows").glob("*.yml"))), cwd=root)


def zizmor(root):
    return run("zizmor", "--offline", "--quiet", "--no-progress", ".github", cwd=root)


def schema(root):
    files = sorted(map(str, (root / ".github/workflows").glob("*.yml")))
    return run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files, cwd=root)


def schema_of_actions(root):
    files = sorted(map(str, (root / ".github/actions").rglob("action.yml")))
    return run("check-jsonschema", "--builtin-schema", "vendor.github-actions", *files, cwd=root)


def schema_of_updates(root):
    return run("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml", cwd=root)


LINTERS = {
    "actionlint": actionlint,
    "zizmor": zizmor,
    "schema of workflows": schema,
    "schema of actions": schema_of_actions,
    "schema of update bots": schema_of_updates,
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The same in a repository that `init` made, with `deploy` for two environments."""
    from mlrelease.commands.init import InitOptions, init

    root = tmp_path_factory.mktemp("installed") / "m"
    init(str(root), InitOptions())
    (root / ".github/workflows/deploy.yml").write_text(texts()["deploy.yml of two environments"])
    return root


@pytest.fixture
def here(tmp_path):
    """The project's own, to plant defects in."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()  # actionlint looks for local actions from the root of the repository
    return tmp_path


@pytest.mark.parametrize("linter", LINTERS)
def test_the_projects_workflows_are_clean(linter):
    """No finding at all."""
    code, said = LINTERS[linter](ROOT)
    assert code == 0, said


@pytest.mark.parametrize("linter", LINTERS)
def test_the_installed_workflows_are_clean(linter, installed):
    """Nor in a user's repository."""
    code, said = LINTERS[linter](installed)
    assert code == 0, said


DEFECTS = [
    ("actionlint", "validate.yml", "runs-on: ubuntu-latest", "runs-on: ubuntu-newest", "label"),
    ("actionlint", "deploy.yml", "needs: [deploy-production]", "needs: [deploy-moon]", "deploy-moon"),
    ("actionlint", "reconcile.yml", "  workflow_dispatch:", "  workflow_dispatched:", "workflow_dispatched"),
    ("actionlint", "rollback.yml", "${{ inputs.model }}", "${{ inputs.modell }}", "modell"),
    ("actionlint", "reconcile.yml", '"13,43 * * * *"', '"13,63 * * * *"', "cron"),
    ("zizmor", "validate.yml", "persist-credentials: false", "show-progress: false", "artipacked"),
    ("zizmor", "reconcile.yml", "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7", "unpinned-uses"),
    ("zizmor", "rollback.yml", '-- "$ENVIRONMENT"', "-- ${{ inputs.environment }}", "template-injection"),
    ("zizmor", "validate-online.yml", " # zizmor: ignore[dangerous-triggers]", " #", "dangerous-triggers"),
    (
        "zizmor",
        "propose.yml",
        "          GITHUB_TOKEN: ${{ github.token }}",
        "          ALL: ${{ toJSON(secrets) }}",
        "overprovisioned-secrets",
    ),
    ("schema of workflows", "ci.yml", "timeout-minutes: 15", "timeout-minuten: 15", "timeout-minuten"),
    ("schema of workflows", "ci.yml", "permissions: {}\n", "permissions: {contents: maybe}\n", "maybe"),
]


@pytest.mark.parametrize(
    ("linter", "file", "old", "new", "said"),
    DEFECTS,
    ids=[f"{linter} sees {said} in {file}" for linter, file, _, _, said in DEFECTS],
)
def test_each_linter_sees_what_is_planted(here, linter, file, old, new, said):
    """A clean answer means something."""
    path = here / WORKFLOWS.relative_to(ROOT) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    code, told = LINTERS[linter](here)
    assert code != 0
    assert said in told, told


@pytest.mark.parametrize(
    ("linter", "file", "old", "new"),
    [
        ("schema of actions", "actions/setup-mlrelease/action.yml", "using: composite", "using: magic"),
        ("schema of update bots", "dependabot.yml", "version: 2", "version: 7"),
    ],
    ids=["an action of no known kind", "a version of the update bot's file that there is not"],
)
def test_the_other_schemas_see_what_is_planted(here, linter, file, old, new):
    """The same for what is no workflow."""
    path = here / ".github" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert LINTERS[linter](here)[0] != 0


def test_an_audit_is_switched_off_only_with_a_reason():
    """In the one file that may, beside a comment."""
    import yaml

    text = (ROOT / ".github/zizmor.yml").read_text()
    for name in yaml.safe_load(text)["rules"]:
        assert f"  {name}:\n    #" in text
    for file in WORKFLOWS.glob("*.yml"):
        for line in file.read_text().splitlines():
            assert "zizmor: ignore[" not in line or len(line.partition("]")[2].strip()) > 20, line
