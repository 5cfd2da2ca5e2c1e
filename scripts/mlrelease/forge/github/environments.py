"""GitHub Environments: what protects them, as GitHub says it, and who approved in a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlrelease.forge.github.client import GitHub, part
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """One environment. `reviewers` are logins and `team:slug`; `wait_timer` is minutes.

    `branches` are the names and globs that may deploy: empty with `is_limited` False is any branch; with
    `only_protected` every protected one. `secrets` is None where this token may not read their names.
    """

    name: str
    reviewers: tuple[str, ...]
    wait_timer: int
    prevent_self_review: bool
    admins_bypass: bool
    is_limited: bool
    only_protected: bool
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    secrets: tuple[str, ...] | None
    html_url: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One decision of a person in a run: `state` is `approved` or `rejected`."""

    user: str
    environments: tuple[str, ...]
    state: str
    comment: str


def names(github: GitHub) -> tuple[str, ...]:
    """The repository's environments; none also where the plan has none (404)."""
    try:
        return tuple(str(item["name"]) for item in github.pages("environments"))
    except NotFoundError:
        return ()


def read(github: GitHub, name: str) -> EnvironmentSettings | None:
    """The environment as GitHub enforces it: rules that a plan does not have are not in its answer. None: there is none."""
    try:
        item = github.get(f"environments/{part(name)}")
    except NotFoundError:
        return None
    rules = {str(rule["type"]): rule for rule in item.get("protection_rules") or []}
    required = rules.get("required_reviewers", {})
    policy = item.get("deployment_branch_policy") or {}
    policies = _policies(github, name) if policy.get("custom_branch_policies") else []
    return EnvironmentSettings(
        name=str(item["name"]),
        reviewers=tuple(_reviewer(entry) for entry in required.get("reviewers", [])),
        wait_timer=int(rules.get("wait_timer", {}).get("wait_timer", 0)),
        prevent_self_review=bool(required.get("prevent_self_review")),
        admins_bypass=bool(item.get("can_admins_bypass", True)),
        is_limited=bool(policy),
        only_protected=bool(policy.get("protected_branches")),
        branches=tuple(str(p["name"]) for p in policies if p.get("type", "branch") == "branch"),
        tags=tuple(str(p["name"]) for p in policies if p.get("type") == "tag"),
        secrets=_secrets(github, name),
        html_url=str(item.get("html_url") or ""),
    )


def approvals(github: GitHub, run_id: int | str) -> tuple[Reviewed, ...]:
    """What people decided about the environments of a workflow run. Raises `NotFoundError` for a run that is not there."""
    found = github.pages(f"actions/runs/{part(str(run_id))}/approvals")
    return tuple(
        Reviewed(
            user=str((item.get("user") or {}).get("login", "")),
            environments=tuple(str(entry["name"]) for entry in item.get("environments", [])),
            state=str(item.get("state", "")),
            comment=str(item.get("comment") or ""),
        )
        for item in found
    )


def _reviewer(entry: dict[str, Any]) -> str:
    reviewer = entry.get("reviewer") or {}
    return f"team:{reviewer.get('slug', '')}" if entry.get("type") == "Team" else str(reviewer.get("login", ""))


def _policies(github: GitHub, name: str) -> list[dict[str, Any]]:
    return list(github.pages(f"environments/{part(name)}/deployment-branch-policies"))


def _secrets(github: GitHub, name: str) -> tuple[str, ...] | None:
    try:
        return tuple(str(item["name"]) for item in github.pages(f"environments/{part(name)}/secrets"))
    except (ForbiddenError, NotFoundError):
        return None
