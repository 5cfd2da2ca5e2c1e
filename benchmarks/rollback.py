"""From `git push` of a revert to proven, the agent polling each second: warm and cold, split by step, under 100 requests/s."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from mlrelease.model.event import DeployFinished  # noqa: E402
from support.estate import Estate, until  # noqa: E402 - the estate of the tests: one way to build one
from support.load import running_load  # noqa: E402
from support.mlflow_server import running_mlflow  # noqa: E402


def receipt_after(estate: Estate, known: int) -> DeployFinished:
    """The next receipt that the agent writes."""

    def newest() -> DeployFinished | None:
        events = estate.site().ledger.read("production").events[known:]
        return next((e for e in events if isinstance(e, DeployFinished)), None)

    return until(newest, seconds=120, what="the receipt")


def one(estate: Estate) -> tuple[float, dict[str, float]]:
    """Moves to version 2, reverts it; seconds from the push of the revert to the recorded proof, and the steps' own."""
    known = len(estate.site().ledger.read("production").events)
    commit = estate.pin("2")
    receipt_after(estate, known)
    known = len(estate.site().ledger.read("production").events)
    estate.revert(commit, push=False)
    pushed = time.time()
    estate.git("push", "--quiet", "origin", "main")
    finished = receipt_after(estate, known)
    service = finished.services["wine"]
    if service.outcome.value != "succeeded" or service.change.value != "rollback":
        raise SystemExit(f"not a proved rollback: {service}")
    steps = {step.name: step.seconds for step in service.steps}
    steps["poll, fetch, plan"] = finished.started_at - pushed
    steps["lock, prepare, record"] = (finished.at - finished.started_at) - sum(step.seconds for step in service.steps)
    estate.forgive()
    return finished.at - pushed, steps


def measure(
    uri: str, folder: Path, *, keep_warm: str, rounds: int, rate: float
) -> tuple[list[float], dict[str, float], int, int]:
    """Rollback seconds per round, the median of each step, requests sent and failed."""
    estate = Estate(folder, uri).create(keep_warm=keep_warm)
    try:
        estate.cli("deploy", "production", cwd=estate.host)
        with running_load(estate.url, rate=rate) as load, estate.agent():
            until(lambda: load.newest_version() == "1", what="answers")
            taken = [one(estate) for _ in range(rounds)]
        summary = load.summary()
        names = list(dict.fromkeys(name for _, steps in taken for name in steps))
        split = {name: statistics.median(steps.get(name, 0.0) for _, steps in taken) for name in names}
        return [seconds for seconds, _ in taken], split, summary.sent, summary.failed
    finally:
        estate.down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="rb") as name, running_mlflow(Path(name) / "mlflow") as uri:
        for label, keep_warm, limit in (("warm", "10m", 3.0), ("cold", "0s", 20.0)):
            seconds, split, sent, failed = measure(
                uri, Path(name) / label, keep_warm=keep_warm, rounds=options.rounds, rate=options.rate
            )
            figures.append(Figure(f"{label}: push to proven, median", statistics.median(seconds), "s", "the limit", limit))
            figures.append(Figure(f"{label}: push to proven, slowest", max(seconds), "s", "the limit", limit))
            figures += [Figure(f"{label}:   {step}", value, "s", "", 0) for step, value in split.items()]
            figures.append(
                Figure(f"{label}: requests sent", sent, "requests", f"lost: {failed}, bound 3/n = {3 / sent:.2%}", 0)
            )
    show(f"rollbacks, {options.rounds} rounds each, {options.rate:g} requests/s meanwhile", figures, out=options.json)


if __name__ == "__main__":
    main()
