"""`doctor` names the vendored files that an upgrade would write: of another version, or that the environments outgrew."""

from __future__ import annotations

import pytest
from mlrelease.commands.doctor.checks import Patient, State
from mlrelease.commands.doctor.clone import vendored
from mlrelease.commands.vendored import behind, upgrade
from support.newcomer import newcomer
from support.repositories import git

DEPLOY = ".github/workflows/deploy.yml"
ENVIRONMENT = "environments/production/environment.yaml"


@pytest.fixture
def here(tmp_path):
    """A repository as `init` makes it."""
    return newcomer(tmp_path)


def found(made):
    return vendored(Patient(made, tuple(made.worktree_spec().environments.values())))


def test_a_new_repository_is_well(here):
    """Nothing to upgrade."""
    assert behind(here) == ()
    assert found(here).state is State.OK


def test_an_approval_by_hand_asks_for_another_workflow(here):
    """The workflow that knows nothing of the approval is named, with the verb that makes a new one; after that all is well."""
    here.write(ENVIRONMENT, here.read(ENVIRONMENT) + "approval: required\n")
    git(here.root, "commit", "--quiet", "--all", "--message", "Ask for approvals")
    assert behind(here) == (DEPLOY,)
    line = found(here)
    assert (line.state, line.fix) == (State.WARN, "mlrelease init --upgrade")
    assert line.what == f"not as this mlrelease and these environments would have it: {DEPLOY}"
    assert upgrade(here, dry_run=False).exit_code == 0
    assert found(here).state is State.OK


def test_what_the_user_changed_is_not_behind(here):
    """A workflow with a line of the user's own stays the user's, also when the environments move on."""
    here.write(DEPLOY, here.read(DEPLOY) + "# ours\n")
    here.write(ENVIRONMENT, here.read(ENVIRONMENT) + "approval: required\n")
    git(here.root, "commit", "--quiet", "--all", "--message", "Ours")
    assert found(here).state is State.OK


def test_what_the_user_removed_is_not_behind(here):
    """Whoever does without a workflow is left alone."""
    git(here.root, "rm", "--quiet", DEPLOY)
    git(here.root, "commit", "--quiet", "--message", "No workflow")
    assert behind(here) == ()


def test_a_repository_of_its_own_making_is_skipped(here):
    """Without `.mlrelease-version` there is nothing to compare with."""
    git(here.root, "rm", "--quiet", ".mlrelease-version")
    line = found(here)
    assert line.state is State.SKIPPED
    assert "mlrelease did not make this repository" in line.what
