"""The supervisord that keeps this environment's processes: started, asked, given programs and relieved of them.

Each start of supervisord is a *generation* with a folder of its own, so that a new one never starts what an older one
left. Everything is asked over XML-RPC on a unix socket that only this user can open.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.log import get
from mlrelease.serving.uds import ask
from mlrelease.targets.local.files import Layout, read_json, remove

LOG_BYTES = 10 << 20
LOG_BACKUPS = 2

FINAL_EXITS = (1, 2, 3, 4, 5)
"""Exit codes after which an instance is not started again: the reference server's `will not load` and Python's own.

A crash while serving ends by a signal (out of memory, a fault in native code) and is restarted at once.
"""

RUNNING, EXITED, FATAL = 20, 100, 200
_STARTING, _BACKOFF = 10, 30
_BAD_NAME, _ALREADY_ADDED, _NOT_RUNNING, _STILL_RUNNING = 10, 90, 70, 91

_PASSED_ON = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|PYTHONPATH|LD_LIBRARY_PATH|VIRTUAL_ENV|SSL_CERT_\w+")
_POLL_S = 0.01


def scrubbed_environment() -> dict[str, str]:
    """What of this process's environment anything on the target may see: no tokens, no registry addresses."""
    return {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}


@dataclass(frozen=True, slots=True)
class Process:
    """Supervisor's view of one program. `ended_before` says that it ended at least once since it was added."""

    name: str
    state: int
    pid: int
    exit_status: int
    ended_before: bool
    spawn_error: str

    @property
    def runs(self) -> bool:
        """It lives, or will in a moment."""
        return self.state in (RUNNING, _STARTING, _BACKOFF)

    @property
    def final(self) -> bool:
        """It ended and supervisor will not start it again."""
        return self.state in (EXITED, FATAL)


