"""`doctor` on GitHub: the repository's settings, the gates and the rules, each in every state it can have."""

from __future__ import annotations

import pytest
from mlrelease.commands.doctor.checks import State
from support.doctor_hub import NAME, NOBODY_SEES, fix, found
from support.github_server import Fault

pytestmark = pytest.mark.xdist_group("doctor-settings")


def without(rules, kind):
    """The rules but for one type."""
    return [rule for rule in rules if rule["type"] != kind]


# -- the repository ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words", "command"),
    [
        ({"default_branch": "trunk"}, "the default branch is trunk, tracked is main", "--default-branch main"),
        ({"archived": True}, "is archived", "gh repo unarchive acme/models"),
        ({"disabled": True}, "is disabled by GitHub", "its owner"),
    ],
    ids=["another branch", "archived", "disabled"],
)
def test_a_repository_that_takes_nothing_from_main(ward, settings, words, command):
    """Schedules run elsewhere, or nothing runs."""
    ward.state.settings |= settings
    state, what = found(ward, "default-branch")
    assert (state, words in what, command in fix(ward, "default-branch")) == (State.BAD, True, True)


@pytest.mark.parametrize(
    ("ways", "rules", "state", "words"),
    [
        ("squash", True, State.OK, "squash; merged"),
        ("squash rebase", True, State.OK, "squash or rebase; merged"),
        ("merge", False, State.OK, "merge; merged"),
        ("squash merge", False, State.WARN, "squash or merge: reverts of merge commits"),
        ("squash merge", True, State.OK, "squash; merged"),
        ("merge", True, State.BAD, "leave no way to merge"),
    ],
    ids=[
        "squash alone",
        "a line of single commits",
        "merge commits alone",
        "two forms",
        "two forms of which a rule forbids one",
        "one that a rule forbids",
    ],
)
def test_ways_to_merge(ward, ways, rules, state, words):
    """Settings and rules together."""
    names = {"squash": "allow_squash_merge", "merge": "allow_merge_commit", "rebase": "allow_rebase_merge"}
    ward.state.settings |= {names[way]: way in ways.split() for way in names}
    if not rules:
        ward.state.rulesets.clear()
    told = found(ward, "merge-settings")
    assert (told[0], words in told[1]) == (state, True)


def test_branches_that_stay_after_the_merge(ward):
    """Bump opens its next pull request from the same name."""
    ward.state.settings |= {"delete_branch_on_merge": False}
    assert found(ward, "merge-settings")[0] is State.WARN
    assert fix(ward, "merge-settings") == "gh repo edit acme/models --delete-branch-on-merge"


def test_merge_settings_that_are_not_shown(ward):
    """Only who may write sees them."""
    del ward.state.settings["allow_squash_merge"]
    assert found(ward, "merge-settings") == (State.UNKNOWN, "GitHub does not show the merge settings to this token")
    assert fix(ward, "merge-settings") == "a token with Contents: write"


# -- gates -------------------------------------------------------------------------------------------------------------


def reviewers_rule(ward):
    rules = ward.state.environments["production"]["protection_rules"]
    return next(rule for rule in rules if rule["type"] == "required_reviewers")


def test_a_gate_that_is_not_there(ward):
    """A job that names an Environment which does not exist makes it, without any rule, and runs."""
    del ward.state.environments["production"]
    assert found(ward, "approval-gate")[0] is State.BAD
    assert found(ward, "gate-self-review")[0] is State.SKIPPED
    assert found(ward, "gate-branches", "production")[0] is State.SKIPPED


def test_a_gate_that_nobody_keeps(ward):
    """It exists, and asks nobody."""
    environment = ward.state.environments["production"]
    environment["protection_rules"] = without(environment["protection_rules"], "required_reviewers")
    assert found(ward, "approval-gate") == (State.BAD, "nobody has to approve")
    ward.state.settings |= {"private": True}
    state, what = found(ward, "approval-gate")
    assert (state, "Free, Pro and Team have reviewers for public repositories only" in what) == (State.BAD, True)
    assert "GitHub Enterprise" in fix(ward, "approval-gate")


def test_a_gate_that_administrators_may_pass(ward):
    """GitHub's default."""
    ward.state.environments["production"]["can_admins_bypass"] = True
    state, what = found(ward, "approval-gate")
    assert (state, what) == (State.WARN, "approved by one of @bob, or by nobody: administrators may pass it")


