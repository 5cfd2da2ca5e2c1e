"""The repository's own settings: merging, rules, CODEOWNERS, workflows."""

from __future__ import annotations

import pytest
from mlrelease.forge.github import repository
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from mlrelease.forge.github.repository import Rule, Workflow
from support.github_desk import client, desk

TAGS = {
    "name": "tags",
    "target": "tag",
    "enforcement": "active",
    "bypass_actors": [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}],
    "conditions": {"ref_name": {"include": ["refs/tags/v*"], "exclude": ["refs/tags/v0*"]}},
    "rules": [{"type": "deletion"}, {"type": "update"}],
}


@pytest.fixture
def owner(at):
    """A client with the owner's token."""
    return client(at.hub, at.name, token=at.hub.token)


def test_the_repository_is_read(hub):
    """What may be merged how, whose it is, what this token may."""
    at = desk(hub, private=True, delete_branch_on_merge=True, allow_merge_commit=False, owner_type="User")
    found = repository.read(at.github)
    assert (found.name, found.default_branch, found.private, found.visibility) == (at.name, "main", True, "private")
    assert (found.owner_type, found.plan) == ("User", "")
    assert (found.allow_squash_merge, found.allow_merge_commit, found.delete_branch_on_merge) == (True, False, True)
    assert found.permissions == ("pull", "push", "triage")


def test_an_organisation_s_plan_is_read_where_it_may_be(at):
    """It decides which gates GitHub enforces."""
    assert repository.read(at.github).plan == "team"
    at.hub.fault("GET /orgs/acme", 404)
    assert repository.read(at.github).plan == ""


def test_a_repository_that_is_not_seen_is_not_found(at):
    """GitHub does not say whether it exists."""
    with pytest.raises(NotFoundError) as caught:
        repository.read(client(at.hub, "acme/secret"))
    assert "where the token in GITHUB_TOKEN may not look" in caught.value.hint


def test_rules_of_a_branch_come_from_every_active_ruleset(at):
    """With their parameters; a disabled one does not count."""
    number = at.hub.protect(at.name, "main", reviews=2, checks=["all-green"])["id"]
    at.hub.protect(at.name, "other")
    at.state.rulesets[at.hub.protect(at.name, "main", reviews=6)["id"]]["enforcement"] = "disabled"
    found = repository.branch_rules(at.github, "main")
    assert [rule.type for rule in found] == ["deletion", "non_fast_forward", "pull_request", "required_status_checks"]
    assert found[2].parameters["required_approving_review_count"] == 2
    assert {rule.ruleset for rule in found} == {number}


def test_rules_hold_for_a_branch_that_does_not_exist_yet(at):
    """The ledger's, before the first event; its name has a slash."""
    at.hub.protect(at.name, "mlrelease/ledger", reviews=0)
    assert Rule("deletion", {}, next(iter(at.state.rulesets))) in repository.branch_rules(at.github, "mlrelease/ledger")
    assert repository.branch_rules(at.github, "elsewhere") == ()


def test_rulesets_are_read_whole(at, owner):
    """The list alone has no rules."""
    number = owner.post("rulesets", TAGS)["id"]
    (found,) = repository.rulesets(owner)
    assert (found.id, found.name, found.target, found.enforcement) == (number, "tags", "tag", "active")
    assert (found.include, found.exclude) == (("refs/tags/v*",), ("refs/tags/v0*",))
    assert [rule.type for rule in found.rules] == ["deletion", "update"]
    assert found.bypass == tuple(TAGS["bypass_actors"])


def test_who_may_bypass_is_unknown_to_those_who_may_not_see_it(at, owner):
    """None, which is not "nobody"."""
    owner.post("rulesets", TAGS)
    assert repository.rulesets(at.github)[0].bypass is None


def test_classic_protection_is_read_or_absent(at, owner):
    """Only administrators may ask."""
    assert repository.protection(owner, "main") is None
    owner.put("branches/main/protection", {"required_pull_request_reviews": {"required_approving_review_count": 1}})
    assert repository.protection(owner, "main")["required_pull_request_reviews"] == {"required_approving_review_count": 1}
    with pytest.raises(ForbiddenError) as caught:
        repository.protection(at.github, "main")
    assert "administration=read" in caught.value.hint


@pytest.mark.parametrize("place", [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"])
def test_codeowners_without_errors(at, place):
    """An empty tuple, wherever the file lies."""
    at.hub.commit(at.name, "main", {place: "* @acme/platform\n"})
    assert repository.codeowners_errors(at.github) == ()


def test_codeowners_with_errors_are_named_by_line(at):
    """A team that does not exist owns nothing."""
    at.hub.commit(at.name, "main", {".github/CODEOWNERS": "* @acme/nobody\n"})
    at.state.codeowners_errors.append({"path": ".github/CODEOWNERS", "line": 1, "kind": "Unknown owner"})
    assert repository.codeowners_errors(at.github, "main") == (".github/CODEOWNERS:1: Unknown owner",)


def test_no_codeowners_is_none(at):
    """Which is not "without errors"."""
    assert repository.codeowners_errors(at.github) is None


def test_workflows_and_their_runs(at):
    """Newest first, filtered by event, branch and state."""
    first = at.hub.add_run(at.name, workflow="reconcile.yml", event="schedule", status="completed", conclusion="success")
    second = at.hub.add_run(at.name, workflow="reconcile.yml", event="push", status="completed", conclusion="failure")
    at.hub.add_run(at.name, workflow="deploy.yml")
    names = [(w.name, w.state) for w in repository.workflows(at.github)]
    assert names == [("reconcile", "active"), ("deploy", "active")]
    assert [run.id for run in repository.runs(at.github, "reconcile.yml")] == [second, first]
    assert [run.id for run in repository.runs(at.github, "reconcile.yml", event="schedule")] == [first]
    assert [run.id for run in repository.runs(at.github, "reconcile.yml", status="success")] == [first]
    assert [run.id for run in repository.runs(at.github, "reconcile.yml", branch="elsewhere")] == []
    assert [run.id for run in repository.runs(at.github, "reconcile.yml", most=1)] == [second]


def test_a_workflow_that_github_switched_off_says_so(at):
    """After sixty idle days."""
    at.hub.add_run(at.name, workflow="reconcile.yml")
    at.state.workflows[0]["state"] = "disabled_inactivity"
    (found,) = repository.workflows(at.github)
    assert isinstance(found, Workflow)
    assert (found.state, found.path) == ("disabled_inactivity", ".github/workflows/reconcile.yml")


def test_a_workflow_that_is_not_there_has_no_runs(at):
    """Never installed, or renamed."""
    assert repository.runs(at.github, "reconcile.yml") == ()


def test_one_run_is_read(at):
    """With its commit and page."""
    number = at.hub.add_run(at.name, workflow="deploy.yml", sha=at.main)
    run = repository.run(at.github, number)
    assert (run.id, run.event, run.status, run.conclusion, run.head_sha) == (number, "push", "in_progress", "", at.main)
    with pytest.raises(NotFoundError):
        repository.run(at.github, 7)
