"""`gc`: frees what nothing needs on this host, and says how many bytes of which kind. The ledger is never touched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace, cache_folder, environment_of
from mlrelease.delivery.agent import agent_pid, ownership
from mlrelease.delivery.garbage import Garbage, of_site, of_user_cache
from mlrelease.delivery.lock import LockHeld, wait
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.errors import Error
from mlrelease.history.fold import History, fold
from mlrelease.ledger.filelock import held
from mlrelease.ledger.lock import owner_is_dead
from mlrelease.registries.cache import ArtifactCache
from mlrelease.render.report import Report

HEADERS = ("where", "kind", "items", "bytes", "reason")
USER_CACHE = "user cache"
DAY_S = 86400.0
LEDGER = "the ledger is append-only: nothing of it is removed"


@dataclass(frozen=True, slots=True)
class GcOptions:
    """`days` is how long a person's cache keeps what no verb asked for."""

    dry_run: bool = False
    days: float = 30.0
    lock_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Freed:
    """What became of one kind at one place; `problem` says why it could not be removed."""

    where: str
    kind: str
    items: tuple[str, ...]
    size: int
    reason: str = ""
    problem: str = ""


def gc(workspace: Workspace, environments: tuple[str, ...], options: GcOptions) -> Report:
    """Frees what the environments on this host and the person's cache do not need. Exit code 1 when something stayed.

    An environment that an agent or a pass works on is left alone, and is a failure; a dry run only looks.
    """
    desired = workspace.desired()
    names = tuple(dict.fromkeys(environments)) or tuple(sorted(desired.spec.environments))
    for name in environments:
        environment_of(desired.spec, name)
    freed: list[Freed] = []
    for name in names:
        freed += _environment(workspace, desired, name, options)
    cache = ArtifactCache(cache_folder(workspace.variables))
    older_than = workspace.now() - options.days * DAY_S
    freed += _swept(USER_CACHE, lambda: of_user_cache(cache, older_than=older_than), options)
    return _report(freed, names, options)


def _environment(workspace: Workspace, desired: Desired, name: str, options: GcOptions) -> list[Freed]:
    env = desired.spec.environments[name]
    if desired.spec.blocking(name):
        return [Freed(name, "everything", (), 0, problem="its files have findings: mlrelease validate --offline")]
    site = workspace.site(env)
    if not site.state_dir.is_dir():
        return [Freed(name, "everything", (), 0, reason=f"does not run on this host (no {site.state_dir})")]
    try:
        with ExitStack() as locks:
            if not options.dry_run:
                _own(locks, site, options)
            history, known = _known(site, desired)
            return _swept(name, lambda: of_site(site, history, known=known), options, fence=site.state_dir / "fence.lock")
    except (Error, OSError) as error:
        return [Freed(name, "everything", (), 0, problem=_why(error))]


def _own(locks: ExitStack, site: Site, options: GcOptions) -> None:
    """Keeps agents out until `locks` closes, and waits for a pass to end. Raises `Error` when one does not."""
    name = site.environment.name
    if not locks.enter_context(ownership(site.state_dir)):
        pid = agent_pid(site.state_dir)
        raise Error(f"an agent (pid {pid}) is at work: stop it first, what serves goes on serving", where=str(site.state_dir))
    until = time.monotonic() + options.lock_timeout_s
    said = False
    while True:
        started = fold(name, site.ledger.read(name).events).started
        if started is None or started.expires_at <= site.now() or owner_is_dead(started.owner):
            break
        if not said:
            say(f"{name}: waiting for a pass to end")
            said = True
        if not wait(until):
            raise LockHeld(started)


def _known(site: Site, desired: Desired) -> tuple[History, bool]:
    """The history, and whether git and ledger are known as of now and whole: only then can anything be called unneeded."""
    view = site.ledger.read(site.environment.name)
    known = desired.online and view.online and not view.broken and not site.environment.invalid
    return fold(site.environment.name, view.events), known


def _swept(where: str, find: Callable[[], Iterator[Garbage]], options: GcOptions, *, fence: Path | None = None) -> list[Freed]:
    """Each kind found, and removed unless it is a dry run; what fails for one kind does not keep the next from being tried."""
    freed: list[Freed] = []
    try:
        freed.extend(_removed(where, garbage, options, fence) for garbage in find())
    except (Error, OSError) as error:
        freed.append(Freed(where, "everything else", (), 0, problem=_why(error)))
    return [one for one in freed if one.items or one.reason or one.problem]


def _removed(where: str, garbage: Garbage, options: GcOptions, fence: Path | None) -> Freed:
    names = tuple(name for name, _ in garbage.items)
    if names and not options.dry_run:
        try:
            with ExitStack() as locks:
                if fence is not None and not garbage.takes_fence:
                    # no pass starts an instance from what is being removed
                    locks.enter_context(held(fence, wait_s=options.lock_timeout_s, name="mlrelease gc"))
                garbage.remove()
        except (Error, OSError) as error:
            return Freed(where, garbage.kind, names, 0, garbage.kept, problem=_why(error))
    return Freed(where, garbage.kind, names, garbage.size, garbage.kept, garbage.problem)


def _why(error: Error | OSError) -> str:
    if isinstance(error, Error):
        return error.message
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def _report(freed: list[Freed], names: Iterable[str], options: GcOptions) -> Report:
    total = sum(one.size for one in freed)
    failed = [one for one in freed if one.problem]
    count = sum(len(one.items) for one in freed if not one.problem)
    verb = "would be freed" if options.dry_run else "freed"
    verdict = f"{in_words(total)} {verb} of {count} items" if count else "nothing to free"
    if failed:
        verdict += f", {len(failed)} not done"
    again = f"mlrelease gc {' '.join(names)}".rstrip()
    if options.days != GcOptions().days:
        again += f" --days {options.days:g}"
    return Report(
        verdict=verdict,
        data={
            "dry_run": options.dry_run,
            "freed_bytes": total,
            "places": [
                {
                    "where": one.where,
                    "kind": one.kind,
                    "items": list(one.items),
                    "bytes": one.size,
                    "reason": one.reason,
                    "error": one.problem,
                }
                for one in freed
            ],
        },
        headers=HEADERS,
        rows=[
            (one.where, one.kind, str(len(one.items)), in_words(one.size), one.problem or one.reason or "not needed any more")
            for one in freed
        ],
        notes=[LEDGER],
        next=again if (options.dry_run and count) or failed else "mlrelease status",
        exit_code=1 if failed else 0,
    )


def in_words(size: float) -> str:
    """Bytes for people: `0 B`, `1.4 kB`, `3.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        said = f"{size:.0f}" if unit == "B" else f"{size:.1f}"
        if float(said) < 1000:  # as it is rounded: 999 960 B are 1.0 MB
            return f"{said} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
