"""The MLflow alias as an output: written after verification, queued when MLflow is down, never fatal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlrelease import atomic
from mlrelease.delivery.site import Site
from mlrelease.errors import Error, UnavailableError
from mlrelease.log import get
from mlrelease.model.change import Outcome
from mlrelease.model.event import ServiceReceipt

RETRY_S = 60.0
"""A registry that did not take an alias is asked again after this; writing one is never worth holding up a pass."""


@dataclass(frozen=True, slots=True)
class _Queue:
    """Aliases still to be written (model name to version), and the moment before which nobody tries."""

    not_before: float = 0.0
    aliases: Mapping[str, str] = field(default_factory=dict)


def queue_aliases(site: Site, receipts: Mapping[str, ServiceReceipt]) -> None:
    """Notes the aliases that these receipts call for; `write_aliases` writes them."""
    if not site.environment.alias:
        return
    wanted = {
        pin.name: pin.version
        for receipt in receipts.values()
        if receipt.outcome is Outcome.SUCCEEDED and receipt.after is not None
        for pin in receipt.after.models
    }
    if wanted:
        _save(site, _Queue(0.0, {**_load(site).aliases, **wanted}))


def write_aliases(site: Site) -> int:
    """Writes what is queued and due; returns how many are still queued."""
    queue = _load(site)
    if not queue.aliases or queue.not_before > site.now():
        return len(queue.aliases)
    left = dict(queue.aliases)
    try:
        registry = site.registry()
        for name, version in queue.aliases.items():
            try:
                registry.set_alias(name, site.environment.alias, version)
            except UnavailableError:
                raise  # nor would the next one be taken
            except Error as error:
                get("alias").warning("alias not written", model=name, version=version, error=error.message)
            else:
                del left[name]
    except Error as error:
        get("alias").warning("alias not written yet", error=error.message, left=len(left))
    _save(site, _Queue(site.now() + RETRY_S if left else 0.0, left))
    return len(left)


def _load(site: Site) -> _Queue:
    try:
        data = json.loads((site.state_dir / "aliases.json").read_text())
        return _Queue(float(data["not_before"]), dict(data["aliases"]))
    except (OSError, ValueError, KeyError, TypeError):
        # A missing or damaged queue costs an alias, which the next deploy writes again.
        return _Queue()


def _save(site: Site, queue: _Queue) -> None:
    body = {"not_before": queue.not_before, "aliases": dict(queue.aliases)}
    atomic.write(site.state_dir / "aliases.json", json.dumps(body).encode())
