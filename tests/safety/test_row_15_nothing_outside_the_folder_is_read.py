"""A traversal or a symlink in the repository read secrets.

Links below `environments/` are refused, every path stays below the root, and no file's content is echoed in an error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.forge.git import Git
from mlrelease.spec.load import load

ALSO = ("tests/unit/forge/test_git.py::test_worktree_reads_the_disk_without_following_anything",)
SECRET = "hunter2-do-not-print"


@pytest.fixture
def secret(tmp_path):
    """A file outside the repository."""
    path = tmp_path / "secret.yaml"
    path.write_text(f"password: {SECRET}\n")
    return path


LINKS = {
    "a model file": "environments/production/models/wine.yaml",
    "a service file": "environments/production/services/wine.yaml",
    "the environment's file": "environments/production/environment.yaml",
    "another file in the folder": "environments/production/models/other.yaml",
    "the folder of the models": "environments/production/models",
    "the folder of an environment": "environments/staging",
}


@pytest.mark.parametrize("name", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_row_15_a_link_is_a_finding_and_is_not_followed(deployed, secret, name, kind):
    """Committed and pushed, it blocks; in the work tree it is reported; nowhere does the secret show."""
    path = deployed.laptop / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    target = secret if path.suffix else secret.parent
    path.symlink_to(target if kind == "absolute" else os.path.relpath(target, path.parent))
    tree = load(Git(deployed.laptop).worktree("environments"))
    assert "symlink" in {f.rule for f in tree.findings}
    deployed.commit("Look over there")
    spec = deployed.desired().spec
    assert "symlink" in {f.rule for f in spec.findings}
    assert SECRET not in repr(tree) + repr(spec)
    assert deployed.live() == {"wine": "1"}


@pytest.mark.parametrize("output", ["table", "json"])
def test_row_15_the_report_names_the_link_and_nothing_of_what_it_points_to(deployed, secret, output):
    """The program itself, as a person runs it: exit 4, the path, the rule, and no content."""
    path = deployed.laptop / "environments" / "production" / "models" / "wine.yaml"
    path.unlink()
    path.symlink_to(secret)
    done = subprocess.run(
        [sys.executable, "-m", "mlrelease.cli", "-o", output, "validate", "--offline"],
        cwd=deployed.laptop,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    assert SECRET not in done.stdout + done.stderr
    assert "symlink" in done.stdout + done.stderr
    if output == "json":
        assert json.loads(done.stdout)["findings"][0]["path"] == "environments/production/models/wine.yaml"


@pytest.mark.parametrize(
    "value",
    ["../../../../etc/passwd", "/etc/passwd", "..", "a/../../b", "a\\b", "C:evil", "wine\n../x"],
    ids=["up and down", "absolute", "one up", "in the middle", "a backslash", "a drive", "a line break"],
)
@pytest.mark.parametrize("key", ["model", "service"])
def test_row_15_a_name_that_is_a_path_is_no_name(deployed, key, value):
    """Names become file names: those with separators are findings, and the host acts on none of them."""
    path = deployed.model_file("wine")
    text = path.read_text().replace(f"{key}: wine", f"{key}: {json.dumps(value)}")
    path.write_text(text)
    deployed.commit("Name it so")
    deployed.target.calls.clear()
    result = deployed.run()
    assert exit_code(result) == 4
    assert deployed.target.calls == []
    assert any(f.rule in ("bad-name", "name-mismatch", "unknown-service") for f in deployed.desired().spec.findings)
