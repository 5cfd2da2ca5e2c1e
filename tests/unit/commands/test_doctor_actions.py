"""`doctor` on GitHub: owners of files, secrets, what Actions may do, workflows and their runs."""

from __future__ import annotations

import time

import pytest
from mlrelease.commands.doctor.checks import State
from support.doctor_hub import NAME, fix, found, ran
from support.github_server import Fault

pytestmark = pytest.mark.xdist_group("doctor-actions")

PLACE = ".github/CODEOWNERS"


# -- owners ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no CODEOWNERS"),
        ("/environments/ @acme/models\n", "without an owner: .github/CODEOWNERS"),
        ("/.github/ @acme/platform\n", "without an owner: environments/production/environment.yaml"),
        ("* @acme/all\n/environments/production/services/\n", "without an owner: environments/production/services/wine.yaml"),
        ("* @ORGANISATION/platform\n", "still names @ORGANISATION/"),
        ("#" * (3 << 20) + "\n* @acme/all\n", "is larger than 3 MiB"),
    ],
    ids=["no file", "environments alone", ".github alone", "ownership taken away", "teams not filled in", "too large"],
)
def test_files_that_nobody_owns(ward, text, words):
    """What decides what runs has an owner, the list of owners too."""
    ward.push(PLACE, text)
    state, what = found(ward, "codeowners")
    assert (state, words in what) == (State.BAD, True)


def test_many_files_without_an_owner_are_counted(ward):
    """The first three by name."""
    for number in range(5):
        ward.push(f".github/x{number}.md", "x\n")
    ward.push(PLACE, "* @acme/all\n/.github/x*.md\n")
    told = "without an owner: .github/x0.md, .github/x1.md, .github/x2.md and 2 more"
    assert found(ward, "codeowners") == (State.BAD, told)


def test_errors_that_github_finds(ward):
    """A team without write access is one: its line counts for nothing."""
    error = {"line": 7, "kind": "Unknown owner", "source": "/environments/ @acme/gone", "suggestion": "make sure it exists"}
    ward.state.codeowners_errors += [error, error | {"line": 9}]
    assert found(ward, "codeowners") == (
        State.BAD,
        "2 errors, the first .github/CODEOWNERS:7: Unknown owner: /environments/ @acme/gone",
    )
    assert fix(ward, "codeowners") == "make sure it exists"


@pytest.mark.parametrize("place", ["CODEOWNERS", "docs/CODEOWNERS"])
def test_the_other_places_of_the_file(ward, place):
    """GitHub takes the first of three."""
    ward.push(PLACE, None)
    ward.push(place, "* @acme/all\n")
    state, what = found(ward, "codeowners")
    assert (state, what.startswith(f"{place} covers")) == (State.OK, True)


def test_owners_whom_no_rule_asks(ward):
    """The file is there, and only suggests."""
    for known in ward.state.rulesets.values():
        for rule in known["rules"]:
            rule.get("parameters", {}).pop("require_code_owner_review", None)
    state, what = found(ward, "codeowners")
    assert (state, "nothing puts it in force" in what) == (State.BAD, True)


def test_what_counts_is_the_tip_not_the_clone(ward):
    """Somebody pushed: it is fetched, and the work tree left alone."""
    before = ward.clone.everything
    ward.push(PLACE, "/docs/ @acme/all\n")
    ward.clone.git.run("reset", "--quiet", "--hard", before[0])
    assert found(ward, "codeowners")[0] is State.BAD
    ward.push(PLACE, "* @acme/all\n")
    ward.clone.git.run("reset", "--quiet", "--hard", before[0])
    assert found(ward, "codeowners")[0] is State.OK
    assert ward.clone.everything == before


# -- Actions -----------------------------------------------------------------------------------------------------------


def test_secrets_that_every_workflow_reads(ward):
    """By name; those of the organisation too."""
    ward.state.secrets += ["B_TOKEN", "A_TOKEN"]
    shared = {"total_count": 1, "secrets": [{"name": "ORG_TOKEN"}]}
    ward.hub.fault(f"GET /repos/{NAME}/actions/organization-secrets", Fault(200, shared), forever=True)
    state, what = found(ward, "repository-secrets")
    assert state is State.WARN
    assert what.endswith("can read: A_TOKEN, B_TOKEN, ORG_TOKEN (of the organisation)")
    assert "gh secret delete A_TOKEN; gh secret delete B_TOKEN" in fix(ward, "repository-secrets")


