"""`import ENV`: pins from the aliases that an MLflow server has today, one commit each. What is pinned already stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from mlrelease.commands.forms import model_text, state_of
from mlrelease.commands.output import say
from mlrelease.commands.placing import put, said, service_of, weighed, worktree, writable
from mlrelease.commands.versions import Loadable, check_alias, keep_goldens, leave_to_host, refused, to_load
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.admission import NotAdmittedError
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.command import no_identity
from mlrelease.history.fold import fold
from mlrelease.model.bundle import ModelPin
from mlrelease.model.spec import EnvironmentSpec, SourceFile, State
from mlrelease.model.version import VersionFacts
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render.report import Report
from mlrelease.spec.edit import set_model_pin
from mlrelease.spec.values import MODEL_NAME

HEADERS = ("model", "in git", "in MLflow", "what", "reason")
_ASKED_AT_ONCE = 8
_PENDING = ("empty-environment", "service-without-models")


class What(StrEnum):
    """What became of one model; the worst of them decides the exit code."""

    ADDED = "added"
    MOVED = "moved"
    PINNED = "pinned already"
    UNLISTED = "not in the files"
    LEFT = "left"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`alias` empty: the environment's; `service` answers for models that have no file yet; `models` narrows."""

    alias: str = ""
    service: str = ""
    models: tuple[str, ...] = ()
    golden: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One model's line."""

    model: str
    before: str
    after: str
    what: What
    reason: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A pin that is to be committed: the new bytes of its file, and where its artifacts lie."""

    line: Line
    pin: ModelPin
    path: str
    data: bytes
    folder: Path
    run: str


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every model is judged by: the files here and in the commit, which of them are edited, what MLflow is."""

    workspace: Workspace
    environment: EnvironmentSpec
    options: ImportOptions
    registry: ModelRegistry
    files: Mapping[str, SourceFile]
    head: Mapping[str, SourceFile]
    dirty: frozenset[str]

    def path(self, model: str) -> str:
        return f"{ENVIRONMENTS}/{self.environment.name}/models/{model}.yaml"

    def pinned(self, model: str) -> ModelPin | None:
        specs = (m for service in self.environment.services.values() for m in service.models)
        return next((m.pin for m in specs if m.name == model), None)


def import_pins(workspace: Workspace, environment: str, options: ImportOptions) -> Report:
    """Writes or moves a pin for every model with the alias. Exit code 1 when one could not be read, 5 when one was rejected.

    Raises `UnavailableError` when MLflow cannot be asked at all; then nothing was written.
    """
    env = writable(workspace.worktree_spec(), environment)
    alias = check_alias(options.alias or env.alias)
    files = worktree(workspace)
    if options.service:
        service_of(files, environment, options.service)
    if not options.dry_run and workspace.git.config_user() is None:
        raise no_identity()
    head = workspace.git.head()
    folder = f"{ENVIRONMENTS}/{environment}"
    ground = _Ground(
        workspace,
        env,
        options,
        workspace.registry(env),
        files,
        workspace.git.tree(head, folder) if head else {},
        frozenset(workspace.git.dirty_paths(folder)),
    )
    names = sorted(set(options.models)) or _known(ground)
    lines = _settled(ground, list(_lines(ground, names, alias)), alias)
    return _report(ground, alias, lines, asked=len(names))


def _known(ground: _Ground) -> list[str]:
    """All registered models, and those in the files: one that MLflow has lost gets its line too."""
    folder = ground.path("")[: -len(".yaml")]
    mine = {p.removeprefix(folder).removesuffix(".yaml") for p in ground.files if p.startswith(folder)}
    return sorted({*ground.registry.models(), *mine})


def _lines(ground: _Ground, names: Iterable[str], alias: str) -> Iterator[Line | _Ready]:
    """A line for every model that there is something to say of, or what is to be committed."""
    # one deadline is enough: with the server gone, each further model would cost another
    lost: UnavailableError | None = None

    def ask(name: str) -> VersionFacts | Error | None:
        nonlocal lost
        try:
            return lost or ground.registry.alias(name, alias)
        except Error as error:
            lost = error if isinstance(error, UnavailableError) else lost
            return error

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        answers = list(pool.map(ask, names))
    for name, answer in zip(names, answers, strict=True):
        pin = ground.pinned(name)
        before = pin.version if pin else ""
        if isinstance(answer, Error):
            yield Line(name, before, "", What.FAILED, answer.message)
        elif answer is None:
            if name in ground.options.models:
                yield Line(name, before, "", What.FAILED, f"it has no alias {alias} at {ground.registry.where}")
            elif ground.path(name) in ground.files:
                yield Line(name, before, "", What.LEFT, f"it has no alias {alias}")
        elif lost is not None:
            yield Line(name, before, answer.version, What.FAILED, f"not asked any more: {lost.message}")
        else:
            try:
                yield _one(ground, answer)
            except Error as error:
                lost = error if isinstance(error, UnavailableError) else lost
                yield Line(name, before, answer.version, What.FAILED, error.message)


