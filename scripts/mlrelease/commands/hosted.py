"""`reconcile --hosted`: on a runner that a schedule starts. It asks the agents, and does their work only where it is the host.

A runner is gone a minute later, so it never starts what is to go on living: where an environment has an agent, its heartbeat
and the ledger are looked at; where the target is on this machine and nobody watches it, a pass repairs it.
"""

from __future__ import annotations

from typing import Any

from mlrelease.commands.deploy import DeployOptions, guarded_pass, merged, one_pass
from mlrelease.commands.wait import read_beat
from mlrelease.commands.workspace import Workspace, environment_of, names_of
from mlrelease.delivery.agent import agent_pid
from mlrelease.delivery.exit_codes import worst
from mlrelease.delivery.passes import look
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.delivery.waiting import life
from mlrelease.model.beat import Beat, in_words
from mlrelease.model.change import Plan, Sync
from mlrelease.render.plan import label
from mlrelease.render.report import Report

HEADERS = ("service", "sync", "health", "git wants", "recorded", "reason")


def hosted(workspace: Workspace, environments: tuple[str, ...], options: DeployOptions) -> Report:
    """One report of all environments asked for, or of all.

    Exit code: 0 when the agents have dealt with the tip and all is as it should; 3 for drift, or changes that wait for the
    agent's next look; 1 when an agent has been silent too long; else what the agent itself came to (DESIGN §5.4).
    """
    desired = workspace.desired()
    names = names_of(workspace, desired.spec, environments)
    for name in names:
        if not desired.spec.blocking(name):
            environment_of(desired.spec, name)
    if len(names) == 1:
        return _one(workspace, desired, names[0], options)
    reports = [guarded_pass(name, lambda name: _one(workspace, desired, name, options)) for name in names]
    return merged(names, reports)


def _one(workspace: Workspace, desired: Desired, name: str, options: DeployOptions) -> Report:
    site = workspace.site(environment_of(desired.spec, name))
    beat = read_beat(site, name)
    owned = bool(agent_pid(site.state_dir)) or (beat is not None and not beat.is_silent(workspace.now()))
    if site.runs_here and not owned:
        return one_pass(workspace, desired, name, options, trigger="reconcile")
    plan, _, _ = look(site, desired, judged=False, observe=False, impatient=False)
    return asked(site, desired, plan, beat, now=workspace.now())


def asked(site: Site, desired: Desired, plan: Plan, beat: Beat | None, *, now: float) -> Report:
    """The report of an environment whose host is another machine, from its agent's last word and the ledger's plan. Pure."""
    name, codes, notes = site.environment.name, {0}, [life(beat, now)]
    waiting = [change for change in plan.changes if change.acts]
    at_tip = beat is not None and beat.revision == desired.revision
    if beat is None or beat.is_silent(now):
        codes.add(1)
    elif beat.says_all:
        # Of an older revision it says what came of that one; what the tip comes to is not known yet.
        codes.add(beat.exit_code if at_tip else 3)
    drifted = sorted(s for s, word in (beat.sync if beat is not None else {}).items() if word == Sync.DRIFTED)
    if waiting or drifted:
        codes.add(3)
    if not desired.online:
        notes.append(f"the git host did not answer: this is the last fetched tip of {site.branch}")
    code = worst(codes)
    verdict = _verdict(plan, beat, drifted, at_tip=at_tip, now=now)
    return Report(
        verdict=f"{name} at {desired.revision[:9]}: {verdict}",
        data=_data(site, desired, plan, beat, now=now),
        headers=HEADERS,
        rows=[
            (
                change.service,
                _word(beat.sync if beat else {}, change.service, at_tip=at_tip),
                _word(beat.health if beat else {}, change.service, at_tip=True),
                label(change.after),
                label(change.before),
                change.blocked or change.reason,
            )
            for change in plan.changes
        ],
        notes=notes,
        next=_next(name, beat, code, now=now),
        exit_code=code,
    )


def _verdict(plan: Plan, beat: Beat | None, drifted: list[str], *, at_tip: bool, now: float) -> str:
    if beat is None:
        return "no agent ever reported"
    if beat.is_silent(now):
        return f"the agent has been silent for {in_words(beat.age_s(now))}"
    waiting = [change.service for change in plan.changes if change.acts]
    parts = [f"waits for the agent: {', '.join(waiting)}"] if waiting else []
    parts += [f"drifted: {', '.join(drifted)}"] if drifted else []
    parts += [f"blocked: {c.service} ({c.blocked})" for c in plan.changes if c.blocked]
    if not at_tip and not parts:
        parts.append("the agent has not looked at it yet")
    return "; ".join(parts) or ("dealt with" if beat.exit_code <= 0 else beat.verdict)


def _word(words: Any, service: str, *, at_tip: bool) -> str:
    return str(words.get(service, Sync.UNKNOWN)) if at_tip else Sync.UNKNOWN.value


def _data(site: Site, desired: Desired, plan: Plan, beat: Beat | None, *, now: float) -> dict[str, Any]:
    return {
        "environment": site.environment.name,
        "revision": desired.revision,
        "online": desired.online,
        "agent": None if beat is None else beat.to_json() | {"age_s": round(beat.age_s(now), 1), "silent": beat.is_silent(now)},
        "changes": {
            c.service: {"change": c.kind.value, "reason": c.reason, "blocked": c.blocked, "blocked_by": c.blocked_by}
            for c in plan.changes
        },
    }


def _next(name: str, beat: Beat | None, code: int, *, now: float) -> str:
    if beat is None or beat.is_silent(now):
        return f"mlrelease agent {name}"
    return f"mlrelease wait {name}" if code in (0, 3) else f"mlrelease plan {name}"
