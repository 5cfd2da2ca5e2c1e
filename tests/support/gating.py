"""Small builders for gates: a subject that moves, evidence with metrics, and a gate's one word on them."""

from __future__ import annotations

from mlrelease.gates.interface import Evidence, Metrics, Origin, Subject
from mlrelease.gates.table import GATES
from mlrelease.model.bundle import Digest, ModelPin
from mlrelease.model.change import Direction
from mlrelease.model.version import VersionFacts

PIN = ModelPin("risk", "8", Digest("sha256:" + "a" * 64))
BASE = ModelPin("risk", "7", Digest("sha256:" + "b" * 64))
READY = VersionFacts("risk", "8", "READY", "models:/m-8")
NOW = 1_800_000_000.0
"""2027-01-15 08:00 UTC."""


def subject(direction=Direction.FORWARD, *, baseline=BASE, origin=Origin.RECORDED, **other) -> Subject:
    """Version 8 that replaces version 7 in production, unless said otherwise."""
    found = {"now": NOW} | other
    return Subject(
        "production",
        "credit",
        PIN,
        direction,
        baseline=baseline,
        baseline_origin=origin if baseline else Origin.NONE,
        **found,
    )


def measured(values, baseline=None, **other) -> Evidence:
    """Evidence with the metrics of the version and of its baseline."""
    base = Metrics(dict(baseline), "model") if baseline is not None else None
    return Evidence(READY, asked=True, metrics=Metrics(dict(values), "model"), baseline_metrics=base, **other)


def judge(gate, options, of, evidence):
    """The gate's word."""
    return GATES[gate].evaluate(options, of, evidence)
