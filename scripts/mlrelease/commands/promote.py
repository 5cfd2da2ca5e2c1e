"""`promote SOURCE DEST`: what SOURCE proved becomes DEST's pins, one commit each, with the evidence in its message.

With `--pr` the commits of each service are proposed on a branch of its own, in a pull request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlrelease.commands.explanations import explain
from mlrelease.commands.github import github_of
from mlrelease.commands.pins import check_edit, edited_pin, model_of
from mlrelease.commands.promotion_pins import Line, resolved
from mlrelease.commands.promotion_proof import SourceProof, promotion_message
from mlrelease.commands.proposals import Edit, Proposed, Subject, Wanted, propose, tip_to_propose_on, withdraw
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.source import ENVIRONMENTS, Desired
from mlrelease.errors import Error, UsageError
from mlrelease.forge import branches
from mlrelease.history.fold import fold
from mlrelease.model.bundle import ModelPin
from mlrelease.model.spec import EnvironmentSpec, SourceFile, Spec
from mlrelease.plan.promote import Chosen, candidates, settled, unplaced
from mlrelease.render.pull_request import pull_request_text
from mlrelease.render.report import Report
from mlrelease.spec.edit import set_image

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub

HEADERS = ("service", "pin", "from", "to", "result", "reason")


@dataclass(frozen=True, slots=True)
class PromoteOptions:
    """Which pins (empty: all), and whether they are committed and pushed.

    `pr`: proposed in one pull request a service; `reopen`: also what a person closed.
    """

    services: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    images: bool = True
    commit: bool = True
    push: bool = False
    pr: bool = False
    reopen: bool = False


def promote(workspace: Workspace, source: str, destination: str, options: PromoteOptions) -> Report:
    """Moves every pin that may move; each of the others gets its line, and exit code 5 says that there are any.

    Raises `Error` for a work tree with changes, a detached checkout, or when MLflow does not answer: then nothing moved.
    """
    github = github_of(workspace) if options.pr else None
    tip = tip_to_propose_on(workspace) if github else None
    spec = tip.spec if tip else workspace.worktree_spec()
    dest, origin = environment_of(spec, destination), environment_of(spec, source)
    _check(workspace, dest, source, options)
    ledger = workspace.ledger()
    view = ledger.read(source)
    if view.broken:
        raise Error(f"the ledger of {source} does not hold together: {view.broken}", hint=f"mlrelease history {source}")
    proved = fold(source, view.events)
    history = fold(destination, ledger.read(destination, fetch=False).events)
    chosen = Chosen(frozenset(options.services), frozenset(options.models), options.images)
    found = candidates(proved, dest, history, chosen, now=workspace.now())
    lines = resolved(workspace, origin, dest, found)
    proof = SourceProof(proved, view.events)
    closed: list[str] = []
    if github and tip:
        lines = _proposed(workspace, github, tip, lines, dest.name, proof, options)
        subjects = [Subject("promote", destination, name) for name in settled(proved, dest, chosen)]
        closed = _closed(workspace, github, subjects, f"{destination} pins what {source} runs: nothing is left to promote")
    else:
        lines = _written(workspace, dest, lines, proof, options)
    return _report(dest, source, lines, unplaced(proved, dest), options, workspace, closed)


def _check(workspace: Workspace, dest: EnvironmentSpec, source: str, options: PromoteOptions) -> None:
    if dest.name == source:
        raise UsageError(f"{source} cannot be promoted to itself", hint="mlrelease promote staging production")
    if dest.promotes_from not in ("", source):
        raise UsageError(
            f"{dest.name} promotes from {dest.promotes_from}, not from {source}",
            hint=f"mlrelease promote {dest.promotes_from} {dest.name}",
        )
    unknown = sorted(set(options.services) - set(dest.services))
    if unknown:
        known = ", ".join(sorted(dest.services)) or "none"
        raise UsageError(f"{dest.name} has no valid service {unknown[0]!r}", hint=f"services there: {known}")
    for name in options.models:
        model_of(dest, name)
    if options.pr and (options.push or not options.commit):
        raise UsageError("--pr commits and pushes by itself: it does not go with --push or --no-commit")
    dirty = [] if options.pr else workspace.git.dirty_paths(ENVIRONMENTS)
    if dirty:
        raise Error(f"{dirty[0]} has changes that are not committed", hint="git commit them, or git stash")
    if options.commit and not options.pr and workspace.git.branch() is None:
        raise Error("the checkout is detached: a commit here would belong to no branch", hint="git switch -c BRANCH")


def _written(
    workspace: Workspace,
    dest: EnvironmentSpec,
    lines: list[Line],
    proof: SourceProof,
    options: PromoteOptions,
) -> list[Line]:
    """Every pin that may move in its file: one commit each, pushed together at the end; or only edited."""
    git, branch = workspace.git, workspace.branch
    done = []
    for line in lines:
        if line.code:
            done.append(line)
            continue
        files = dict(git.worktree(ENVIRONMENTS))
        edit = _edit(files, dest, line)
        if options.commit:
            sha = git.commit_paths(edit, _message(dest, line, proof))
            done.append(replace(line, result=f"committed as {sha[:9]}"))
        else:
            for name, data in edit.items():
                (git.root() / name).write_bytes(data)
            done.append(replace(line, result="edited, not committed"))
    if options.push and options.commit and any(not line.code for line in done):
        git.push(branch.remote, branch.branch)
        done = [line if line.code else replace(line, result=f"{line.result} and pushed") for line in done]
    return done


def _edit(files: Mapping[str, SourceFile], dest: EnvironmentSpec, line: Line) -> dict[str, bytes]:
    """The file of the pin with the pin. Raises `Error` when that would bring a finding to its service."""
    if isinstance(line.pin, ModelPin):
        edit = edited_pin(files, model_of(dest, line.pin.name)[1], line.pin)
    else:
        path = dest.services[line.candidate.service].path
        edit = {path: set_image(files[path].data, line.pin.reference)}
    check_edit(files, edit, dest.name, line.candidate.service)
    return edit


def _message(dest: EnvironmentSpec, line: Line, proof: SourceProof) -> str:
    return promotion_message(dest, line.candidate, line.pin, proof, waits=line.reason, origin=line.origin)


def _proposed(
    workspace: Workspace,
    github: GitHub,
    tip: Desired,
    lines: Sequence[Line],
    destination: str,
    proof: SourceProof,
    options: PromoteOptions,
) -> list[Line]:
    """Every service's pins that may move, in its pull request; of one with none left, an open pull request is closed."""
    dest = tip.spec.environments[destination]
    done: dict[str, Proposed] = {}
    for service in dict.fromkeys(line.candidate.service for line in lines):
        subject = Subject("promote", destination, service)
        of_service = [line for line in lines if line.candidate.service == service]
        moving = [line for line in of_service if not line.code]
        if not moving:
            pins = {line.candidate.key: (_to(line), str(line.pin.digest)) for line in of_service}
            gone = withdraw(workspace, github, subject, of_service[0].reason, pins=pins)
            done |= {service: Proposed(f"refused, {gone}")} if gone else {}
            continue
        files = dict(workspace.git.tree(tip.revision, ENVIRONMENTS))
        edits = []
        for line in moving:
            edit = _edit(files, dest, line)
            files |= {path: SourceFile(data) for path, data in edit.items()}
            edits.append(Edit(edit, _message(dest, line, proof)))

        def explained(spec: Spec, subject: Subject = subject) -> tuple[str, str]:
            about = explain(workspace, subject, tip.spec, spec, evidence=proof.sentences(dest, subject.service_in(spec)))
            return about.title, pull_request_text(about)

        done[service] = propose(workspace, github, Wanted(subject, tip, tuple(edits), explained, again=options.reopen))
    return [
        # A pull request speaks for the pins that move; what is said of a closed one for those that do not.
        replace(line, result=found.what, pull=found if found.number else None)
        if (found := done.get(line.candidate.service)) and bool(found.number) != bool(line.code)
        else line
        for line in lines
    ]


