"""`doctor` and a GitHub that answers in another form, or with texts of strangers: no line breaks, and nothing is acted on."""

from __future__ import annotations

import copy
import fnmatch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlrelease.commands.doctor.checks import State
from mlrelease.commands.doctor.github.rules import Rules, of_branch, of_classic, of_ref
from mlrelease.render.report import markdown
from support.doctor_hub import NAME, found
from support.github_server import Fault
from support.newcomer import text

pytestmark = pytest.mark.xdist_group("doctor-odd")

REPO = f"/repos/{NAME}"
RULES = ("merge-settings", "branch-reviews", "branch-checks", "branch-history", "branch-bypass", "ledger-rules", "tag-rules")
READERS = {
    f"GET {REPO}": ("github", "github-token", "github-clock", "default-branch", "approval-gate", *RULES),
    f"GET {REPO}/environments/production": ("approval-gate", "gate-self-review", "gate-branches"),
    f"GET {REPO}/environments/production/deployment-branch-policies": ("gate-branches",),
    f"GET {REPO}/rulesets": RULES,
    f"GET {REPO}/rulesets/*": RULES,
    f"GET {REPO}/rules/branches/*": (*RULES, "gate-branches"),
    f"GET {REPO}/branches/*/protection": RULES,
    f"GET {REPO}/codeowners/errors": ("codeowners",),
    f"GET {REPO}/actions/secrets": ("repository-secrets",),
    f"GET {REPO}/actions/organization-secrets": ("repository-secrets",),
    f"GET {REPO}/actions/permissions": ("actions-policy",),
    f"GET {REPO}/actions/permissions/workflow": ("actions-token",),
    f"GET {REPO}/actions/workflows": ("workflows", "reconcile-runs"),
    f"GET {REPO}/actions/workflows/reconcile.yml/runs": ("reconcile-runs",),
    "GET /orgs/acme": ("approval-gate",),
}
"""Each question, and the checks that read its answer."""

ODD = {
    "null": "null",
    "an empty object": {},
    "an empty list": [],
    "a text": '"ok"',
    "a number": 7,
    "a list of texts": ["a", "b"],
    "a list of nothing": [None],
    "lists where objects belong": {
        "permissions": ["admin"],
        "owner": ["acme"],
        "protection_rules": ["required_reviewers"],
        "deployment_branch_policy": ["main"],
        "plan": ["team"],
        "errors": ["wrong"],
        "conditions": ["all"],
        "rules": ["update"],
        "bypass_actors": ["all"],
        "required_pull_request_reviews": ["yes"],
        "required_status_checks": ["yes"],
        "restrictions": ["all"],
    },
    "texts where numbers and lists belong": {
        "total_count": "many",
        "workflow_runs": "none",
        "protection_rules": "none",
        "errors": "none",
        "rules": "none",
        "bypass_actors": "none",
        "plan": "team",
        "owner": "acme",
        "default_branch": 3,
        "permissions": "admin",
        "private": "yes",
    },
    "objects without what they hold": {
        "total_count": 1,
        "workflow_runs": [{}],
        "protection_rules": [{}, {"type": "required_reviewers", "reviewers": [{}, None, {"reviewer": None}]}],
        "errors": [{}],
        "required_status_checks": {"checks": [{}], "contexts": None},
        "restrictions": {"users": [{}], "teams": None},
    },
}


def broken(lines):
    """What a defect of ours would say."""
    return [f"{line.id}: {line.found.what}" for line in lines if line.found.what.startswith("the check itself failed")]


@pytest.mark.parametrize("path", READERS)
def test_an_answer_of_another_form_is_no_defect(ward, path):
    """Each line says something sensible, with a way out; none is a defect of ours."""
    ward.state.settings |= {"private": True}  # so that the owner is asked for the plan
    ward.state.protections["main"] = {}
    for name, odd in ODD.items():
        ward.hub.faults.clear()
        ward.hub.fault(path, Fault(200, odd), forever=True)
        lines = ward.lines(*READERS[path])
        assert broken(lines) == [], name
        assert {line.id for line in lines} == set(READERS[path])
        wrong = (State.BAD, State.WARN, State.UNKNOWN)
        assert [line.id for line in lines if line.found.state in wrong and not line.found.fix] == [], name


