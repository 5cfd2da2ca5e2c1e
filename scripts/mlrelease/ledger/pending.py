"""What one append has to add to the ledger's branch: events and files that are not in it yet, and the commit's message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlrelease.ledger.spool import Spooled


@dataclass(frozen=True, slots=True)
class Pending:
    """What an append has to add to a tip: events not in it yet, spooled ones first, by environment; and blobs."""

    spooled: tuple[Spooled, ...]
    old: Mapping[str, tuple[Mapping[str, Any], ...]]
    new: Mapping[str, tuple[Mapping[str, Any], ...]]
    blobs: Mapping[str, bytes]
    spooled_blobs: tuple[str, ...]

    def message(self) -> str:
        """The subject and the rest of the commit: `staging: deploy_started`, or `ledger: golden sha256-…` for blobs alone."""
        lines = []
        for environment in sorted({*self.old, *self.new}):
            events = (*self.old.get(environment, ()), *self.new.get(environment, ()))
            kinds = Counter(event["kind"] for event in events)
            lines.append(f"{environment}: " + ", ".join(kind if n == 1 else f"{n} {kind}" for kind, n in kinds.items()))
        lines += [f"ledger: {path.removesuffix('.json')}" for path in self.blobs]
        title, *rest = lines
        return title + ("\n\n" + "\n".join(rest) if rest else "") + "\n"


def new_by_environment(contents: Sequence[Mapping[str, Any]], known: set[str]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Those not known yet, each once, in order. Adds their ids to `known`."""
    found: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for content in contents:
        if content["id"] not in known:
            known.add(content["id"])
            found[content["environment"]] = (*found.get(content["environment"], ()), content)
    return found
