"""Who listens on the environment's port. Two proxies on one port would share its traffic in silence (SO_REUSEPORT)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error

_PORTS = 65536
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Listen:
    """`host:port` as written, and the IP address that it means."""

    text: str
    address: str
    port: int

    @property
    def reachable(self) -> tuple[str, int]:
        """Where a client on this machine finds it."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
        return anywhere.get(self.address, self.address), self.port


def parse(text: str) -> Listen:
    """The listener that `host:port` means. Raises `Error` for anything else and for a host that has no address."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or not 0 < int(port) < _PORTS:
        raise Error(f"target.listen is not host:port: {text}", hint="for example 127.0.0.1:8080")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError) as e:  # ValueError: a name that has no form on the wire, such as a label of 64 characters
        raise Error(f"target.listen names a host without an address: {host}", hint="for example 127.0.0.1:8080") from e
    # IPv4 first where a name has both: that is what `curl localhost` users and health checks expect.
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    return Listen(text, str(found[0][4][0]), int(port))


def check_free(listen: Listen, own: Container[int]) -> None:
    """Raises `Error` naming address and process when a process other than `own` (pids) listens there."""
    family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Past connections in TIME_WAIT are no hindrance; a listener is one even with this option.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.address, listen.port))
            return
        except PermissionError as e:
            raise Error(f"{listen.text} may not be bound by this user", hint="ports below 1024 need a privilege") from e
        except OSError as e:
            taken = e
    others = [pid for pid in _listeners(listen) if pid not in own]
    if not others and own_listens(listen, own):
        return
    who = f" by process {', '.join(map(str, sorted(others)))}" if others else ""
    raise Error(
        f"{listen.text} cannot be used: {'taken' + who if taken.errno == errno.EADDRINUSE else taken.strerror}",
        hint="end that process, or set another target.listen in environment.yaml",
        where=listen.text,
    ) from taken


def own_listens(listen: Listen, own: Container[int]) -> bool:
    """Whether one of these processes is the one that listens there."""
    return any(pid in own for pid in _listeners(listen))


@contextmanager
def locked(listen: Listen) -> Iterator[None]:
    """Keeps other targets of this user from bringing a proxy up on the port meanwhile. Raises `Error` when one takes long.

    Other users cannot share the port: the kernel lets only sockets of one user do that.
    """
    folder = Path(tempfile.gettempdir()) / f"mlrelease-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise Error("the folder of port locks belongs to somebody else", where=str(folder))
        descriptor = os.open(folder / f"port-{listen.port}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as e:
        raise Error(f"the port cannot be locked: {e.strerror}", where=str(folder)) from e
    try:
        _acquire(descriptor, listen)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, listen: Listen) -> None:
    end = time.monotonic() + DEADLINES_S["proxy.start"]
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as e:
            if time.monotonic() > end:
                raise Error(f"another target is bringing up a proxy on {listen.text}", hint="try again") from e
            time.sleep(_POLL_S)


def _listeners(listen: Listen) -> set[int]:
    """Pids that listen on the port, as far as this user may see them."""
    anywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return set()
    return {
        c.pid
        for c in found
        if c.status == psutil.CONN_LISTEN
        and c.pid
        and c.laddr
        and c.laddr.port == listen.port
        and (c.laddr.ip == listen.address or {c.laddr.ip, listen.address} & anywhere)
    }
