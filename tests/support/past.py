"""A small world with a past: two environments, a pull request, approvals, a rollback, a failed try. Slow to make: share it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlrelease.model.run import Dataset, RunFacts
from mlrelease.spec.edit import set_model_pin
from support.pair import Pair, approved, staged

HOUR = 3600.0
DAY = 86400.0
RUN = RunFacts(
    run_id="0a1b2c",
    name="retrain of monday",
    status="FINISHED",
    user="grace",
    experiment="7",
    started_at=1_799_990_000.0,
    ended_at=1_799_990_060.0,
    git_commit="c0ffee" + "0" * 34,
    entry="train.py",
    metrics={"rmse": 1.25, "broken": float("nan")},
    params={"C": "0.1", "db_password": "hunter2", "source": "https://ada:s3cret@db.example.com/wine?token=abc"},
    datasets=(Dataset("wine", "d1a2", "http", '{"url": "https://ada:s3cret@data.example.com/w.csv?sig=abc"}', "training"),),
)


@dataclass
class Past:
    """Moments by name (`at`), commits by name, and the world that they happened in."""

    pair: Pair
    at: dict[str, float]
    commits: dict[str, str]

    def bundle(self, version: str) -> str:
        """The id of production's bundle with that version."""
        entries = self.pair.history().verified["wine"]
        return next(entry.bundle.id for entry in entries if entry.bundle.versions()["wine"] == version)


def dated(pair: Pair) -> None:
    """Commits are made at the world's clock, until the `identity()` around it ends."""
    os.environ["GIT_AUTHOR_DATE"] = os.environ["GIT_COMMITTER_DATE"] = f"@{int(pair.clock)} +0000"


def ticking(pair: Pair) -> Callable[[object], None]:
    """Listens to a pass, and lets its clock go on by a second a step: the world's stands still otherwise."""

    def tick(_mark: object) -> None:
        pair.clock += 1.0

    return tick


def pinned(pair: Pair, version: str, message: str) -> str:
    """One commit that pins the version in production, pushed, dated by the world's clock."""
    dated(pair)
    pin, path = pair.pin("wine", version), pair.file("production", "models", "wine")
    path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
    return pair.commit(message)


def past(root: Path) -> Past:
    """Version 1 deployed; 2 by a pull request, approved, and rolled back a day later; 3 failed after its switch."""
    pair = Pair(root)
    dated(pair)
    pair.create()
    at, commits = {"before": pair.clock - HOUR}, {}
    pair.run("staging")
    approved(pair)
    pair.run()
    at["one"] = pair.clock + 60.0

    pair.clock += DAY
    dated(pair)
    staged(pair, "2")
    commits["two"] = pinned(pair, "2", "Pin wine 2 (#12)\n\nBetter on the new vintage.")
    pair.registry.facts["wine", "2"] = replace(pair.registry.facts["wine", "2"], run_id=RUN.run_id)
    pair.registry.runs[RUN.run_id] = RUN
    pair.clock += HOUR
    approved(pair, run_url="https://ci.example.com/runs/7", reason="looked at the plan")
    pair.run()
    at["two"] = pair.clock + HOUR

    pair.clock += DAY
    dated(pair)
    commits["back"] = pair.revert(commits["two"])
    pair.run()
    at["back"] = pair.clock + HOUR

    pair.clock += DAY
    dated(pair)
    staged(pair, "3")
    commits["three"] = pinned(pair, "3", "Pin wine 3")
    approved(pair)
    wanted = pair.desired().spec.environments["production"].services["wine"].bundle.id
    pair.target.wrong_through_proxy.add(wanted)
    pair.run(listener=ticking(pair))
    commits["candidate"] = wanted
    pair.clock += DAY
    at["now"] = pair.clock
    return Past(pair, at, commits)


def tagged(pair: Pair, name: str, revision: str) -> None:
    """A tag in the laptop's clone."""
    subprocess.run(["git", "tag", name, revision], cwd=pair.laptop, check=True, capture_output=True)
