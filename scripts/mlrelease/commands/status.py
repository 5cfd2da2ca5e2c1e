"""`status`: what runs, asked of the running services, beside what git wants and what the ledger recorded."""

from __future__ import annotations

from mlrelease.commands.wait import read_beat
from mlrelease.commands.workspace import Workspace, environment_of, names_of
from mlrelease.delivery.agent import agent_pid
from mlrelease.delivery.passes import look
from mlrelease.delivery.waiting import life
from mlrelease.model.change import Change, Health, Plan, Sync
from mlrelease.model.live import Observation, Role
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.model.when import iso
from mlrelease.render.plan import change_json, label
from mlrelease.render.report import Report

HEADERS = ("environment", "service", "sync", "health", "git wants", "recorded", "instances", "since", "reason")


def status(workspace: Workspace, environments: tuple[str, ...]) -> Report:
    """The state of every service, one row each. Exit code 0: a look is a look; use `reconcile --check` to judge.

    4 when the files of an environment cannot be read: then nothing is known of it.
    """
    desired = workspace.desired()
    names = names_of(workspace, desired.spec, environments)
    unreadable = () if environments else tuple(name for name in names if desired.spec.blocking(name))
    if len(unreadable) == len(names):
        environment_of(desired.spec, names[0])
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    details: list[str] = []
    data: dict[str, object] = {}
    synced, healths = [], []
    for name in unreadable:
        notes.append(f"{name} cannot be read: {desired.spec.blocking(name)[0].message}: mlrelease validate --offline")
        healths.append(Health.UNKNOWN)
    for name in (name for name in names if name not in unreadable):
        environment = environment_of(desired.spec, name)
        site = workspace.site(environment)
        here = site.runs_here
        plan, history, observation = look(site, desired, judged=False, observe=here)
        pid = agent_pid(site.state_dir) if here else 0
        for change in plan.changes:
            entry = history.recorded.get(change.service)
            since = iso(entry.at)[:19] + "Z" if entry else "–"
            rows.append(_row(name, change, plan, observation, since))
            details += [f"{change.service}: {line}" for line in change.drift]
            synced.append(plan.sync[change.service])
            healths.append(plan.health[change.service])
        if not here:
            notes.append(f"{name} does not run on this host (no {site.state_dir})")
        else:
            notes.append(f"{name} answers at http://{environment.target.listen}{_prefix(environment)}")
            notes.append(f"agent: pid {pid}" if pid else f"no agent watches {name} on this host: mlrelease agent")
        beat = read_beat(site, name)
        if beat is not None or not here:
            notes.append(f"{name}: {life(beat, workspace.now())}")
        data[name] = {
            "revision": desired.revision,
            "agent_pid": pid,
            "heartbeat": None if beat is None else beat.to_json() | {"age_s": round(beat.age_s(workspace.now()), 1)},
            "listen": environment.target.listen,
            "services": {c.service: change_json(c, plan) | {"instances": _instances(c, observation)} for c in plan.changes},
        }
    worst_health = max(healths, key=list(Health).index, default=Health.HEALTHY)
    in_sync = sum(sync is Sync.IN_SYNC for sync in synced)
    if not desired.online:
        notes.append(f"the git host did not answer: this is the last fetched tip of {workspace.branch}")
    return Report(
        verdict=f"{in_sync} of {len(rows)} services in sync with {workspace.branch} at {desired.revision[:9]}, {worst_health}",
        data={"environments": data},
        headers=HEADERS,
        rows=rows,
        details=details,
        notes=notes,
        next="mlrelease validate --offline" if unreadable else f"mlrelease history {names[0]}",
        exit_code=4 if unreadable else 0,
    )


def _row(environment: str, change: Change, plan: Plan, observation: Observation | None, since: str) -> tuple[str, ...]:
    bundle, sync = change.before, plan.sync[change.service]
    # What git wants is recorded; whether it runs, nobody looked.
    reason = "as recorded" if sync is Sync.UNKNOWN else change.reason
    if observation is None:
        instances = "?"
    else:
        serving = [i for i in observation.of(change.service) if i.role is Role.ACTIVE]
        warm = sum(i.role is Role.WARM for i in observation.of(change.service))
        ready = sum(i.ready for i in serving)
        instances = f"{ready} of {len(serving)} ready" + (f", {warm} warm" if warm else "")
    return (
        environment,
        change.service,
        sync.value,
        plan.health[change.service].value,
        label(change.after),
        label(bundle),
        instances,
        since,
        change.blocked or reason,
    )


def _instances(change: Change, observation: Observation | None) -> list[dict[str, object]]:
    if observation is None:
        return []
    return [
        {"id": i.id, "bundle": i.bundle, "role": i.role.value, "ready": i.ready, "supervised": i.supervised, "pid": i.pid}
        for i in observation.instances
        if i.service == change.service
    ]


def _prefix(environment: EnvironmentSpec) -> str:
    return "/" if len(environment.services) == 1 else "/<service>/"
