"""`deploy ENV` and `reconcile`: one pass over one environment, or over all. One engine; an agent is asked where one owns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlrelease.commands.output import say, step_line
from mlrelease.commands.plan import way_out
from mlrelease.commands.workspace import FindingsError, Workspace, environment_of, names_of
from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.agent import Request, agent_pid, hand_over
from mlrelease.delivery.aliases import write_aliases
from mlrelease.delivery.exit_codes import blocked_code, exit_code, worst
from mlrelease.delivery.notices_sending import Teller
from mlrelease.delivery.passes import Order, PassResult, look, run_pass
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import ENVIRONMENTS, Desired
from mlrelease.errors import Error
from mlrelease.model.change import Outcome
from mlrelease.plan.root import root_notes
from mlrelease.render.plan import plan_report, receipts_report
from mlrelease.render.report import Report


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What the command line says about a pass. `release` is the tag of one to rebuild, instead of the tip."""

    services: tuple[str, ...] = ()
    allow_remove: bool = False
    lock_timeout_s: float = 60.0
    release: str = ""


def deploy(workspace: Workspace, environment: str, options: DeployOptions) -> Report:
    """One pass over one environment at the tip of the tracked branch.

    Raises `Error` for a dirty `environments/`, or for commits of this checkout that are not on the tracked branch.
    """
    if options.release:
        from mlrelease.commands.release.rebuild import rebuild  # noqa: PLC0415 - it calls what is below

        return rebuild(workspace, environment, options.release, options)
    dirty = workspace.git.dirty_paths(ENVIRONMENTS)
    if dirty:
        raise Error(
            f"{dirty[0]} has changes that are not committed" + (f" (and {len(dirty) - 1} more)" if len(dirty) > 1 else ""),
            hint="git commit them, or git stash: what runs is what git says",
        )
    desired = workspace.desired()
    _refuse_unpushed(workspace, desired)
    return one_pass(workspace, desired, environment, options, trigger="deploy")


def reconcile(workspace: Workspace, environments: tuple[str, ...], options: DeployOptions, *, check: bool) -> Report:
    """The same pass over several environments (all, when none is named); with `check` only looks: 3 for changes or drift."""
    desired = workspace.desired()
    names = names_of(workspace, desired.spec, environments)
    for name in names:
        if not desired.spec.blocking(name):
            environment_of(desired.spec, name)
    run: Callable[[str], Report] = (
        (lambda name: _check(workspace, desired, name))
        if check
        else (lambda name: one_pass(workspace, desired, name, options, trigger="reconcile"))
    )
    if len(names) == 1:
        return run(names[0])
    return merged(names, [guarded_pass(name, run) for name in names])


def merged(names: Sequence[str], reports: Sequence[Report]) -> Report:
    """One report of several environments; the worst exit code wins."""
    bad = [report for report in reports if report.exit_code]
    headers = next((report.headers for report in reports if report.headers), ())
    return Report(
        verdict=f"{len(reports)} environments: " + "; ".join(report.verdict for report in reports),
        data={"environments": {name: dict(report.data) for name, report in zip(names, reports, strict=True)}},
        headers=("environment", *headers),
        rows=[(name, *row) for name, report in zip(names, reports, strict=True) for row in report.rows],
        details=[line for report in reports for line in report.details],
        notes=[line for report in reports for line in report.notes],
        next=(bad or reports)[0].next,
        exit_code=worst({report.exit_code for report in reports}),
    )


def one_pass(workspace: Workspace, desired: Desired, environment: str, options: DeployOptions, *, trigger: str) -> Report:
    """The report of one pass; where an agent owns the environment on this host, of the agent's."""
    env = environment_of(desired.spec, environment)
    site = workspace.site(env)
    pid = agent_pid(site.state_dir)
    if pid:
        say(f"the agent (pid {pid}) owns {environment}: asked it for a pass")
        request = Request(
            workspace.new_id(), workspace.actor, workspace.run_id, options.services, options.allow_remove, trigger
        )
        answer = hand_over(site.state_dir, request)
        if answer.error:
            raise Error(answer.error, hint=answer.hint)
        return report_from_json(answer.result, answer.exit_code)
    order = Order(
        actor=workspace.actor,
        trigger=trigger,
        run_id=workspace.run_id,
        new_id=workspace.new_id,
        listener=step_line,
        impatient=trigger != "reconcile",
        only=frozenset(options.services),
        removals_allowed=options.allow_remove,
        lock_timeout_s=options.lock_timeout_s,
    )
    result = run_pass(site, desired, order)
    write_aliases(site)
    Teller().after_pass(site, result.plan, result.history, wait_s=DEADLINES_S["notices"])
    return pass_report(site, result)


