"""The port behind which a service runs. The rollout engine is written once over it.

Every effect is idempotent, happens under the fence (`fence.py`), and is confirmed before the call returns. Each may
raise `Error` (the work could not be done) or `Fenced` (a newer pass owns the target: stop at once, touch nothing).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from mlrelease.errors import Error
from mlrelease.model.bundle import BundleId
from mlrelease.model.live import Answer, Instance, Launch, Observation


class Fenced(Error):  # noqa: N818 - a state, not a mistake
    """A pass with a higher fencing number owns this target."""


class Target(Protocol):
    """Where an environment runs."""

    exercises: tuple[str, ...]
    """Which parts of a bundle really run here: `("model",)` on `local`, where no image runs."""

    def observe(self, service: str = "") -> Observation:
        """What runs now, asked of every instance and of the proxy, concurrently. Changes nothing, needs no fence.

        With a service only its instances are asked and named; routes and problems are those of the whole target.
        """
        ...

    def prepare(self, fence: int) -> None:
        """Claims the target with a fencing number and brings its ground up (supervisor, proxy, listener).

        Raises `Fenced` when a higher number was seen. What lives keeps its traffic; lost state is written again.
        """
        ...

    def start(self, launch: Launch) -> tuple[Instance, ...]:
        """Sees to it that `launch.replicas` supervised instances of the bundle run with these settings; they may not be ready.

        Adopts those that fit; leaves those of other settings or without supervisor alone (the caller stops them after
        the new ones are ready). Returns the instances that fit, old and new.
        """
        ...

    def route(
        self,
        service: str,
        weights: Mapping[BundleId, int],
        *,
        instances: Iterable[str],
        prefix: str,
        revision: str,
        timeout_s: float,
    ) -> None:
        """Sends the service's traffic by weight to these instances (ids of bundles in `weights`), confirmed by the proxy.

        Order inside: clusters → healthy → route → clusters without those that left. An empty `weights` takes the
        service's route away.
        """
        ...

    def keep(self, instances: Iterable[str], until: float) -> None:
        """Marks instances as warm until then; 0 marks them as in use again."""
        ...

    def idle(self, instances: Iterable[str]) -> bool:
        """Whether the proxy has no request in flight to any of these."""
        ...

    def stop(self, instance: str, *, drain_s: float) -> None:
        """Ends one instance, or a stray: out of the clusters, SIGTERM; by pid and start time if nobody supervises it."""
        ...

    def ask(
        self,
        instance: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One HTTP request to one instance, past the proxy. Raises `OSError` when it does not answer in time."""
        ...

    def ask_service(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One HTTP request through the proxy, as a client would. Raises `OSError` when there is no answer in time."""
        ...

    def logs(self, instance: str, *, lines: int) -> Iterator[str]:
        """The last lines that an instance wrote, oldest first."""
        ...

    def down(self) -> None:
        """Ends everything of this environment on this host: proxy, instances, supervisor, strays."""
        ...
