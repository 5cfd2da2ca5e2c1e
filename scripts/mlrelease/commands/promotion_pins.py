"""What a promotion moves, pin by pin: each found again, by its bytes, at the MLflow of the destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlrelease.commands.output import say
from mlrelease.commands.proposals import Proposed
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.model.bundle import ImagePin, ModelPin
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.model.version import VersionFacts
from mlrelease.plan.promote import Candidate
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render.plan import NAMED

if TYPE_CHECKING:
    from mlrelease.registries.cache import ArtifactCache

VERSIONS_SEARCHED = 20
"""So many of the newest versions at another MLflow are hashed to find one by its digest: each is a download."""

TOGETHER = 8
"""Versions whose artifacts are read at a time, as for `bump`."""


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one pin. `pin` is the one for the destination's MLflow; `origin` the run and model it came from."""

    candidate: Candidate
    pin: ModelPin | ImagePin
    result: str = ""
    reason: str = ""
    code: int = 0
    origin: str = ""
    pull: Proposed | None = None


def resolved(workspace: Workspace, origin: EnvironmentSpec, dest: EnvironmentSpec, found: Sequence[Candidate]) -> list[Line]:
    """Each candidate with its pin at the destination's MLflow: the bytes are hashed again, wherever they lie."""
    lines = [Line(c, c.after, "refused", c.refused, 5) if c.refused else Line(c, c.after, reason=c.note) for c in found]
    if not any(isinstance(line.pin, ModelPin) and not line.code for line in lines):
        return lines
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.registries.concurrently import concurrently  # noqa: PLC0415
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    addresses = {expand(env.tracking_uri, workspace.variables, where=env.path).rstrip("/") for env in (origin, dest)}
    registry = workspace.registry(dest)
    cache = ArtifactCache(cache_folder(workspace.variables))

    models = [line for line in lines if isinstance(line.pin, ModelPin) and not line.code]
    if len(models) > NAMED:
        say(f"reading the artifacts of {len(models)} models")

    def one(line: Line) -> Line:
        if line.code or not isinstance(line.pin, ModelPin):
            return line
        if len(addresses) == 1:
            if len(models) <= NAMED:
                say(f"{line.pin.name} {line.pin.version}: reading its artifacts")
            return _same_server(line, line.pin, registry, cache)
        return _other_server(line, line.pin, registry, cache)

    return concurrently(one, lines, workers=TOGETHER)


def _same_server(line: Line, pin: ModelPin, registry: ModelRegistry, cache: ArtifactCache) -> Line:
    """The same version, whose bytes must still be those that were verified."""
    facts = registry.describe([(pin.name, pin.version)])[pin.name, pin.version]
    if facts is None:
        return _refused(line, f"{pin.name} version {pin.version} is gone from {registry.where}")
    digest, _ = cache.fetch(facts, registry)
    if digest != pin.digest:
        return _refused(line, f"its artifacts at {registry.where} were changed since they were verified: found {digest[:19]}…")
    return replace(line, origin=_origin(facts))


def _other_server(line: Line, pin: ModelPin, registry: ModelRegistry, cache: ArtifactCache) -> Line:
    """The newest version there that has these bytes; version numbers of two servers have nothing to do with each other."""
    newest = registry.versions(pin.name)[:VERSIONS_SEARCHED]
    for facts in newest:
        say(f"{pin.name} {facts.version}: reading its artifacts at {registry.where}")
        if cache.fetch(facts, registry)[0] == pin.digest:
            return replace(line, pin=replace(pin, version=facts.version), origin=_origin(facts))
    looked = f"none of its {len(newest)} newest versions" if newest else "no version"
    return _refused(
        line,
        f"{looked} at {registry.where} has the bytes that were verified: copy the bytes of {pin.name} {pin.version} "
        "there (mlflow artifacts download, then log and register the folder as it is)",
    )


def _origin(facts: VersionFacts) -> str:
    """What MLflow says that made the version: its run, its logged model, or both."""
    named = (("run", facts.run_id), ("logged model", facts.model_id))
    return ", ".join(f"{what} {value}" for what, value in named if value)


def _refused(line: Line, reason: str) -> Line:
    return replace(line, result="refused", reason=reason, code=5)
