"""Pins per second of a pass over a fleet: nothing to do, and every pin moved; in one service, and in a hundred.

Real git, ledger, cache, spec, plan, gates and rollout in every row. The registry is in memory: how fast MLflow gives
files is not the question here. The target is named in each row: in memory, where the pass itself is what takes the time,
and the target `local` with real model servers, where loading the models is.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

from table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import psutil  # noqa: E402
from mlrelease import log  # noqa: E402
from mlrelease.delivery.passes import PassResult  # noqa: E402
from support.estate import GIT_IDENTITY  # noqa: E402
from support.fleet import FleetWorld, real_target, tiny_model  # noqa: E402 - the fleet of the tests: one way to build one

NOOP, CHANGED = 400.0, 40.0
"""Pins per second that are promised."""


def timed(world: FleetWorld, outcome: str) -> tuple[float, PassResult]:
    """Seconds of one pass, from fetching the tip to the receipt; every service must come out so."""
    began = time.perf_counter()
    result = world.run()
    seconds = time.perf_counter() - began
    wrong = {name: r.reason for name, r in result.receipts.items() if r.outcome.value != outcome}
    blocked = [change.blocked for change in result.plan.changes if change.blocked]
    if wrong or blocked or (not result.receipts) != (not outcome):
        raise SystemExit(f"not as it should be: {wrong or blocked or result.plan}")
    return seconds, result


def measure(world: FleetWorld, label: str) -> list[Figure]:
    """First deploy, a pass with nothing to do (best of three), and one in which every pin has moved."""
    pins = len(world.models())
    first, _ = timed(world, "succeeded")
    noop = min(timed(world, "")[0] for _ in range(3))
    world.move(list(world.models()), "2")
    moved, result = timed(world, "succeeded")
    figures = [
        Figure(f"{label}: first deploy", first, "s", f"{pins / first:.0f} pins/s", 0),
        Figure(f"{label}: nothing to do", noop, "s", f"the limit, {pins / noop:.0f} pins/s", pins / NOOP),
        Figure(f"{label}: every pin moved", moved, "s", f"the limit, {pins / moved:.0f} pins/s", pins / CHANGED),
    ]
    if len(result.receipts) == 1:
        (receipt,) = result.receipts.values()
        figures += [Figure(f"{label}:   {s.name}", s.seconds, "s", s.detail, 0) for s in receipt.steps if s.seconds >= 0.05]
    return figures


def in_memory(root: Path, services: int, per_service: int) -> list[Figure]:
    """A fleet over the target in memory."""
    names = tuple(f"s{n:03}" for n in range(services))
    world = FleetWorld(root / f"m{services}", services=names, per_service=per_service).create()
    return measure(world, f"{services} x {per_service}, in memory")


def on_local(root: Path, files: Mapping[str, bytes], services: int, per_service: int) -> list[Figure]:
    """A fleet of tiny real models, one replica a service, on the target `local`."""
    label = f"{services} x {per_service}, local"
    names = tuple(f"s{n:03}" for n in range(services))
    with real_target(root / f"l{services}") as (target, _):
        world = FleetWorld(
            root / f"w{services}", services=names, per_service=per_service, files=files, replicas=1, target=target
        ).create()
        figures = measure(world, label)
        resident = max(psutil.Process(i.pid).memory_info().rss for i in target.observe().instances if i.role == "active")
        figures.append(Figure(f"{label}: largest instance", resident / 2**20, "MiB", "resident", 0))
        one = next(iter(world.models()))
        world.move([one], "1")
        seconds, _ = timed(world, "succeeded")
        figures.append(Figure(f"{label}: one pin moved", seconds, "s", "its service is loaded anew beside the old one", 0))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000, help="pins of the fleet, a multiple of 100")
    parser.add_argument("--services", type=int, default=0, help="so many services on the target local as well")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= GIT_IDENTITY
    warnings.simplefilter("ignore")
    log.configure(level=logging.ERROR, json=True)
    root = Path(tempfile.mkdtemp(prefix="rc"))
    try:
        figures = in_memory(root, 1, options.models) + in_memory(root, 100, options.models // 100)
        files = tiny_model(root)
        figures += on_local(root, files, 1, options.models)
        if options.services:
            figures += on_local(root, files, options.services, options.models // options.services)
    finally:
        shutil.rmtree(root)
    show(f"passes over {options.models} pins", figures, out=options.json)


if __name__ == "__main__":
    main()
