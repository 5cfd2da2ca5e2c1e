"""What the ledger says of the demo, held against what the clients got. Pure: events and answers in, sentences out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlrelease.demo.load import Summary
from mlrelease.model.when import from_iso


@dataclass(frozen=True, slots=True)
class Proved:
    """A pass that ended with this version proved: it alone may answer from `since` until the next such pass begins."""

    version: str
    revision: str
    change: str
    since: float
    until: float


def proved(events: Iterable[Mapping[str, Any]], service: str, model: str = "") -> list[Proved]:
    """The passes that ended well for a service, oldest first, from the events of `history --output json`.

    The versions are those of `model` (default: the one of the service's own name).
    """
    moves = [
        (event, event["services"][service])
        for event in sorted(events, key=lambda event: str(event["at"]))
        if event["kind"] == "deploy_finished" and event["services"].get(service, {}).get("outcome") == "succeeded"
    ]
    found = []
    for index, (event, receipt) in enumerate(moves):
        following = moves[index + 1][0]["started_at"] if index + 1 < len(moves) else None
        until = from_iso(following) if following else float("inf")
        version = next(pin["version"] for pin in receipt["after"]["models"] if pin["name"] == (model or service))
        found.append(Proved(version, event["revision"], receipt["change"], from_iso(event["finished_at"]), until))
    return found


def objections(summary: Summary, history: Iterable[Proved]) -> list[str]:
    """What the clients saw that must not be, a sentence each: failures, silence, an answer from another version."""
    found = [f"request {a.request_id} failed: {a.error}" for a in summary.failures[:5]]
    if summary.failed > len(found):
        found.append(f"{summary.failed - len(found)} more requests failed")
    for proof in history:
        counts = summary.versions(proof.since, proof.until)
        others = sorted(version for version in counts if version != proof.version)
        found += [
            f"version {version or '(unnamed)'} gave {counts[version]} answers while {proof.version} was proved to serve"
            for version in others
        ]
        if not counts.get(proof.version):
            found.append(f"nobody was answered while version {proof.version} was proved to serve: nothing is shown by that")
    return found
