"""The house's own rules for workflows and actions, as functions from one file's text to what breaks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from mlrelease.render.workflow import Stage, deploy_workflow

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"

OUTSIDE = re.compile(
    r"\$\{\{.*?(github\.event|github\.head_ref|github\.ref_name|inputs\.|needs\.|steps\.|matrix\.|env\.)", re.DOTALL
)
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_VERSIONED = re.compile(r"^uses:\s*(?P<what>\S+)\s*(?P<comment># v\d+\.\d+\.\d+)?\s*$")
_VERB = re.compile(r"(^|\s)mlrelease\s")


def made(*names: Stage, branch: str = "main") -> str:
    """The workflow `deploy` for these environments."""
    return deploy_workflow((ROOT / "templates/workflows/deploy.yml.j2").read_text(), names, branch=branch).decode()


def texts() -> dict[str, str]:
    """Every workflow and action by its place below `.github`, and `deploy` for two environments of which one waits."""
    files = [*sorted(WORKFLOWS.glob("*.yml")), *sorted((ROOT / ".github" / "actions").rglob("action.yml"))]
    found = {file.relative_to(ROOT / ".github").as_posix(): file.read_text() for file in files}
    two = made(Stage("staging", approval=False), Stage("production", approval=True, after="staging"))
    return {**found, "deploy.yml of two environments": two}


def content(text: str) -> dict[str, Any]:
    """The document; `on` is a truth value for YAML 1.1."""
    found = yaml.safe_load(text)
    if True in found:
        found["on"] = found.pop(True)
    return found


def jobs(text: str) -> Mapping[str, Any]:
    return content(text).get("jobs", {})


def steps(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every step with its job's id; of an action, those of its run."""
    document = content(text)
    for step in document.get("runs", {}).get("steps", []):
        yield "action", step
    for job, told in document.get("jobs", {}).items():
        for step in told.get("steps", []):
            yield job, step


def unpinned(text: str) -> list[str]:
    """Another's action by anything but a full commit, or without the version beside it."""
    found = []
    for line in text.splitlines():
        entry = line.strip().removeprefix("- ")
        match = _VERSIONED.search(entry)
        if match is None and entry.startswith("uses:"):
            found.append(line.strip())
        if match and not match["what"].startswith("./"):
            pinned = _PINNED.fullmatch(match["what"]) and match["comment"]
            found += [] if pinned else [line.strip()]
    return found


def no_rights_on_top(text: str) -> list[str]:
    document = content(text)
    return [] if "runs" in document or document.get("permissions") == {} else ["permissions"]


def rights_not_said(text: str) -> list[str]:
    """Jobs whose rights are not written down; without them they would have none, and fail in a way that is hard to read."""
    return [job for job, told in jobs(text).items() if "permissions" not in told]


def text_in_a_script(text: str) -> list[str]:
    """Scripts with an expression in them: it would be pasted in before the shell reads it."""
    return [str(step["run"]) for _, step in steps(text) if "${{" in str(step.get("run", ""))]


def no_concurrency(text: str) -> list[str]:
    """Workflows with a job that no group holds, but those that only look (`plan`, `approve`, `all-green`)."""
    document = content(text)
    if "runs" in document or "concurrency" in document:
        return []
    free = ("plan-", "approve-", "all-green")
    return [job for job, told in jobs(text).items() if "concurrency" not in told and not job.startswith(free)]


def cancelled_on_the_way(text: str) -> list[str]:
    """Groups of environments that cancel what is under way, or that share their name with a check of pull requests."""
    document = content(text)
    groups = [document.get("concurrency"), *(told.get("concurrency") for told in jobs(text).values())]
    deploying = [
        group for group in groups if group and str(group["group"]).startswith(("deploy-", "rollback-", "reconcile", "release"))
    ]
    events = document.get("on") or {}
    checks = "pull_request" in events or "pull_request_target" in events
    return [str(group["group"]) for group in deploying if group.get("cancel-in-progress") is not False or checks]


def secret_for_all(text: str) -> list[str]:
    """Secrets given to a whole workflow or job instead of to one step."""
    document = content(text)
    shared = [document.get("env"), *(told.get("env") for told in jobs(text).values())]
    inherited = [job for job, told in jobs(text).items() if told.get("secrets") == "inherit"]
    return [str(env) for env in shared if "secrets." in str(env) or "github.token" in str(env)] + inherited


def endless(text: str) -> list[str]:
    return [job for job, told in jobs(text).items() if "timeout-minutes" not in told and "uses" not in told]


def kept_credentials(text: str) -> list[str]:
    checkouts = [(job, step) for job, step in steps(text) if str(step.get("uses", "")).startswith("actions/checkout@")]
    return [job for job, step in checkouts if step.get("with", {}).get("persist-credentials") is not False]


def several_verbs(text: str) -> list[str]:
    """Steps that call more than one verb in a row: what a step does must be what a person can type."""
    found = []
    for _, step in steps(text):
        lines = [line for line in str(step.get("run", "")).splitlines() if _VERB.search(line) and "--version" not in line]
        if len(lines) > 1 and not all(";;" in line for line in lines):
            found.append(str(step["run"]))
    return found


def secrets_of_a_stranger(text: str) -> list[str]:
    """Secrets, or a right to write, in a workflow that a pull request brings along itself."""
    events = content(text).get("on") or {}
    if "pull_request" not in events:
        return []
    rights = [str(told.get("permissions")) for told in jobs(text).values()]
    return [part for part in [*rights, text] if re.search(r"\bsecrets\.|: write\b|'write'", part)]


RULES: Mapping[str, Callable[[str], list[str]]] = {
    "an action is pinned by its full commit, with its version beside it": unpinned,
    "a workflow has no rights on top": no_rights_on_top,
    "each job says its rights": rights_not_said,
    "no expression is pasted into a script": text_in_a_script,
    "what works on an environment is in a group": no_concurrency,
    "an environment's group cancels nothing and is no check's": cancelled_on_the_way,
    "a secret is given to one step": secret_for_all,
    "each job ends": endless,
    "no checkout keeps a credential": kept_credentials,
    "a step calls one verb": several_verbs,
    "a pull request's own workflow has no secret and no right to write": secrets_of_a_stranger,
}