def pass_report(site: Site, result: PassResult) -> Report:
    """What the pass did, and the next command."""
    notes = list(root_notes(result.plan, result.history))
    if not result.online:
        notes.append(f"the git host did not answer: this is the last fetched tip of {site.branch}")
    if result.spooled:
        notes.append(f"{result.spooled} ledger events wait on this host for the git host")
    return receipts_report(
        result.plan,
        result.receipts,
        next_command=_next(site, result),
        notes=tuple(notes),
        exit_code=exit_code(result),
    )


def report_to_json(report: Report) -> dict[str, Any]:
    """The report whole, for handing it to another process."""
    return {
        "verdict": report.verdict,
        "data": dict(report.data),
        "headers": list(report.headers),
        "rows": [list(row) for row in report.rows],
        "details": list(report.details),
        "notes": list(report.notes),
        "next": report.next,
    }


def report_from_json(data: Mapping[str, Any], code: int) -> Report:
    """The report that `report_to_json` wrote."""
    return Report(
        verdict=data["verdict"],
        data=data["data"],
        headers=tuple(data["headers"]),
        rows=data["rows"],
        details=data["details"],
        notes=data["notes"],
        next=data["next"],
        exit_code=code,
    )


def _check(workspace: Workspace, desired: Desired, environment: str) -> Report:
    site = workspace.site(environment_of(desired.spec, environment))
    found, _, _ = look(site, desired, judged=False, observe=site.runs_here)
    codes = {blocked_code(change) for change in found.changes} | ({3} if found.acting else {0})
    return plan_report(found, next_command=f"mlrelease deploy {environment}" if found.acting else "", exit_code=worst(codes))


def guarded_pass(name: str, run: Callable[[str], Report]) -> Report:
    """One environment that cannot be worked on does not stop the others (DESIGN §6 row 13)."""
    try:
        return run(name)
    except Error as error:
        code = 4 if isinstance(error, FindingsError) else 1
        return Report(
            verdict=f"{name}: {error.message}",
            data={"environment": name, "error": error.message},
            notes=[error.hint] if error.hint else [],
            next="mlrelease validate --offline" if code == 4 else "",
            exit_code=code,
        )


def _refuse_unpushed(workspace: Workspace, desired: Desired) -> None:
    git, head = workspace.git, workspace.git.head()
    if head is None or head == desired.revision or git.is_ancestor(head, desired.revision):
        return
    if workspace.branch.remote and git.is_ancestor(desired.revision, head) and git.branch() == workspace.branch.branch:
        raise Error(
            f"this checkout is ahead of {workspace.branch}, and what is deployed is the tip of {workspace.branch}",
            hint=f"git push {workspace.branch.remote} {workspace.branch.branch}",
        )
    say(f"deploying {workspace.branch} at {desired.revision[:9]}, not this checkout ({head[:9]})")


def _next(site: Site, result: PassResult) -> str:
    environment = site.environment.name
    for name, receipt in sorted(result.receipts.items()):
        if receipt.outcome is Outcome.ROLLED_BACK:
            return f"mlrelease rollback {environment} --service {name} --last-good"
        if receipt.outcome is Outcome.FAILED:
            return f"mlrelease logs {environment} {name}"
        if receipt.outcome in (Outcome.ERRORED, Outcome.ABORTED):
            return f"mlrelease deploy {environment}"
    for change in result.plan.changes:
        if change.blocked:
            return way_out(environment, change)
    return f"mlrelease status {environment}"
