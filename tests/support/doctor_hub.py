"""A repository on the local GitHub with everything set as the documentation says, for `doctor` to look at, and to spoil."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mlrelease.commands.doctor.checks import Line, Patient, State, ask_all
from mlrelease.commands.doctor.verb import Reach, github, github_questions, report
from mlrelease.commands.github import github_of
from mlrelease.commands.vendored import upgrade
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.render.report import Report
from support.github_server import Hub, running_github
from support.github_server.deciding import add_workflow
from support.github_server.state import State as Remembered
from support.github_server.state import iso
from support.newcomer import Newcomer, newcomer
from support.repositories import git

NAME = "acme/models"
RULESETS = ("main", "ledger", "ledger-writers", "tags", "tag-writers")
NOBODY_SEES = {"contents": "read", "pull_requests": "write", "checks": "write", "deployments": "write"}
"""What a token may that sees little: GitHub's names of permissions."""

WORKFLOWS = ("validate.yml", "deploy.yml", "reconcile.yml")


@dataclass
class Ward:
    """The local GitHub, the clone, and the environment that wants an approval."""

    hub: Hub
    clone: Newcomer
    token: str

    @property
    def state(self) -> Remembered:
        """The repository as GitHub has it; what a test sets here, GitHub answers."""
        return self.hub.state(NAME)

    @property
    def variables(self) -> dict[str, str]:
        """Those of a person's shell: our own token, the repository by name."""
        return {
            "MLRELEASE_GITHUB_API": self.hub.api_url,
            "MLRELEASE_GITHUB_REPOSITORY": NAME,
            "MLRELEASE_GITHUB_TOKEN": self.token,
        }

    def patient(self, **variables: str) -> Patient:
        """All that `doctor` looks at, with these variables besides."""
        found, _ = self.reached(**variables)
        return found

    def reached(self, **variables: str) -> tuple[Patient, Reach]:
        """The patient, and what there is of GitHub for it. A variable that is empty is taken away."""
        known = dict(self.clone.variables) | self.variables | variables
        workspace = replace(self.clone, variables={name: value for name, value in known.items() if value})
        reach = github(workspace)
        return Patient(workspace, tuple(workspace.worktree_spec().environments.values()), reach.asked), reach

    @property
    def production(self) -> EnvironmentSpec:
        """The environment that wants an approval."""
        return self.clone.worktree_spec().environments["production"]

    def lines(self, *ids: str, deadline_s: float = 40, **variables: str) -> list[Line]:
        """The answers of the checks of these ids (all, without any), asked as `doctor` asks."""
        patient, reach = self.reached(**variables)
        questions = [check for check in github_questions(patient, reach) if not ids or check.id in ids]
        return list(ask_all(questions, deadline_s=deadline_s))

    def report(self, **variables: str) -> Report:
        """GitHub's half of the report, with addresses made the same from run to run."""
        patient, reach = self.reached(**variables)
        lines = list(ask_all(github_questions(patient, reach), deadline_s=40))
        told = [
            replace(line, found=replace(line.found, what=self.told(line.found.what), fix=self.told(line.found.fix)))
            for line in lines
        ]
        return report(told, reach)

    def told(self, text: str) -> str:
        """The text without what differs from run to run."""
        return re.sub(r"http://127\.0\.0\.1:\d+", "https://github.example", text)

    def push(self, path: str, text: str | None) -> None:
        """Writes (or removes) a file, commits it, and brings it to GitHub past the rules."""
        if text is None:
            (self.clone.root / path).unlink()
        else:
            self.clone.write(path, text)
        self.clone.commit(f"Change {path}")
        git(self.hub.git_path(NAME), "fetch", "--quiet", str(self.clone.root), "+main:main")

    def fine(self, **permissions: str) -> str:
        """A fine-grained token with these permissions, by GitHub's names."""
        return self.hub.make_token("ann", kind="fine", permissions=permissions)


@contextmanager
def well(folder: Path) -> Iterator[Ward]:
    """A ward in which every line is `ok`, until the block ends."""
    with running_github(folder) as hub:
        hub.repository(NAME, allow_merge_commit=False, delete_branch_on_merge=True)
        clone = newcomer(folder)
        path = "environments/production/environment.yaml"
        clone.write(path, clone.read(path).replace("alias: production", "approval: required\nalias: production"))
        owners = ".github/CODEOWNERS"
        clone.write(owners, clone.read(owners).replace("@ORGANISATION", "@acme"))
        clone.commit("Ask for approvals, name the owners")
        upgrade(clone, dry_run=False)  # the workflow `deploy` follows the environments
        git(clone.root, "remote", "add", "origin", str(hub.git_path(NAME)))
        git(clone.root, "push", "--quiet", "--set-upstream", "origin", "main")
        ward = Ward(hub, replace(clone, branch=replace(clone.branch, remote="origin")), hub.make_token("ann", kind="fine"))
        _set_up(ward)
        yield ward


@contextmanager
def unspoilt(ward: Ward) -> Iterator[Ward]:
    """The ward, put back as it was when the block ends: files, settings, faults, and what was asked."""
    kept = {field.name: copy.deepcopy(getattr(ward.state, field.name)) for field in fields(Remembered) if field.name in _SPOILT}
    head = ward.clone.head
    ward.hub.calls.clear()
    try:
        yield ward
    finally:
        ward.hub.faults.clear()
        for name, value in kept.items():
            setattr(ward.state, name, value)
        if ward.clone.head != head:
            git(ward.clone.root, "reset", "--quiet", "--hard", head)
            git(ward.hub.git_path(NAME), "update-ref", "refs/heads/main", head)


_SPOILT = (
    "settings", "environments", "branch_policies", "secrets", "rulesets", "protections", "workflows", "runs",
    "codeowners_errors", "actions_permissions", "workflow_permissions", "forbidden",
)  # fmt: skip


def _set_up(ward: Ward) -> None:
    """Rules by the API with the files that are shipped, the rest as an administrator clicks it."""
    admin = github_of(replace(ward.clone, variables=dict(ward.clone.variables) | ward.variables))
    for name in RULESETS:
        admin.post("rulesets", json.loads(ward.clone.read(f".github/rulesets/{name}.json")))
    hub, state = ward.hub, ward.state
    branches = ("main", "v*")
    hub.environment(
        NAME, "production", reviewers=("bob",), prevent_self_review=True, branches=branches, can_admins_bypass=False
    )
    hub.environment(NAME, "validate", branches=("main",))
    state.actions_permissions |= {"allowed_actions": "selected", "sha_pinning_required": True}
    for file in WORKFLOWS:
        add_workflow(hub, state, file)
    ran(ward, time.time() - 600)


def ran(ward: Ward, at: float, *, conclusion: str = "success", **more: Any) -> None:
    """A run of `reconcile` that ended then."""
    ward.hub.add_run(
        NAME, workflow="reconcile.yml", event="schedule", status="completed", conclusion=conclusion, updated_at=iso(at), **more
    )


def found(ward: Ward, id_: str, environment: str = "", **variables: str) -> tuple[State, str]:
    """State and text of one line."""
    line = _line(ward, id_, environment, variables)
    return line.found.state, line.found.what


def fix(ward: Ward, id_: str, environment: str = "") -> str:
    """What to do about it."""
    return _line(ward, id_, environment, {}).found.fix


def _line(ward: Ward, id_: str, environment: str, variables: dict[str, str]) -> Line:
    (line,) = (line for line in ward.lines(id_, **variables) if line.environment in ("", environment or line.environment))
    return line