@pytest.mark.parametrize(
    ("settings", "plan", "state", "words"),
    [
        ({"private": True}, {"plan": {"name": "enterprise"}}, State.OK, "approved by one of @bob"),
        ({"private": True, "visibility": "internal"}, {}, State.OK, "approved by one of @bob"),
        ({"private": True}, {"plan": {"name": "free"}}, State.BAD, "on the plan free"),
        ({"private": True}, {"plan": {"name": "pro"}}, State.BAD, "on the plan pro"),
        ({"private": True}, {}, State.UNKNOWN, "depends on the owner's plan, which this token does not see"),
        ({"private": False}, {"plan": {"name": "free"}}, State.OK, "approved by one of @bob"),
    ],
    ids=["Enterprise", "internal, so Enterprise", "Free", "Pro", "a plan that is not shown", "public"],
)
def test_whether_github_heeds_the_gate(ward, settings, plan, state, words):
    """By the plan of the owner: a public repository that became private keeps its reviewers, and nobody asks them."""
    ward.state.settings |= settings
    ward.hub.fault("GET /orgs/acme", Fault(200, {"login": "acme", **plan}), forever=True)
    told = found(ward, "approval-gate")
    assert (told[0], words in told[1]) == (state, True)


@pytest.mark.parametrize("status", [403, 404])
def test_an_owner_that_is_not_shown_leaves_the_plan_open(ward, status):
    """Unknown, not ok."""
    ward.state.settings |= {"private": True}
    ward.hub.fault("GET /orgs/acme", status, forever=True)
    assert found(ward, "approval-gate")[0] is State.UNKNOWN


def test_the_plan_of_a_person(ward):
    """A repository need not belong to an organisation."""
    ward.state.settings |= {"private": True, "owner": {"login": "ann", "type": "User"}}
    ward.hub.fault("GET /users/ann", Fault(200, {"login": "ann", "plan": {"name": "pro"}}), forever=True)
    assert "on the plan pro" in found(ward, "approval-gate")[1]


def test_an_enterprise_server_withholds_nothing(ward):
    """No plan there: its API lies below /api/v3."""
    ward.state.settings |= {"private": True}
    assert found(ward, "approval-gate", MLRELEASE_GITHUB_API=ward.hub.enterprise_url)[0] is State.OK
    assert not [call for call in ward.hub.calls if call.path.startswith("/orgs")]


def test_teams_can_keep_a_gate(ward):
    """Named by their slug."""
    reviewers_rule(ward)["reviewers"] = [{"type": "Team", "reviewer": {"slug": "release-owners", "id": 1}}]
    assert found(ward, "approval-gate") == (State.OK, "approved by one of team release-owners")


def test_who_starts_a_run_may_not_approve_it(ward):
    """Four eyes."""
    reviewers_rule(ward)["prevent_self_review"] = False
    assert found(ward, "gate-self-review") == (State.WARN, "who starts a run may approve it too")


def test_an_environment_without_approval_needs_no_gate(ward):
    """Said so; its branches are looked at all the same."""
    path = "environments/production/environment.yaml"
    ward.clone.write(path, ward.clone.read(path).replace("approval: required\n", ""))
    ward.clone.commit("Ask nobody")
    assert found(ward, "approval-gate") == (State.SKIPPED, "approval is not required here (environment.yaml)")
    assert found(ward, "gate-self-review")[0] is State.SKIPPED
    assert found(ward, "gate-branches", "production")[0] is State.OK


CUSTOM = {"protected_branches": False, "custom_branch_policies": True}
PROTECTED = {"protected_branches": True, "custom_branch_policies": False}


@pytest.mark.parametrize(
    ("policy", "names", "state", "words"),
    [
        (None, [], State.BAD, "any branch may deploy to it"),
        (CUSTOM, [("branch", "main")], State.OK, "only main"),
        (CUSTOM, [("branch", "main"), ("tag", "v*")], State.OK, "only main and v*"),
        (CUSTOM, [("branch", "main"), ("branch", "*")], State.BAD, "others than main and v* may deploy to it: *"),
        (CUSTOM, [("branch", "main"), ("branch", "v*")], State.BAD, "others than main"),
        (CUSTOM, [("branch", "main"), ("tag", "*")], State.BAD, "others than main"),
        (CUSTOM, [("tag", "v*")], State.BAD, "main may not deploy to it"),
        (CUSTOM, [], State.BAD, "main may not deploy to it"),
        (PROTECTED, [], State.BAD, "rulesets do not count: that is any branch"),
    ],
    ids=[
        "no policy",
        "the tracked branch",
        "and release tags",
        "and every branch",
        "and branches named like tags",
        "and every tag",
        "tags alone",
        "nobody",
        "protected branches, of which GitHub sees none",
    ],
)
def test_which_branches_get_the_secrets(ward, policy, names, state, words):
    """The tracked one and release tags; a branch of anybody's would run its own workflow with them."""
    ward.state.environments["production"]["deployment_branch_policy"] = policy
    ward.state.branch_policies["production"] = [{"type": kind, "name": name} for kind, name in names]
    told = found(ward, "gate-branches", "production")
    assert (told[0], words in told[1]) == (state, True)


