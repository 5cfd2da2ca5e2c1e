"""`rollback ENV --to-release vX.Y.Z`: the pins of a release again, one forward commit for each service, pushed together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlrelease.commands.deploy import DeployOptions, one_pass
from mlrelease.commands.output import say
from mlrelease.commands.pins import check_edit, files_for, tip_files
from mlrelease.commands.release.tagged import Tagged, find_tagged
from mlrelease.commands.rollback import RollbackOptions, check_loads, check_options, end_hold, lift, with_waiting
from mlrelease.commands.rollback_proposal import Waiting, wait_in_pull_request
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.errors import Error, UsageError
from mlrelease.forge.command import PushRefusedError
from mlrelease.history.direction import component_changes, rejection_of
from mlrelease.history.fold import History, Recorded, Rejection, fold
from mlrelease.model.bundle import Bundle
from mlrelease.model.release import ReleasedEnvironment, ReleasedService
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, SourceFile, State
from mlrelease.render.plan import label, names
from mlrelease.render.report import Report


@dataclass(frozen=True, slots=True)
class _Move:
    """One service and the verified bundle that the release had; `rejection` is a person's, to be lifted first."""

    service: ServiceSpec
    bundle: Bundle
    revision: str
    rejection: Rejection | None = None


def restore(workspace: Workspace, environment: str, options: RollbackOptions) -> Report:
    """Commits the pins of the release on the tracked branch; with `now`, applied and proved at once.

    Nothing is committed unless every service can go back. Raises `Error` naming the first that cannot: never verified
    here, rejected by a person (and no `force`), its version gone, or with other models than the files have now.
    """
    check_options(workspace, options)
    desired = workspace.desired()
    env = environment_of(desired.spec, environment)
    found = find_tagged(workspace, options.to_release)
    site = workspace.site(env)
    history = fold(environment, site.ledger.read(environment).events)
    released = _released(found, env, options.service)
    moves = [move for name in sorted(released) if (move := _move(env, history, found, released[name], options))]
    standing = [hold for name in sorted(released) if (hold := history.pinned_hold(name, workspace.now()))]
    if not moves:
        unhold = [f'mlrelease unhold {environment} --service {hold.service} --reason "…"' for hold in standing]
        return _report(env, found, [], "git wants it already", (unhold or [f"mlrelease deploy {environment}"])[0])

    # (1): everything that must exist and load does, before anything moves.
    for move in moves:
        for pin in move.bundle.models:
            check_loads(site, pin, move.service.python)

    # (2): one commit for each service, on top of what is tracked.
    files, _ = tip_files(workspace, desired.revision)
    edits = _edits(workspace, env, files, moves)
    for rejection in dict.fromkeys(move.rejection for move in moves if move.rejection):
        lift(workspace, site, rejection, options.force)
    sha, waiting = _landed(workspace, site, desired, found, edits, options)
    ended = standing if sha and options.push else []
    for hold in ended:
        end_hold(workspace, site, hold, sha)
    what = waiting.what if waiting else f"committed as {sha[:9]}"
    if not options.now:
        return with_waiting(_report(env, found, moves, what, f"mlrelease deploy {environment}"), waiting, asked=options.pr)

    # (3): applied and proved now. What waits in a pull request is found by its hold.
    began = time.monotonic()
    spec, sha = (tip_files(workspace, sha)[1], sha) if sha else (desired.spec, desired.revision)
    moving = dict.fromkeys([*(move.service.name for move in moves), *(hold.service for hold in ended)])
    only = DeployOptions(services=tuple(moving))
    report = one_pass(workspace, Desired(sha, spec, desired.online), environment, only, trigger="rollback")
    proved = "proved" if report.exit_code == 0 else "NOT proved"
    seconds = time.monotonic() - began
    notes = [*report.notes, f"{found.tag.name} is {proved} after {seconds:.2f} s"]
    return with_waiting(replace(report, notes=notes), waiting, asked=options.pr, applied=True)


def _released(found: Tagged, env: EnvironmentSpec, only: str) -> Mapping[str, ReleasedService]:
    released: ReleasedEnvironment | None = found.record.environments.get(env.name)
    if released is None:
        known = ", ".join(sorted(found.record.environments))
        raise Error(f"{found.tag.name} has no {env.name}", hint=f"environments in it: {known}")
    if not only:
        return released.services
    if only not in released.services:
        raise UsageError(
            f"{found.tag.name} has no service {only!r}", hint=f"services in it: {', '.join(sorted(released.services))}"
        )
    return {only: released.services[only]}


