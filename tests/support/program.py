"""Runs the program as a person does, in a process of its own, without paying for its imports each time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

COMMAND = (sys.executable, "-m", "mlrelease.cli")
FORKER = Path(__file__).with_name("forker.py")
TYPED = Path(__file__).with_name("typed.py")
_ASKING = threading.Lock()


def program(
    *arguments: str, cwd: Path, environ: Mapping[str, str], timeout: float, given: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """`mlrelease ARGUMENTS` with `given` on its stdin, as `subprocess.run` would have run it: same output, same exit codes.

    Raises `subprocess.TimeoutExpired` after having killed it. What an interpreter decides at its start (`PYTHON…`, the
    locale) cannot differ in a fork: then it is a real start.
    """
    if _starting(environ) != _starting(os.environ):
        done = subprocess.run(
            [*COMMAND, *arguments], cwd=cwd, env=dict(environ), input=given, capture_output=True, timeout=timeout, check=False
        )
        return _ended(arguments, done.returncode, done.stdout, done.stderr)
    told = json.dumps({"arguments": arguments, "cwd": str(cwd), "environ": dict(environ)}).encode()
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        stdin.write(given)
        stdin.seek(0)
        mine, theirs = socket.socketpair()
        with mine, mine.makefile() as answer:
            with theirs, _ASKING:
                socket.send_fds(_forker(), [told], [stdin.fileno(), out.fileno(), err.fileno(), theirs.fileno()])
            mine.settimeout(timeout)
            child = int(answer.readline())
            try:
                code = int(answer.readline())
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                raise subprocess.TimeoutExpired([*COMMAND, *arguments], timeout, _all(out), _all(err)) from None
        return _ended(arguments, code, _all(out), _all(err))


def typed(folder: Path) -> tuple[dict[str, str], int]:
    """Puts a `mlrelease` into the folder that is `program` for a shell; the variables and the descriptor which that needs."""
    folder.mkdir(exist_ok=True)
    command = folder / "mlrelease"
    if not command.exists():
        command.write_text(f"#!{sys.executable} -IS\n{TYPED.read_text()}")
        command.chmod(0o755)
    forker = _forker().fileno()
    return {"MLRELEASE_TEST_FORKER": str(forker), "MLRELEASE_TEST_REAL": str(Path(sys.executable).parent / "mlrelease")}, forker


def _ended(arguments: tuple[str, ...], code: int, out: bytes, err: bytes) -> subprocess.CompletedProcess[str]:
    texts = (text.decode(errors="backslashreplace") for text in (out, err))
    return subprocess.CompletedProcess([*COMMAND, *arguments], code, *texts)


def _all(stream) -> bytes:
    stream.seek(0)
    return stream.read()


def _starting(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(("PYTHON", "LC_", "LANG"))}


@cache
def _forker() -> socket.socket:
    """One for this process; it ends with it, because the other end of its socket does."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen([sys.executable, str(FORKER)], stdin=theirs, start_new_session=True)
    return mine
