"""`rollback ENV`: a forward commit that restores pins verified here before; with `--now` applied and proved at once.

Where the tracked branch takes no push, or with `--pr`, the commit waits in a pull request, and a hold makes it count at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mlrelease.commands.deploy import DeployOptions, one_pass
from mlrelease.commands.output import say
from mlrelease.commands.pins import check_edit, files_for, model_of, tip_files
from mlrelease.commands.rollback_proposal import Waiting, check_github, wait_in_pull_request
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.artifacts import admitted, compute_golden, golden_of
from mlrelease.delivery.interpreter import interpreter_here
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.errors import Error, UsageError
from mlrelease.forge.command import PushRefusedError
from mlrelease.history.direction import component_changes, rejection_of
from mlrelease.history.fold import History, Recorded, Rejection, fold
from mlrelease.model.bundle import Bundle, ModelPin
from mlrelease.model.event import Held, Unheld, Unrejected
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec
from mlrelease.registries.interface import DigestMismatch
from mlrelease.render.plan import label, names
from mlrelease.render.report import Report


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """What to go back to: a version of one model, or (without `to`) the last good bundle of the service.

    `force` is the reason for which a person's rejection of it is lifted; `pr`: in a pull request, even where a push would do.
    `to_release` is the tag of a release: `commands/release/restore.py` goes back to all that it had.
    """

    service: str = ""
    model: str = ""
    to: str = ""
    to_release: str = ""
    now: bool = False
    push: bool = True
    force: str = ""
    pr: bool = False


def rollback(workspace: Workspace, environment: str, options: RollbackOptions) -> Report:
    """Commits the restored pins on top of the tracked branch, pushes, and with `now` waits for the proof.

    Raises `Error` when there is nothing to go back to, when the target does not exist or load, or when no push is taken.
    """
    check_options(workspace, options)
    desired = workspace.desired()
    env = environment_of(desired.spec, environment)
    service = _service(env, options)
    site = workspace.site(env)
    history = fold(environment, site.ledger.read(environment).events)
    target = _target(history, service, options)
    bundle = _bundle(target)
    refused = rejection_of(history, service.name, bundle, component_changes(history, service.name, service.bundle, bundle))
    if refused and refused.by_person and not options.force.strip():
        raise Error(
            f"{label(bundle)} was rejected by {refused.actor}: {refused.reason}",
            hint=f'choose another: mlrelease history {environment} --service {service.name}; or say why not: --force "…"',
        )
    standing = history.pinned_hold(service.name, workspace.now())
    if bundle == service.bundle:
        deploy = f"mlrelease deploy {environment}"
        command = f'mlrelease unhold {environment} --service {service.name} --reason "…"' if standing else deploy
        return _report(env, service, bundle, "git wants it already", command)

    # (1): the target exists and loads, before anything moves.
    for pin in bundle.models:
        check_loads(site, pin, service.python)

    # (2): one commit on top of what is tracked, whatever lies in this work tree.
    files, _ = tip_files(workspace, desired.revision)
    changed = files_for(workspace, files, service, bundle, target.revision)
    check_edit(files, changed, environment, service.name)
    subject = f"Roll back {service.name} in {environment} to {names(bundle)}"
    body = f"{label(service.bundle)} → {label(bundle)}, verified here at {target.revision[:9]}"
    if refused and refused.by_person:
        lift(workspace, site, refused, options.force)
    message = f"{subject}\n\n{body}\n"
    waiting: Waiting | None = None
    try:
        sha = "" if options.pr else _commit(workspace, desired.revision, changed, message, push=options.push)
    except PushRefusedError as error:
        if error.stale:
            raise
        say(f"{error.message}: the commit goes into a pull request, and counts at once by a hold")
        sha = ""
    if sha and standing and options.push:
        end_hold(workspace, site, standing, sha)
    if not sha:
        waiting = wait_in_pull_request(workspace, site, desired, (service.name,), changed, message)
    what = waiting.what if waiting else f"committed as {sha[:9]}"
    say(f"{what}: {subject}")
    if not options.now:
        return with_waiting(_report(env, service, bundle, what, f"mlrelease deploy {environment}"), waiting, asked=options.pr)

    # (3): applied and proved now. What waits in a pull request is found by its hold.
    began = time.monotonic()
    spec, sha = (tip_files(workspace, sha)[1], sha) if sha else (desired.spec, desired.revision)
    report = one_pass(
        workspace, Desired(sha, spec, desired.online), environment, DeployOptions(services=(service.name,)), trigger="rollback"
    )
    seconds = time.monotonic() - began
    code = report.exit_code
    proved = "proved" if code == 0 else "NOT proved"
    notes = [*report.notes, f"{label(bundle)} is {proved} after {seconds:.2f} s"]
    return with_waiting(replace(report, notes=notes, exit_code=code), waiting, asked=options.pr, applied=True)


def check_options(workspace: Workspace, options: RollbackOptions) -> None:
    """Raises `UsageError` for options that contradict each other, `Error` where `pr` has no GitHub: before anything moves."""
    if not options.push and (options.now or options.pr):
        raise UsageError(f"--{'now applies' if options.now else 'pr proposes'} what is pushed: it does not go with --no-push")
    if options.pr:
        check_github(workspace)


def _service(environment: EnvironmentSpec, options: RollbackOptions) -> ServiceSpec:
    if options.model:
        return model_of(environment, options.model)[0]
    if options.service:
        if options.service not in environment.services:
            known = ", ".join(sorted(environment.services)) or "none"
            raise UsageError(f"{environment.name} has no valid service {options.service!r}", hint=f"services there: {known}")
        return environment.services[options.service]
    if len(environment.services) == 1:
        return next(iter(environment.services.values()))
    raise UsageError("which service?", hint=f"--service, one of {', '.join(sorted(environment.services))}")


def _target(history: History, service: ServiceSpec, options: RollbackOptions) -> Recorded:
    """The verified entry to go back to. With `to`, the newest whose model had that version; else the last good one."""
    verified = [entry for entry in history.verified.get(service.name, ()) if entry.bundle is not None]
    if options.to:
        name = options.model or (service.models[0].name if len(service.models) == 1 else "")
        if not name:
            raise UsageError("which model goes back to that version?", hint="--model NAME")
        matching = [e for e in verified if e.bundle and e.bundle.versions().get(name) == options.to]
        if not matching:
            known = dict.fromkeys(e.bundle.versions()[name] for e in verified if e.bundle and name in e.bundle.versions())
            raise Error(
                f"{name} version {options.to} was never verified in {history.environment}",
                hint=f"verified there: {', '.join(known) or 'none'}; to move forward: mlrelease bump",
            )
        chosen = matching[-1]
        if options.model and chosen.bundle is not None:
            # Only this model goes back; everything else stays as git has it.
            pin = next(p for p in chosen.bundle.models if p.name == name)
            others = tuple(p for p in service.bundle.models if p.name != name)
            return replace(chosen, bundle=replace(service.bundle, models=tuple(sorted((*others, pin)))))
        return chosen
    recorded = history.bundle(service.name)
    if recorded is not None and recorded.id != service.bundle.id:
        # Git is ahead of what serves (an automatic rollback): making git true again is the last good state.
        return history.recorded[service.name]
    before = recorded.id if recorded else None
    entry = history.last_good(service.name, before=before)
    if entry is None:
        raise Error(
            f"nothing else was ever verified for {service.name} in {history.environment}",
            hint=f"mlrelease history {history.environment} --service {service.name}",
        )
    return entry


def check_loads(site: Site, pin: ModelPin, python: str) -> None:
    """Loads a version in isolation; one in this host's cache with golden predictions has loaded before.

    `python` is the interpreter of its service; where it cannot be used on this machine, the host tries the version first.
    """
    path = site.cache.verified(pin.digest)
    if path is not None and golden_of(site, pin.digest) is not None:
        return
    if path is None:
        registry = site.registry()
        facts = registry.describe([(pin.name, pin.version)])[pin.name, pin.version]
        if facts is None:
            raise Error(
                f"{pin.name} version {pin.version} is gone: neither in this host's cache nor at {registry.where}",
                hint=f"mlrelease history {site.environment.name} names older ones",
            )
        try:
            path = site.cache.ensure(pin, facts, registry)
        except DigestMismatch as error:
            raise Error(
                f"{pin.name} {pin.version} at {registry.where} is not what was verified here: found {error.found}",
                hint=f"mlrelease history {site.environment.name} names older ones",
            ) from error
    folder = admitted(site, pin, path)
    try:
        interpreter = interpreter_here(python)
    except Error as error:
        say(f"{pin.name} {pin.version}: not loaded on this machine: {error.message}")
        return
    say(f"{pin.name} {pin.version}: loading it in an isolated process")
    compute_golden(folder, python=interpreter)


def lift(workspace: Workspace, site: Site, rejection: Rejection, reason: str) -> None:
    """Takes a person's rejection back in the ledger, before the commit: the host refuses the move while it stands."""
    components = tuple(sorted(rejection.components))
    lifted = Unrejected(
        workspace.new_id(), site.environment.name, workspace.now(), workspace.actor, reason, rejection.service, components
    )
    site.ledger.append([lifted])
    say(f"lifted the rejection by {rejection.actor} ({rejection.reason}): {reason}")