def _one(ground: _Ground, facts: VersionFacts) -> Line | _Ready:
    """What is to become of one model; its artifacts are read where its pin is to move, unless it is a dry run."""
    name, path = facts.name, ground.path(facts.name)
    pin, source = ground.pinned(name), ground.files.get(path)
    before = pin.version if pin else ""

    def line(what: What, reason: str = "", commit: str = "") -> Line:
        return Line(name, before, facts.version, what, reason, commit)

    if not re.fullmatch(MODEL_NAME, name):
        return line(What.LEFT, "its name cannot be the name of a file")
    if source is not None and state_of(source.data) == State.ABSENT:
        return line(What.LEFT, "its file says state: absent")
    committed = ground.head.get(path)
    if pin is not None and path not in ground.dirty and pin.version == facts.version:
        return line(What.PINNED)
    if source is not None and pin is None and path not in ground.dirty:
        return line(What.LEFT, "its file, or its service's, has findings: mlrelease validate --offline")
    if source is None and (committed is not None or not ground.options.service):
        gone = "its file was removed, but not committed" if committed is not None else ""
        return line(What.LEFT if gone else What.UNLISTED, gone or "--service NAME would write it")
    what = What.MOVED if committed is not None else What.ADDED
    if ground.options.dry_run:
        return line(what, "dry run: nothing was written")
    return _read(ground, facts, line(what))


def _read(ground: _Ground, facts: VersionFacts, line: Line) -> Line | _Ready:
    path = ground.path(facts.name)
    say(f"{facts.name} {facts.version}: reading its artifacts")
    digest, folder = ArtifactCache(cache_folder(ground.workspace.variables)).fetch(facts, ground.registry)
    pin = ModelPin(facts.name, facts.version, digest)
    committed, here = ground.head.get(path), ground.files.get(path)
    if committed is not None:
        data = set_model_pin(committed.data, pin.version, pin.digest)
    else:
        data = model_text(ground.options.service, pin)
    if path in ground.dirty and (here is None or here.data != data):
        # the same bytes are what a killed run left; anything else is somebody's work
        return replace(line, what=What.LEFT, reason="its file has changes that are not committed")
    return _Ready(line, pin, path, data, folder, facts.run_id)


def _settled(ground: _Ground, found: list[Line | _Ready], alias: str) -> list[Line]:
    """The lines with what is ready judged as a whole, its golden predictions kept, and committed pin by pin."""
    ready = [one for one in found if isinstance(one, _Ready)]
    if not ready:
        return [one for one in found if isinstance(one, Line)]
    environment, ledger = ground.environment.name, ground.workspace.ledger()
    spec, findings = weighed(ground.files, {one.path: one.data for one in ready}, pending=_PENDING)
    defects = {f.path: said(f) for f in reversed(findings)}
    history = fold(environment, ledger.read(environment).events)
    bundles = {m.name: s.bundle for s in spec.environments[environment].services.values() for m in s.models}
    no = {one.pin: refused(history, bundles[one.pin.name], one.pin) for one in ready if one.pin.name in bundles}
    judged = {m.name: (m.gates, s.python) for s in spec.environments[environment].services.values() for m in s.models}
    fit: list[Loadable] = []
    for one in ready:
        if one.path in defects or no.get(one.pin):
            continue
        try:
            gates, python = judged.get(one.pin.name, (ground.environment.gates, ""))
            fit.append(to_load(ground.workspace, one.pin, one.folder, gates, python))
        except NotAdmittedError as error:
            no[one.pin] = f"not loaded: {error.message}"
    notes = keep_goldens(ledger, fit) if ground.options.golden else leave_to_host(ledger, fit)

    def settle(one: Line | _Ready) -> Line:
        if isinstance(one, Line):
            return one
        if one.path in defects:
            return replace(one.line, what=What.FAILED, reason=defects[one.path])
        if no.get(one.pin):
            return replace(one.line, what=What.REJECTED, reason=no[one.pin])
        note = notes[one.pin.digest]
        if isinstance(note, Error):
            return replace(one.line, what=What.FAILED, reason=note.message)
        body = f"From the alias {alias}\n\nDigest {one.pin.digest}" + (f"\nRun {one.run}" if one.run else "")
        message = f"Pin {one.pin.name} {one.pin.version} in {environment}\n\n{body}\n"
        try:
            sha = put(ground.workspace, {one.path: one.data}, message, commit=True)
        except Error as error:
            return replace(one.line, what=What.FAILED, reason=error.message)
        return replace(one.line, reason=note, commit=sha)

    return [settle(one) for one in found]


def _report(ground: _Ground, alias: str, lines: list[Line], *, asked: int) -> Report:
    environment, options = ground.environment.name, ground.options
    counts = Counter(line.what for line in lines)
    sums = ", ".join(f"{counts[what]} {what}" for what in What if counts[what])
    commits = [line.commit for line in lines if line.commit]
    if commits:
        branch = ground.workspace.branch
        after = f"git push {branch.remote} {branch.branch}" if branch.remote else f"mlrelease plan {environment}"
    elif counts[What.UNLISTED]:
        after = f"mlrelease import {environment} --alias {alias} --service NAME"
    elif options.dry_run and (counts[What.ADDED] or counts[What.MOVED]):
        after = f"mlrelease import {environment} --alias {alias}" + (f" --service {options.service}" if options.service else "")
    else:
        after = f"mlrelease plan {environment}"
    code = 1 if counts[What.FAILED] else 5 if counts[What.REJECTED] else 0
    nothing = f"no model has the alias {alias} ({asked} asked)"
    return Report(
        verdict=f"{environment}: {sums or nothing}" + (" (dry run)" if options.dry_run else ""),
        data={
            "environment": environment,
            "alias": alias,
            "registry": ground.registry.where,
            "dry_run": options.dry_run,
            "models": [
                {
                    "model": line.model,
                    "before": line.before,
                    "after": line.after,
                    "what": line.what.name.lower(),
                    "reason": line.reason,
                    "commit": line.commit,
                }
                for line in lines
            ],
        },
        headers=HEADERS,
        rows=[(line.model, line.before or "–", line.after or "–", line.what.value, line.reason) for line in lines],
        next=after,
        exit_code=code,
    )
