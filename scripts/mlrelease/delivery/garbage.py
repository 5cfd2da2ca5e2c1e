"""What of an environment's state folder nobody needs, by kind, and how it is taken away. Owns no rule about the ledger.

Kept, always: what git wants, what is recorded, what runs, the last verified bundles (rollback targets), events that wait
for the git host. Every removal may be killed halfway and done again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.artifacts import needed
from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.history.fold import History
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Role
from mlrelease.registries.cache import ArtifactCache
from mlrelease.targets.local.files import Layout, read_json
from mlrelease.targets.local.state import old_logs, read_records

FRESH_S = DEADLINES_S["pass"]
"""What is younger may belong to a pass that is under way: it is left."""

_SPOOL = ("spool", "spool/blobs/golden", "spool/blobs/manifests")
_WRITTEN_WHOLE = ("tmp", "golden", "reports", "requests", "answers", *_SPOOL, "notices/open", "notices/out")
"""Folders below the state folder in which a kill may leave a file on its way into place."""

_HEX = re.compile(r"[0-9a-f]{64}")
_REPORT = re.compile(r"(?:scan|smoke)-([0-9a-f]{64})-[0-9a-f]{8}\.json")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}|\..+\.[0-9]+|.+\.[0-9a-f]{8}")
"""Names of files on their way into place (`atomic`, the spool, the target's staging folder)."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """One kind: its items by name with their bytes, and what takes them away. `kept` says why some were left.

    `takes_fence`: the removal goes through the target, which holds the fence itself. `problem`: it could not be looked at.
    """

    kind: str
    items: tuple[tuple[str, int], ...]
    remove: Callable[[], None]
    kept: str = ""
    takes_fence: bool = False
    problem: str = ""

    @property
    def size(self) -> int:
        """Bytes of all items."""
        return sum(size for _, size in self.items)


def of_site(site: Site, history: History, *, known: bool) -> Iterator[Garbage]:
    """The garbage of one environment, kind by kind. Unless git and ledger are `known` as of now, nothing that hangs on them."""
    layout = Layout(site.state_dir.resolve())
    now = site.now()
    keep = needed(site, history) if known else set()
    hanging = {
        "artifacts": lambda: _artifacts(site.cache, keep | _in_use(layout), now),
        "golden predictions": lambda: _goldens(site.state_dir / "golden", keep | _in_use(layout), now),
        "gate reports": lambda: _reports(site.state_dir / "reports", keep | _in_use(layout), now),
        "warm instances": lambda: _instances(site, history, now),
    }
    # before the artifacts: taking those away sweeps these too
    yield _looked("partial downloads", lambda: _partial(site.cache))
    for kind, look in hanging.items():
        yield _looked(kind, look) if known else Garbage(kind, (), _nothing, "git host or ledger not known as of now")
    yield _looked("logs", lambda: _files("logs", old_logs(layout, read_records(layout))))
    yield _looked("temporary files", lambda: _files("temporary files", _temporary(site.state_dir, now)))
    yield _looked("agent messages", lambda: _files("agent messages", _messages(site.state_dir, now)))
    yield _looked("old supervisors", lambda: _files("old supervisors", _generations(layout)))


def _looked(kind: str, look: Callable[[], Garbage]) -> Garbage:
    """What was found of one kind; what cannot be looked at does not hide the next."""
    try:
        return look()
    except Error as error:
        return Garbage(kind, (), _nothing, problem=error.message)
    except OSError as error:
        return Garbage(kind, (), _nothing, problem=f"{error.filename}: {error.strerror}")


def of_user_cache(cache: ArtifactCache, *, older_than: float) -> Iterator[Garbage]:
    """What `bump`, `new` and `import` keep for a person: versions that no registry gave since `older_than` (1970 s)."""
    entries = cache.entries()
    young = {digest for digest, at in entries.items() if at >= older_than}
    yield _partial(cache)
    yield Garbage("artifacts", _sized(cache, set(entries) - young), lambda: _discard(cache.prune, young))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; what goes away meanwhile counts nothing."""
    total = 0
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
    for parent, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - 10 times faster over many files
    return total


def _artifacts(cache: ArtifactCache, keep: set[Digest], now: float) -> Garbage:
    entries = cache.entries()
    # a pass may have fetched it a moment ago for a commit that was not there when we looked
    fresh = {digest for digest, at in entries.items() if at > now - FRESH_S} - keep
    kept = keep | fresh
    why = f"{len(fresh)} fetched in the last {FRESH_S / 60:.0f} min" if fresh else ""
    return Garbage("artifacts", _sized(cache, set(entries) - kept), lambda: _discard(cache.prune, kept), why)


def _partial(cache: ArtifactCache) -> Garbage:
    litter = cache.litter()
    everything = set(cache.entries())
    items = tuple((path.name, size_of(path)) for path in litter)
    return Garbage("partial downloads", items, lambda: _discard(cache.prune, everything))


def _goldens(folder: Path, keep: set[Digest], now: float) -> Garbage:
    names = {digest.removeprefix("sha256:") for digest in keep}
    old = [p for p in _children(folder) if _HEX.fullmatch(p.stem) and p.suffix == ".json" and p.stem not in names]
    return _files("golden predictions", [path for path in old if _age(path, now) > FRESH_S])


def _reports(folder: Path, keep: set[Digest], now: float) -> Garbage:
    """What scans and smoke tests once found of versions that nobody needs: found again should one come back."""
    names = {digest.removeprefix("sha256:") for digest in keep}
    found = ((path, _REPORT.fullmatch(path.name)) for path in _children(folder))
    old = [path for path, name in found if name and name[1] not in names]
    return _files("gate reports", [path for path in old if _age(path, now) > FRESH_S])


def _instances(site: Site, history: History, now: float) -> Garbage:
    due = [i for i in site.target.observe().instances if i.role is Role.WARM and i.until and i.until <= now]

    def stop() -> None:
        site.target.prepare(history.height)
        for instance in due:
            site.target.stop(instance.id, drain_s=DEADLINES_S["instance.drain"])

    return Garbage("warm instances", tuple((i.id, 0) for i in due), stop, takes_fence=True)


def _temporary(state_dir: Path, now: float) -> list[Path]:
    folders = [state_dir, *(state_dir / name for name in _WRITTEN_WHOLE)]
    found = [path for folder in folders for path in _children(folder) if _TEMPORARY.fullmatch(path.name) and path.is_file()]
    return [path for path in found if _age(path, now) > FRESH_S]


def _messages(state_dir: Path, now: float) -> list[Path]:
    """Requests and answers of which nobody can be waiting any more."""
    found = [path for name in ("requests", "answers") for path in _children(state_dir / name) if path.suffix == ".json"]
    return [path for path in found if _age(path, now) > DEADLINES_S["agent.answer"]]


def _generations(layout: Layout) -> list[Path]:
    """Folders of supervisors that are neither the present one, nor alive, nor where the present proxy was started from."""
    from mlrelease.targets.local.orphans import Kind, find  # noqa: PLC0415 - psutil costs 20 ms that a look does not pay
    from mlrelease.targets.local.supervisor import Supervisor  # noqa: PLC0415

    living = {one.key for one in find(layout, ()) if one.kind is Kind.SUPERVISOR}
    present = Supervisor(layout).generation
    proxy = read_json(layout.proxy)
    if isinstance(proxy, dict):
        living.add(str(proxy.get("generation", "")))
    old = [path for path in _children(layout.generations) if path.name.isdecimal() and int(path.name) < present]
    return [path for path in old if path.name not in living]


def _in_use(layout: Layout) -> set[Digest]:
    """Every digest that a configuration of an instance names, running or about to."""
    found: set[Digest] = set()
    for path in _children(layout.configs):
        if path.suffix == ".json":
            with suppress(OSError):
                found |= {Digest(f"sha256:{name}") for name in _HEX.findall(path.read_text(errors="replace"))}
    return found


def _files(kind: str, paths: Iterable[Path]) -> Garbage:
    chosen = tuple(paths)

    def remove() -> None:
        for path in chosen:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return Garbage(kind, tuple((path.name, size_of(path)) for path in chosen), remove)


def _sized(cache: ArtifactCache, digests: Iterable[Digest]) -> tuple[tuple[str, int], ...]:
    found = ((digest, cache.get(digest)) for digest in sorted(digests))
    return tuple((str(digest), size_of(path) if path else 0) for digest, path in found)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age(path: Path, now: float) -> float:
    try:
        return now - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _discard(function: Callable[..., object], *arguments: object) -> None:
    function(*arguments)


def _nothing() -> None:
    """Takes nothing away."""
