"""One command of the story: printed as typed, run for real, its output shown as it comes, its exit code judged."""

from __future__ import annotations

import fcntl
import os
import pty
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

_CLONES = ("laptop", "host")
_POLL_S = 0.1
HEAD, TAIL = 14, 8
"""So many lines of a command are shown as they come, and so many of its last ones: a fleet has a row for each model."""

_INTERRUPT_S = 5.0
"""After Ctrl-C a command gets this long to put things back."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command that was run: as typed, with the exit code it had and the one that the story wants."""

    name: str
    command: str
    exit: int
    expected_exit: int
    seconds: float


@dataclass(slots=True)
class Runner:
    """Runs commands one after the other and keeps the steps."""

    teller: Teller
    variables: Mapping[str, str]
    steps: list[Step] = field(default_factory=list)

    def run(self, name: str, argv: Sequence[str], *, cwd: Path, expected: int = 0) -> list[str]:
        """The lines that the command wrote. Raises `Error` when it does not end as expected."""
        self.teller.command(cwd.name if cwd.name in _CLONES else "demo", argv)
        began = time.monotonic()
        lines: list[str] = []

        def show(line: str) -> None:
            lines.append(line)
            if len(lines) <= HEAD:
                self.teller.output(line)

        try:
            code = follow(real(argv), show, cwd=cwd, variables=self.variables, columns=self.teller.room, terminal=_wide(argv))
        except KeyboardInterrupt:
            self.steps.append(Step(name, " ".join(argv), 130, expected, round(time.monotonic() - began, 3)))
            raise
        finally:
            for line in shortened(lines):
                self.teller.output(line)
        self.steps.append(Step(name, " ".join(argv), code, expected, round(time.monotonic() - began, 3)))
        if code != expected:
            raise Error(f"`{' '.join(argv)}` ({name}) ended with {code} where {expected} was expected")
        return lines


def shortened(lines: Sequence[str]) -> Iterator[str]:
    """What is shown of a command's lines once it has ended: those after the head, the middle of a long rest left out."""
    rest = lines[HEAD:]
    if len(rest) > TAIL + 1:
        yield f"… {len(rest) - TAIL} more lines"
        rest = rest[-TAIL:]
    yield from rest


def real(argv: Sequence[str]) -> list[str]:
    """What is run for what is typed: `mlrelease` is this installation's, whatever is on PATH."""
    return [sys.executable, "-m", "mlrelease.cli", *argv[1:]] if argv[0] == "mlrelease" else list(argv)


def follow(
    argv: Sequence[str],
    show: Callable[[str], None],
    *,
    cwd: Path,
    variables: Mapping[str, str],
    columns: int,
    terminal: bool,
) -> int:
    """The exit code of the command, each line shown as soon as it is whole.

    With `terminal` the command writes to one that is `columns` wide. Raises `Error` at the deadline; then, and when
    interrupted, the command is ended first.
    """
    reading, writing = pty.openpty() if terminal else os.pipe()
    try:
        if terminal:
            fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
        )
    finally:
        os.close(writing)
    end = time.monotonic() + DEADLINES_S["demo.step"]
    try:
        for line in _lines(reading, lambda: process.poll() is not None or time.monotonic() > end):
            show(line)
        return process.wait(max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise Error(f"`{' '.join(argv[-4:])}` did not end in {DEADLINES_S['demo.step']:.0f} s") from error
    finally:
        os.close(reading)
        _end(process)


def _lines(reading: int, over: Callable[[], bool]) -> Iterator[str]:
    """What is written, line by line, until it is closed, or nothing more comes when it is over."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while True:
            # A daemon that the command started may hold the other end open for ever.
            last = over()
            if not selector.select(_POLL_S):
                if last:
                    break
                continue
            try:
                data = os.read(reading, 1 << 16)
            except OSError:  # Linux says EIO once nobody has the terminal open any more
                data = b""
            *whole, rest = (rest + data).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
            if not data:
                break
    if rest:
        yield rest.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_INTERRUPT_S)
    process.wait()


def _wide(argv: Sequence[str]) -> bool:
    """`mlrelease` fits its tables into a terminal; git would draw progress bars on one."""
    return argv[0] == "mlrelease" and "json" not in argv