@dataclass(frozen=True, slots=True)
class Program:
    """A program for supervisord. `keep_on` restarts it whatever its exit code; `joined` puts stderr into the same log."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    run_file: Path
    log: str
    keep_on: bool
    joined: bool = True


class Supervisor:
    """The supervisord of a state folder. Reads nothing at construction."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def generation(self) -> int:
        """The present generation; 0 before the first."""
        data = read_json(self._layout.supervisor)
        number = data.get("generation") if isinstance(data, dict) else 0
        return number if isinstance(number, int) else 0

    def folder(self) -> Path:
        """The present generation's folder."""
        return self._layout.generations / str(self.generation)

    def processes(self, *, timeout_s: float = DEADLINES_S["supervisor.call"]) -> dict[str, Process] | None:
        """All programs by name; None when no supervisord runs. Raises `Error` when one is there and does not answer."""
        try:
            listed = self._call("getAllProcessInfo", timeout_s=timeout_s)
        except (ConnectionError, FileNotFoundError):
            return None
        return {
            item["name"]: Process(
                name=item["name"],
                state=int(item["state"]),
                pid=int(item["pid"]),
                exit_status=int(item["exitstatus"]),
                ended_before=int(item["stop"]) > 0,
                spawn_error=str(item["spawnerr"]),
            )
            for item in listed
        }

    def ensure(self) -> bool:
        """Sees to it that a supervisord runs; True when it had to be started, as a new generation without programs."""
        if self.generation and self.processes() is not None:
            return False
        # A pass that was killed in here may have left a folder that is not recorded: its number is not taken again.
        used = [int(f.name) for f in self._layout.generations.iterdir() if f.name.isdigit()]
        generation = max([self.generation, *used]) + 1
        folder = self._layout.generations / str(generation)
        try:
            (folder / "programs").mkdir(parents=True, mode=0o700)
        except OSError as e:
            raise Error(f"the supervisor's folder cannot be made: {e.strerror}", where=str(folder)) from e
        config = folder / "supervisord.conf"
        self._layout.write(config, _configuration(generation).encode())
        # The number is recorded first: killed between here and the start, the next pass finds it dead and counts on.
        self._layout.write_json(self._layout.supervisor, {"generation": generation})
        self._start(config)
        get("target.local").info("supervisor started", generation=generation)
        return True

    def add(self, programs: Sequence[Program]) -> None:
        """Adds programs and starts them; those that are there already stay as they are."""
        if not programs:
            return
        folder = self.folder() / "programs"
        for program in programs:
            spec = {"argv": list(program.argv), "env": dict(program.env)}
            self._layout.write_json(program.run_file, spec)
            self._layout.write(folder / f"{program.name}.conf", _section(program, self._layout.root).encode())
        self._call("reloadConfig")
        for program in programs:
            self._call("addProcessGroup", program.name, accept=(_ALREADY_ADDED,))

    def stop(self, name: str) -> None:
        """Sends SIGTERM and returns at once; SIGKILL follows after `instance.stop`. A program that is not running is fine."""
        self._call("stopProcess", name, False, accept=(_NOT_RUNNING, _BAD_NAME))

    def discard(self, name: str) -> None:
        """Removes a program that has been stopped, waiting for its end. Raises `Error` when it does not end in time."""
        end = time.monotonic() + DEADLINES_S["instance.stop"] + DEADLINES_S["supervisor.call"]
        while self._call("removeProcessGroup", name, accept=(_BAD_NAME, _STILL_RUNNING)) == _STILL_RUNNING:
            if time.monotonic() > end:
                raise Error(f"{name} does not end", hint=f"see {self._layout.logs}", where=str(self._layout.root))
            time.sleep(_POLL_S)
        remove(self.folder() / "programs" / f"{name}.conf")

    def shut_down(self) -> None:
        """Asks supervisord to end; does not wait. One that is gone already is fine."""
        try:
            self._call("shutdown")
        except (ConnectionError, FileNotFoundError):
            return

    def _start(self, config: Path) -> None:
        log = self._layout.logs / "supervisord.log"
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
        try:
            # It forks into a session of its own before it returns, so it outlives whoever started it.
            done = subprocess.run(
                command,
                cwd=self._layout.root,
                env=scrubbed_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=DEADLINES_S["supervisor.start"],
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Error(f"supervisord cannot be started: {type(e).__name__}", where=str(config)) from e
        if done.returncode:
            if b"No module named" in done.stderr:
                raise Error("supervisor is not installed", hint="pip install 'mlrelease[local]'")
            last = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise Error(f"supervisord cannot be started: {last[0]}", hint=f"see {log}", where=str(config))
        end = time.monotonic() + DEADLINES_S["supervisor.start"]
        while self.processes() is None:
            if time.monotonic() > end:
                raise Error("supervisord was started and does not answer", hint=f"see {log}", where=str(config))
            time.sleep(_POLL_S)

    def _call(
        self, method: str, *arguments: Any, accept: tuple[int, ...] = (), timeout_s: float = DEADLINES_S["supervisor.call"]
    ) -> Any:
        """The result, or the fault code when it is one of `accept`. No supervisord: `ConnectionError`, `FileNotFoundError`."""
        body = xmlrpc.client.dumps(arguments, f"supervisor.{method}").encode()
        socket = self._layout.socket(_socket_name(self.generation))
        try:
            answer = ask(socket, "POST", "/RPC2", body, {"Content-Type": "text/xml"}, timeout_s=timeout_s)
            (result,), _ = xmlrpc.client.loads(answer.body)
        except xmlrpc.client.Fault as e:
            if e.faultCode in accept:
                return e.faultCode
            raise Error(f"supervisord refused {method}: {e.faultString}", where=str(self.folder())) from e
        except TimeoutError as e:
            raise Error(
                f"supervisord does not answer within {timeout_s:g} s",
                hint="is it paused? if it hangs, end it: what serves goes on, and the next pass starts another",
                where=str(self.folder()),
            ) from e
        except (ValueError, ExpatError, xmlrpc.client.Error) as e:
            raise Error(f"supervisord's answer to {method} cannot be read", where=str(self.folder())) from e
        return result


def _socket_name(generation: int) -> str:
    return f"v{generation % 1_000_000}"


def _configuration(generation: int) -> str:
    # Paths are relative to the state folder, supervisord's working directory: a `%` or ` ;` in the path of the folder
    # would otherwise be read as ini syntax.
    lines = [
        "[supervisord]",
        f"logfile=logs/supervisord.log\nlogfile_maxbytes={LOG_BYTES}\nlogfile_backups={LOG_BACKUPS}\nloglevel=info",
        f"pidfile=supervisor/{generation}/pid",
        "umask=077",
        "childlogdir=logs\nstrip_ansi=false\nnocleanup=true",
        *(["user=root"] if os.geteuid() == 0 else []),  # being root is meant; without this line it warns each time
        "[unix_http_server]",
        f"file=s/{_socket_name(generation)}\nchmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        "[include]",
        "files=programs/*.conf",
    ]
    return "\n".join(lines) + "\n"


def _section(program: Program, root: Path) -> str:
    launcher = Path(__file__).with_name("launch.py")
    # Relative to the state folder, as in `_configuration`: no quoting keeps supervisor from reading ` ;` as a comment.
    run_file = program.run_file.relative_to(root)
    command = shlex.join([sys.executable, "-I", "-S", str(launcher), str(run_file)]).replace("%", "%%")
    # startsecs=0 for instances: no state of its own for the first second, so that an exit code is final whenever it
    # comes. The proxy has one second, so that one which cannot start is tried with growing pauses, not in a storm.
    restart = (
        "autorestart=true\nstartsecs=1\nstartretries=1000000"
        if program.keep_on
        else f"autorestart=unexpected\nexitcodes={','.join(map(str, FINAL_EXITS))}\nstartsecs=0\nstartretries=0"
    )
    rotated = "{0}_logfile=logs/{1}\n{0}_logfile_maxbytes={2}\n{0}_logfile_backups={3}".format
    out = rotated("stdout", program.log, LOG_BYTES, LOG_BACKUPS)
    err = "redirect_stderr=true" if program.joined else rotated("stderr", f"{program.name}.log", LOG_BYTES, LOG_BACKUPS)
    return (
        f"[program:{program.name}]\ncommand={command}\nautostart=true\n{restart}\n"
        f"stopsignal=TERM\nstopwaitsecs={int(DEADLINES_S['instance.stop'])}\nkillasgroup=true\n{out}\n{err}\n"
    )
