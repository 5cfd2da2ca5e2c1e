"""How a demo ends: everything stopped in order, nothing left; or left running, with a script that stops it.

`python -m mlrelease.demo.ending DIR` stops what `mlrelease demo --keep` left in DIR.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.demo.crew import end_group, marked, remembered, sweep
from mlrelease.demo.place import ENVIRONMENTS, Place, environment
from mlrelease.demo.steps import Step, real
from mlrelease.demo.tell import WIDTH
from mlrelease.errors import Error

DOWN = ("mlrelease", "down")
SCHEMA = 2


def stop_all(place: Place, variables: Mapping[str, str]) -> list[str]:
    """Ends what still runs, in order: load, agent, the environment, the rest. Returns what did not end with these."""
    pids = remembered(place)
    for name in (*(f"load-{name}" for name in ENVIRONMENTS), "agent", "models", "mlflow"):
        if name in pids:
            end_group(pids[name], place)
    # What lives now belongs to the environments; what somebody deployed there after us does not have our mark.
    said = []
    for name in ENVIRONMENTS:
        serving = place.state(name).is_dir() and (marked(place) or any((place.state(name) / "instances").glob("*.json")))
        said += _down(name, place, variables) if serving and place.host.is_dir() else []
    return [*said, *(f"had to be ended one by one: {line}" for line in sweep(place))]


def write_stop_script(place: Place) -> Path:
    """A script in the folder that ends all that `--keep` leaves running."""
    path = place.root / "stop"
    command = shlex.join([sys.executable, "-m", "mlrelease.demo.ending", str(place.root)])
    path.write_text(f"#!/bin/sh\n# Ends everything that this demo left running. The folder stays.\nexec {command}\n")
    path.chmod(0o755)
    return path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a demo: the load's figures, seconds from push to proof by rollback, and seconds by chapter."""

    problem: str
    sent: int
    failed: int
    rollbacks: Mapping[str, float]
    chapters: Mapping[str, float]


def write_report(path: str, steps: Sequence[Step], outcome: Outcome) -> None:
    """What happened as JSON. Raises `Error` when it cannot be written."""
    body = {
        "schema": SCHEMA,
        "ok": not outcome.problem,
        "problem": outcome.problem,
        "requests_sent": outcome.sent,
        "requests_failed": outcome.failed,
        "rollback_seconds": dict(outcome.rollbacks),
        "chapter_seconds": dict(outcome.chapters),
        "steps": [asdict(step) for step in steps],
    }
    try:
        Path(path).write_text(json.dumps(body, indent=2) + "\n")
    except OSError as error:
        raise Error(f"the report cannot be written: {error.strerror}", where=path) from error


def _down(environment: str, place: Place, variables: Mapping[str, str]) -> list[str]:
    command = (*DOWN, environment)
    try:
        done = subprocess.run(
            real(command),
            cwd=place.host,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINES_S["demo.step"],
        )
    except subprocess.TimeoutExpired:
        return [f"`{' '.join(command)}` did not end in {DEADLINES_S['demo.step']:.0f} s"]
    return [] if done.returncode == 0 else [f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()[-300:]}"]


def main(arguments: list[str]) -> int:
    """The program: 0 when everything ended in order."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "processes.json").is_file():
        sys.stderr.write("usage: python -m mlrelease.demo.ending DIR, the folder of a demo\n")
        return 2
    place = Place(Path(arguments[0]).resolve(), listen={}, mlflow_port=0, made=False)
    left = stop_all(place, environment(place, columns=WIDTH))
    for line in left:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"everything has ended; the folder stays: rm -r {shlex.quote(str(place.root))}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
