"""What a model registry knows of one registered version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What the registry says of one registered version.

    `artifact_uri` is where its files lie, empty where that was not asked (`files` and `download` ask). `aliases` are
    empty where many versions were asked for at once: MLflow's search leaves them out, `alias` has them.
    """

    name: str
    version: str
    status: str
    source: str
    run_id: str = ""
    model_id: str = ""
    artifact_uri: str = ""
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0
