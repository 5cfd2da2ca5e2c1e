"""What is in a folder of state: none where there is no folder, an error where it cannot be looked into."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from mlrelease.errors import Error


def listed(folder: Path, pattern: str = "*.json") -> list[Path]:
    """The entries whose names match, sorted. Raises `Error` for a folder that this user may not read.

    `Path.glob` finds nothing in such a folder from Python 3.13 on; but nothing found is then no answer (row 17 of
    docs/safety.md).
    """
    try:
        return sorted(path for path in folder.iterdir() if fnmatch(path.name, pattern))
    except FileNotFoundError:
        return []
    except OSError as e:
        raise unusable(folder, e) from e


def unusable(path: Path, e: OSError) -> Error:
    """The error for a state file that the operating system does not let us use (a full disk, missing rights)."""
    return Error(f"cannot use {path}: {e.strerror}", hint="see to the disk and to who owns that folder", where=str(path))