def _commit(workspace: Workspace, base: str, changed: dict[str, bytes], message: str, *, push: bool) -> str:
    branch, git = workspace.branch, workspace.git
    if not branch.remote:
        return git.commit_paths(changed, message)
    sha = git.commit_on(base, changed, message)
    if push:
        git.push(branch.remote, branch.branch, revision=sha)
        git.follow(branch.branch, sha)
    return sha


def end_hold(workspace: Workspace, site: Site, standing: Held, sha: str) -> None:
    """Ends the hold of an earlier rollback: the tracked branch took this one, and it is what a person wants now."""
    name, reason = site.environment.name, f"rolled back on {workspace.branch} at {sha[:9]}"
    lifted = Unheld(workspace.new_id(), name, workspace.now(), workspace.actor, reason, standing.service, standing.id)
    site.ledger.append([lifted])


def with_waiting(report: Report, waiting: Waiting | None, *, asked: bool, applied: bool = False) -> Report:
    """The report with what is to be known of the pull request.

    One that was `asked` for and is not there is an error, and so is a hold that nobody but this machine knows of, unless a
    pass here has `applied` it.
    """
    if waiting is None:
        return report
    data = {**report.data, "pull_request": {"number": waiting.number, "url": waiting.url, "commit": waiting.sha}}
    command = f"review and merge {waiting.url}" if waiting.url and not report.exit_code else report.next
    code = report.exit_code or (1 if (asked and not waiting.number) or (waiting.spooled and not applied) else 0)
    return replace(report, notes=[*report.notes, *waiting.notes], data=data, next=command, exit_code=code)


def _bundle(entry: Recorded) -> Bundle:
    if entry.bundle is None:
        raise Error("the service was removed there", hint="git revert the removal instead")
    return entry.bundle


def _report(environment: EnvironmentSpec, service: ServiceSpec, bundle: Bundle, what: str, command: str) -> Report:
    return Report(
        verdict=f"{environment.name}: {service.name} back to {label(bundle)}: {what}",
        data={
            "environment": environment.name,
            "service": service.name,
            "before": service.bundle.to_json(),
            "after": bundle.to_json(),
        },
        next=command,
    )
