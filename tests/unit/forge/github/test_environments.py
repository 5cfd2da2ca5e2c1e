"""GitHub Environments as GitHub enforces them, and who approved in a run."""

from __future__ import annotations

import pytest
from mlrelease.forge.github import environments
from mlrelease.forge.github.environments import EnvironmentSettings, Reviewed
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from support.github_desk import client


def test_a_whole_gate_is_read(at):
    """Reviewers, timer, self-review, branches and tags."""
    at.hub.environment(
        at.name,
        "production",
        reviewers=["bob", "cat"],
        wait_timer=30,
        prevent_self_review=True,
        can_admins_bypass=False,
        branches=("main", "v*"),
    )
    found = environments.read(at.github, "production")
    assert found == EnvironmentSettings(
        name="production",
        reviewers=("bob", "cat"),
        wait_timer=30,
        prevent_self_review=True,
        admins_bypass=False,
        is_limited=True,
        only_protected=False,
        branches=("main",),
        tags=("v*",),
        secrets=None,
        html_url=at.state.environments["production"]["html_url"],
    )


def test_an_environment_without_rules_has_none(at):
    """Anybody's branch deploys there, nobody is asked."""
    at.hub.environment(at.name, "staging")
    found = environments.read(at.github, "staging")
    assert (found.reviewers, found.wait_timer, found.prevent_self_review) == ((), 0, False)
    assert (found.is_limited, found.branches, found.admins_bypass) == (False, (), True)


def test_protected_branches_only_is_its_own_word(at):
    """Without a list of names."""
    policy = {"protected_branches": True, "custom_branch_policies": False}
    at.hub.environment(at.name, "production", deployment_branch_policy=policy)
    found = environments.read(at.github, "production")
    assert (found.is_limited, found.only_protected, found.branches) == (True, True, ())


def test_a_team_is_shown_as_one(at):
    """By its slug."""
    at.hub.environment(at.name, "production", reviewers=["bob"])
    rule = at.state.environments["production"]["protection_rules"][0]
    rule["reviewers"].append({"type": "Team", "reviewer": {"slug": "risk-owners", "id": 3}})
    assert environments.read(at.github, "production").reviewers == ("bob", "team:risk-owners")


def test_an_environment_that_is_not_there_is_none(at):
    """Not an error: what that means is the caller's to say."""
    assert environments.read(at.github, "production") is None


@pytest.mark.parametrize("name", ["prod/eu", "a b", "ä#1"], ids=repr)
def test_a_name_may_hold_anything(at, name):
    """It stays one part of the path."""
    at.hub.environment(at.name, name)
    assert environments.read(at.github, name).name == name


def test_names_of_secrets_where_the_token_may_see_them(at):
    """Names only; GitHub never gives values."""
    at.hub.environment(at.name, "production")
    at.state.environment_secrets["production"] = ["MLFLOW_TRACKING_TOKEN", "DEPLOY_KEY"]
    owner = client(at.hub, at.name, token=at.hub.token)
    assert environments.read(owner, "production").secrets == ("MLFLOW_TRACKING_TOKEN", "DEPLOY_KEY")
    assert environments.read(at.github, "production").secrets is None


def test_all_names_are_listed(at):
    """Over pages."""
    for n in range(101):
        at.hub.environment(at.name, f"e{n:03}")
    assert environments.names(at.github) == tuple(f"e{n:03}" for n in range(101))


def test_a_plan_without_environments_lists_none(at):
    """GitHub says 404 there."""
    at.hub.fault(f"GET /repos/{at.name}/environments", 404)
    assert environments.names(at.github) == ()


def test_a_plan_that_forbids_is_said(at):
    """403 is no "none"."""
    at.state.forbidden["environments*"] = "Upgrade to GitHub Pro or make this repository public to enable this feature."
    with pytest.raises(ForbiddenError, match="Upgrade to GitHub Pro"):
        environments.read(at.github, "production")


# -- approvals of a run --------------------------------------------------------------------------------------------


def test_approvals_of_a_run_name_who_and_what(at):
    """Rejections too, in order."""
    run = at.hub.add_run(at.name)
    at.hub.environment(at.name, "production", reviewers=["bob"])
    at.hub.approve_run(at.name, run, "production", "cat", state="rejected", comment="not on a Friday")
    at.hub.approve_run(at.name, run, "production", "bob", comment="go")
    at.hub.approve_run(at.name, run, "staging", "dan")
    assert environments.approvals(at.github, run) == (
        Reviewed("cat", ("production",), "rejected", "not on a Friday"),
        Reviewed("bob", ("production",), "approved", "go"),
        Reviewed("dan", ("staging",), "approved", ""),
    )


def test_a_run_without_approvals_has_none(at):
    """An environment without reviewers asks nobody."""
    assert environments.approvals(at.github, at.hub.add_run(at.name)) == ()


def test_another_run_s_approvals_do_not_count(at):
    """By its id."""
    one, other = at.hub.add_run(at.name), at.hub.add_run(at.name)
    at.hub.approve_run(at.name, one, "production", "bob")
    assert environments.approvals(at.github, other) == ()


@pytest.mark.parametrize("run", ["12", 12, "../../../user", "x y"], ids=repr)
def test_a_run_that_is_not_there_is_not_found(at, run):
    """Whatever was given as its id."""
    with pytest.raises(NotFoundError):
        environments.approvals(at.github, run)


def test_a_deleted_account_is_an_empty_name(at):
    """Never somebody else's."""
    run = at.hub.add_run(at.name)
    at.hub.approve_run(at.name, run, "production", "bob")
    at.state.approvals[run][0]["user"] = None
    assert environments.approvals(at.github, run)[0].user == ""
