"""The story of the demo, from an empty folder to a proved rollback. Every command in it is real, and so is its output."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mlrelease.demo import tell
from mlrelease.demo.chapters import CHAPTERS
from mlrelease.demo.count import count
from mlrelease.demo.crew import Crew
from mlrelease.demo.ending import DOWN, Outcome, stop_all, write_report, write_stop_script
from mlrelease.demo.models import FORECASTS, TUMOUR
from mlrelease.demo.models.forecasts import NAMES, example
from mlrelease.demo.place import ENVIRONMENTS, STAGING, environment, identity, make_place
from mlrelease.demo.scene import Scene
from mlrelease.demo.server import check_installed
from mlrelease.demo.steps import Runner
from mlrelease.demo.tell import Teller
from mlrelease.errors import Error


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
                write_report(report, story.scene.runner.steps, story.outcome(problem))
            if not keep and problem in ("", _INTERRUPTED):
                place.remove()
    return {"": 0, _INTERRUPTED: 130}.get(problem, 1)


@dataclass(slots=True)
class Story:
    """The chapters, and how many seconds each took."""

    scene: Scene
    seconds: dict[str, float] = field(default_factory=dict)

    def tell(self) -> None:
        """All chapters, and the count. Raises `Error` at the first thing that is not as it should be."""
        for name, chapter in CHAPTERS:
            self._timed(name, chapter)
        self._timed("the count", count)
        rows = [("chapter", "seconds"), *((name, f"{seconds:.1f}") for name, seconds in self.seconds.items())]
        self.scene.teller.lines(["", *tell.table([*rows, ("all of it", f"{sum(self.seconds.values()):.1f}")])])

    def outcome(self, problem: str) -> Outcome:
        """What came of it, so far as it came."""
        seen = [self.scene.load(name) for name in ENVIRONMENTS]
        sent, failed = sum(s.sent for s in seen), sum(s.failed for s in seen)
        return Outcome(problem, sent, failed, self.scene.rollbacks, self.seconds)

    def _timed(self, name: str, chapter: Callable[[Scene], None]) -> None:
        began = time.monotonic()
        try:
            chapter(self.scene)
        finally:
            self.seconds[name] = round(time.monotonic() - began, 3)

    def close(self) -> None:
        """The agent ended, the environments taken down, as a person would."""
        scene = self.scene
        scene.say("The agent ends by SIGTERM, and the environments are taken down.")
        scene.crew.end("agent")
        for name in ENVIRONMENTS:
            scene.run(f"down {name}", *DOWN, name, cwd=scene.place.host)

    def keep(self) -> None:
        """What to look at, and how to stop it."""
        scene, place = self.scene, self.scene.place
        if "GIT_AUTHOR_NAME" in scene.runner.variables:
            # The name that we lent git ends with us: the clone keeps it for the commits that are to come.
            scene.quiet("git", "config", "user.name", identity()["GIT_AUTHOR_NAME"])
            scene.quiet("git", "config", "user.email", identity()["GIT_AUTHOR_EMAIL"])
        stop, command = write_stop_script(place), _installed_command()
        payload = json.dumps({"dataframe_split": example()})
        scene.say("Everything keeps running: MLflow, the agent, and three services in each environment behind its proxy.")
        scene.teller.lines(
            [
                "",
                "  ask     curl -i -H 'Content-Type: application/json' \\",
                f"            -d '{payload}' \\",
                f"            {place.url(STAGING, FORECASTS, NAMES[0])}",
                f"  look    {command} -C {place.laptop} status",
                f"  change  cd {place.laptop}, set `replicas: 3` in environments/{STAGING}/services/{TUMOUR}.yaml,",
                "            then git commit -a and git push: the agent does the rest",
                f"  MLflow  {place.tracking_uri}",
                f"  logs    {place.logs}",
                f"  stop    {shlex.quote(str(stop))} && rm -r {shlex.quote(str(place.root))}",
            ]
        )


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
            scene.teller.lines([f"  logs  {scene.place.logs}", f"        {scene.place.state(STAGING) / 'logs'}"])


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
