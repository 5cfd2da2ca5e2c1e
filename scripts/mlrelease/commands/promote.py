"""`promote SOURCE DEST`: what SOURCE proved becomes DEST's pins, one commit each, with the evidence in its message.

With `--pr` the commits of each service are proposed on a branch of its own, in a pull request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlrelease.commands.explanations import explain
from mlrelease.commands.github import github_of
from mlrelease.commands.output import say
from mlrelease.commands.pins import check_edit, edited_pin, model_of
from mlrelease.commands.promotion_proof import SourceProof, promotion_message
from mlrelease.commands.proposals import Edit, Proposed, Subject, Wanted, propose, tip_to_propose_on, withdraw
from mlrelease.commands.workspace import Workspace, cache_folder, environment_of
from mlrelease.delivery.source import ENVIRONMENTS, Desired
from mlrelease.errors import Error, UsageError
from mlrelease.forge import branches
from mlrelease.history.fold import fold
from mlrelease.model.bundle import ImagePin, ModelPin
from mlrelease.model.spec import EnvironmentSpec, SourceFile, Spec
from mlrelease.model.version import VersionFacts
from mlrelease.plan.promote import Candidate, Chosen, candidates, settled, unplaced
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render.plan import NAMED
from mlrelease.render.pull_request import pull_request_text
from mlrelease.render.report import Report
from mlrelease.spec.edit import set_image

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub
    from mlrelease.registries.cache import ArtifactCache

HEADERS = ("service", "pin", "from", "to", "result", "reason")

VERSIONS_SEARCHED = 20
"""So many of the newest versions at another MLflow are hashed to find one by its digest: each is a download."""

TOGETHER = 8
"""Versions whose artifacts are read at a time, as for `bump`."""


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


@dataclass(frozen=True, slots=True)
class _Line:
    """What became of one pin. `pin` is the one for the destination's MLflow; `origin` the run and model it came from."""

    candidate: Candidate
    pin: ModelPin | ImagePin
    result: str = ""
    reason: str = ""
    code: int = 0
    origin: str = ""
    pull: Proposed | None = None


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
    lines = _resolved(workspace, origin, dest, found)
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


def _resolved(workspace: Workspace, origin: EnvironmentSpec, dest: EnvironmentSpec, found: Sequence[Candidate]) -> list[_Line]:
    """Each candidate with its pin at the destination's MLflow: the bytes are hashed again, wherever they lie."""
    lines = [_Line(c, c.after, "refused", c.refused, 5) if c.refused else _Line(c, c.after, reason=c.note) for c in found]
    if not any(isinstance(line.pin, ModelPin) and not line.code for line in lines):
        return lines
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.registries.concurrently import concurrently  # noqa: PLC0415
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    addresses = {expand(env.tracking_uri, workspace.variables, where=env.path).rstrip("/") for env in (origin, dest)}
    registry = workspace.registry(dest)
    cache = ArtifactCache(cache_folder(workspace.variables))

    models = [line for line in lines if isinstance(line.pin, ModelPin) and not line.code]
    if len(models) > NAMED:
        say(f"reading the artifacts of {len(models)} models")

    def resolved(line: _Line) -> _Line:
        if line.code or not isinstance(line.pin, ModelPin):
            return line
        if len(addresses) == 1:
            if len(models) <= NAMED:
                say(f"{line.pin.name} {line.pin.version}: reading its artifacts")
            return _same_server(line, line.pin, registry, cache)
        return _other_server(line, line.pin, registry, cache)

    return concurrently(resolved, lines, workers=TOGETHER)


def _same_server(line: _Line, pin: ModelPin, registry: ModelRegistry, cache: ArtifactCache) -> _Line:
    """The same version, whose bytes must still be those that were verified."""
    facts = registry.describe([(pin.name, pin.version)])[pin.name, pin.version]
    if facts is None:
        return _refused(line, f"{pin.name} version {pin.version} is gone from {registry.where}")
    digest, _ = cache.fetch(facts, registry)
    if digest != pin.digest:
        return _refused(line, f"its artifacts at {registry.where} were changed since they were verified: found {digest[:19]}…")
    return replace(line, origin=_origin(facts))


def _other_server(line: _Line, pin: ModelPin, registry: ModelRegistry, cache: ArtifactCache) -> _Line:
    """The newest version there that has these bytes; version numbers of two servers have nothing to do with each other."""
    newest = registry.versions(pin.name)[:VERSIONS_SEARCHED]
    for facts in newest:
        say(f"{pin.name} {facts.version}: reading its artifacts at {registry.where}")
        if cache.fetch(facts, registry)[0] == pin.digest:
            return replace(line, pin=replace(pin, version=facts.version), origin=_origin(facts))
    looked = f"none of its {len(newest)} newest versions" if newest else "no version"
    return _refused(
        line,
        f"{looked} at {registry.where} has the bytes that were verified: copy the bytes of {pin.name} {pin.version} "
        "there (mlflow artifacts download, then log and register the folder as it is)",
    )


def _origin(facts: VersionFacts) -> str:
    """What MLflow says that made the version: its run, its logged model, or both."""
    named = (("run", facts.run_id), ("logged model", facts.model_id))
    return ", ".join(f"{what} {value}" for what, value in named if value)


def _refused(line: _Line, reason: str) -> _Line:
    return replace(line, result="refused", reason=reason, code=5)


def _written(
    workspace: Workspace,
    dest: EnvironmentSpec,
    lines: list[_Line],
    proof: SourceProof,
    options: PromoteOptions,
) -> list[_Line]:
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


def _edit(files: Mapping[str, SourceFile], dest: EnvironmentSpec, line: _Line) -> dict[str, bytes]:
    """The file of the pin with the pin. Raises `Error` when that would bring a finding to its service."""
    if isinstance(line.pin, ModelPin):
        edit = edited_pin(files, model_of(dest, line.pin.name)[1], line.pin)
    else:
        path = dest.services[line.candidate.service].path
        edit = {path: set_image(files[path].data, line.pin.reference)}
    check_edit(files, edit, dest.name, line.candidate.service)
    return edit


def _message(dest: EnvironmentSpec, line: _Line, proof: SourceProof) -> str:
    return promotion_message(dest, line.candidate, line.pin, proof, waits=line.reason, origin=line.origin)


def _proposed(
    workspace: Workspace,
    github: GitHub,
    tip: Desired,
    lines: Sequence[_Line],
    destination: str,
    proof: SourceProof,
    options: PromoteOptions,
) -> list[_Line]:
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
    lines: Sequence[_Line],
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
    dest: EnvironmentSpec, moved: Sequence[_Line], lines: Sequence[_Line], options: PromoteOptions, workspace: Workspace
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


def _to(line: _Line) -> str:
    return line.pin.version if isinstance(line.pin, ModelPin) else line.pin.short


def _json(line: _Line) -> dict[str, object]:
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
