"""Artifacts on this host, keyed by digest: what lies under `<root>/<64 hex digits>` is complete, hashed and read-only.

Safe between threads and processes. An entry appears by one rename; until then its folder `.tmp-…` is locked by who
writes it (`flock`, which the kernel lifts when that process dies), and a folder that nobody has locked is swept away.
Loads nothing: what lies here may be hostile (DESIGN §6, row 14).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.model.bundle import Digest, ModelPin, canonical_json, sha256_digest
from mlrelease.model.version import VersionFacts
from mlrelease.registries.digest import LEFT_OUT, digest_of, manifest
from mlrelease.registries.interface import DigestMismatch, ModelRegistry
from mlrelease.registries.mlmodel import metadata, serving_example

__all__ = ["ArtifactCache", "metadata", "serving_example"]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_ENTRY = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = ".tmp-"
_DAMAGED = ".damaged-"
_ORIGIN = ".from-"


class ArtifactCache:
    """The artifacts below `root`, a folder that need not exist yet. Raises `Error` when it cannot be read or written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, digest: Digest) -> Path | None:
        """The folder of a complete entry, not hashed again; None if there is none."""
        path = self._entry(digest)
        return path if path.is_dir() and not path.is_symlink() else None

    def verified(self, digest: Digest) -> Path | None:
        """The folder of an entry, hashed now. A damaged one is moved aside, and None comes back."""
        path = self.get(digest)
        if path is None:
            return None
        try:
            whole = digest_of(manifest(path)) == digest and not _left_out(path)
        except Error as e:
            # A link, a device, a missing file: it is not what was stored. But "too many open files" says nothing of the
            # entry, and to move a good one aside could cost a rollback.
            if isinstance(e.__cause__, OSError) and e.__cause__.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
                raise
            whole = False
        if whole:
            return path
        with _writing(path):
            aside = self.root / f"{_DAMAGED}{path.name[:12]}-{secrets.token_hex(4)}"
            try:
                path.rename(aside)
            except FileNotFoundError:  # another process was faster
                return None
        return None

    def ensure(self, pin: ModelPin, facts: VersionFacts, registry: ModelRegistry) -> Path:
        """The verified folder of the pin, downloaded unless it is here and came from this version (`came_from`).

        Raises `DigestMismatch` when the registry's bytes are others than the pin's (nothing of them stays), and what
        `registry.download` raises.
        """
        present = self.verified(pin.digest) if self.came_from(pin) else None
        return present if present is not None else self._download(facts, registry, pin.digest)[1]

    def came_from(self, pin: ModelPin) -> bool:
        """Whether the registry once gave these bytes for this very version.

        Else the pin may join a new version with the digest of an older one (the digest forgotten in an edit by hand),
        and the bytes of the older one, cached long ago, would pass for those of the new.
        """
        return self._origin(pin.digest, pin.name, pin.version).exists()

    def fetch(self, facts: VersionFacts, registry: ModelRegistry) -> tuple[Digest, Path]:
        """The registry's present files of the version, whatever they are: their digest and their folder in the cache."""
        return self._download(facts, registry, None)

    def entries(self) -> dict[Digest, float]:
        """The complete entries, and when the registry last gave each (seconds since 1970)."""
        found = {path.name: path.lstat().st_mtime for path in self._children() if _ENTRY.fullmatch(path.name)}
        for path in self._children(_ORIGIN):
            name = path.name.removeprefix(_ORIGIN)[:64]
            if name in found:
                found[name] = max(found[name], path.lstat().st_mtime)
        return {Digest(f"sha256:{name}"): at for name, at in found.items()}

    def litter(self) -> tuple[Path, ...]:
        """What is no entry and nobody works on: downloads that were never finished, and what was moved aside as damaged."""
        found = self._children(_DAMAGED)
        for path in self._children(_TEMPORARY):
            if (descriptor := _lock(path)) is not None:
                os.close(descriptor)
                found.append(path)
        return tuple(found)

    def prune(self, keep: Iterable[Digest]) -> tuple[Digest, ...]:
        """Removes all entries but `keep`, and what was moved aside as damaged; returns the digests that it removed."""
        kept = {self._entry(digest).name for digest in keep}
        removed: list[Digest] = []
        for path in self._children():
            if _ENTRY.fullmatch(path.name) and path.name not in kept:
                removed.append(Digest(f"sha256:{path.name}"))
                self._discard(path)
            elif path.name.startswith(_DAMAGED):
                self._discard(path)
            elif path.name.startswith(_ORIGIN) and path.name.removeprefix(_ORIGIN)[:64] not in kept:
                with _writing(path):
                    path.unlink(missing_ok=True)
        self._sweep()
        return tuple(sorted(removed))

    def _download(self, facts: VersionFacts, registry: ModelRegistry, expected: Digest | None) -> tuple[Digest, Path]:
        self._sweep()
        with self._temporary() as folder:
            registry.download(facts, folder)
            for file in _left_out(folder):
                with _writing(file):
                    file.unlink()
            found = digest_of(manifest(folder))
            if expected is not None and found != expected:
                raise DigestMismatch(expected, found)
            _seal(folder)
            path = self._publish(folder, found)
        origin = self._origin(found, facts.name, facts.version)
        with _writing(origin):
            origin.touch()
        return found, path

    def _publish(self, folder: Path, digest: Digest) -> Path:
        """Renames the folder to its entry; where one stands already and is whole, that one stays."""
        path = self._entry(digest)
        while True:
            try:
                folder.rename(path)  # a folder is never renamed over one that holds files
            except OSError as e:
                if not path.is_dir():
                    raise _unwritable(path, e) from e
                if self.verified(digest) is not None:
                    return path
            else:
                _sync(self.root)
                return path

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A new, locked folder beside the entries; gone afterwards unless it was renamed."""
        with _writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            folder = self.root / f"{_TEMPORARY}{secrets.token_hex(8)}"
            with _writing(folder):
                folder.mkdir(mode=0o700)
            descriptor = _lock(folder)
            if descriptor is not None:
                break
        try:
            yield folder
        finally:
            if folder.exists():
                _remove(folder)
            os.close(descriptor)

    def _sweep(self) -> None:
        """Removes the temporary folders whose owner is dead."""
        for path in self._children(_TEMPORARY):
            if (descriptor := _lock(path)) is not None:
                try:
                    _remove(path)
                finally:
                    os.close(descriptor)

    def _discard(self, path: Path) -> None:
        """Takes a folder out of sight at once, then removes it: a kill midway leaves only a temporary folder."""
        with _writing(path):
            gone = self.root / f"{_TEMPORARY}{secrets.token_hex(8)}"
            try:
                path.rename(gone)
            except FileNotFoundError:
                return
        _remove(gone)

    def _children(self, prefix: str = "") -> list[Path]:
        # Names first: with thousands of entries, a path object for each at every download would cost more than the download.
        try:
            return [self.root / name for name in sorted(os.listdir(self.root)) if name.startswith(prefix)]  # noqa: PTH208
        except FileNotFoundError:
            return []
        except OSError as e:
            raise _unwritable(self.root, e) from e

    def _origin(self, digest: Digest, name: str, version: str) -> Path:
        label = sha256_digest(canonical_json([name, version])).removeprefix("sha256:")[:16]
        return self.root / f"{_ORIGIN}{self._entry(digest).name}-{label}"

    def _entry(self, digest: Digest) -> Path:
        found = _DIGEST.fullmatch(digest)
        if found is None:
            raise Error(f"{digest[:80]!r} is not a sha256 digest", hint="sha256: followed by 64 lower-case hex digits")
        return self.root / found[1]


def _left_out(folder: Path) -> list[Path]:
    """Files that the digest does not cover: none may stay where a server loads from."""
    return [path for path in folder.rglob(LEFT_OUT) if path.is_symlink() or not path.is_dir()]


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None when another has it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between making and locking, a sweep may have taken it for a dead one's: then this lock is on nothing.
        if folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _seal(folder: Path) -> None:
    """Files 0444, folders 0555, all of it on disk: nothing that serves from here can change it, and no crash halves it."""
    with _writing(folder):
        for path in _bottom_up(folder):
            _sync(path)
            path.chmod(0o555 if path.is_dir() else 0o444)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bottom_up(folder: Path) -> Iterator[Path]:
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            yield Path(parent, name)
        yield Path(parent)


def _remove(folder: Path) -> None:
    """Removes a folder though its parts are read-only. Another sweep may be at it too: what is gone already is fine."""

    def writable(operation: Callable[..., object], path: str, error: tuple[type, BaseException, object]) -> None:
        problem = error[1]
        if isinstance(problem, FileNotFoundError):
            return
        try:
            for place in (Path(path).parent, Path(path)):
                if stat.S_ISDIR(place.lstat().st_mode):
                    place.chmod(0o700)
            operation(path)
        except FileNotFoundError:
            return

    with _writing(folder):
        for parent, _, _ in os.walk(folder):
            Path(parent).chmod(0o700)
        shutil.rmtree(folder, onerror=writable)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise _unwritable(path, e) from e


def _unwritable(path: Path, error: OSError) -> Error:
    return Error(
        f"cannot write the artifact cache: {(error.strerror or str(error)).lower()}",
        hint="check the free space and the owner of this folder",
        where=str(path),
    )