def test_protected_branches_with_classic_protection(ward):
    """Then the policy means something: a warning, since any protected branch will do."""
    ward.state.environments["production"]["deployment_branch_policy"] = PROTECTED
    ward.state.protections["main"] = {}
    assert found(ward, "gate-branches", "production") == (State.WARN, "every protected branch may deploy to it")


# -- rules -------------------------------------------------------------------------------------------------------------


def ruleset(ward, name):
    """One of those that are there, to be changed in place."""
    words = {"main": "tracked branch", "ledger": "append-only", "writers": "writes the ledger", "tags": "never moves"}
    words["makers"] = "makes release tags"
    return next(known for known in ward.state.rulesets.values() if words[name] in known["name"])


def parameters(ward, kind):
    return next(rule for rule in ruleset(ward, "main")["rules"] if rule["type"] == kind)["parameters"]


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"required_approving_review_count": 0}, State.BAD, "no approval is needed"),
        ({"require_code_owner_review": False}, State.BAD, "CODEOWNERS only suggests"),
        (
            {"dismiss_stale_reviews_on_push": False, "require_last_push_approval": False},
            State.WARN,
            "an approval outlives later pushes",
        ),
        ({"required_approving_review_count": 2}, State.OK, "2 approvals, code owners asked"),
    ],
    ids=["no approval", "code owners are not asked", "an approval that outlives a push", "two approvals"],
)
def test_reviews_of_the_branch(ward, change, state, words):
    """What comes in was seen by those who answer for it."""
    parameters(ward, "pull_request").update(change)
    told = found(ward, "branch-reviews")
    assert (told[0], words in told[1]) == (state, True)


def test_a_ruleset_that_is_only_tried_out_holds_nothing(ward):
    """`evaluate` looks as if."""
    ruleset(ward, "main")["enforcement"] = "evaluate"
    lines = ward.lines("branch-reviews", "branch-checks", "branch-history", "branch-bypass")
    assert [line.found.state for line in lines] == [State.BAD] * 4
    assert {line.found.fix for line in lines} == {"gh api repos/acme/models/rulesets --input .github/rulesets/main.json"}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"required_status_checks": [{"context": "validate/offline"}]}, State.BAD, "not required: validate/online"),
        ({"required_status_checks": []}, State.BAD, "not required: validate/offline, validate/online"),
        ({"strict_required_status_checks_policy": False}, State.WARN, "before the newest commit"),
    ],
    ids=["one is missing", "none", "not up to date"],
)
def test_checks_of_the_branch(ward, change, state, words):
    """Both halves of validation, on what will be there after the merge."""
    parameters(ward, "required_status_checks").update(change)
    told = found(ward, "branch-checks")
    assert (told[0], words in told[1]) == (state, True)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("non_fast_forward", "force pushes are allowed"), ("deletion", "it can be deleted")],
)
def test_a_branch_that_can_be_rewritten(ward, kind, words):
    """Rollbacks and the ledger's directions are read from its history."""
    ruleset(ward, "main")["rules"] = without(ruleset(ward, "main")["rules"], kind)
    assert found(ward, "branch-history") == (State.BAD, words)


def test_who_is_free_of_the_branchs_rules(ward):
    """Named, with the way in which they are."""
    ruleset(ward, "main")["bypass_actors"] = [
        {"actor_type": "RepositoryRole", "actor_id": 5, "bypass_mode": "always"},
        {"actor_type": "Team", "actor_id": 9, "bypass_mode": "pull_request"},
    ]
    assert found(ward, "branch-bypass") == (State.WARN, "free of a rule: role admin, team 9 (in pull requests)")


CLASSIC = {
    "required_pull_request_reviews": {
        "required_approving_review_count": 1,
        "require_code_owner_reviews": True,
        "dismiss_stale_reviews": True,
    },
    "required_status_checks": {"strict": True, "contexts": ["validate/offline", "validate/online"]},
    "enforce_admins": {"enabled": True},
}
BRANCH = ("branch-reviews", "branch-checks", "branch-history", "branch-bypass", "codeowners")


def test_classic_protection_does_as_well(ward):
    """For those who have it already."""
    ruleset(ward, "main")["enforcement"] = "disabled"
    ward.state.protections["main"] = CLASSIC
    assert [line.found.state for line in ward.lines(*BRANCH)] == [State.OK] * 5
    ward.state.protections["main"] = CLASSIC | {"enforce_admins": {"enabled": False}}
    assert found(ward, "branch-bypass") == (State.WARN, "free of a rule: administrators")


