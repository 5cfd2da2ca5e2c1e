"""Checks of the approval gate: the GitHub Environment of each environment of ours, and whether GitHub heeds what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, unknown, warn
from mlrelease.commands.doctor.github.asking import Asked, check
from mlrelease.commands.doctor.github.rules import CLASSIC
from mlrelease.commands.doctor.github.shape import mapping, mappings
from mlrelease.forge.github.client import part
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from mlrelease.model.spec import EnvironmentSpec

TAGS = "v*"
"""The tags that may deploy too: releases."""

VALIDATE = "validate"
"""The Environment whose secret reads MLflow for pull requests; nothing is deployed to it."""

_ENTERPRISE = "enterprise"
_PLANS = "Free, Pro and Team have reviewers for public repositories only"
"""https://docs.github.com/actions/reference/deployments-and-environments"""


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about the gates, per environment."""
    if (asked := patient.github) is None:
        return
    for environment in patient.environments:
        for id_, ask in (("approval-gate", gate), ("gate-self-review", self_review)):
            yield check(asked, id_, lambda ask=ask, env=environment: ask(asked, env), environment.name)  # type: ignore[misc]
    for name in (*(environment.name for environment in patient.environments), VALIDATE):
        yield check(asked, "gate-branches", lambda name=name: branches(asked, name), name)  # type: ignore[misc]


def gate(asked: Asked, environment: EnvironmentSpec) -> Found:
    """The Environment exists, somebody has to approve, and the owner's plan makes GitHub wait for it."""
    if not environment.approval_required:
        return skipped("approval is not required here (environment.yaml)")
    settings = _settings(asked, environment.name)
    page = f"{asked.page('settings/environments')}: required reviewers"
    if settings is None:
        return bad(f"there is no GitHub Environment {environment.name}: jobs that name it run at once", page)
    names = _reviewers(settings)
    is_private, plan = asked.repository().get("private") is True, _plan(asked)
    if not names:
        why = f" ({_PLANS})" if is_private and plan != _ENTERPRISE else ""
        return bad(f"nobody has to approve{why}", "a public repository, or GitHub Enterprise" if why else page)
    if is_private and plan and plan != _ENTERPRISE:
        return bad(
            f"GitHub ignores the reviewers of a private repository on the plan {plan}",
            "a public repository, or GitHub Enterprise: the settings stay as they are and count again",
        )
    said = f"approved by one of {', '.join(names)}"
    if is_private and not plan:
        return unknown(
            f"{said}; whether GitHub heeds it depends on the owner's plan, which this token does not see",
            f"does a run wait for the approval? {_PLANS}",
        )
    if settings.get("can_admins_bypass") is True:
        return warn(f"{said}, or by nobody: administrators may pass it", page.replace("required reviewers", "no bypass"))
    return ok(said)


def self_review(asked: Asked, environment: EnvironmentSpec) -> Found:
    """Who started a run is not the one who approves it."""
    settings = _settings(asked, environment.name) if environment.approval_required else None
    rule = _rule(settings, "required_reviewers")
    if rule is None:
        return skipped("nobody has to approve here: see approval-gate")
    if rule.get("prevent_self_review") is True:
        return ok("who starts a run may not approve it")
    return warn("who starts a run may approve it too", f"{asked.page('settings/environments')}: prevent self-review")


def branches(asked: Asked, name: str) -> Found:
    """Only the tracked branch and release tags get at the Environment's secrets."""
    settings = _settings(asked, name)
    if settings is None:
        return skipped(f"there is no GitHub Environment {name}")
    page = f"{asked.page('settings/environments')}: selected branches and tags, {asked.branch}"
    policy = settings.get("deployment_branch_policy")
    if not isinstance(policy, Mapping):
        return bad("any branch may deploy to it", page)
    if policy.get("protected_branches") is True:
        return _protected(asked, page)
    found = asked.list_of(f"environments/{part(name)}/deployment-branch-policies")
    allowed = {(str(entry.get("type") or "branch"), str(entry.get("name", ""))) for entry in found}
    tracked = ("branch", asked.branch)
    if surplus := sorted(name for _, name in allowed - {tracked, ("tag", TAGS)}):
        return bad(f"others than {asked.branch} and {TAGS} may deploy to it: {', '.join(surplus)}", page)
    if tracked not in allowed:
        return bad(f"{asked.branch} may not deploy to it: its jobs fail", page)
    return ok(f"only {' and '.join(sorted(name for _, name in allowed))}")


def _protected(asked: Asked, page: str) -> Found:
    """Protected branches may deploy: classic protection is meant, and where no branch has it GitHub lets every one in."""
    rules = asked.rules(asked.branch)
    if rules.is_whole and not any(rule.ruleset == CLASSIC for rule in rules.rules):
        return bad("protected branches may deploy to it, and rulesets do not count: that is any branch", page)
    return warn("every protected branch may deploy to it", page)


def _settings(asked: Asked, name: str) -> Mapping[str, Any] | None:
    """The Environment; None when there is none of that name, and not just none for this token."""
    try:
        return asked.get(f"environments/{part(name)}")
    except NotFoundError:
        asked.list_of("environments")  # who may not see them all hears 404 here too
        return None


def _rule(settings: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    rules = mappings(mapping(settings).get("protection_rules"))
    return next((rule for rule in rules if rule.get("type") == kind), None)


def _reviewers(settings: Mapping[str, Any]) -> list[str]:
    rule = mapping(_rule(settings, "required_reviewers"))
    found = []
    for entry in mappings(rule.get("reviewers")):
        who = mapping(entry.get("reviewer"))
        found.append(f"team {who.get('slug', '?')}" if entry.get("type") == "Team" else f"@{who.get('login', '?')}")
    return found


def _plan(asked: Asked) -> str:
    """The owner's plan: `enterprise` also where a server or an internal repository shows it; empty when it cannot be seen."""
    repository = asked.repository()
    if asked.is_enterprise_server or repository.get("visibility") == "internal":
        return _ENTERPRISE
    owner = mapping(repository.get("owner"))
    kind = "orgs" if owner.get("type") == "Organization" else "users"
    try:
        said = asked.once("owner", lambda: asked.github.get(f"/{kind}/{owner.get('login', '')}"))
    except (NotFoundError, ForbiddenError):
        return ""
    return str(mapping(mapping(said).get("plan")).get("name") or "")