def _move(
    env: EnvironmentSpec, history: History, found: Tagged, released: ReleasedService, options: RollbackOptions
) -> _Move | None:
    """What has to move; None where git has it already."""
    service = env.services.get(released.name)
    if service is None or service.state is State.ABSENT:
        raise Error(
            f"{released.name} is no service of {env.name} any more",
            hint=f"git revert its removal, or name one that is: --service; {found.tag.name} had {released.name}",
        )
    if released.is_of(service.bundle):
        return None
    entry = _verified(history, released)
    if entry is None or entry.bundle is None:
        raise Error(
            f"{released.name} as in {found.tag.name} was never verified in this ledger of {env.name}",
            hint=f"mlrelease history {env.name} --service {released.name}; to move forward: mlrelease bump",
        )
    bundle = entry.bundle
    refused = rejection_of(history, service.name, bundle, component_changes(history, service.name, service.bundle, bundle))
    by_person = refused if refused and refused.by_person else None
    if by_person and not options.force.strip():
        raise Error(
            f"{label(bundle)} was rejected by {by_person.actor}: {by_person.reason}",
            hint='choose another release; or say why not: --force "…"',
        )
    return _Move(service, bundle, entry.revision, by_person)


def _verified(history: History, released: ReleasedService) -> Recorded | None:
    entries = [e for e in history.verified.get(released.name, ()) if e.bundle and e.bundle.id == released.bundle]
    exact = [e for e in entries if e.bundle and released.is_of(e.bundle)]  # with the labels of the release, where there are
    chosen = exact or entries
    return chosen[-1] if chosen else None


def _edits(
    workspace: Workspace, env: EnvironmentSpec, files: Mapping[str, SourceFile], moves: list[_Move]
) -> list[tuple[_Move, dict[str, bytes]]]:
    edits = []
    for move in moves:
        changed = files_for(workspace, files, move.service, move.bundle, move.revision)
        check_edit(files, changed, env.name, move.service.name)
        edits.append((move, changed))
    return edits


def _landed(
    workspace: Workspace,
    site: Site,
    desired: Desired,
    found: Tagged,
    edits: list[tuple[_Move, dict[str, bytes]]],
    options: RollbackOptions,
) -> tuple[str, Waiting | None]:
    """The newest commit on the branch; or what waits in a pull request: asked for, or because the branch takes no push."""
    env = site.environment
    if not options.pr:
        try:
            return _commit(workspace, desired.revision, found, env, edits, push=options.push), None
        except PushRefusedError as error:
            if error.stale:
                raise
            say(f"{error.message}: the commit goes into a pull request, and counts at once by a hold")
    services = tuple(move.service.name for move, _ in edits)
    changed = {path: data for _, one in edits for path, data in one.items()}
    tag = found.tag.name
    message = f"Roll back {env.name} to {tag}\n\nPins as released in {tag}\n"
    return "", wait_in_pull_request(workspace, site, desired, services, changed, message)


def _commit(
    workspace: Workspace,
    base: str,
    found: Tagged,
    env: EnvironmentSpec,
    edits: list[tuple[_Move, dict[str, bytes]]],
    *,
    push: bool,
) -> str:
    """The newest of the commits. With a remote they become visible together, by one push."""
    git, branch, sha = workspace.git, workspace.branch, base
    for move, changed in edits:
        subject = f"Roll back {move.service.name} in {env.name} to {names(move.bundle)}"
        body = f"{label(move.service.bundle)} → {label(move.bundle)}, as released in {found.tag.name}"
        message = f"{subject}\n\n{body}\n"
        sha = git.commit_on(sha, changed, message) if branch.remote else git.commit_paths(changed, message)
        say(f"committed as {sha[:9]}: {subject}")
    if branch.remote and push:
        git.push(branch.remote, branch.branch, revision=sha)
        git.follow(branch.branch, sha)
    return sha


def _report(env: EnvironmentSpec, found: Tagged, moves: list[_Move], what: str, command: str) -> Report:
    services = f"{len(moves)} services" if len(moves) != 1 else moves[0].service.name
    return Report(
        verdict=f"{env.name}: {services} back to {found.tag.name}: {what}",
        data={
            "environment": env.name,
            "release": found.tag.name,
            "services": {
                move.service.name: {"before": move.service.bundle.to_json(), "after": move.bundle.to_json()} for move in moves
            },
        },
        headers=("service", "from", "to") if moves else (),
        rows=[(move.service.name, label(move.service.bundle), label(move.bundle)) for move in moves],
        next=command,
    )