def test_classic_protection_that_is_not_shown_leaves_it_open(ward):
    """Without a ruleset, and without the right to look: unknown, never `bad` by a guess."""
    ruleset(ward, "main")["enforcement"] = "disabled"
    ward.state.protections["main"] = CLASSIC
    lines = ward.lines(*BRANCH, MLRELEASE_GITHUB_TOKEN=ward.fine(**NOBODY_SEES))
    assert [line.found.state for line in lines] == [State.UNKNOWN] * 5
    assert "Administration: read" in lines[0].found.fix


def test_not_found_is_no_proof_for_a_token_that_may_not_look(ward):
    """A classic token without the right hears 404, as if there were nothing: unknown, never `bad` by a guess."""
    ruleset(ward, "main")["enforcement"] = "disabled"
    token = ward.hub.make_token("ann", permissions=NOBODY_SEES)
    ids = (*BRANCH, "approval-gate", "gate-self-review", "gate-branches", "repository-secrets", "actions-policy", "workflows")
    lines = ward.lines(*ids, MLRELEASE_GITHUB_TOKEN=token)
    assert {line.found.state for line in lines} == {State.UNKNOWN}
    assert {line.found.fix.partition(":")[0] for line in lines} >= {"a token with Actions", "a token with Secrets"}


@pytest.mark.parametrize(
    ("spoil", "state", "words"),
    [
        (lambda w: ruleset(w, "ledger").update(enforcement="disabled"), State.BAD, "force pushes are allowed"),
        (lambda w: ruleset(w, "writers").update(enforcement="disabled"), State.WARN, "whoever may push may write to it"),
        (lambda w: ruleset(w, "writers").update(bypass_actors=[]), State.BAD, "nobody may write to mlrelease/ledger"),
        (
            lambda w: ruleset(w, "ledger").update(bypass_actors=[{"actor_type": "OrganizationAdmin", "actor_id": 1}]),
            State.WARN,
            "append-only, but not for organisation owners",
        ),
        (
            lambda w: ruleset(w, "main")["conditions"]["ref_name"].update(include=["~ALL"]),
            State.BAD,
            "takes no push: rules for pull requests hold there too",
        ),
    ],
    ids=["it can be rewritten", "anybody writes", "nobody writes", "some may rewrite it", "pull requests only"],
)
def test_the_ledgers_branch(ward, spoil, state, words):
    """Append-only, with writers, and only those."""
    spoil(ward)
    told = found(ward, "ledger-rules")
    assert (told[0], words in told[1]) == (state, True)


@pytest.mark.parametrize(
    ("spoil", "state", "words"),
    [
        (lambda w: ruleset(w, "tags").update(enforcement="disabled"), State.BAD, "moved and deleted"),
        (
            lambda w: ruleset(w, "tags").update(rules=without(ruleset(w, "tags")["rules"], "deletion")),
            State.BAD,
            "tags v* can be deleted",
        ),
        (lambda w: ruleset(w, "makers").update(enforcement="disabled"), State.WARN, "whoever may push may make one"),
        (lambda w: ruleset(w, "makers").update(bypass_actors=[]), State.BAD, "nobody may make a tag v*"),
        (
            lambda w: ruleset(w, "tags").update(bypass_actors=[{"actor_type": "Team", "actor_id": 4}]),
            State.WARN,
            "not for team 4",
        ),
        (lambda w: ruleset(w, "tags")["conditions"]["ref_name"].update(include=["refs/tags/release-*"]), State.BAD, "moved"),
    ],
    ids=["no rule", "they can be deleted", "anybody makes them", "nobody makes them", "some may move them", "other tags"],
)
def test_release_tags(ward, spoil, state, words):
    """A tag names one release for ever."""
    spoil(ward)
    told = found(ward, "tag-rules")
    assert (told[0], words in told[1]) == (state, True)


def test_a_ruleset_that_is_listed_and_not_shown(ward):
    """An organisation's may be: who is free of it is not known, and for tags nothing is but what is shown."""
    number = ruleset(ward, "tags")["id"]
    ward.hub.fault(f"GET /repos/{NAME}/rulesets/{number}", 404, forever=True)
    state, what = found(ward, "tag-rules")
    assert (state, "some protection is not shown to it" in what) == (State.UNKNOWN, True)
    assert found(ward, "ledger-rules")[0] is State.OK
    number = ruleset(ward, "main")["id"]
    ward.hub.fault(f"GET /repos/{NAME}/rulesets/{number}", 403, forever=True)
    assert found(ward, "branch-reviews")[0] is State.OK
    assert found(ward, "branch-bypass")[0] is State.UNKNOWN
