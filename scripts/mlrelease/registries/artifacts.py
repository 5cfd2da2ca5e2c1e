"""Where a version's files lie, and which of the names that a server lists are safe to write to disk."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlrelease.errors import Error
from mlrelease.registries.interface import FileFacts

LARGEST_DEPTH = 32
MOST_FILES = 100_000


def safe_name(name: object, where: str) -> str:
    """`name`, if it can be a single file or folder below another. Raises `Error` for `..`, separators, NUL and the like."""
    if isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}:
        return name
    raise Error(
        f"the registry lists a file under the unsafe name {str(name)[:60]!r}",
        hint="nothing was written; look at the version's artifacts on the server",
        where=where,
    )


def proxied_path(uri: str, authority: tuple[str, int]) -> str:
    """The path of a `mlflow-artifacts:` address below the proxy's root, without slashes around it.

    Raises `Error` when the address names another server than `authority`: it would get this server's credentials.
    """
    parts = urlsplit(uri)
    if parts.hostname and (parts.hostname, parts.port or authority[1]) != authority:
        raise Error(
            f"the version's artifacts lie on another MLflow server ({parts.hostname})",
            hint="point tracking_uri at that server, or register the version from here",
        )
    path = parts.path.strip("/")
    for name in path.split("/"):
        safe_name(name, uri)
    return path


def local_root(uri: str) -> Path:
    """The folder that a `file:` address or an absolute path names."""
    return Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)


def local_files(root: Path) -> Iterator[FileFacts]:
    """Every file below `root`. Raises `Error` for symbolic links and special files, and when `root` is no folder."""
    todo = [(root, 0)]
    while todo:
        folder, depth = todo.pop()
        try:
            items = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as e:
            raise Error(f"cannot read the version's artifacts: {(e.strerror or '').lower()}", where=str(folder)) from e
        for item in items:
            kind = item.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(kind) and depth < LARGEST_DEPTH:
                todo.append((Path(item.path), depth + 1))
            elif stat.S_ISREG(kind):
                yield FileFacts(Path(item.path).relative_to(root).as_posix(), item.stat(follow_symlinks=False).st_size)
            else:
                raise Error("among the version's artifacts is something that is neither file nor folder", where=item.path)


def copy_local(root: Path, files: tuple[FileFacts, ...], into: Path) -> None:
    """Copies `files` from below `root` to below `into`. Raises `Error` when a file cannot be read or written."""
    for file in files:
        target = into / file.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file.path, target, follow_symlinks=False)
        except OSError as e:
            raise Error(f"cannot copy an artifact: {(e.strerror or str(e)).lower()}", where=str(root / file.path)) from e
