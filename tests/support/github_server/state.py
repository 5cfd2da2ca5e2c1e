"""What the local GitHub remembers: per repository the objects in GitHub's own form, as its REST API answers them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Thing = dict[str, Any]


def iso(moment: float) -> str:
    """GitHub's form: whole seconds, `Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Account:
    """Who a token speaks for, and what it may.

    `kind`: `pat` (classic, `scopes`), `fine` (fine-grained), `actions` (a workflow's GITHUB_TOKEN), `app` (an
    installation). `permissions` maps GitHub's names (`pull_requests`, `checks`, …) to `read` or `write`; None is all.
    """

    login: str
    kind: str = "pat"
    permissions: dict[str, str] | None = None
    scopes: str = "repo, workflow"
    until: float = float("inf")
    app: App | None = None

    @property
    def is_installation(self) -> bool:
        return self.kind in ("actions", "app")

    def may(self, permission: str, level: str) -> bool:
        """Whether the token has the right; `metadata` every token has."""
        if self.permissions is None:
            return True
        has = self.permissions.get(permission, "none")
        return permission == "metadata" or has in ("write", level)


@dataclass
class App:
    """A GitHub App with its key pair, installed in `repositories`."""

    app_id: str
    slug: str
    private_key: str
    public_key: str
    installation: int
    repositories: set[str]
    permissions: dict[str, str] | None = None
    tokens_made: int = 0


@dataclass
class State:
    """One repository. Lists and dicts hold GitHub's own objects; tests read them, and may set what they need."""

    name: str
    git_path: Path
    id: int
    settings: Thing
    pulls: dict[int, Thing] = field(default_factory=dict)
    issues: dict[int, Thing] = field(default_factory=dict)
    comments: list[Thing] = field(default_factory=list)
    reviews: list[Thing] = field(default_factory=list)
    check_runs: list[Thing] = field(default_factory=list)
    statuses: list[Thing] = field(default_factory=list)
    deployments: list[Thing] = field(default_factory=list)
    deployment_statuses: list[Thing] = field(default_factory=list)
    environments: dict[str, Thing] = field(default_factory=dict)
    branch_policies: dict[str, list[Thing]] = field(default_factory=dict)
    environment_secrets: dict[str, list[str]] = field(default_factory=dict)
    environment_variables: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    rulesets: dict[int, Thing] = field(default_factory=dict)
    protections: dict[str, Thing] = field(default_factory=dict)
    releases: list[Thing] = field(default_factory=list)
    asset_bytes: dict[int, bytes] = field(default_factory=dict)
    workflows: list[Thing] = field(default_factory=list)
    runs: dict[int, Thing] = field(default_factory=dict)
    approvals: dict[int, list[Thing]] = field(default_factory=dict)
    dispatches: list[Thing] = field(default_factory=list)
    codeowners_errors: list[Thing] = field(default_factory=list)
    actions_permissions: Thing = field(
        default_factory=lambda: {"enabled": True, "allowed_actions": "all", "sha_pinning_required": False}
    )
    workflow_permissions: Thing = field(
        default_factory=lambda: {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
    )
    has_immutable_releases: bool = False
    forbidden: dict[str, str] = field(default_factory=dict)
    """Paths inside the repository (`environments/*`) that are answered 403 with this message, e.g. for a plan without them."""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]

    def comments_on(self, number: int) -> list[Thing]:
        """The comments of one issue or pull request, oldest first."""
        return [comment for comment in self.comments if comment["issue_url"].endswith(f"/issues/{number}")]

    def reviews_of(self, number: int) -> list[Thing]:
        """The reviews of one pull request, oldest first."""
        return [review for review in self.reviews if review["pull_request_url"].endswith(f"/pulls/{number}")]

    def annotations(self, run_id: int) -> list[Thing]:
        """The annotations of one check run, in the order in which they came."""
        return next(run["_annotations"] for run in self.check_runs if run["id"] == run_id)

    def statuses_of(self, deployment: int) -> list[Thing]:
        """The statuses of one deployment, newest first."""
        return [s for s in reversed(self.deployment_statuses) if s["deployment_url"].endswith(f"/deployments/{deployment}")]
