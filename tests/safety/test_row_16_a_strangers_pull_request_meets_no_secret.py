"""A preview job with secrets ran a stranger's pull request.

The job that a fork's pull request starts has no secret and no right to write; the one that asks the registry runs from the
default branch, never by itself for a fork, and takes the proposal as data: no model is loaded, nothing of it is executed.
"""

from __future__ import annotations

import re

import pytest
from support.workflow_rules import WORKFLOWS, content, steps

ALSO = (
    "tests/integration/test_workflows_hostile.py::test_a_workflow_edited_by_the_proposal_does_not_decide",
    "tests/integration/test_workflows_hostile.py::test_the_action_of_the_proposal_is_not_used",
    "tests/integration/test_workflows_hostile.py::test_a_file_beside_the_pins_is_never_read_or_run",
    "tests/integration/test_workflows_hostile.py::test_the_token_goes_to_no_server_that_the_proposal_names",
    "tests/unit/workflows/test_rules.py::test_the_check_that_decides_never_runs_from_the_proposal",
    "tests/unit/workflows/test_deploy.py::test_a_template_cannot_reach_out_of_its_sandbox",
)
FILES = sorted(WORKFLOWS.glob("*.yml"))
STRANGERS = ("pull_request",)
"""Events that anybody can cause, and whose workflow file is the stranger's own."""


def _starts(path) -> set[str]:
    return set(content(path.read_text())["on"])


@pytest.mark.parametrize("path", [p for p in FILES if _starts(p) & set(STRANGERS)], ids=lambda path: path.name)
def test_row_16_what_a_stranger_starts_has_no_secret_and_may_not_write(path):
    """Not one secret, variable of an environment, or right beyond reading the repository."""
    text = path.read_text()
    assert not re.search(r"\bsecrets\.|\bid-token\b", text)
    for job in content(text)["jobs"].values():
        assert "environment" not in job
        rights = job.get("permissions", {})
        assert set(rights.values()) <= {"read", "none"}, rights


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_row_16_the_word_of_a_stranger_is_never_part_of_a_command(path):
    """What a pull request, a dispatch or a name says reaches a shell as a variable only."""
    for _, step in steps(path.read_text()):
        assert "${{" not in step.get("run", "")


def test_row_16_the_job_with_secrets_is_not_started_by_a_forks_pull_request():
    """`validate/online` begins by itself only for branches of the repository; for a fork a maintainer dispatches it."""
    found = content((WORKFLOWS / "validate-online.yml").read_text())
    (job,) = found["jobs"].values()
    assert job["if"].endswith("github.event.pull_request.head.repo.full_name == github.repository")
    assert job["if"].startswith("inputs.pull_request ||")
    assert "pull_request" not in found["on"]


def test_row_16_a_check_of_a_pull_request_calls_nothing_that_loads_a_model():
    """The verbs of both checks are `validate`, and that reads."""
    for name in ("validate.yml", "validate-online.yml"):
        verbs = [step["run"] for _, step in steps((WORKFLOWS / name).read_text()) if "mlrelease" in step.get("run", "")]
        assert verbs
        assert all(re.search(r"mlrelease( --branch \"\$BRANCH\")? -C pr validate\b", verb) for verb in verbs), verbs