def _closed(workspace: Workspace, github: GitHub, subjects: Sequence[Subject], why: str) -> list[str]:
    """What was open for these, closed: it proposes what the source does not run any more, or what is merged otherwise."""
    pattern = f"refs/heads/{branches.branch_name('promote', subjects[0].environment, '*')}" if subjects else ""
    there = branches.listed(workspace.git, workspace.branch.remote, pattern) if pattern else {}
    standing = [subject for subject in subjects if f"refs/heads/{subject.branch}" in there]
    found = {subject.service: withdraw(workspace, github, subject, why, pins={}) for subject in standing}
    return [f"{service}: {gone}, {why}" for service, gone in found.items() if gone]


def _report(
    dest: EnvironmentSpec,
    source: str,
    lines: Sequence[Line],
    missing: Sequence[tuple[str, str]],
    options: PromoteOptions,
    workspace: Workspace,
    closed: Sequence[str] = (),
) -> Report:
    moved = [line for line in lines if not line.code]
    refused = len(lines) - len(moved)
    notes = [
        f"{source} serves {model}, and {dest.name} has no file for it: mlrelease new model {dest.name} {model} --service {name}"
        for name, model in missing
    ]
    notes += closed
    did = "proposed" if options.pr else "promoted"
    pins = f"{len(moved)} {'pin' if len(moved) == 1 else 'pins'} {did} from {source}"
    parts = [pins] if moved else []
    parts += [f"{refused} refused"] if refused else []
    nothing = f"nothing to promote: its files say what {source} verified"
    return Report(
        verdict=f"{dest.name}: {', '.join(parts) or nothing}",
        data={
            "environment": dest.name,
            "source": source,
            "pins": [_json(line) for line in lines],
            "missing": [{"service": name, "model": model} for name, model in missing],
        },
        headers=HEADERS,
        rows=[
            (c.service, c.name, c.labels[0], _to(line), line.result, line.reason) for line in lines for c in [line.candidate]
        ],
        notes=notes,
        next=_next(dest, moved, lines, options, workspace),
        exit_code=5 if refused else 0,
    )


def _next(
    dest: EnvironmentSpec, moved: Sequence[Line], lines: Sequence[Line], options: PromoteOptions, workspace: Workspace
) -> str:
    branch = workspace.branch
    if not moved:
        return f"mlrelease history {dest.name}" if lines else f"mlrelease status {dest.name}"
    if not options.commit:
        return "git commit environments"
    if options.pr:
        proposed = [line.pull for line in moved if line.pull]
        again = f"mlrelease promote … {dest.name} --pr --reopen"
        return next((f"review and merge {pull.url}" for pull in proposed if pull.sha), again)
    if branch.remote and not options.push:
        return f"git push {branch.remote} {workspace.git.branch()}"
    return f"mlrelease approve {dest.name}" if dest.approval_required else f"mlrelease deploy {dest.name}"


def _to(line: Line) -> str:
    return line.pin.version if isinstance(line.pin, ModelPin) else line.pin.short


def _json(line: Line) -> dict[str, object]:
    candidate = line.candidate
    pull: dict[str, object] = {"pull_request": line.pull.to_json()} if line.pull else {}
    return pull | {
        "service": candidate.service,
        "component": candidate.key,
        "before": {"label": candidate.labels[0], "digest": candidate.before.digest},
        "after": {"label": _to(line), "digest": line.pin.digest},
        "result": line.result,
        "reason": line.reason,
        "exit_code": line.code,
    }
