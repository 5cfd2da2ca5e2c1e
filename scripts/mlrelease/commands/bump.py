"""`bump ENV MODEL… --to VERSION`: digests resolved, golden predictions computed in isolation, pins moved, one commit each.

With `--pr` each pin is proposed on a branch of its own, on top of the tracked branch, in a pull request of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlrelease.commands.explanations import explain
from mlrelease.commands.github import github_of
from mlrelease.commands.output import say
from mlrelease.commands.pins import check_edit, edited_pin, model_of
from mlrelease.commands.proposals import Edit, Proposed, Subject, Wanted, propose, tip_to_propose_on, withdraw
from mlrelease.commands.versions import Loadable, find_version, keep_golden, keep_goldens, refused, to_load
from mlrelease.commands.workspace import Workspace, cache_folder, environment_of
from mlrelease.delivery.admission import NotAdmittedError
from mlrelease.delivery.source import ENVIRONMENTS, Desired
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.history.fold import History, fold
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.bundle import Digest, ModelPin, model_key
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec, Spec
from mlrelease.render.pull_request import pull_request_text
from mlrelease.render.report import Report

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub

TOGETHER = 8
"""Versions whose artifacts are read at a time: the server is asked no harder by a fleet than by a few people."""


@dataclass(frozen=True, slots=True)
class BumpOptions:
    """`to` is a version (empty: the newest that is registered); `services` stand for all of their models.

    `pr`: proposed in pull requests; `reopen`: also what a person closed.
    """

    to: str = ""
    commit: bool = True
    push: bool = False
    services: tuple[str, ...] = ()
    pr: bool = False
    reopen: bool = False


@dataclass(frozen=True, slots=True)
class _Move:
    """One pin on its way: what became of it so far, in words, and with which exit code. `wanted`: it will be committed."""

    service: ServiceSpec
    model: ModelSpec
    after: ModelPin
    what: str = ""
    note: str = ""
    run: str = ""
    path: Path = field(default_factory=Path)
    next: str = ""
    code: int = 0
    pull: Proposed | None = None

    @property
    def wanted(self) -> bool:
        return not self.what

    @property
    def text(self) -> str:
        """`1 → 2`, or that the digest alone is another."""
        before, after = self.model.pin, self.after
        same = before.version == after.version
        return f"{after.version} (its digest)" if same and before != after else f"{before.version} → {after.version}"


def bump(workspace: Workspace, environment: str, models: Sequence[str], options: BumpOptions) -> Report:
    """Moves pins, each in a commit of its own. Exit code 5 when a version was rejected here or must not be loaded.

    Of one model, raises `Error` when the version does not exist, cannot be read, or does not load and predict in
    isolation; of several, that is a line, the others move, and the worst exit code wins.
    """
    if options.pr and (options.push or not options.commit):
        raise UsageError("--pr commits and pushes by itself: it does not go with --push or --no-commit")
    github = github_of(workspace) if options.pr else None
    tip = tip_to_propose_on(workspace) if github else None
    env = environment_of(tip.spec if tip else workspace.worktree_spec(), environment)
    chosen = _chosen(env, models, options.services)
    alone = len(chosen) == 1
    moves = _read(workspace, env, chosen, options.to, alone=alone)
    if any(move.wanted for move in moves):
        ledger = workspace.ledger()
        history = fold(environment, ledger.read(environment).events)
        moves = [_unless_refused(move, env, history) for move in moves]
        moves = _with_goldens(workspace, ledger, moves)
        if not tip:
            moves = _write(workspace, env, moves, options)
    if github and tip:
        moves = [_proposed(workspace, github, tip, move, environment, options, alone=alone) for move in moves]
    return _one(env, moves[0]) if alone else _several(env, moves)


def _chosen(env: EnvironmentSpec, names: Sequence[str], services: Sequence[str]) -> list[tuple[ServiceSpec, ModelSpec]]:
    """The models that are named and all of the services that are named, once each."""
    unknown = [name for name in services if name not in env.services]
    if unknown:
        known = ", ".join(sorted(env.services)) or "none"
        raise UsageError(f"{env.name} has no valid service {unknown[0]!r}", hint=f"services there: {known}")
    chosen = {name: model_of(env, name) for name in names}
    for service in services:
        chosen |= {model.name: (env.services[service], model) for model in env.services[service].models}
    if not chosen:
        raise UsageError("which model?", hint="name it, or --service for all models of one")
    return list(chosen.values())


def _read(
    workspace: Workspace, env: EnvironmentSpec, chosen: Sequence[tuple[ServiceSpec, ModelSpec]], to: str, *, alone: bool
) -> list[_Move]:
    """The versions with their digests, as the registry has them now. Raises `UnavailableError` when it does not answer."""
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.registries.concurrently import concurrently  # noqa: PLC0415

    registry = workspace.registry(env)
    cache = ArtifactCache(cache_folder(workspace.variables))

    def read(pair: tuple[ServiceSpec, ModelSpec]) -> _Move:
        service, model = pair
        try:
            facts = find_version(registry, model.name, to)
            if alone:
                say(f"{model.name} {facts.version}: reading its artifacts")
            digest, path = cache.fetch(facts, registry)
        except Error as error:
            if alone or isinstance(error, UnavailableError):
                raise
            return _Move(service, model, replace(model.pin, version=to or "?"), error.message, code=1)
        pin = ModelPin(model.name, facts.version, digest)
        what = "already pinned: nothing to do" if pin == model.pin else ""
        return _Move(service, model, pin, what, run=facts.run_id, path=path, next=f"mlrelease plan {env.name}")

    if not alone:
        say(f"reading the artifacts of {len(chosen)} models")
    return concurrently(read, chosen, workers=TOGETHER)


def _unless_refused(move: _Move, env: EnvironmentSpec, history: History) -> _Move:
    """The move, ended where the version was rejected here."""
    no = refused(history, move.service.bundle, move.after) if move.wanted else ""
    command = f'mlrelease unreject {env.name} {move.after.name} {move.after.version} --reason "…"'
    return replace(move, what=no, next=command, code=5) if no else move


def _with_goldens(workspace: Workspace, ledger: Ledger, moves: Sequence[_Move]) -> list[_Move]:
    """The moves with what is to be said of their golden predictions, ended where a version must not be loaded, or does not
    predict.
    """
    wanted: list[Loadable] = []
    no = {}
    for move in moves:
        if move.wanted:
            try:
                wanted.append(to_load(workspace, move.after, move.path, move.model.gates, move.service.python))
            except NotAdmittedError as error:
                no[move.after] = error
    if len(moves) == 1:
        said: dict[Digest, str | Error] = {one.pin.digest: keep_golden(ledger, one) for one in wanted}
    else:
        said = keep_goldens(ledger, wanted)
    done = []
    for move in moves:
        if move.after in no:
            done.append(replace(move, what=f"not loaded: {no[move.after].message}", next=no[move.after].hint, code=5))
            continue
        golden = said[move.after.digest] if move.wanted else ""
        done.append(replace(move, what=golden.message, code=1) if isinstance(golden, Error) else replace(move, note=golden))
    return done


def _write(workspace: Workspace, env: EnvironmentSpec, moves: Sequence[_Move], options: BumpOptions) -> list[_Move]:
    """Every wanted move in its file: committed, one commit each, and pushed together, or only edited."""
    git, branch = workspace.git, workspace.branch
    files = dict(git.worktree(ENVIRONMENTS))
    edits = {move.model.path: edited_pin(files, move.model, move.after) for move in moves if move.wanted}
    for service in {move.service.name for move in moves if move.wanted}:
        of_service = [edits[m.model.path] for m in moves if m.wanted and m.service.name == service]
        check_edit(files, {path: data for edit in of_service for path, data in edit.items()}, env.name, service)
    written = []
    for move in moves:
        if not move.wanted:
            written.append(move)
        elif not options.commit:
            for name, data in edits[move.model.path].items():
                (git.root() / name).write_bytes(data)
            written.append(replace(move, what="edited, not committed", next=f"git commit {move.model.path}"))
        else:
            sha = git.commit_paths(edits[move.model.path], _message(env.name, move))
            here = git.branch() or f"HEAD:{branch.branch}"
            after = f"git push {branch.remote} {here}" if branch.remote else f"mlrelease deploy {env.name}"
            written.append(replace(move, what=f"committed as {sha[:9]}", next=after))
    if not options.push or written == list(moves) or not options.commit:
        return written
    git.push(branch.remote, branch.branch)
    return [
        replace(now, what=f"{now.what} and pushed", next=f"mlrelease deploy {env.name}") if was.wanted else now
        for was, now in zip(moves, written, strict=True)
    ]


def _proposed(
    workspace: Workspace, github: GitHub, tip: Desired, move: _Move, environment: str, options: BumpOptions, *, alone: bool
) -> _Move:
    """The move in its pull request; of one that is refused, or pinned already, an open pull request is closed."""
    subject = Subject("bump", environment, move.service.name, move.model.name)
    try:
        if not move.wanted:
            pins = {model_key(move.after.name): (move.after.version, str(move.after.digest))}
            gone = withdraw(workspace, github, subject, move.what, pins=pins) if move.after.digest and move.code != 1 else ""
            return replace(move, what=f"{move.what} ({gone})") if gone else move
        files = workspace.git.tree(tip.revision, ENVIRONMENTS)
        edit = edited_pin(files, move.model, move.after)
        check_edit(files, edit, environment, move.service.name)

        def explained(spec: Spec) -> tuple[str, str]:
            about = explain(workspace, subject, tip.spec, spec)
            return about.title, pull_request_text(about)

        edits = (Edit(edit, _message(environment, move)),)
        done = propose(workspace, github, Wanted(subject, tip, edits, explained, again=options.reopen, newest_wins=True))
    except Error as error:
        if alone or isinstance(error, UnavailableError):
            raise
        return replace(move, what=error.message, next=error.hint, code=1)
    again = f"mlrelease bump {environment} {move.after.name} --to {move.after.version} --pr --reopen"
    return replace(move, what=done.what, next=f"review and merge {done.url}" if done.sha else again, pull=done)


def _message(environment: str, move: _Move) -> str:
    before, after, run = move.model.pin, move.after, f"\nRun {move.run}" if move.run else ""
    subject = f"Pin {after.name} {after.version} in {environment}"
    return f"{subject}\n\n{before.version} → {after.version}\n\nDigest {after.digest}{run}\n"


def _one(env: EnvironmentSpec, move: _Move) -> Report:
    return Report(
        verdict=f"{env.name}: {move.after.name} {move.text}: {move.what}",
        data={"environment": env.name, **_json(move)},
        notes=[move.note] if move.note else [],
        next=move.next,
        exit_code=move.code,
    )


def _several(env: EnvironmentSpec, moves: Sequence[_Move]) -> Report:
    """A row for each pin; the worst exit code, and the next command of the first pin that has it."""
    code = next(code for code in (1, 5, 0) if any(move.code == code for move in moves))
    moved = [move for move in moves if move.note and not move.code]
    did = "proposed" if any(move.pull for move in moves) else "moved"
    parts = [f"{len(moved)} of {len(moves)} pins {did}"]
    parts += [f"{n} refused" for n in [sum(move.code == 5 for move in moves)] if n]
    parts += [f"{n} errored" for n in [sum(move.code == 1 for move in moves)] if n]
    notes = [f"{sum(move.note == note for move in moved)} × {note}" for note in dict.fromkeys(move.note for move in moved)]
    return Report(
        verdict=f"{env.name}: {', '.join(parts)}",
        data={
            "environment": env.name,
            "models": [_json(move) | {"result": move.what, "exit_code": move.code} for move in moves],
        },
        headers=("model", "move", "result"),
        rows=[(move.after.name, move.text, move.what) for move in moves],
        notes=notes,
        next=next((move.next for move in (*moved, *moves) if move.code == code and move.next), ""),
        exit_code=code,
    )


def _json(move: _Move) -> dict[str, object]:
    before, after = move.model.pin, move.after
    pull: dict[str, object] = {"pull_request": move.pull.to_json()} if move.pull else {}
    return pull | {
        "model": after.name,
        "before": {"version": before.version, "digest": before.digest},
        "after": {"version": after.version, "digest": after.digest},
    }
