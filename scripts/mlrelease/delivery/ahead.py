"""Instances that are started before their service's turn: they load while the services before it are proved.

Most of a start is a process that imports libraries, on one processor. Each service stays a transaction of its own: what
goes wrong here is left for its turn, which finds the instances that were started, or starts its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.artifacts import make_launch
from mlrelease.delivery.probes import VerificationFailed
from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.log import get
from mlrelease.model.bundle import Bundle
from mlrelease.model.change import Change, ChangeKind, Direction
from mlrelease.model.live import Role
from mlrelease.plan.drift import settings_of
from mlrelease.targets.interface import Fenced

SERVICES_AHEAD = 2
"""So many services load beside the one whose turn it is; more would take the processors from what serves."""


class Ahead:
    """What was started ahead of its turn in one pass."""

    def __init__(self, site: Site, changes: Iterable[Change]) -> None:
        self._site = site
        self._waiting = [change for change in changes if _moves_forward(change)]
        self._started: dict[str, Bundle] = {}

    def start(self, current: Change) -> None:
        """Starts the instances of the next services, unless the current Change goes back: it has the machine to itself.

        Only of what is at hand: verified files in the cache, golden predictions in the ledger. Raises `Fenced`.
        """
        self._waiting = [change for change in self._waiting if change.service != current.service]
        self._started.pop(current.service, None)
        if current.direction is Direction.BACK:
            return
        for change in self._waiting[:SERVICES_AHEAD]:
            if change.service not in self._started and change.after is not None:
                self._started[change.service] = change.after
                self._start(change.after)

    def stop(self) -> None:
        """Ends the instances whose turn does not come. Raises `Fenced`."""
        target = self._site.target
        for bundle in self._started.values():
            try:
                for instance in target.observe(bundle.service).of(bundle.service, bundle.id):
                    if instance.role is Role.CANDIDATE:
                        target.stop(instance.id, drain_s=DEADLINES_S["instance.drain"])
            except Fenced:
                raise
            except (Error, OSError) as error:
                get("ahead").warning("not stopped, the next pass will", service=bundle.service, error=str(error))

    def _start(self, bundle: Bundle) -> None:
        site, service = self._site, self._site.environment.services.get(bundle.service)
        try:
            digests = [pin.digest for pin in bundle.models]
            at_hand = all(map(site.cache.get, digests)) and site.ledger.goldens(digests, fetch=False).keys() >= set(digests)
            if service is not None and at_hand:
                site.target.start(make_launch(site, bundle, settings_of(site.environment, service)))
        except Fenced:
            raise
        except (Error, OSError, VerificationFailed) as error:
            get("ahead").info("not started ahead of its turn", service=bundle.service, error=str(error))


def _moves_forward(change: Change) -> bool:
    return change.kind in (ChangeKind.CREATE, ChangeKind.UPDATE) and change.direction is Direction.FORWARD
