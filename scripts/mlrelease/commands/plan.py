"""`plan ENV`: what would happen to what runs if the files of this work tree were the tip of the tracked branch."""

from __future__ import annotations

from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.exit_codes import blocked_code, worst
from mlrelease.delivery.passes import look
from mlrelease.delivery.source import Desired
from mlrelease.model.change import Change, Plan
from mlrelease.plan.root import root_notes
from mlrelease.render.plan import plan_report
from mlrelease.render.report import Report


def plan(workspace: Workspace, environment: str, *, exit_code: bool, offline: bool, services: tuple[str, ...]) -> Report:
    """The plan report. Exit code 5 when something is blocked, 4 for findings, 3 for changes with `exit_code`."""
    spec = workspace.worktree_spec()
    env = environment_of(spec, environment)
    site = workspace.site(env)
    desired = Desired(workspace.git.head() or "uncommitted", spec, online=not offline)
    found, history, _ = look(
        site,
        desired,
        only=frozenset(services),
        observe=site.runs_here,
        read_files=not offline,
        fetch=not offline,
        judged=not offline,
        may_load=site.runs_here,  # elsewhere this may be a check of somebody's pull request
    )
    notes = []
    if not site.runs_here:
        notes.append(f"{env.name} does not run on this host (no {site.state_dir}): what runs was not looked at")
    if found.acting and "image" not in site.target.exercises:
        notes.append(f"this target exercises {', '.join(site.target.exercises)}: the image is pinned and recorded, not run")
    notes += root_notes(found, history)
    if workspace.git.dirty_paths("environments"):
        notes.append("this is the plan of the work tree, which has changes that are not committed")
    codes = {blocked_code(change) for change in found.changes}
    if exit_code and found.acting:
        codes.add(3)
    return plan_report(found, next_command=_next(found, workspace), notes=tuple(notes), exit_code=worst(codes))


def _next(found: Plan, workspace: Workspace) -> str:
    blocked = [change for change in found.changes if change.blocked]
    if blocked and not found.acting:
        return way_out(found.environment, blocked[0])
    if not found.acting:
        return f"mlrelease status {found.environment}"
    if workspace.branch.remote and _unpushed(workspace):
        return f"git push {workspace.branch.remote} {workspace.branch.branch}"
    return f"mlrelease deploy {found.environment}"


def _unpushed(workspace: Workspace) -> bool:
    head = workspace.git.head()
    tip = workspace.git.resolve(workspace.branch.ref)
    return head is not None and head != tip


def way_out(environment: str, change: Change) -> str:
    """The command that helps where a Change is blocked."""
    service, blocked_by = change.service, change.blocked_by
    if blocked_by == "rejected":
        return f"mlrelease rollback {environment} --service {service} --last-good"
    if blocked_by == "approval":
        return f"mlrelease approve {environment} --service {service}"
    if blocked_by in ("soak", "waiting"):
        return f"mlrelease plan {environment}"
    if blocked_by == "promotion":
        return "mlrelease status"
    if blocked_by in ("findings", "undeclared"):
        return "mlrelease validate --offline"
    if blocked_by == "removals":
        return f"mlrelease deploy {environment} --allow-remove"
    if blocked_by.endswith(":errored"):
        return f"mlrelease plan {environment}"
    if blocked_by.startswith("gate:"):
        shut = next(result for result in change.gate_results if not result.opens)
        return f"mlrelease bump {environment} {shut.component.removeprefix('model:')} --to VERSION"
    return f"mlrelease history {environment} --service {service}"
