"""The digest of a model version: a manifest of its files, and the SHA-256 over that (DESIGN §5.6). Loads nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from mlrelease.errors import Error
from mlrelease.model.bundle import Digest, canonical_json, sha256_digest

LEFT_OUT = "registered_model_meta"
"""The file that MLflow up to 3.17 itself writes into a folder that it downloads (the registered name and version).

With it, the same artifacts would have another digest in each place. The cache never holds such a file, so that nothing
unhashed can be loaded from there.
"""

_CHUNK = 1 << 20
_WORKERS = min(4, os.cpu_count() or 1)  # hashing is bound by disk and memory, not by more threads
_WORTH_THREADS = 8 << 20
"""Bytes of a version that pay for threads: below, starting them takes longer than hashing (1 ms each in a fleet)."""


class ManifestEntry(NamedTuple):
    """One file: posix path below the artifact root, size in bytes, SHA-256 as 64 hex digits."""

    path: str
    size: int
    sha256: str


def manifest(root: Path) -> tuple[ManifestEntry, ...]:
    """Every file below `root` with size and hash, sorted by path; files named `registered_model_meta` are left out.

    Raises `Error` for a folder that is missing, unreadable or without files, and for anything in it that is neither
    folder nor regular file: a symbolic link would let content outside the folder change under the same digest.
    """
    try:
        paths = [p for p in _walk(root, root) if p.rpartition("/")[2] != LEFT_OUT]
        if sum((root / path).lstat().st_size for path in paths) < _WORTH_THREADS:
            entries = [_entry(root, path) for path in paths]
        else:
            with ThreadPoolExecutor(_WORKERS) as pool:
                entries = list(pool.map(lambda path: _entry(root, path), paths))
    except OSError as e:
        raise Error(f"cannot read the model's files: {e.strerror}", where=e.filename or str(root)) from e
    if not entries:
        raise Error("there are no model files in this folder", where=str(root))
    return tuple(sorted(entries))


def manifest_json(entries: tuple[ManifestEntry, ...]) -> bytes:
    """`[[path, size, sha256], …]` as canonical JSON: the bytes that are hashed, and what the ledger keeps."""
    return canonical_json([list(entry) for entry in entries])


def digest_of(entries: tuple[ManifestEntry, ...]) -> Digest:
    """`sha256:` and the hash of `manifest_json`."""
    return sha256_digest(manifest_json(entries))


def _walk(root: Path, folder: Path) -> Iterator[str]:
    with os.scandir(folder) as found:
        for item in sorted(found, key=lambda item: item.name):
            path = Path(item.path)
            if item.is_dir(follow_symlinks=False):
                yield from _walk(root, path)
            elif item.is_file(follow_symlinks=False):
                yield _portable(path.relative_to(root).as_posix(), root)
            else:
                kind = "a symbolic link" if item.is_symlink() else "neither file nor folder"
                raise Error(
                    f"{path.relative_to(root).as_posix()!r} among the model's files is {kind}",
                    hint="a model version holds regular files only; replace it by the file itself",
                    where=str(root),
                )


def _portable(path: str, root: Path) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as e:
        raise Error(f"the file name {path!a} is not UTF-8", where=str(root)) from e
    return path


def _entry(root: Path, path: str) -> ManifestEntry:
    # The size is counted, not asked for, so that size and hash are of the same bytes. O_NOFOLLOW: it was no link before.
    descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Error(f"{path!r} among the model's files is not a regular file", where=str(root))
        digest, size, buffer = hashlib.sha256(), 0, bytearray(_CHUNK)
        while count := file.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
            size += count
    return ManifestEntry(path, size, digest.hexdigest())
