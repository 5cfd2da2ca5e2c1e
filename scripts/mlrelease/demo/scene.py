"""What the chapters of the story are told with: commands, processes in the background, their logs, and waiting for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo.crew import Crew
from mlrelease.demo.load import Summary, summarize
from mlrelease.demo.place import ENVIRONMENTS, STAGING, Place
from mlrelease.demo.proof import proved
from mlrelease.demo.repository import MODELS, SERVICES
from mlrelease.demo.server import server_command
from mlrelease.demo.steps import Runner, real
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

RATE = 8
"""Requests per second to each environment: what the switches meet, without taking two cores from what is shown."""

_AGENT = ("mlrelease", "agent", "--interval", "1")
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """The place, who speaks, what runs in front and what in the background.

    `rollbacks` are the seconds from push to proof, by environment and service; `shown` is how much of a log was shown.
    """

    place: Place
    teller: Teller
    runner: Runner
    crew: Crew
    rollbacks: dict[str, float] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)

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

    def commit_of(self, path: str) -> str:
        """The newest commit that changed a file."""
        return self.quiet("git", "log", "-1", "--format=%H", "--", path).strip()

    def events(self, environment: str) -> list[dict[str, Any]]:
        """The ledger's events."""
        told = self.quiet("mlrelease", "--output", "json", "history", environment, "--limit", "1000")
        return list(json.loads(told)["events"])

    def push(self, name: str) -> None:
        """The commits of the laptop go to the remote."""
        self.run(f"push {name}", "git", "push", "--quiet")

    def bump(self, name: str, *what: str, expected: int = 0) -> None:
        """Pins of staging move."""
        self.run(f"bump {name}", "mlrelease", "bump", STAGING, *what, expected=expected)

    def deploy(self, name: str, environment: str, *, expected: int = 0) -> None:
        """A pass over an environment, waited for."""
        self.run(f"deploy {name}", "mlrelease", "deploy", environment, expected=expected)

    def start_mlflow(self) -> None:
        """Starts the MLflow server, or starts it again."""
        self.crew.start("mlflow", server_command(self.place), cwd=self.place.mlflow)

    def wait_for_models(self, done: str) -> None:
        """Shows what the training says until a line begins with `done`."""

        def look(lines: list[str]) -> bool:
            for line in lines:
                if line.startswith(tuple(f"{service} " for service in SERVICES)):  # the rest is what libraries say
                    self.teller.output(line)
            self.crew.check("mlflow", "the MLflow server")
            # Anywhere in the log: it may be further than what was waited for last time.
            return f"\n{done}" in self.crew.log("models").read_text(encoding="utf-8", errors="replace")

        shown = self.shown.get("models", 0)
        self.shown["models"] = self._watch("models", look, deadline="demo.models", shown=shown)

    def start_agent(self) -> None:
        """Starts the agent of both environments on the host, and waits for its first word on each."""
        self.teller.command(self.place.host.name, _AGENT)
        self.crew.start("agent", real(_AGENT), cwd=self.place.host)
        for environment in ENVIRONMENTS:
            self.follow_agent(environment, quiet=environment != ENVIRONMENTS[-1])

    def follow_agent(self, environment: str, *, quiet: bool = False) -> None:
        """Shows the agent's log from where it was last shown until it has spoken of the commit that the laptop is at."""
        awaited = f"{environment} at {self.head()[:9]}:"

        def look(lines: list[str]) -> bool:
            for line in [] if quiet else lines:
                self.teller.output(line)
            return any(awaited in line for line in lines)

        shown = self.shown.get("agent", 0)
        upto = self._watch("agent", look, deadline="demo.proof", shown=shown)
        self.shown["agent"] = shown if quiet else upto

    def rolled_back(self, environment: str, service: str, model: str, version: str, *, since: tuple[str, float]) -> None:
        """Says how long the agent took to prove this version at the laptop's commit, since what was done when.

        Raises `Error` when the ledger knows of no such rollback.
        """
        what, at = since
        revision = self.head()
        proofs = proved(self.events(environment), service, model)
        proof = next((p for p in proofs if p.revision == revision), None)
        if proof is None or (proof.version, proof.change) != (version, "rollback"):
            raise Error(f"no proof of {model} {version} in {environment} at {revision[:9]}", where=str(self.crew.log("agent")))
        seconds = round(proof.since - at, 3)
        self.rollbacks[f"{environment}/{service}"] = seconds
        self.say(f"From `{what}` to version {version} proved on every instance: {seconds:.2f} seconds.")

    def identity(self, environment: str, service: str) -> dict[str, str]:
        """The versions by model that the service says it serves, asked through the proxy."""
        url = f"http://{self.place.listen[environment]}/{service}/identity"
        with urllib.request.urlopen(url, timeout=DEADLINES_S["demo.request"]) as answer:
            return {model["name"]: model["version"] for model in json.load(answer)["models"]}

    def start_load(self, environment: str) -> None:
        """Starts the clients of an environment: every service is asked for the first row of its model's own example."""
        requests = [
            {
                "name": f"{environment}/{service}",
                "url": self.place.url(environment, service, MODELS[service][0]),
                "payload": self._example(environment, MODELS[service][0]),
            }
            for service in SERVICES
        ]
        path, out = self.place.requests(environment), self.place.answers(environment)
        path.write_text(json.dumps(requests))
        name = f"load-{environment}"
        argv = [sys.executable, "-m", "mlrelease.demo.load", "--requests", str(path), "--out", str(out), "--rate", str(RATE)]
        self.crew.start(name, argv, cwd=self.place.root)
        self._watch(name, lambda _: self.load(environment).sent >= len(requests), deadline="demo.stop")

    def load(self, environment: str) -> Summary:
        """What the clients of an environment have seen so far; nothing before they began."""
        try:
            with self.place.answers(environment).open(encoding="utf-8") as lines:
                return summarize(lines)
        except FileNotFoundError:
            return summarize(())

    def _example(self, environment: str, model: str) -> dict[str, Any]:
        """A request with the first row of the example that came with the version which is pinned."""
        digest = next(
            line.split()[1]
            for line in (self.place.laptop / f"environments/{environment}/models/{model}.yaml").read_text().splitlines()
            if line.startswith("digest:")
        )
        entry = digest.removeprefix("sha256:")
        example = next(self.place.root.rglob(f"{entry}/serving_input_example.json"))
        data = json.loads(example.read_text())["dataframe_split"]
        return {"dataframe_split": {"columns": data["columns"], "data": data["data"][:1]}}

    def _watch(self, name: str, look: Callable[[list[str]], bool], *, deadline: str, shown: int = 0) -> int:
        """Gives the new whole lines of a process's log to `look` until that is content; how many lines there are then.

        Raises `Error` at the deadline, and when the process ended before that.
        """
        end = time.monotonic() + DEADLINES_S[deadline]
        while True:
            code = self.crew.exit_code(name)
            text = self.crew.log(name).read_text(encoding="utf-8", errors="replace")
            lines = text[: text.rfind("\n") + 1].splitlines()
            if look(lines[shown:]):
                return len(lines)
            shown = len(lines)
            if code is not None:
                self.crew.check(name, f"the process `{name}`")
            if time.monotonic() > end:
                seconds = DEADLINES_S[deadline]
                raise Error(f"`{name}` did not get there in {seconds:.0f} s", where=str(self.crew.log(name)))
            time.sleep(_POLL_S)
