"""Files written whole or not at all: beside, synced, then moved into place (REQUIREMENTS D7)."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from mlrelease.errors import Error


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Puts `data` at `path`, making its folder: after a crash it is as before or whole. Raises `Error` (disk full, rights)."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # not there, or where no folder is: what went wrong first is the news
            temporary.unlink()
        raise Error(
            f"{path} cannot be written: {error.strerror}",
            hint="free some space, or give this user the folder",
            where=str(path.parent),
        ) from error