@pytest.mark.parametrize(
    ("permissions", "state", "words"),
    [
        ({"enabled": False}, State.BAD, "GitHub Actions is off"),
        ({"sha_pinning_required": False}, State.WARN, "by tag or branch"),
        ({"allowed_actions": "local_only"}, State.OK, "allowed: local_only actions"),
    ],
    ids=["off", "tags are taken", "its own alone"],
)
def test_what_actions_may_run(ward, permissions, state, words):
    """On, and pinned."""
    ward.state.actions_permissions |= permissions
    told = found(ward, "actions-policy")
    assert (told[0], words in told[1]) == (state, True)


@pytest.mark.parametrize(
    ("permissions", "state", "words"),
    [
        ({"default_workflow_permissions": "write"}, State.BAD, "may write unless it says otherwise"),
        ({"can_approve_pull_request_reviews": True}, State.WARN, "may open and approve pull requests"),
    ],
    ids=["may write", "may approve"],
)
def test_what_a_workflow_may_by_default(ward, permissions, state, words):
    """Little."""
    ward.state.workflow_permissions |= permissions
    told = found(ward, "actions-token")
    assert (told[0], words in told[1]) == (state, True)


def test_workflows_of_another_version(ward):
    """Changed, and missing."""
    path = ".github/workflows/validate.yml"
    ward.push(path, ward.clone.read(path) + "# mine\n")
    assert found(ward, "workflow-files") == (State.WARN, f"not as this version brings them: {path}")
    ward.push(path, None)
    assert found(ward, "workflow-files") == (State.WARN, f"not at the tip: {path}")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("disabled_inactivity", "after 60 days without a commit"),
        ("disabled_manually", "disabled_manually"),
        ("disabled_fork", "disabled_fork"),
    ],
)
def test_a_workflow_that_is_off(ward, state, words):
    """By whom or why, and the command that switches it on."""
    next(each for each in ward.state.workflows if each["path"].endswith("reconcile.yml"))["state"] = state
    told = found(ward, "workflows")
    assert told == (State.BAD, f".github/workflows/reconcile.yml is off ({words})")
    assert fix(ward, "workflows") == "gh workflow enable reconcile.yml"


@pytest.mark.parametrize(
    ("age_s", "state", "words"),
    [
        (90, State.OK, "s old"),
        (5.5 * 3600, State.OK, "is 5 h old"),
        (7.5 * 3600, State.WARN, "is 7 h old"),
        (49 * 3600, State.BAD, "is 2 d old"),
        (-120, State.OK, "is 0 s old"),
    ],
    ids=["just now", "late as GitHub is", "too late", "stopped", "a clock ahead"],
)
def test_the_age_of_the_last_good_run(ward, age_s, state, words):
    """Failed ones do not count, nor those of other branches."""
    ward.state.runs.clear()
    now = time.time()
    ran(ward, now - age_s)
    ran(ward, now, conclusion="failure")
    ran(ward, now, branch="elsewhere")
    told = found(ward, "reconcile-runs")
    assert (told[0], words in told[1]) == (state, True)


def test_a_reconcile_that_never_ran(ward):
    """Or that GitHub does not know."""
    ward.state.runs.clear()
    assert found(ward, "reconcile-runs") == (State.BAD, "no run ever ended well")
    ward.state.workflows[:] = [each for each in ward.state.workflows if not each["path"].endswith("reconcile.yml")]
    assert found(ward, "reconcile-runs")[0] is State.BAD
    assert fix(ward, "reconcile-runs") == "mlrelease init --upgrade"


def test_a_run_without_a_time_is_bad(ward):
    """Nobody can tell whether it is old."""
    for run in ward.state.runs.values():
        run["updated_at"] = "yesterday"
    assert found(ward, "reconcile-runs") == (State.BAD, "GitHub does not say when the last run ended")
