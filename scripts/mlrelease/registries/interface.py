"""The port to a model registry: facts about versions, and the bytes of their artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlrelease.model.bundle import Digest
from mlrelease.model.run import RunFacts
from mlrelease.model.version import VersionFacts


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file of a version: path below the artifact root, size in bytes."""

    path: str
    size: int


class ModelRegistry(Protocol):
    """Reads raise `UnavailableError` (from `errors`) when the registry cannot be asked; a missing version is a value, None."""

    where: str
    """The address without credentials, for messages."""

    def describe(self, versions: Iterable[tuple[str, str]]) -> dict[tuple[str, str], VersionFacts | None]:
        """Facts about (name, version) pairs, asked for together where they are many; None where one does not exist."""
        ...

    def versions(self, name: str) -> tuple[VersionFacts, ...]:
        """All versions of a registered model, newest first; empty when there is none of that name."""
        ...

    def models(self) -> tuple[str, ...]:
        """The names of all registered models, sorted; prompts, which MLflow keeps beside them, are none."""
        ...

    def alias(self, name: str, alias: str) -> VersionFacts | None:
        """Facts about the version that the alias points at; None where the model has no such alias."""
        ...

    def metrics(self, facts: VersionFacts) -> tuple[Mapping[str, float], str]:
        """The version's own metrics and `model`, or its run's and `run`; empty and `""` when it has neither."""
        ...

    def run(self, run_id: str) -> RunFacts | None:
        """The run of that id: its code, data, parameters and metrics; None where it is gone."""
        ...

    def files(self, facts: VersionFacts) -> tuple[FileFacts, ...]:
        """Every file below the version's artifact root. Raises `Error` when the artifact root does not exist."""
        ...

    def download(self, facts: VersionFacts, into: Path) -> None:
        """Writes every file of the version below `into` (an existing, empty folder). Never loads anything."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points the alias at the version."""
        ...


class DigestMismatch(Exception):  # noqa: N818 - a finding about bytes, handled by its one caller
    """The bytes are not those of the pin."""

    def __init__(self, expected: Digest, found: Digest) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found
