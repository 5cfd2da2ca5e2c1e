"""Where everything lies in a state folder, and how a file gets there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.errors import Error

LONGEST_SOCKET_PATH = 107
"""Bytes of `sun_path` in unix(7) without its closing NUL."""

_LONGEST_SOCKET_NAME = len("v123456.4194304")
"""Supervisor binds `<name>.<pid>` first and links it to the name; the highest pid of Linux has seven digits."""

_PRIVATE_DIR = 0o700
_PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one environment's state folder; `root` is absolute and without symlinks."""

    root: Path

    @property
    def instances(self) -> Path:
        """One record per instance, written before its process starts."""
        return self.root / "instances"

    @property
    def configs(self) -> Path:
        """What each instance is started with."""
        return self.root / "configs"

    @property
    def xds(self) -> Path:
        """The folder that Envoy watches."""
        return self.root / "xds"

    @property
    def staging(self) -> Path:
        """Where files are written before they are moved into place: the same filesystem, watched by nobody."""
        return self.root / "tmp"

    @property
    def generations(self) -> Path:
        """One folder per start of supervisord."""
        return self.root / "supervisor"

    @property
    def logs(self) -> Path:
        """What instances, proxy and supervisor wrote."""
        return self.root / "logs"

    @property
    def sockets(self) -> Path:
        """Unix sockets, under names as short as can be."""
        return self.root / "s"

    @property
    def routes(self) -> Path:
        """The routing table and the one before it."""
        return self.root / "routes.json"

    @property
    def supervisor(self) -> Path:
        """Which generation of supervisord is the present one."""
        return self.root / "supervisor.json"

    @property
    def proxy(self) -> Path:
        """Which Envoy is the present one."""
        return self.root / "proxy.json"

    def make(self) -> None:
        """Makes the folders, for this user only. Raises `Error` when it cannot, or when sockets would not fit."""
        room = LONGEST_SOCKET_PATH - len(os.fsencode(self.sockets)) - 1
        if room < _LONGEST_SOCKET_NAME:
            raise Error(
                f"the path of the state folder is {_LONGEST_SOCKET_NAME - room} bytes too long for unix sockets",
                hint="set target.state_dir in environment.yaml to a shorter path",
                where=str(self.root),
            )
        parts = (self.instances, self.configs, self.xds, self.staging, self.generations, self.logs, self.sockets)
        try:
            for folder in (self.root, *parts):
                folder.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
            self.root.chmod(_PRIVATE_DIR)
        except OSError as e:
            raise Error(
                f"the state folder cannot be made: {e.strerror}",
                hint="set target.state_dir in environment.yaml to a folder that you may write",
                where=str(self.root),
            ) from e

    def write(self, path: Path, data: bytes) -> None:
        """Puts `data` at `path`: whole after this call, or as it was before. Raises `Error` (disk full, no permission)."""
        temporary = self.staging / f"{path.name}.{secrets.token_hex(4)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        except OSError as e:
            with contextlib.suppress(OSError):  # a folder that is read-only refuses this too: the first reason is told
                temporary.unlink(missing_ok=True)
            raise Error(
                f"{path.name} cannot be written: {e.strerror}",
                hint="free some space, or give this user the folder",
                where=str(path.parent),
            ) from e

    def write_json(self, path: Path, value: Any) -> None:
        """The same with JSON for people to read."""
        self.write(path, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")

    def socket(self, name: str) -> str:
        """The path of a socket of this short name."""
        return str(self.sockets / name)


def read_json(path: Path) -> Any:
    """The JSON in a file; None when there is none. Raises `Error` when it is damaged or cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as e:
        raise Error(f"{path.name} cannot be read: {e.strerror}", where=str(path)) from e
    except (ValueError, RecursionError) as e:
        raise Error(
            f"{path.name} is damaged",
            hint="move it away; the next deploy writes what runs again",
            where=str(path),
        ) from e


def remove(*paths: Path | str) -> None:
    """Removes files; those that are gone already are fine. Raises `Error` when one stays."""
    for path in paths:
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as e:
            raise Error(f"a file cannot be removed: {e.strerror}", where=str(path)) from e


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
