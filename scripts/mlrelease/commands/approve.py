"""`approve ENV`: a person's yes to exactly the Changes that wait for one at the tip of the tracked branch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlrelease.commands.plan import way_out
from mlrelease.commands.run_approval import Given, reviewed
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.exit_codes import blocked_code, worst
from mlrelease.delivery.passes import look
from mlrelease.errors import UsageError
from mlrelease.history.fold import History
from mlrelease.model.bundle import Bundle
from mlrelease.model.change import Change, ChangeKind, Plan
from mlrelease.model.event import Approved, Component
from mlrelease.model.gate import GateStatus
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.model.when import iso
from mlrelease.render.plan import label
from mlrelease.render.report import Report

Move = tuple[Bundle | None, Bundle | None]
"""What a Change of a plan goes from and to."""

HEADERS = ("service", "approval", "from", "to", "gates", "back to", "reason")


@dataclass(frozen=True, slots=True)
class ApproveOptions:
    """What the command line says: for which services (all), how long, from which run, why, and the plan that was read.

    `run` is the id of the workflow run whose reviewers say yes; without it, whoever runs this does.
    """

    services: tuple[str, ...] = ()
    expires_s: float = 7 * 86400.0
    run_url: str = ""
    reason: str = ""
    plan: str = ""
    run: str = ""


def approve(workspace: Workspace, environment: str, options: ApproveOptions) -> Report:
    """Records one Approval for each Change that waits for one; nothing for one that something else blocks.

    Exit code 0 also when nothing waits; 5 when something other than an approval stands in the way (an approval opens no
    gate), when the plan that was read is not the plan any more, or when nobody approved it in the run; 1 when a gate could
    not tell.
    """
    _sensible(options)
    read = _read_plan(options.plan, environment) if options.plan else None
    desired = workspace.desired()
    env = environment_of(desired.spec, environment)
    _known(env, options.services)
    if not env.approval_required:
        return _nothing(environment, "no approval is asked for here (approval: required is not set)")
    site = workspace.site(env)
    # Not observed: whether what runs has drifted is no part of the question, and the approver's machine is often another.
    found, history, _ = look(site, desired, only=frozenset(options.services), observe=False, removals_allowed=True)
    moved_on = _moved_on(read, found) if read is not None else ()
    if moved_on:
        return Report(
            verdict=f"{environment}: nothing approved: the plan moved on since {options.plan} was written",
            data={"environment": environment, "approvals": {}, "moved_on": list(moved_on)},
            notes=moved_on,
            next=f"mlrelease plan {environment}",
            exit_code=5,
        )
    waiting = [
        change for change in found.changes if change.blocked_by == "approval" and all(r.opens for r in change.gate_results)
    ]
    given = Given(workspace.actor, options.run_url)
    if options.run and waiting:
        given = reviewed(workspace, env, options.run, waiting, revision=desired.revision)
    if given.refused:
        return Report(
            verdict=f"{environment}: nothing approved: {given.refused}",
            data={"environment": environment, "approvals": {}, "refused": given.refused},
            next=given.way_out,
            exit_code=5,
        )
    events = [_event(workspace, env, change, options, given) for change in waiting]
    notes = list(given.notes)
    notes += [] if desired.online else [f"the git host did not answer: this is the last fetched tip of {workspace.branch}"]
    if events and site.ledger.append(events).spooled:
        notes.append("the git host did not answer: the approval waits on this machine, and nobody else sees it yet")
    return _report(env, found, history, dict(zip((c.service for c in waiting), events, strict=True)), notes, workspace.now())


def _sensible(options: ApproveOptions) -> None:
    """Raises `UsageError` for a run that is none, or without what its reviewers saw."""
    if not options.run:
        return
    if not (options.run.isascii() and options.run.isdecimal()):
        raise UsageError(f"{options.run!r} is not the id of a workflow run", hint='--run "$GITHUB_RUN_ID"')
    if not options.plan:
        raise UsageError("--run goes with the plan that its reviewers read", hint="--plan FILE")
    if options.run_url:
        raise UsageError("--run says which run it was: it does not go with --run-url", hint="leave --run-url away")


def _event(workspace: Workspace, env: EnvironmentSpec, change: Change, options: ApproveOptions, given: Given) -> Approved:
    now = workspace.now()
    return Approved(
        id=workspace.new_id(),
        environment=env.name,
        at=now,
        actor=workspace.actor,
        service=change.service,
        before=_components(change.before),
        after=_components(change.after),
        approver=given.approver,
        expires_at=now + options.expires_s,
        run_url=given.run_url,
        reason="; ".join(text for text in (options.reason, given.remark) if text),
    )


def _components(bundle: Bundle | None) -> tuple[Component, ...]:
    return tuple(sorted(bundle.components().items())) if bundle else ()


def _known(env: EnvironmentSpec, services: tuple[str, ...]) -> None:
    unknown = sorted(set(services) - set(env.services) - env.invalid)
    if unknown:
        known = ", ".join(sorted(env.services)) or "none"
        raise UsageError(f"{env.name} has no service {unknown[0]!r}", hint=f"services there: {known}")


def _report(
    env: EnvironmentSpec,
    plan: Plan,
    history: History,
    approved: Mapping[str, Approved],
    notes: list[str],
    now: float,
) -> Report:
    rows, codes = [], set()
    blocked = None
    for change in plan.changes:
        event = approved.get(change.service)
        word, reason, code = _word(change, event, history, now)
        codes.add(code)
        if code and blocked is None:
            blocked = change
        opened = sum(result.opens for result in change.gate_results)
        gates = f"{opened} of {len(change.gate_results)}" if change.gate_results else "–"
        back = label(change.before) if change.before else "nothing"
        rows.append((change.service, word, label(change.before), label(change.after), gates, back if event else "", reason))
    if not approved and blocked is None:
        return _nothing(env.name, "; ".join(f"{row[0]}: {row[6]}" for row in rows) or "it has no services")
    details = [
        f"{change.service}: gate {r.gate} {r.status} for {r.component}: {r.reason}"
        for change in plan.changes
        for r in change.gate_results
        if not r.opens
    ]
    named = "; ".join(_said(change) for change in plan.changes if change.service in approved)
    shut = sum(1 for row in rows if row[1] == "blocked")
    verdict = f"approved {named}" if named else "nothing approved"
    return Report(
        verdict=f"{env.name}: {verdict}" + (f"; {shut} blocked" if shut else ""),
        data={
            "environment": env.name,
            "revision": plan.revision,
            "approvals": {
                change.service: {
                    "id": approved[change.service].id,
                    "approver": approved[change.service].approver,
                    "expires_at": iso(approved[change.service].expires_at),
                    "run_url": approved[change.service].run_url,
                    "reason": approved[change.service].reason,
                    "before": change.before.to_json() if change.before else None,
                    "after": change.after.to_json() if change.after else None,
                    "gates": [result.to_json() for result in change.gate_results],
                }
                for change in plan.changes
                if change.service in approved
            },
            "blocked": {row[0]: row[6] for row in rows if row[1] == "blocked"},
        },
        headers=HEADERS,
        rows=rows,
        details=details,
        notes=notes,
        next=_way_out(env.name, blocked) if blocked else f"mlrelease deploy {env.name}",
        exit_code=worst(codes | {0}),
    )


def _word(change: Change, event: Approved | None, history: History, now: float) -> tuple[str, str, int]:
    """What became of one service: the word, why, and its exit code."""
    if event is not None:
        return "approved", f"until {iso(event.expires_at)}", 0
    if change.blocked and change.blocked_by != "approval" and not change.blocked_by.startswith("gate:"):
        return "blocked", change.blocked, blocked_code(change)
    shut = [result for result in change.gate_results if not result.opens]
    if shut:
        errored = all(result.status is GateStatus.ERRORED for result in shut)
        return "blocked", f"an approval opens no gate: {shut[0].gate} {shut[0].status}", 1 if errored else 5
    given = history.approval_of(change.service, change.before, change.after, now)
    if given is not None and change.acts:
        return "given", f"{given.approver} approved it, until {iso(given.expires_at)}", 0
    if change.kind is ChangeKind.ROLLBACK:
        return "not needed", "a rollback waits for no approval", 0
    return "not needed", change.reason, 0


def _way_out(environment: str, change: Change) -> str:
    """The command that helps; where only a gate is shut, approving again does not."""
    shut = next((result for result in change.gate_results if not result.opens), None)
    if change.blocked_by == "approval" and shut is not None:
        return way_out(environment, replace(change, blocked_by=f"gate:{shut.gate}:{shut.status}"))
    return way_out(environment, change)


def _said(change: Change) -> str:
    """One approved Change: what from, what to, what its gates said, and what a rollback goes back to."""
    opened = sum(result.opens for result in change.gate_results)
    gates = f", gates {opened} of {len(change.gate_results)}" if change.gate_results else ""
    back = f"; a rollback goes back to {label(change.before)}" if change.before else "; there is nothing to go back to"
    return f"{change.service} {label(change.before)} → {label(change.after)}{gates}{back}"


def _nothing(environment: str, why: str) -> Report:
    return Report(
        verdict=f"{environment}: nothing to approve: {why}",
        data={"environment": environment, "approvals": {}, "blocked": {}},
        next=f"mlrelease status {environment}",
    )


def _read_plan(path: str, environment: str) -> Mapping[str, Move]:
    """Each service's before and after in a plan that `plan --output json` wrote. Raises `UsageError` for anything else."""
    hint = f"mlrelease --output json plan {environment} > FILE"
    try:
        content = json.loads(Path(path).read_bytes())
        moves = {name: (_bundle(name, c["before"]), _bundle(name, c["after"])) for name, c in content["changes"].items()}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not a plan", hint=hint) from error
    if content.get("environment") != environment:
        raise UsageError(f"{path} is a plan of another environment", hint=hint)
    return moves


def _bundle(service: str, data: Mapping[str, Any] | None) -> Bundle | None:
    """The bundle of a plan. Raises what `Bundle.from_json` does, and for values that are none of a bundle's."""
    if data is None:
        return None
    bundle = Bundle.from_json(service, data)
    label(bundle)  # which needs all of it: an image that is a number is found here
    return bundle


def _moved_on(read: Mapping[str, Move], now: Plan) -> tuple[str, ...]:
    """What differs, by digest, between the plan that was read and the one of now, for the services asked for."""
    differs = []
    for change in now.changes:
        is_now = f"{label(change.before)} → {label(change.after)}"
        was = read.get(change.service)
        if was is None:
            differs.append(f"{change.service}: not in the plan that was read, is {is_now}")
        elif (_components(was[0]), _components(was[1])) != (_components(change.before), _components(change.after)):
            differs.append(f"{change.service}: was {label(was[0])} → {label(was[1])}, is {is_now}")
    return tuple(differs)