def test_the_questions_are_all_there_are(ward):
    """A new one gets its odd answers too."""
    ward.state.settings |= {"private": True}
    ward.lines()
    asked = {f"{call.method} {call.path}" for call in ward.hub.calls}
    unmatched = {call for call in asked if not any(fnmatch.fnmatchcase(call, path) for path in READERS)}
    assert unmatched == {f"GET {REPO}/environments/validate", f"GET {REPO}/environments/validate/deployment-branch-policies"}


HOSTILE = "x\x1b[31m|<!-- `@everyone` ::error::[a](http://evil.example) ${{ secrets.X }}\n::set-output name=a::b"


def test_texts_of_strangers_are_inert(ward, capsys):
    """Names of people, secrets, workflows and files: no escape sequence, no line of their own, no Markdown, no mention."""
    state = ward.state
    rules = state.environments["production"]["protection_rules"]
    next(r for r in rules if r["type"] == "required_reviewers")["reviewers"] = [
        {"type": "User", "reviewer": {"login": HOSTILE}}
    ]
    state.secrets += [HOSTILE]
    state.workflows[0] |= {"path": HOSTILE, "state": HOSTILE}
    state.codeowners_errors += [{"line": 1, "kind": HOSTILE, "source": HOSTILE, "suggestion": HOSTILE}]
    state.branch_policies["production"] += [{"type": "branch", "name": HOSTILE}]
    state.actions_permissions |= {"allowed_actions": HOSTILE}
    report = ward.report()
    shown = text(report, capsys)
    assert shown.count("everyone") >= 6
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("::")]
    summary = markdown(report)
    assert "\x1b" not in summary
    for sign in ("<!--", "`@", "[a](", "|<"):
        assert sign not in summary
    assert not [line for line in summary.splitlines() if line.startswith("::")]


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = (
    "type parameters ruleset_id bypass_actors actor_type actor_id conditions ref_name include rules enforcement target "
    "required_status_checks contexts checks restrictions users enabled"
)
KEYS = st.sampled_from(WORDS.split())
likely = st.dictionaries(KEYS, json | st.dictionaries(KEYS, json, max_size=3), max_size=5)


@given(st.lists(likely | json, max_size=4), st.dictionaries(st.integers(0, 3), likely, max_size=3), likely)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_json_breaks_the_rules(answer, rulesets, classic):
    """Whatever GitHub will answer one day."""
    for rules in (of_branch(answer, rulesets), of_ref("refs/tags/v1.0.0", rulesets), of_classic(classic)):
        assert isinstance(rules, Rules)
        _ = rules.approvals, rules.asks_code_owners, rules.checks, rules.merge_methods, rules.is_up_to_date
        rules.may_bypass("pull_request", "deletion")


@given(st.permutations(["deletion", "non_fast_forward", "update", "creation", "pull_request"]), st.integers(0, 5))
def test_one_more_ruleset_never_frees_anybody(kinds, count):
    """Rules add up: what was forbidden stays so, and who was bound stays bound."""
    actors = [{"actor_type": "Team", "actor_id": number} for number in range(count)]
    rulesets = {1: {"bypass_actors": actors[: count // 2]}, 2: {"bypass_actors": actors}}
    entries = [{"type": kind, "ruleset_id": 1} for kind in kinds[:3]]
    before = of_branch(copy.deepcopy(entries), rulesets)
    after = of_branch([*entries, *({"type": kind, "ruleset_id": 2} for kind in kinds)], rulesets)
    for kind in kinds[:3]:
        assert after.has(kind)
        assert set(after.may_bypass(kind) or ()) <= set(before.may_bypass(kind) or ())


def test_a_thousand_rulesets_and_secrets_are_read_page_by_page(ward):
    """A large organisation: nothing behind the first page is missed."""
    state = ward.state
    state.secrets += [f"SECRET_{number:04}" for number in range(250)]
    state.workflows += [dict(state.workflows[0], path=f".github/workflows/w{number}.yml") for number in range(150)]
    state.workflows[-1]["state"] = "disabled_manually"
    assert "SECRET_0249" in found(ward, "repository-secrets")[1]
    assert found(ward, "workflows") == (State.BAD, ".github/workflows/w149.yml is off (disabled_manually)")
