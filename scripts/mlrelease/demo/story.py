"""The story of the demo, from an empty folder to a proved rollback. Every command in it is real, and so is its output."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mlrelease.demo import tell
from mlrelease.demo.crew import Crew
from mlrelease.demo.ending import DOWN, stop_all, write_report, write_stop_script
from mlrelease.demo.models import BETTER, GOOD, MODEL, RECIPES, TAMPERED, UNSTEADY, poison
from mlrelease.demo.place import environment, identity, make_place
from mlrelease.demo.proof import objections, proved
from mlrelease.demo.scene import ENV, Scene
from mlrelease.demo.server import check_installed, server_command
from mlrelease.demo.steps import Runner, real
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error

RATE = 25
"""Requests per second: what the switches meet, without taking two cores from what is shown."""

_AGENT = ("mlrelease", "agent", ENV, "--interval", "1")


def demo(*, keep: bool, report: str, directory: str) -> int:
    """Tells the story; 0 when every step ended as it should and no request failed, 1 otherwise, 130 when interrupted.

    Nothing that it started is left, unless `keep` and all went well. Raises `Error` when it cannot begin.
    """
    check_installed()
    if report and not Path(report).resolve().parent.is_dir():
        raise Error(f"{report}: there is no such folder", hint="make it first, or name another --report")
    place = make_place(directory)
    terminal = sys.stdout.isatty()
    width = min(tell.WIDTH, shutil.get_terminal_size((tell.WIDTH, 50)).columns) if terminal else tell.WIDTH
    teller = Teller(width, styled=terminal)
    variables = environment(place, columns=teller.room)
    story = Story(Scene(place, teller, Runner(teller, variables), Crew(place, variables)))
    problem = ""
    try:
        with _signals(_interrupt):
            story.tell()
            if keep:
                story.keep()
            else:
                story.close()
    except KeyboardInterrupt:
        problem = _INTERRUPTED
    except Error as error:
        problem = error.message
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
        raise
    finally:
        # From here on no signal keeps us from ending what we started.
        with _signals(_ignore):
            left = stop_all(place, variables) if problem or not keep else []
            problem = problem or "; ".join(left)
            _farewell(story.scene, problem, left, kept=keep)
            if report:
                seen = story.scene.load()
                steps = story.scene.runner.steps
                write_report(report, steps, sent=seen.sent, failed=seen.failed, rollback_s=story.rollback_s, problem=problem)
            if not keep and problem in ("", _INTERRUPTED):
                place.remove()
    return {"": 0, _INTERRUPTED: 130}.get(problem, 1)


@dataclass(slots=True)
class Story:
    """The chapters, and what came of them."""

    scene: Scene
    rollback_s: float | None = None
    good_commit: str = ""

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

    def _repository(self) -> None:
        """A remote, a repository made by `init`, the host's clone; MLflow starts and models are trained meanwhile."""
        scene, place = self.scene, self.scene.place
        scene.say(
            f"Everything happens in {place.root}. An MLflow server starts at {place.tracking_uri}; four versions of a "
            "classifier of wines are trained and registered there. Meanwhile: a git remote, a repository, and the clone of "
            "the host on which the model will run."
        )
        scene.crew.start("mlflow", server_command(place), cwd=place.mlflow)
        scene.crew.start("models", [sys.executable, "-m", "mlrelease.demo.models", place.tracking_uri], cwd=place.root)
        scene.run("remote", "git", "init", "--quiet", "--bare", "--initial-branch=main", "origin.git", cwd=place.root)
        options = ["--remote", "../origin.git", "--tracking-uri", place.tracking_uri]
        options += ["--listen", place.listen, "--state-dir", str(place.state)]
        scene.run("init", "mlrelease", "init", "laptop", *options, cwd=place.root)
        scene.run("clone", "git", "clone", "--quiet", "origin.git", "host", cwd=place.root)
        scene.say("The files are checked without asking anybody, as a pre-commit hook would.")
        scene.run("validate", "mlrelease", "validate", "--offline")
        scene.say("These versions are registered in MLflow:")
        scene.wait_for_models()

    def _first_deploy(self) -> None:
        """Version 1, planned, pushed, deployed, and asked from now on."""
        scene = self.scene
        scene.say("Somebody pins version 1: its digest goes into the model's file, as one commit. Nothing runs yet.")
        self._bump("bump 1", GOOD)
        scene.run("plan 1", "mlrelease", "plan", ENV)
        self._push("push 1")
        scene.say("No agent is running yet, so `deploy` does the work itself: start, prove, switch, record.")
        scene.run("deploy 1", "mlrelease", "deploy", ENV)
        scene.say(f"From now on clients POST {RATE} requests per second to {scene.place.url}.")
        scene.start_load(RATE)

    def _good_bump(self) -> None:
        """A good version takes over under load."""
        scene = self.scene
        scene.say("Version 2 is better. It starts beside version 1, proves itself, and only then takes over the traffic.")
        self._bump("bump 2", BETTER)
        self.good_commit = scene.head()
        self._push("push 2")
        scene.run("deploy 2", "mlrelease", "deploy", ENV)

    def _tampered(self) -> None:
        """Bytes that changed after registration."""
        scene, place = self.scene, self.scene.place
        scene.say(
            "Version 3 is fine when it is pinned. Then somebody overwrites its file in the artifact store with a pickle that "
            "runs code when it is loaded. MLflow does not notice; the pin does, because the digest is another."
        )
        self._bump("bump 3", TAMPERED)
        (place.root / "evil.pkl").write_bytes(poison(place.trace))
        scene.run("tamper", "cp", "evil.pkl", str(scene.pickle().relative_to(place.root)), cwd=place.root)
        self._push("push 3")
        scene.run("deploy 3", "mlrelease", "deploy", ENV, expected=5)
        if place.trace.exists():
            raise Error("the poisoned pickle was loaded: it left its trace", where=str(place.trace))
        scene.say("Refused before anything was unpickled: the pickle left no trace. The commit is taken back.")
        scene.run("revert 3", "git", "revert", "--no-edit", "HEAD")
        self._push("push revert 3")

    def _unsteady(self) -> None:
        """A version that only fails when it is asked twice at once."""
        scene = self.scene
        scene.say(
            "Version 4 is right as long as it is asked once at a time; its requests share memory. Before any traffic, every "
            "instance answers the version's own example alone and then 50 times at once, and there it is found out."
        )
        self._bump("bump 4", UNSTEADY)
        self._push("push 4")
        scene.run("deploy 4", "mlrelease", "deploy", ENV, expected=6)
        scene.say("Version 2 served all the while, but git still asks for version 4. One command makes git true again:")
        scene.run("rollback", "mlrelease", "rollback", ENV, "--last-good")

    def _revert(self) -> None:
        """The agent, and `git revert` of the good bump."""
        scene = self.scene
        scene.say("On the host an agent takes over: it looks at git every second and makes what runs equal to it.")
        scene.teller.command(scene.place.host.name, _AGENT)
        scene.crew.start("agent", real(_AGENT), cwd=scene.place.host)
        shown = scene.follow_agent(f"{ENV} at {scene.head()[:9]}:")
        scene.say(
            "Now version 2 turns out to be wrong for the business, which no gate could know. Whoever is on call reverts its "
            "commit and pushes. Nothing else is needed."
        )
        scene.run("pull", "git", "pull")
        scene.run("revert 2", "git", "revert", "--no-edit", self.good_commit)
        pushed_at = time.time()
        self._push("push revert 2")
        revision = scene.head()
        scene.say("The agent's log:")
        scene.follow_agent(f"{ENV} at {revision[:9]}:", shown)
        proof = next((p for p in proved(scene.events(), MODEL) if p.revision == revision), None)
        if proof is None or (proof.version, proof.change) != (GOOD, "rollback"):
            raise Error(f"the agent did not prove version {GOOD} at {revision[:9]}", where=str(scene.crew.log("agent")))
        self.rollback_s = round(proof.since - pushed_at, 3)
        scene.say(f"From `git push` to version {GOOD} proved on every instance: {self.rollback_s:.2f} seconds.")

    def _look(self) -> None:
        """What is there to see."""
        scene = self.scene
        scene.say("What runs, asked of the running instances; what ran and why, from the ledger; and one prediction.")
        scene.run("status", "mlrelease", "status")
        scene.run("history", "mlrelease", "history", ENV)
        scene.run("predict", "mlrelease", "predict", ENV, MODEL)

    def _count(self) -> None:
        """What the clients saw, held against what the ledger says."""
        scene = self.scene
        scene.crew.check("load", "the load")
        scene.crew.end("load")
        scene.say("The clients stop here. What they saw:")
        seen = scene.load()
        scene.teller.lines(["", *tell.ending(seen, {recipe.version: recipe.note for recipe in RECIPES})])
        proofs = proved(scene.events(), MODEL)
        found = objections(seen, proofs)
        if found:
            raise Error("; ".join(found), where=str(scene.place.answers))
        scene.say(f"{len(proofs)} times a version was declared proved, and from then on nobody got an answer from another.")

    def close(self) -> None:
        """The agent ended, the environment taken down, as a person would."""
        scene = self.scene
        scene.say("The agent ends by SIGTERM, and the environment is taken down.")
        scene.crew.end("agent")
        scene.run("down", *DOWN, cwd=scene.place.host)

    def keep(self) -> None:
        """What to look at, and how to stop it."""
        scene, place = self.scene, self.scene.place
        if "GIT_AUTHOR_NAME" in scene.runner.variables:
            # The name that we lent git ends with us: the clone keeps it for the commits that are to come.
            scene.quiet("git", "config", "user.name", identity()["GIT_AUTHOR_NAME"])
            scene.quiet("git", "config", "user.email", identity()["GIT_AUTHOR_EMAIL"])
        stop, command = write_stop_script(place), _installed_command()
        scene.say("Everything keeps running: MLflow, the agent, and version 1 behind its proxy.")
        scene.teller.lines(
            [
                "",
                "  ask     curl -i -H 'Content-Type: application/json' \\",
                f"            -d @{place.payload} {place.url}",
                f"  look    {command} -C {place.laptop} status",
                f"  change  cd {place.laptop}, set `replicas: 3` in environments/{ENV}/services/{MODEL}.yaml,",
                "            then git commit -a and git push: the agent does the rest",
                f"  MLflow  {place.tracking_uri}",
                f"  logs    {place.logs}",
                f"  stop    {shlex.quote(str(stop))} && rm -r {shlex.quote(str(place.root))}",
            ]
        )

    def _bump(self, name: str, version: str) -> None:
        self.scene.run(name, "mlrelease", "bump", ENV, MODEL, "--to", version)

    def _push(self, name: str) -> None:
        self.scene.run(name, "git", "push")


_INTERRUPTED = "interrupted"


def _farewell(scene: Scene, problem: str, left: Sequence[str], *, kept: bool) -> None:
    """The last lines: that all is well, or what is not and where to read on."""
    match problem:
        case "":
            if not kept:
                scene.say("Every step ended as it should, no process is left, and the folder is gone.")
        case "interrupted":
            scene.say("Interrupted. Everything that was started has ended, and the folder is gone.")
        case _:
            scene.say(f"The demo failed: {problem}")
            scene.teller.lines([f"  {line}" for line in left if line not in problem])
            scene.teller.lines([f"  logs  {scene.place.logs}", f"        {scene.place.state / 'logs'}"])


def _installed_command() -> str:
    """How `mlrelease` is called from any folder."""
    beside = Path(sys.executable).with_name("mlrelease")
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m mlrelease.cli"


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN, which the commands that we still run would inherit."""


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal all go to the handler while the block runs."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
