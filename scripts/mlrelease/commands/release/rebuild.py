"""`deploy ENV --release vX.Y.Z`: what was released, again, for an environment of which nothing is recorded.

The record stands in for what an empty ledger cannot say: that these bundles were promoted and approved here. It is
proved against git first; approvals are written into the new ledger as what they are, taken from a release.
"""

from __future__ import annotations

from dataclasses import replace

from mlrelease.commands.deploy import DeployOptions, one_pass
from mlrelease.commands.output import say
from mlrelease.commands.release.proofs import Status, of_git
from mlrelease.commands.release.tagged import Tagged, find_tagged
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.agent import agent_pid
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired, spec_at
from mlrelease.errors import Error
from mlrelease.history.fold import History, fold
from mlrelease.model.event import Approved
from mlrelease.model.release import ReleasedEnvironment
from mlrelease.model.spec import EnvironmentSpec, Spec
from mlrelease.render.report import Report

APPROVED_FOR_S = 3600.0
"""An approval taken from a record serves this rebuild, and no later one."""


def rebuild(workspace: Workspace, environment: str, tag: str, options: DeployOptions) -> Report:
    """One pass with the pins of the tag. Exit code 5 where something is recorded: then `rollback --to-release` goes back.

    Raises `Error` where the record does not hold against git, has no such environment, or an agent owns it here.
    """
    found = find_tagged(workspace, tag)
    bad = [line for line in of_git(workspace, found) if line.status is not Status.PASSED]
    if bad:
        word = "does not hold" if bad[0].status is Status.FAILED else "cannot be proved now"
        raise Error(
            f"{found.tag.name} {word}: {bad[0].what}: {bad[0].check}: {bad[0].reason}",
            hint=f"mlrelease release verify {found.tag.name}",
        )
    released = found.record.environments.get(environment)
    if released is None:
        known = ", ".join(sorted(found.record.environments))
        raise Error(f"{found.tag.name} has no {environment}", hint=f"environments in it: {known}")
    spec = spec_at(workspace.git, found.tag.commit)
    env = environment_of(spec, environment)
    site = workspace.site(env)
    history = _history(site)
    if history.recorded:
        return _recorded(environment, found, history)
    pid = agent_pid(site.state_dir)
    if pid:
        raise Error(
            f"an agent (pid {pid}) owns {environment} here, and it applies the tip of {workspace.branch}",
            hint="stop it first; it goes on from what is rebuilt",
        )
    _approve(workspace, site, history, env, released, found)
    desired = Desired(found.tag.commit, _vouched(spec, env), found.online)
    report = one_pass(workspace, desired, environment, options, trigger=f"release {found.tag.name}")
    notes = [*report.notes, f"the pins of {found.tag.name} (commit {found.tag.commit[:9]}), as its record vouches for them"]
    if spec_at(workspace.git, found.tip).environments.get(environment) != env:
        notes.append(f"{workspace.branch} says something else by now: mlrelease plan {environment}")
    return replace(report, notes=notes)


def _history(site: Site) -> History:
    name = site.environment.name
    view = site.ledger.read(name)
    if view.broken:
        raise Error(f"the ledger of {name} does not hold together: {view.broken}", hint=f"mlrelease history {name}")
    return fold(name, view.events)


def _recorded(environment: str, found: Tagged, history: History) -> Report:
    names = sorted(history.recorded)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Report(
        verdict=f"{environment}: refused: {shown} is recorded there, and a release is rebuilt only where nothing is",
        data={"environment": environment, "release": found.tag.name, "recorded": names},
        notes=["a lost host is brought back by mlrelease deploy alone: the ledger knows what ran"],
        next=f"mlrelease rollback {environment} --to-release {found.tag.name}",
        exit_code=5,
    )


def _approve(
    workspace: Workspace, site: Site, history: History, env: EnvironmentSpec, released: ReleasedEnvironment, found: Tagged
) -> None:
    """The record's approvals as events, where the environment asks for them and has none; by whom is said as it was."""
    if not env.approval_required:
        return
    now = workspace.now()
    events = []
    for name, service in sorted(released.services.items()):
        bundle = env.services[name].bundle
        if not service.approvals or history.approval_of(name, None, bundle, now):
            continue
        newest = service.approvals[-1]
        events.append(
            Approved(
                id=workspace.new_id(),
                environment=env.name,
                at=now,
                actor=workspace.actor,
                service=name,
                before=(),
                after=tuple(sorted(bundle.components().items())),
                approver=newest.approver,
                expires_at=now + APPROVED_FOR_S,
                run_url=newest.run_url,
                reason=f"approved on {newest.at[:10]} ({newest.event}), as recorded in {found.tag.name}",
            )
        )
    if events:
        site.ledger.append(events)
        say(f"{len(events)} approvals taken from {found.tag.name}")


def _vouched(spec: Spec, env: EnvironmentSpec) -> Spec:
    """The environment without what only the history of another one could answer: the record says that it was proved here."""
    services = {
        name: replace(
            service,
            models=tuple(
                replace(m, gates=tuple(gate for gate in m.gates if gate.gate != "promoted_from")) for m in service.models
            ),
        )
        for name, service in env.services.items()
    }
    alone = replace(env, promotes_from="", soak_s=0.0, services=services)
    return replace(spec, environments={**spec.environments, env.name: alone})
