"""The story of the demo, from an empty folder to a proved rollback. Every command in it is real, and so is its output."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo import tell
from mlrelease.demo.crew import Crew
from mlrelease.demo.ending import DOWN, stop_all, write_report, write_stop_script
from mlrelease.demo.load import Summary, summarize
from mlrelease.demo.models import BETTER, GOOD, MODEL, PICKLE, RECIPES, TAMPERED, UNSTEADY, poison
from mlrelease.demo.place import Place, environment, has_identity, identity, make_place
from mlrelease.demo.proof import objections, proved
from mlrelease.demo.server import check_installed, server_command
from mlrelease.demo.steps import Runner, real
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

ENV = "production"
RATE = 25
"""Requests per second: what the switches meet, without taking the two cores from what is shown."""

_POLL_S = 0.1
_NOTHING = Summary(0, 0, (), ())


def demo(*, keep: bool, report: str, directory: str) -> int:
    """Tells the story; 0 when every step ended as it should and no request failed, 1 otherwise, 130 when interrupted.

    Nothing that it started is left, unless `keep` and all went well. Raises `Error` when it cannot begin.
    """
    check_installed()
    if report and not Path(report).resolve().parent.is_dir():
        raise Error(f"{report}: there is no such folder", hint="make it first, or name another --report")
    place = make_place(directory)
    width = min(tell.WIDTH, shutil.get_terminal_size((tell.WIDTH, 50)).columns) if sys.stdout.isatty() else tell.WIDTH
    teller = Teller(width, styled=sys.stdout.isatty())
    variables = environment(place, columns=teller.room)
    story = Story(place, teller, Runner(teller, variables), Crew(place, variables))
    problem, code = "", 1
    try:
        with _signals_interrupt():
            story.tell()
            if keep:
                story.keep()
            else:
                story.close()
        code = 0
    except KeyboardInterrupt:
        problem, code = "interrupted", 130
    except Error as error:
        problem = error.message
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
        raise
    finally:
        # From here on nobody may keep us from ending what we started.
        with _signals_ignored():
            left = stop_all(place, variables) if problem or not keep else []
            problem = problem or "; ".join(left)
            code = code or int(bool(problem))
            _farewell(story, problem, code, left, kept=keep)
            if report:
                seen = story.summary
                write_report(
                    report,
                    story.runner.steps,
                    sent=seen.sent,
                    failed=seen.failed,
                    rollback_s=story.rollback_s,
                    problem=problem,
                )
    return code


def _farewell(story: Story, problem: str, code: int, left: Sequence[str], *, kept: bool) -> None:
    if code == 1:
        story.teller.lines(["", f"The demo failed: {problem}", *(f"  {line}" for line in left)])
        story.teller.lines([f"  logs: {story.place.logs} and {story.place.state / 'logs'}"])
    elif code == 130:
        story.place.remove()
        story.teller.lines(["", "Interrupted. Everything that was started has ended, and the folder is gone."])
    elif not kept:
        story.place.remove()
        story.teller.lines(["", "Every step ended as it should. No process is left, and the folder is gone."])


@dataclass(slots=True)
class Story:
    """The chapters, and what came of them."""

    place: Place
    teller: Teller
    runner: Runner
    crew: Crew
    rollback_s: float | None = None
    summary: Summary = _NOTHING
    commits: dict[str, str] = field(default_factory=dict)

    def tell(self) -> None:
        """All chapters. Raises `Error` at the first thing that is not as it should be."""
        self._repository()
        self._first_deploy()
        self._good_bump()
        self._tampered()
        self._unsteady()
        self._revert()
        self._look()
        self._count()

    # (1): a remote, a repository made by `init`, the host's clone; MLflow starts and models are trained meanwhile.
    def _repository(self) -> None:
        place = self.place
        self.teller.say(
            f"Everything happens in {place.root}. An MLflow server starts on {place.tracking_uri}, and four versions of a "
            f"classifier of wines are trained and registered there. Meanwhile: a git remote, a repository made by "
            f"`mlrelease init`, and the clone of the host on which the model will run."
        )
        self.crew.start("mlflow", server_command(place), cwd=place.mlflow)
        self.crew.start("models", [sys.executable, "-m", "mlrelease.demo.models", place.tracking_uri], cwd=place.root)
        self._run("remote", "git", "init", "--quiet", "--bare", "--initial-branch=main", "origin.git", cwd=place.root)
        options = ["--remote", "../origin.git", "--tracking-uri", place.tracking_uri]
        options += ["--listen", place.listen, "--state-dir", str(place.state)]
        self._run("init", "mlrelease", "init", "laptop", *options, cwd=place.root)
        self._run("clone", "git", "clone", "--quiet", "origin.git", "host", cwd=place.root)
        self.teller.say("The files are checked without asking anybody; this is what a pre-commit hook does.")
        self._run("validate", "mlrelease", "validate", "--offline")
        self.teller.say("What was registered by now:")
        self._wait_for_models()

    # (2): version 1, planned, pushed, deployed, and asked from now on.
    def _first_deploy(self) -> None:
        self.teller.say("A person pins version 1: its digest goes into the model's file, and nothing runs yet.")
        self._bump("bump 1", GOOD)
        self._run("plan 1", "mlrelease", "plan", ENV)
        self._push("push 1")
        self.teller.say("No agent is running yet, so the deploy does the work itself: start, prove, switch, record.")
        self._run("deploy 1", "mlrelease", "deploy", ENV)
        self.teller.say(f"From now on clients send {RATE} requests per second, each a POST to {self.place.url}.")
        self._start_load()

    # (3): a good version takes over under load.
    def _good_bump(self) -> None:
        self.teller.say("Version 2 is better. It starts beside version 1, proves itself, and takes the traffic over.")
        self._bump("bump 2", BETTER)
        self.commits[BETTER] = self._head()
        self._push("push 2")
        self._run("deploy 2", "mlrelease", "deploy", ENV)

    # (4): bytes that changed after registration.
    def _tampered(self) -> None:
        place = self.place
        self.teller.say(
            "Version 3 is fine when it is pinned. Then somebody overwrites its file in the artifact store, with a pickle that "
            "runs code when it is loaded. MLflow does not notice. The pin does: its digest is another."
        )
        self._bump("bump 3", TAMPERED)
        (place.root / "evil.pkl").write_bytes(poison(place.trace))
        self._run("tamper", "cp", "evil.pkl", str(self._pickle().relative_to(place.root)), cwd=place.root)
        self._push("push 3")
        self._run("deploy 3", "mlrelease", "deploy", ENV, expected=5)
        if place.trace.exists():
            raise Error("the poisoned pickle was loaded: it left its trace", where=str(place.trace))
        self.teller.say("Refused before anything was unpickled: the pickle left no trace. The commit is taken back.")
        self._run("revert 3", "git", "revert", "--no-edit", "HEAD")
        self._push("push revert 3")

    # (5): a version that only fails when it is asked twice at once.
    def _unsteady(self) -> None:
        self.teller.say(
            "Version 4 predicts well, one request at a time: it keeps its rows in memory shared by all requests. Before the "
            "switch every instance answers the version's own example 50 times at once, and that is where it is found out."
        )
        self._bump("bump 4", UNSTEADY)
        self._push("push 4")
        self._run("deploy 4", "mlrelease", "deploy", ENV, expected=6)
        self.teller.say("Version 2 never stopped serving. Git still asks for version 4; this makes git true again:")
        self._run("rollback", "mlrelease", "rollback", ENV, "--last-good")

    # (6): the agent, and `git revert` of the good bump.
    def _revert(self) -> None:
        self.teller.say("On the host an agent takes over: it looks at git every second and makes what runs equal to it.")
        self.teller.command(self.place.host.name, ["mlrelease", "agent", ENV, "--interval", "1", "&"][:-1])
        self.crew.start("agent", real(["mlrelease", "agent", ENV, "--interval", "1"]), cwd=self.place.host)
        seen = self._follow_agent(f"{ENV} at {self._head()[:9]}:", 0)
        self.teller.say(
            "Now version 2 turns out to be wrong for the business, as no gate could know. Whoever is on call reverts its "
            "commit and pushes; nothing else is needed."
        )
        self._run("pull", "git", "pull")
        self._run("revert 2", "git", "revert", "--no-edit", self.commits[BETTER])
        pushed_at = time.time()
        self._push("push revert 2")
        self.teller.say("The agent's log:")
        revision = self._head()
        self._follow_agent(f"{ENV} at {revision[:9]}:", seen)
        proof = next((p for p in proved(self._events(), MODEL) if p.revision == revision), None)
        if proof is None or proof.version != GOOD or proof.change != "rollback":
            raise Error(f"the agent did not prove version {GOOD} at {revision[:9]}", where=str(self.crew.log("agent")))
        self.rollback_s = round(proof.since - pushed_at, 3)
        self.teller.say(f"From `git push` to version {GOOD} proved on every instance: {self.rollback_s:.2f} seconds.")

    # (7): what is there to see.
    def _look(self) -> None:
        self.teller.say("What runs, asked of the running instances; what ran and why, from the ledger; and one prediction.")
        self._run("status", "mlrelease", "status")
        self._run("history", "mlrelease", "history", ENV)
        self._run("predict", "mlrelease", "predict", ENV, MODEL)

    # (8): what the clients saw.
    def _count(self) -> None:
        self.crew.check("load", "the load")
        self.crew.end("load")
        self._read_load()
        self.teller.say("The clients have stopped. What they saw:")
        self.teller.lines(["", *tell.ending(self.summary, {r.version: r.note for r in RECIPES})])
        found = objections(self.summary, proved(self._events(), MODEL))
        if found:
            raise Error("; ".join(found), where=str(self._answers()))

    def close(self) -> None:
        """The agent ended, the environment taken down, as a person would."""
        self.teller.say("The agent ends by SIGTERM, and the environment is taken down.")
        self.crew.end("agent")
        self._run("down", *DOWN, cwd=self.place.host)
        self.crew.end("mlflow")

    def keep(self) -> None:
        """What to look at, and how to stop it."""
        place = self.place
        if not has_identity(self.runner.variables | dict.fromkeys(identity(), "")):
            for key, value in (("user.name", "Demo"), ("user.email", "demo@example.com")):
                self._quiet("git", "config", key, value)
        stop = write_stop_script(place)
        self.teller.say("Everything keeps running: MLflow, the agent, and version 1 behind its proxy.")
        body = f"@{place.root / 'payload.json'}"
        self.teller.lines(
            [
                "",
                f"  ask      curl -i -H 'Content-Type: application/json' -d {body} \\",
                f"             {place.url}",
                f"  look     {_command()} -C {place.laptop} status",
                f"  change   cd {place.laptop} && {_command()} bump {ENV} {MODEL} --to 2 --push",
                f"  MLflow   {place.tracking_uri}",
                f"  logs     {place.logs}",
                f"  stop     {shlex.quote(str(stop))} && rm -r {shlex.quote(str(place.root))}",
            ]
        )

    def _run(self, name: str, *argv: str, cwd: Path | None = None, expected: int = 0) -> list[str]:
        return self.runner.run(name, argv, cwd=cwd or self.place.laptop, expected=expected)

    def _bump(self, name: str, version: str) -> None:
        self._run(name, "mlrelease", "bump", ENV, MODEL, "--to", version)

    def _push(self, name: str) -> None:
        self._run(name, "git", "push")

    def _head(self) -> str:
        return self._quiet("git", "rev-parse", "HEAD").strip()

    def _quiet(self, *argv: str) -> str:
        """What a command writes to stdout that is no part of the story. Raises `Error` when it fails."""
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
            raise Error(f"`{' '.join(argv)}` did not end in {DEADLINES_S['demo.step']:.0f} s") from error
        if done.returncode:
            raise Error(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def _events(self) -> list[dict[str, Any]]:
        return list(json.loads(self._quiet("mlrelease", "--output", "json", "history", ENV))["events"])

    def _pickle(self) -> Path:
        """Where the artifact store keeps the file of version 3."""
        found = sorted(self.place.mlflow.rglob(PICKLE))
        if len(found) != 1:
            raise Error(f"{len(found)} files named {PICKLE} in the artifact store where one was expected", where=str(self.place.mlflow))
        return found[0]

    def _wait_for_models(self) -> None:
        """Shows what the training says until all versions are registered."""
        shown, end = 0, time.monotonic() + DEADLINES_S["demo.models"]
        while True:
            code = self.crew.exit_code("models")
            lines = [line for line in self._log("models") if line.startswith(f"{MODEL} ")]
            for line in lines[shown:]:
                self.teller.output(line)
            shown = len(lines)
            if code == 0:
                return
            self.crew.check("models", "training")
            self.crew.check("mlflow", "the MLflow server")
            if time.monotonic() > end:
                raise Error(f"the models were not registered in {DEADLINES_S['demo.models']:.0f} s", where=str(self.crew.log("models")))
            time.sleep(_POLL_S)

    def _start_load(self) -> None:
        """Starts the clients with one row of the data, and waits for the first answer."""
        row = json.loads(self._golden_payload())
        payload = self.place.root / "payload.json"
        payload.write_text(json.dumps(row))
        argv = [sys.executable, "-m", "mlrelease.demo.load", "--url", self.place.url, "--rate", str(RATE)]
        self.crew.start("load", [*argv, "--payload", str(payload), "--out", str(self._answers())], cwd=self.place.root)
        self._until(lambda: self._answers().exists() and self._answers().stat().st_size > 0, "load", "the load")

    def _golden_payload(self) -> str:
        """One row of version 1's own input example, as any client of MLflow's protocol would send it."""
        example = next(iter(sorted(self.place.mlflow.rglob("serving_input_example.json"))))
        data = json.loads(example.read_text())["dataframe_split"]
        return json.dumps({"dataframe_split": {"columns": data["columns"], "data": data["data"][:1]}})

    def _follow_agent(self, awaited: str, shown: int) -> int:
        """Shows the agent's log from line `shown` until a line has `awaited` in it; how many lines there are then."""
        end = time.monotonic() + DEADLINES_S["demo.proof"]
        while True:
            lines = self._log("agent")
            for line in lines[shown:]:
                self.teller.output(line)
            if any(awaited in line for line in lines[shown:]):
                return len(lines)
            shown = len(lines)
            self.crew.check("agent", "the agent")
            if time.monotonic() > end:
                raise Error(f"the agent did not come to `{awaited}` in {DEADLINES_S['demo.proof']:.0f} s", where=str(self.crew.log("agent")))
            time.sleep(_POLL_S)

    def _log(self, name: str) -> list[str]:
        """The whole lines that a process has written so far."""
        text = self.crew.log(name).read_text(encoding="utf-8", errors="replace")
        return text[: text.rfind("\n") + 1].splitlines()

    def _read_load(self) -> None:
        with self._answers().open(encoding="utf-8") as lines:
            self.summary = summarize(lines)

    def _answers(self) -> Path:
        return self.place.logs / "load.jsonl"
