"""What the chapters of the story are told with: commands, processes in the background, their logs, and waiting for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo.crew import Crew
from mlrelease.demo.load import Summary, summarize
from mlrelease.demo.models import MODEL, PICKLE
from mlrelease.demo.place import Place
from mlrelease.demo.steps import Runner, real
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

ENV = "production"
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """The place, who speaks, what runs in front and what in the background."""

    place: Place
    teller: Teller
    runner: Runner
    crew: Crew

    def say(self, text: str) -> None:
        """A paragraph of narration."""
        self.teller.say(text)

    def run(self, name: str, *argv: str, cwd: Path | None = None, expected: int = 0) -> None:
        """A command of the story, in the laptop's clone unless `cwd` says otherwise. Raises `Error` for another exit code."""
        self.runner.run(name, argv, cwd=cwd or self.place.laptop, expected=expected)

    def quiet(self, *argv: str) -> str:
        """What a command writes to stdout that is no part of the story. Raises `Error` when it fails."""
        typed = " ".join(argv)
        try:
            done = subprocess.run(
                real(argv),
                cwd=self.place.laptop,
                env=dict(self.runner.variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=DEADLINES_S["demo.step"],
            )
        except subprocess.TimeoutExpired as error:
            raise Error(f"`{typed}` did not end in {DEADLINES_S['demo.step']:.0f} s") from error
        if done.returncode:
            raise Error(f"`{typed}` ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def head(self) -> str:
        """The commit that the laptop is at."""
        return self.quiet("git", "rev-parse", "HEAD").strip()

    def events(self) -> list[dict[str, Any]]:
        """The ledger's events."""
        return list(json.loads(self.quiet("mlrelease", "--output", "json", "history", ENV))["events"])

    def wait_for_models(self) -> None:
        """Shows what the training says until all versions are registered."""

        def look(lines: list[str]) -> bool:
            for line in lines:
                if line.startswith(f"{MODEL} "):  # the rest is what libraries say
                    self.teller.output(line)
            if self.crew.exit_code("models") == 0:
                return True
            self.crew.check("mlflow", "the MLflow server")
            return False

        self._watch("models", look, deadline="demo.models", ends=True)

    def follow_agent(self, awaited: str, shown: int = 0) -> int:
        """Shows the agent's log from line `shown` until a line has `awaited` in it; how many lines there are then."""

        def look(lines: list[str]) -> bool:
            for line in lines:
                self.teller.output(line)
            return any(awaited in line for line in lines)

        return self._watch("agent", look, deadline="demo.proof", shown=shown)

    def start_load(self, rate: int) -> None:
        """Starts the clients with one row of version 1's own example, and waits for the first answer."""
        example = min(self.place.mlflow.rglob("serving_input_example.json"))
        data = json.loads(example.read_text())["dataframe_split"]
        row = {"dataframe_split": {"columns": data["columns"], "data": data["data"][:1]}}
        self.place.payload.write_text(json.dumps(row))
        files = ["--payload", str(self.place.payload), "--out", str(self.place.answers)]
        argv = [sys.executable, "-m", "mlrelease.demo.load", "--url", self.place.url, "--rate", str(rate), *files]
        self.crew.start("load", argv, cwd=self.place.root)
        self._watch("load", lambda _: bool(self.load().sent), deadline="demo.stop")

    def load(self) -> Summary:
        """What the clients have seen so far; nothing before they began."""
        try:
            with self.place.answers.open(encoding="utf-8") as lines:
                return summarize(lines)
        except FileNotFoundError:
            return summarize(())

    def pickle(self) -> Path:
        """Where the artifact store keeps the file of version 3 that is loaded by unpickling."""
        found = sorted((self.place.mlflow / "artifacts").rglob(PICKLE))
        if len(found) != 1:
            raise Error(f"there are {len(found)} files {PICKLE} in the artifact store, not one", where=str(self.place.mlflow))
        return found[0]

    def _watch(self, name: str, look: Callable[[list[str]], bool], *, deadline: str, shown: int = 0, ends: bool = False) -> int:
        """Gives the new whole lines of a process's log to `look` until that is content; how many lines there are then.

        Raises `Error` at the deadline, and when the process ended (with `ends`: ended badly) before that.
        """
        end = time.monotonic() + DEADLINES_S[deadline]
        while True:
            code = self.crew.exit_code(name)
            text = self.crew.log(name).read_text(encoding="utf-8", errors="replace")
            lines = text[: text.rfind("\n") + 1].splitlines()
            if look(lines[shown:]):
                return len(lines)
            shown = len(lines)
            if code is not None and not (ends and code == 0):
                self.crew.check(name, f"the process `{name}`")
            if time.monotonic() > end:
                seconds = DEADLINES_S[deadline]
                raise Error(f"`{name}` did not get there in {seconds:.0f} s", where=str(self.crew.log(name)))
            time.sleep(_POLL_S)
