"""One server process from start to end: bind, then the rest. What is heavy is imported once the listener is there."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from mlrelease.errors import Error
from mlrelease.log import get
from mlrelease.serving.config import ServeConfig
from mlrelease.serving.state import ServerState

BACKLOG = 2048
_DISTINCT_WARNINGS = 1000


def serve(config: ServeConfig) -> int:
    """Serves until SIGTERM or SIGINT, or until a model cannot be served; gives the exit code (`loading.ExitCode`).

    Must run in the main thread. Raises `Error` when it cannot listen. A prediction that outlives `drain_s` is still
    running in its thread when this comes back: who wants the process to end then uses `os._exit`, as `__main__` does.
    """
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=logging.WARNING, handlers=[_IntoLog()], force=True)
    state = ServerState(config, time.time())
    # Before the imports of a third of a second below: who connects from now on waits instead of being refused.
    with _signals_drain(state), _listening(config.listen) as listener:
        from mlrelease.serving.process import run  # noqa: PLC0415

        return run(state, listener)


@contextlib.contextmanager
def _signals_drain(state: ServerState) -> Iterator[None]:
    """A signal that comes before the event loop is there ends the process by the same way as a later one."""

    def drain(_signal: int, _frame: FrameType | None) -> None:
        state.draining = True

    before = {number: signal.signal(number, drain) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _listening(listen: str) -> Iterator[socket.socket]:
    """The listener while the block runs; what the block itself raises is none of its errors."""
    with _bound(listen) as listener:
        if not listen.startswith("unix:"):
            yield listener
            return
        path = Path(listen.removeprefix("unix:"))
        own = path.stat()
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), own):  # a later instance may have bound the same path by now
                    path.unlink()


def _bound(listen: str) -> socket.socket:
    try:
        if not listen.startswith("unix:"):
            host, _, port = listen.rpartition(":")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=BACKLOG)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind(listener, Path(listen.removeprefix("unix:")))
        except BaseException:
            listener.close()
            raise
        return listener
    except (ValueError, OverflowError) as e:
        raise Error(f"cannot listen on {listen}: it is not host:port", hint="for example 127.0.0.1:8000, or unix:/path") from e
    except OSError as e:
        hint = "another process listens there, or this user may not; choose another address"
        raise Error(f"cannot listen on {listen}: {e.strerror or e}", hint=hint) from e


def _bind(listener: socket.socket, path: Path) -> None:
    """Binds to `path`, over a socket file that nobody answers at any more; readable by this user alone."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)


class _IntoLog(logging.Handler):
    """Lines of libraries, in the form of ours. A warning is written once: MLflow repeats its own with every request."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line; library loggers are told apart by `logger`."""
        try:
            text = record.getMessage().strip()
        except Exception:  # noqa: BLE001 - arguments that do not fit the text must not fail the prediction that said it
            text = str(record.msg)
        if record.levelno < logging.ERROR:
            if (record.name, text) in self._said or len(self._said) >= _DISTINCT_WARNINGS:
                return
            self._said.add((record.name, text))
        get("serving").log(record.levelno, text, logger=record.name, exc_info=record.exc_info)
