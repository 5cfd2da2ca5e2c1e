"""Pages with commands for two places, `you$` and `host$`: what they say, and following them word by word.

A comment `# exit N` names the exit code that belongs there, `# not run: …` says why a test cannot run the line. `systemctl`
is played: it starts and ends a real agent.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psutil
from mlrelease.delivery.agent import agent_pid
from support.estate import GIT_IDENTITY, until
from support.program import typed

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_LINE = re.compile(r"^(you|host)\$ (.+?)(?:\s{2,}#\s*(.*))?$")


@dataclass(frozen=True)
class Line:
    """One command of a page: where it is typed, how it must end, and why it is not run, if it is not."""

    section: str
    where: str
    command: str
    code: int = 0
    not_run: str = ""


def lines(page: Path) -> list[Line]:
    """Every command of the page's console blocks, in order. A line of such a block that is none is an error of the page."""
    found: list[Line] = []
    for section, text in sections(page).items():
        for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                said = _LINE.match(line)
                assert said, f"{page.name}: {line!r} is no command of a place"
                where, command, comment = said[1], said[2].strip(), said[3] or ""
                code = re.search(r"exit (\d+)$", comment)
                not_run = re.match(r"not run: (.+)", comment)
                found.append(Line(section, where, command, int(code[1]) if code else 0, not_run[1] if not_run else ""))
    return found


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = re.split(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@dataclass
class Reader:
    """Somebody who follows a page: two clones, the variables that both have, and an agent where `systemctl` starts one.

    `states` has the state folder of each environment that the agent watches; `replaced` what stands on the page for a place
    of the reader's own.
    """

    you: Path
    host: Path
    states: Mapping[str, Path]
    variables: dict[str, str]
    replaced: Mapping[str, str] = field(default_factory=dict)
    agent: subprocess.Popen[bytes] | None = None
    log: list[tuple[Line, str]] = field(default_factory=list)

    def environ(self) -> dict[str, str]:
        path = os.pathsep.join([self.variables.get("PATH", ""), str(BIN), os.environ["PATH"]])
        return {**os.environ, **GIT_IDENTITY, **self.variables, "PATH": path}

    def follow(
        self, page: Path, before: Mapping[str, Callable[[], None]] = MappingProxyType({}), *, section: str = ""
    ) -> dict[str, str]:
        """Runs the page's commands; `before` does what its prose asks for ahead of a command.

        What each printed comes back by command: of one that stands there twice, the first time.
        """
        self.log = []
        waiting = dict(before)
        for line in lines(page):
            if line.not_run or (section and line.section != section):
                continue
            if line.command in waiting:
                waiting.pop(line.command)()
            self.log.append((line, self.type(line)))
        assert not waiting, f"{page.name} does not say {list(waiting)}"
        return {line.command: said for line, said in reversed(self.log)}

    def type(self, line: Line) -> str:
        """One command as typed, what it printed; asserts its exit code."""
        command = line.command
        for written, here in self.replaced.items():
            command = command.replace(written, here)
        unit = re.fullmatch(r"sudo systemctl (start|stop|restart) mlrelease-agent", command)
        if unit:
            self.systemctl(unit[1])
            return ""
        if line.where == "you" and command.startswith("cd "):
            self.you = self.you / command.removeprefix("cd ")
            return ""
        folder = self.host.parent / "typed"
        variables, forker = typed(folder)
        environ = self.environ() | variables
        done = subprocess.run(
            # The last line keeps bash from becoming the command: some ask by which shell they are called.
            ["bash", "-euo", "pipefail", "-c", f"{command}\n:"],
            cwd=self.host if line.where == "host" else self.you,
            env=environ | {"PATH": f"{folder}{os.pathsep}{environ['PATH']}"},
            pass_fds=[forker],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == line.code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def systemctl(self, what: str) -> None:
        """The agent as its unit would treat it: SIGTERM and a wait, and a new one that is at work before this returns."""
        if what in ("stop", "restart") and self.agent is not None:
            self.agent.terminate()
            self.agent.wait(60)
            self.agent = None
        if what in ("start", "restart"):
            with (self.host.parent / "agent.log").open("ab") as log:
                self.agent = subprocess.Popen(
                    [str(BIN / "mlrelease"), "agent", "--interval", "1"],
                    cwd=self.host, env=self.environ(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            until(self.is_watched, seconds=60, what="an agent at work")

    def is_watched(self) -> bool:
        """Whether the agent that was started owns every environment."""
        return self.agent is not None and all(agent_pid(state) == self.agent.pid for state in self.states.values())

    def kill(self) -> None:
        """Ends the agent, and every process that has to do with the state folders, without asking."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(30)
            self.agent = None
        folders = [str(state) for state in self.states.values()]

        def left() -> list[psutil.Process]:
            found = psutil.process_iter(["pid", "cmdline"])
            mine = [p for p in found if any(folder in word for word in p.info["cmdline"] or () for folder in folders)]
            # supervisors first: one that still lives starts another for each that ends
            return sorted(mine, key=lambda p: "supervisor.supervisord" not in p.info["cmdline"])

        while processes := left():
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, 10)


def anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        kept = "".join(c for c in heading.lower().replace("\\", "") if c.isalnum() or c in " -_")
        yield kept.replace(" ", "-")
