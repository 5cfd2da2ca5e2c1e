"""What the parts of one server process share: what is loaded, why it is not ready, and how it will end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlrelease.model.live import Artifact
from mlrelease.model.when import iso
from mlrelease.serving.config import ServeConfig

if TYPE_CHECKING:
    from mlrelease.serving.scoring import Scorer


@dataclass(slots=True)
class ServerState:
    """Written by the loader's thread (`scorers`, `reason`) and by signals (`draining`), read by every request.

    Each write is one assignment, so no lock is needed. `scorers` is set once, when all models are ready.
    """

    config: ServeConfig
    started_at: float
    reason: str = "starting"
    draining: bool = False
    in_flight: int = 0
    scorers: dict[str, Scorer] = field(default_factory=dict)

    def not_ready(self) -> str:
        """Why no traffic should come here; "" when it may."""
        if self.draining:
            return "shutting down"
        return "" if self.scorers else self.reason

    def model(self, name: str) -> Artifact | None:
        """The pinned model of that name."""
        return next((m for m in self.config.models if m.name == name), None)

    def identity(self) -> dict[str, Any]:
        """The answer of `/identity`."""
        config = self.config
        return {
            "service": config.service,
            "bundle": config.bundle,
            "image": config.image,
            "runtime": config.runtime,
            "instance": config.instance,
            "started_at": iso(self.started_at),
            "models": [{"name": m.name, "version": m.version, "digest": m.digest} for m in config.models],
        }
