"""The files of a repository as values: at a commit, or as they lie on disk. No symlink is followed, nothing outside is read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mlrelease.errors import Error
from mlrelease.model.spec import SourceFile

LARGE_BYTES = 2 * 1024 * 1024
"""A pin file has a few hundred bytes; what is larger than this is not one and is not read."""

_SYMLINK = "120000"
_SUBMODULE = "160000"


def safe_prefix(prefix: str) -> str:
    """The prefix in its plain form, empty for the root. Raises `Error` for one that is absolute or leaves the root."""
    path = PurePosixPath(prefix)
    if path.is_absolute() or ".." in path.parts or "\0" in prefix:
        raise Error(f"{prefix!r} is not a folder inside the repository", hint="name it from the top of the repository")
    return "" if str(path) == "." else str(path)


def listed(output: bytes) -> Iterator[tuple[str, str, int, SourceFile | None]]:
    """Path, object, size and, where the bytes are not wanted, the file itself: from `git ls-tree -r -z -l`."""
    for record in output.split(b"\0"):
        if not record:
            continue
        about, _, raw = record.partition(b"\t")
        mode, _kind, sha, size = about.decode().split()
        # A name is a key here and a place in a finding there: it must print.
        path = raw.decode(errors="backslashreplace")
        bytes_ = int(size) if size.isdecimal() else 0  # `-`: has none; `BAD`: the object is not in this clone
        problem = ""
        if mode == _SYMLINK:
            problem = "symlink"
        elif mode == _SUBMODULE:
            problem = "submodule"
        elif bytes_ > LARGE_BYTES:
            problem = "too large"
        yield path, sha, bytes_, SourceFile(b"", problem) if problem else None


def batched(output: bytes) -> Iterator[bytes | None]:
    """The contents in the order asked, None for a missing object: from `git cat-file --batch`."""
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        head = output[at:end].split()
        at = end + 1
        if head[-1] == b"missing":
            yield None
            continue
        size = int(head[2])
        yield output[at : at + size]
        at += size + 1


def on_disk(root: Path, prefix: str) -> dict[str, SourceFile]:
    """Every file below `prefix` on disk, by its path from the root; what cannot be read comes with its problem."""
    prefix = safe_prefix(prefix)
    top = root
    for part in PurePosixPath(prefix).parts:
        top = top / part
        if top.is_symlink():
            return {top.relative_to(root).as_posix(): SourceFile(b"", "symlink")}
    if not os.path.lexists(top):
        return {}
    if not top.is_dir():
        return {prefix: _read(str(top))}
    return dict(_walk(str(top), prefix))


def _walk(folder: str, at: str) -> Iterator[tuple[str, SourceFile]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        yield at, SourceFile(b"", "unreadable")
        return
    for entry in entries:
        if entry.name == ".git":
            continue
        name = os.fsencode(entry.name).decode(errors="backslashreplace")
        path = f"{at}/{name}" if at else name
        # The kind comes with the listing: no call per file before the one that opens it.
        if entry.is_file(follow_symlinks=False):
            yield path, _read(entry.path)
        elif entry.is_symlink():
            yield path, SourceFile(b"", "symlink")
        elif not entry.is_dir(follow_symlinks=False):
            yield path, SourceFile(b"", _kind(entry.path))
        elif os.path.lexists(os.path.join(entry.path, ".git")):  # noqa: PTH118 - entry.path may hold undecodable bytes
            yield path, SourceFile(b"", "submodule")
        else:
            yield from _walk(entry.path, path)


def _kind(path: str) -> str:
    """What a thing that is no file, folder or link is. It is not opened: that alone may wait, or do something."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return "unreadable"
    named = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
    return next((name for is_one, name in named if is_one(mode)), "not a file")


def _read(path: str) -> SourceFile:
    try:
        # Opened without following and without waiting: between the look and the open it may have become a link or a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return SourceFile(b"", "symlink" if error.errno == errno.ELOOP else "unreadable")
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return SourceFile(b"", _kind(path))
        if about.st_size > LARGE_BYTES:
            return SourceFile(b"", "too large")
        data = os.read(fd, LARGE_BYTES)
        while len(data) < about.st_size and (more := os.read(fd, LARGE_BYTES)):  # a network's file system gives less at once
            data += more
        return SourceFile(data)
    except OSError:
        return SourceFile(b"", "unreadable")
    finally:
        os.close(fd)
