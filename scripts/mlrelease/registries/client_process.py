"""The `mlflow` package in a process of its own: for backends and artifact stores that a tracking server does not speak for.

Importing it costs 1.4 s and 170 MB, its own retries outlast any deadline (246 s for a closed port), and its settings are
environment variables: a child has its own environment, holds nobody up and can be ended. One request at a time, as JSON
lines; the child ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UnavailableError
from mlrelease.registries.interface import FileFacts

_INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "SSL_CERT_FILE", "TMPDIR", "VIRTUAL_ENV")
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "AWS_MAX_ATTEMPTS": "3",
    "AWS_RETRY_MODE": "standard",
    "PYTHONUNBUFFERED": "1",
}
_LONGEST_MESSAGE = 300


class ClientProcess:
    """The child of one registry, started by the first request. Thread-safe; requests wait for each other.

    `env` holds the credentials under the names that the client and the stores' own libraries read (`AWS_…`); `uri` is
    the backend, if it is to be asked.
    """

    def __init__(self, env: Mapping[str, str], *, uri: str = "", where: str = "") -> None:
        self._env = env
        self._uri = uri
        self._where = where
        self._lock = threading.Lock()
        self._running: tuple[subprocess.Popen[str], IO[str]] | None = None

    def files(self, uri: str) -> list[FileFacts]:
        """Every file below the address of an artifact store."""
        return [FileFacts(path, size) for path, size in self.ask("files", uri=uri)]

    def download(self, uri: str, into: Path) -> None:
        """Writes every file below the address below `into`, sizes checked against the listing."""
        self.ask("download", uri=uri, into=str(into.resolve()), within_s=DEADLINES_S["mlflow.download"])

    def ask(self, operation: str, *, within_s: float = DEADLINES_S["mlflow.client"], **arguments: Any) -> Any:
        """What the operation returns. Raises `UnavailableError` when it does not end in time, `Error` for what it says."""
        with self._lock:
            answer = self._exchange({"do": operation, **arguments}, within_s, where=str(arguments.get("uri", self._where)))
        if "value" in answer:
            return answer["value"]
        raise self._error(answer, arguments.get("uri") or self._where)

    def _exchange(self, request: Mapping[str, Any], within_s: float, *, where: str) -> dict[str, Any]:
        process, stderr = self._running or self._start()
        self._running = None  # until the answer is here: what was interrupted would answer the next question
        answer = _round(process, json.dumps(request), within_s)
        if answer:
            self._running = process, stderr
            return dict(json.loads(answer))
        _end(process)
        if answer is None:
            raise UnavailableError(
                f"{where or 'the MLflow backend'} did not answer within {within_s:g} s",
                hint="is it running, and reachable from here?",
            )
        raise Error(f"the mlflow client ended with exit code {process.returncode}: {self._safe(_last_line(stderr))}")

    def _start(self) -> tuple[subprocess.Popen[str], IO[str]]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        given = {name: value for name, value in self._env.items() if not name.startswith("MLFLOW_TRACKING_")}
        stderr: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - the child's, as long as it lives
        # -P and a folder of nobody's: neither ./mlflow.py nor ./mlruns of wherever the command runs may matter.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlrelease.registries.client_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**_SETTINGS, **inherited, **given},
            cwd="/",
            text=True,
            start_new_session=True,
        )
        weakref.finalize(self, _end, process)
        # The address on standard input: arguments and environment can be read by others on this machine.
        hello = _round(process, json.dumps({"uri": self._uri}), DEADLINES_S["mlflow.client.start"])
        ready = json.loads(hello) if hello else {"error": ["error", _last_line(stderr) or "it did not start in time", ""]}
        if "error" in ready:
            _end(process)
            raise self._error(ready, self._where)
        return process, stderr

    def _error(self, answer: Mapping[str, Any], where: str) -> Error:
        kind, message, hint = answer["error"]
        raised = UnavailableError if kind == "unavailable" else Error
        return raised(self._safe(message), hint=hint, where=where or None)

    def _safe(self, message: str) -> str:
        """The message in one line, without the address's password in any spelling."""
        with contextlib.suppress(ValueError):
            secret = urlsplit(self._uri).password
            for text in sorted({secret or "", unquote(secret or "")} - {""}, key=len, reverse=True):
                message = message.replace(text, "***")
        line = " ".join(message.split())
        return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


def _round(process: subprocess.Popen[str], line: str, within_s: float) -> str | None:
    """One line there and one back; empty when the child ended, None when it was ended because it took too long."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: both are pipes
    assert process.stdout is not None  # noqa: S101 - the same
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(within_s, end)
    timer.daemon = True
    timer.start()
    answer = ""
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except OSError:  # it ended before
        pass
    finally:
        timer.cancel()
    return answer if answer.endswith("\n") else None if late.is_set() else ""


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the child, which ends by itself when its standard input does."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(stderr: IO[str]) -> str:
    stderr.seek(0)
    lines = stderr.read().strip().splitlines()
    return lines[-1] if lines else ""
