"""What holds for a branch or a tag: rulesets and classic protection, each alone and together, and who is free of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlrelease.commands.doctor.github.rules import Bypass, Rules, of_branch, of_classic, of_ref

SHIPPED = Path(__file__).parents[3] / "templates" / "github" / "rulesets"
TAG = "refs/tags/v1.2.3"


def rule(kind, number=1, **parameters):
    """One entry of `GET /rules/branches/…`."""
    return {"type": kind, "ruleset_id": number, "ruleset_source_type": "Repository", "parameters": parameters}


def ruleset(*kinds, target="branch", include=("~ALL",), exclude=(), enforcement="active", **more):
    """A ruleset in full."""
    names = {"include": list(include), "exclude": list(exclude)}
    rules = [{"type": kind} for kind in kinds]
    return {"target": target, "enforcement": enforcement, "conditions": {"ref_name": names}, "rules": rules, **more}


def actor(kind, number=None, mode="always"):
    return {"actor_type": kind, "actor_id": number, "bypass_mode": mode}


# -- rulesets ----------------------------------------------------------------------------------------------------------


def test_reviews_add_up():
    """The larger number counts, and what one ruleset asks for is asked for."""
    found = of_branch(
        [
            rule("pull_request", 1, required_approving_review_count=1, require_code_owner_review=True),
            rule("pull_request", 2, required_approving_review_count=2, require_code_owner_review=False),
        ],
        {},
    )
    assert (found.approvals, found.asks_code_owners, found.is_approval_of_last_push) == (2, True, False)


@pytest.mark.parametrize("name", ["dismiss_stale_reviews_on_push", "require_last_push_approval"])
def test_an_approval_can_be_of_the_last_push(name):
    """Two ways to the same end."""
    assert of_branch([rule("pull_request", **{name: True})], {}).is_approval_of_last_push
    assert not of_branch([rule("pull_request", **{name: False})], {}).is_approval_of_last_push


def test_required_checks_of_all_rulesets():
    """By name; up to date when one of them says so, or a merge queue does it."""
    found = of_branch(
        [
            rule("required_status_checks", 1, required_status_checks=[{"context": "a"}, {"context": "b"}]),
            rule("required_status_checks", 2, required_status_checks=[{"context": "c", "integration_id": 7}]),
        ],
        {},
    )
    assert found.checks == {"a", "b", "c"}
    assert not found.is_up_to_date
    strict = rule("required_status_checks", strict_required_status_checks_policy=True)
    assert of_branch([strict], {}).is_up_to_date
    assert of_branch([rule("merge_queue")], {}).is_up_to_date


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([rule("pull_request")], None),
        ([rule("pull_request", allowed_merge_methods=["squash", "merge"])], {"squash", "merge"}),
        ([rule("pull_request", allowed_merge_methods=["merge"]), rule("required_linear_history")], set()),
        ([rule("required_linear_history")], {"squash", "rebase"}),
    ],
    ids=["no rule", "a rule that does not say", "one rule", "two that exclude each other", "a linear history"],
)
def test_ways_to_merge(rules, expected):
    """What every rule allows."""
    assert of_branch(rules, {}).merge_methods == expected


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (actor("RepositoryRole", 5), "role admin"),
        (actor("RepositoryRole", 2), "role maintain"),
        (actor("RepositoryRole", 77), "role 77"),
        (actor("Integration", 1234), "App 1234"),
        (actor("Team", 9), "team 9"),
        (actor("DeployKey"), "deploy keys"),
        (actor("OrganizationAdmin", 1), "organisation owners"),
        (actor("User", 3, "exempt"), "User 3"),
        (actor("Team", 9, "pull_request"), "team 9 (in pull requests)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_is_free_of_a_rule_in_words(who, said):
    """As people know them; the mode where it matters."""
    found = of_branch([rule("deletion")], {1: ruleset("deletion", bypass_actors=[who])}).may_bypass("deletion")
    assert found is not None
    assert [str(each) for each in found] == [said]


def test_who_bypasses_one_ruleset_is_bound_by_another():
    """Rules add up: only those on both lists are free."""
    rulesets = {
        1: ruleset(bypass_actors=[actor("Team", 1), actor("Team", 2)]),
        2: ruleset(bypass_actors=[actor("Team", 2), actor("Team", 3)]),
        3: ruleset(bypass_actors=[actor("Team", 4)]),
    }
    found = of_branch([rule("deletion", 1), rule("deletion", 2), rule("update", 3)], rulesets)
    assert found.may_bypass("deletion") == (Bypass("team 2"),)
    assert found.may_bypass("deletion", "update") == (Bypass("team 2"), Bypass("team 4"))
    assert found.may_bypass("creation") == ()


def test_a_ruleset_that_does_not_tell_leaves_it_open():
    """GitHub shows the list only to those who may change it: None is not nobody."""
    found = of_branch([rule("deletion", 1)], {1: ruleset()})
    assert found.may_bypass("deletion") is None
    assert found.may_bypass("update") == ()


# -- refs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ruleset("update", target="tag", include=["refs/tags/v*"]), True),
        (ruleset("update", target="tag"), True),
        (ruleset("update", target="tag", include=["refs/tags/v*.*.*"]), True),
        (ruleset("update", target="tag", include=["refs/tags/**/*"]), True),
        (ruleset("update", target="tag", include=["refs/tags/*/v*"]), False),
        (ruleset("update", target="tag", include=["refs/tags/release-*"]), False),
        (ruleset("update", target="tag", include=["refs/tags/v?.*"]), True),
        (ruleset("update", target="tag", include=["refs/tags/v1.2.3.*"]), False),
        (ruleset("update", target="tag", exclude=["refs/tags/v1*"]), False),
        (ruleset("update", target="tag", enforcement="evaluate"), False),
        (ruleset("update", target="tag", enforcement="disabled"), False),
        (ruleset("update", target="branch"), False),
        (ruleset("update"), False),
        ({"target": "tag", "enforcement": "active", "rules": [{"type": "update"}]}, False),
    ],
    ids=[
        "by a pattern",
        "all tags",
        "a pattern with dots",
        "a pattern with any folders",
        "a pattern with a folder",
        "another pattern",
        "one character",
        "a dot is a dot",
        "excluded",
        "only tried out",
        "switched off",
        "for branches",
        "for branches, as the default",
        "for no name",
    ],
)
def test_which_rulesets_hold_for_a_tag(found, expected):
    """Active ones, for tags, whose patterns name it."""
    assert of_ref(TAG, {1: found}).has("update") is expected


# -- classic protection ------------------------------------------------------------------------------------------------

CLASSIC = {
    "required_pull_request_reviews": {
        "required_approving_review_count": 2,
        "require_code_owner_reviews": True,
        "dismiss_stale_reviews": True,
    },
    "required_status_checks": {"strict": True, "contexts": ["validate/offline"], "checks": [{"context": "validate/offline"}]},
    "enforce_admins": {"enabled": True},
    "allow_force_pushes": {"enabled": False},
    "allow_deletions": {"enabled": False},
    "required_linear_history": {"enabled": True},
}


def test_classic_protection_in_the_words_of_rulesets():
    """Everything that a ruleset can ask for."""
    found = of_classic(CLASSIC)
    assert (found.approvals, found.asks_code_owners, found.is_approval_of_last_push) == (2, True, True)
    assert (found.checks, found.is_up_to_date) == ({"validate/offline"}, True)
    assert found.has("non_fast_forward")
    assert found.has("deletion")
    assert found.merge_methods == {"squash", "rebase"}
    assert not found.has("update")
    assert found.may_bypass("pull_request", "deletion") == ()


def test_an_empty_protection_still_keeps_the_branch():
    """A branch that is protected at all is neither rewritten nor deleted; administrators are free of it unless it says no."""
    found = of_classic({})
    assert sorted(each.type for each in found.rules) == ["deletion", "non_fast_forward"]
    assert found.may_bypass("deletion") == (Bypass("administrators"),)


def test_checks_by_their_app_alone():
    """`contexts` is being withdrawn: the newer list counts as well."""
    assert of_classic({"required_status_checks": {"checks": [{"context": "a", "app_id": 1}]}}).checks == {"a"}


def test_what_it_allows_is_no_rule():
    """Force pushes and deletion can be let in."""
    found = of_classic(CLASSIC | {"allow_force_pushes": {"enabled": True}, "allow_deletions": {"enabled": True}})
    assert not found.has("non_fast_forward")
    assert not found.has("deletion")


def test_who_may_push_is_free_of_that_rule_alone():
    """The list of those who may push does not let them force a push."""
    people = {"users": [{"login": "ann"}], "teams": [{"slug": "oncall"}], "apps": [{"slug": "deploy"}]}
    found = of_classic(CLASSIC | {"restrictions": people})
    assert [str(who) for who in found.may_bypass("update") or ()] == ["@ann", "App deploy", "team oncall"]
    assert found.may_bypass("non_fast_forward") == ()


def test_rulesets_and_classic_protection_together():
    """One may ask for what the other does not; what could not be read stays open."""
    both = of_branch([rule("deletion")], {1: ruleset(bypass_actors=[actor("Team", 1)])}).with_(of_classic(CLASSIC))
    assert (both.approvals, both.is_whole) == (2, True)
    assert both.may_bypass("deletion") == ()
    assert both.with_(Rules(is_whole=False)).is_whole is False


# -- what comes from outside -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        [None, 7, "text"],
        [{}],
        [{"type": "pull_request", "parameters": None}],
        [{"type": "required_status_checks", "parameters": {"required_status_checks": "all"}}],
        [{"type": "pull_request", "parameters": {"required_approving_review_count": "many", "allowed_merge_methods": None}}],
    ],
    ids=["no objects", "an empty one", "no parameters", "a text for a list", "a text for a number"],
)
def test_an_answer_of_another_form_breaks_nothing(answer):
    """GitHub adds and changes; what is not understood counts as not there."""
    found = of_branch(answer, {1: {"bypass_actors": "nobody", "rules": 3}})
    assert (found.approvals, found.asks_code_owners, found.checks, found.merge_methods) == (0, False, frozenset(), None)


def test_the_rulesets_that_are_shipped_ask_for_everything():
    """What `init` brings is what these checks want to see: two lists for the ledger and the tags, one for the branch."""
    shipped = {number: json.loads(path.read_text()) for number, path in enumerate(sorted(SHIPPED.glob("*.json")))}
    ledger = of_ref("refs/heads/mlrelease/ledger", shipped)
    assert (ledger.has("deletion"), ledger.has("non_fast_forward"), ledger.has("update")) == (True, True, True)
    assert ledger.may_bypass("deletion", "non_fast_forward") == ()
    assert ledger.may_bypass("update") == (Bypass("deploy keys"),)
    tag = of_ref(TAG, shipped)
    assert tag.may_bypass("update", "deletion") == ()
    assert Bypass("deploy keys") in (tag.may_bypass("creation") or ())
    (main,) = (found for found in shipped.values() if "~DEFAULT_BRANCH" in found["conditions"]["ref_name"]["include"])
    branch = of_branch([found | {"ruleset_id": 1} for found in main["rules"]], {1: main})
    assert (branch.approvals, branch.asks_code_owners, branch.is_approval_of_last_push) == (1, True, True)
    assert branch.checks >= {"validate/offline", "validate/online"}
    assert branch.is_up_to_date
