"""The repository's own settings on GitHub: what may be merged how, which rules hold, and what runs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlrelease.forge.github.client import GitHub, part
from mlrelease.forge.github.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class Repository:
    """What GitHub says of it. `plan` is empty where this token may not see it; `permissions` are this token's own."""

    name: str
    default_branch: str
    private: bool
    visibility: str
    owner_type: str
    plan: str
    archived: bool
    delete_branch_on_merge: bool
    allow_squash_merge: bool
    allow_merge_commit: bool
    allow_rebase_merge: bool
    allow_auto_merge: bool
    permissions: tuple[str, ...]
    html_url: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that holds: its type as GitHub's rulesets name it, and its parameters."""

    type: str
    parameters: Mapping[str, Any]
    ruleset: int


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A ruleset: `target` is `branch`, `tag` or `push`, `enforcement` is `active`, `evaluate` or `disabled`.

    `bypass` is None where this token may not see who may pass it.
    """

    id: int
    name: str
    target: str
    enforcement: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    rules: tuple[Rule, ...]
    bypass: tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow file. `state`: `active`, `disabled_inactivity`, `disabled_manually`, `disabled_fork`, `deleted`."""

    id: int
    name: str
    path: str
    state: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow; times are ISO 8601 as GitHub writes them."""

    id: int
    event: str
    status: str
    conclusion: str
    head_branch: str
    head_sha: str
    created_at: str
    updated_at: str
    html_url: str


def read(github: GitHub) -> Repository:
    """The repository. Raises `NotFoundError` where this token does not see it."""
    item = github.get("")
    owner = item.get("owner") or {}
    return Repository(
        name=str(item["full_name"]),
        default_branch=str(item["default_branch"]),
        private=bool(item["private"]),
        visibility=str(item.get("visibility") or ("private" if item["private"] else "public")),
        owner_type=str(owner.get("type", "")),
        plan=_plan(github, owner),
        archived=bool(item.get("archived")),
        delete_branch_on_merge=bool(item.get("delete_branch_on_merge")),
        allow_squash_merge=bool(item.get("allow_squash_merge")),
        allow_merge_commit=bool(item.get("allow_merge_commit")),
        allow_rebase_merge=bool(item.get("allow_rebase_merge")),
        allow_auto_merge=bool(item.get("allow_auto_merge")),
        permissions=tuple(sorted(name for name, has in (item.get("permissions") or {}).items() if has)),
        html_url=str(item.get("html_url") or github.place.html_url),
    )


def branch_rules(github: GitHub, branch: str) -> tuple[Rule, ...]:
    """The rules of active rulesets that hold for a branch; it need not exist. Classic protection is not among them."""
    found = github.pages(f"rules/branches/{part(branch)}")
    return tuple(_rule(item, int(item.get("ruleset_id", 0))) for item in found)


def protection(github: GitHub, branch: str) -> Mapping[str, Any] | None:
    """The classic protection of a branch as GitHub words it; None where it has none. Only administrators may ask."""
    try:
        found: dict[str, Any] = github.get(f"branches/{part(branch)}/protection")
    except NotFoundError:
        return None
    return found


def rulesets(github: GitHub) -> tuple[Ruleset, ...]:
    """Every ruleset with its rules, those of the organisation too; each is asked for by itself, as the list has no rules."""
    found = github.pages("rulesets", {"includes_parents": True})
    return tuple(_ruleset(github.get(f"rulesets/{int(item['id'])}", {"includes_parents": True})) for item in found)


def codeowners_errors(github: GitHub, ref: str = "") -> tuple[str, ...] | None:
    """What is wrong in CODEOWNERS, a line each (`CODEOWNERS:3: Unknown owner`); None where there is no such file."""
    try:
        found = github.get("codeowners/errors", {"ref": ref} if ref else None)
    except NotFoundError:
        return None
    return tuple(f"{e.get('path', 'CODEOWNERS')}:{e.get('line', 1)}: {e.get('kind', 'error')}" for e in found["errors"])


def workflows(github: GitHub) -> tuple[Workflow, ...]:
    """The workflows that GitHub knows, disabled ones too."""
    found = github.pages("actions/workflows")
    return tuple(Workflow(int(i["id"]), str(i["name"]), str(i["path"]), str(i["state"])) for i in found)


def runs(
    github: GitHub, workflow: str | int, *, branch: str = "", event: str = "", status: str = "", most: int = 20
) -> tuple[Run, ...]:
    """The newest runs of a workflow (file name or id), newest first; none where there is no such workflow."""
    asked = {"branch": branch, "event": event, "status": status}
    params = {name: value for name, value in asked.items() if value} | {"per_page": str(min(most, 100))}
    try:
        found = github.get(f"actions/workflows/{part(str(workflow))}/runs", params)["workflow_runs"]
    except NotFoundError:
        return ()
    return tuple(_run(item) for item in found[:most])


def run(github: GitHub, run_id: int | str) -> Run:
    """One run. Raises `NotFoundError` where there is none."""
    return _run(github.get(f"actions/runs/{part(str(run_id))}"))


def _plan(github: GitHub, owner: Mapping[str, Any]) -> str:
    if owner.get("type") != "Organization" or not owner.get("login"):
        return ""
    try:
        return str((github.get(f"/orgs/{part(str(owner['login']))}").get("plan") or {}).get("name", ""))
    except NotFoundError:
        return ""


def _rule(item: Mapping[str, Any], ruleset: int) -> Rule:
    return Rule(str(item["type"]), item.get("parameters") or {}, ruleset)


def _ruleset(item: Mapping[str, Any]) -> Ruleset:
    names = (item.get("conditions") or {}).get("ref_name") or {}
    bypass = item.get("bypass_actors")
    return Ruleset(
        id=int(item["id"]),
        name=str(item["name"]),
        target=str(item.get("target", "branch")),
        enforcement=str(item["enforcement"]),
        include=tuple(map(str, names.get("include", []))),
        exclude=tuple(map(str, names.get("exclude", []))),
        rules=tuple(_rule(rule, int(item["id"])) for rule in item.get("rules", [])),
        bypass=None if bypass is None else tuple(bypass),
    )


def _run(item: Mapping[str, Any]) -> Run:
    return Run(
        id=int(item["id"]),
        event=str(item["event"]),
        status=str(item["status"]),
        conclusion=str(item.get("conclusion") or ""),
        head_branch=str(item.get("head_branch") or ""),
        head_sha=str(item["head_sha"]),
        created_at=str(item["created_at"]),
        updated_at=str(item["updated_at"]),
        html_url=str(item.get("html_url") or ""),
    )
