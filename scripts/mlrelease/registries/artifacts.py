"""Where a version's files lie, and which of the names that a server lists are safe to write to disk."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlrelease.errors import Error
from mlrelease.model.version import VersionFacts
from mlrelease.registries.interface import FileFacts

LARGEST_DEPTH = 32
MOST_FILES = 100_000
STORES = ("s3", "gs", "wasbs", "abfss")
"""The stores outside of MLflow that are read through its client, each with the library of its own."""


def safe_name(name: object, where: str) -> str:
    """`name`, if it can be a single file or folder below another. Raises `Error` for `..`, separators, NUL and the like."""
    if isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}:
        return name
    raise Error(
        f"the registry lists a file under the unsafe name {str(name)[:60]!r}",
        hint="nothing was written; look at the version's artifacts on the server",
        where=where,
    )


def listed(children: Callable[[str], Iterable[tuple[object, bool, int]]], where: str) -> list[FileFacts]:
    """Every file of a store, folder by folder: `children` gives name, is it a folder, size of all that lies in one folder.

    Raises `Error` for unsafe names, for a file that is listed twice and for a listing without end.
    """
    found: dict[str, FileFacts] = {}
    todo, seen = [""], 0
    while todo:
        folder = todo.pop()
        for name, is_folder, size in children(folder):
            path = f"{folder}/{safe_name(name, where)}".lstrip("/")
            seen += 1
            if seen > MOST_FILES or (is_folder and path.count("/") >= LARGEST_DEPTH):
                raise Error("the version's artifacts have no end: too many files or folders", where=where)
            if is_folder:
                todo.append(path)
            elif path in found:
                raise Error("the registry lists a file of the version twice", where=where)
            else:
                found[path] = FileFacts(path, size)
    return list(found.values())


def scheme_of(uri: str) -> str:
    """The address's scheme in lower case; `file` for a bare path."""
    return uri.partition(":")[0].lower() if ":" in uri else "file"


def readable(facts: VersionFacts, uri: str) -> str:
    """`uri`, if it is of a kind that can be read. Raises `Error` for others, saying why."""
    label, scheme = f"{facts.name} version {facts.version}", scheme_of(uri)
    if not uri:
        raise Error(f"{label}: its logged model or run was deleted, so its files are gone", hint="register it again")
    if scheme == "file" and not local_root(uri).is_absolute():
        raise Error(f"{label}: its files lie in a folder without a full path", hint="register the version again", where=uri)
    if scheme not in ("mlflow-artifacts", "file", *STORES):
        raise Error(
            f"{label}: its files lie at {scheme}:, which cannot be read from here",
            hint=f"start the server with --serve-artifacts, so that it hands the files on; or keep them in {', '.join(STORES)}",
        )
    return uri


def checked(facts: VersionFacts, uri: str, found: Iterable[FileFacts]) -> tuple[FileFacts, ...]:
    """The files sorted by path. Raises `Error` when there is none."""
    files = tuple(sorted(found, key=lambda file: file.path))
    if not files:
        raise Error(
            f"{facts.name} version {facts.version} has no files where the registry says they are",
            hint="they were deleted or never logged: register the version again",
            where=uri,
        )
    return files


def proxied_path(uri: str, authority: tuple[str, int]) -> str:
    """The path of a `mlflow-artifacts:` address below the proxy's root, without slashes around it.

    Raises `Error` when the address names another server than `authority`: it would get this server's credentials.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as e:
        raise Error("the version's artifacts lie at what is no address", hint="register the version again") from e
    if host and (host, port or authority[1]) != authority:
        raise Error(
            f"the version's artifacts lie on another MLflow server ({host})",
            hint="point tracking_uri at that server, or register the version from here",
        )
    path = parts.path.strip("/")
    for name in path.split("/"):
        safe_name(name, uri)
    return path


def local_root(uri: str) -> Path:
    """The folder that a `file:` address or an absolute path names; an empty path when it can name none."""
    try:
        path = unquote(urlsplit(uri).path) if scheme_of(uri) == "file" and ":" in uri else uri
    except ValueError:  # half an address
        return Path()
    return Path() if "\0" in path else Path(path)


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
