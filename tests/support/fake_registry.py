"""A `ModelRegistry` in memory: versions with their files, and what was asked of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlrelease.errors import Error, UnavailableError
from mlrelease.model.bundle import Digest, ModelPin
from mlrelease.model.run import RunFacts
from mlrelease.model.version import VersionFacts
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.registries.interface import FileFacts


@dataclass
class FakeRegistry:
    """`down` makes every read fail; `broken` names versions whose description fails with any other error.

    `numbers` holds the metrics of a version and whose they are; `described` has one entry a call.
    """

    where: str = "http://fake"
    down: bool = False
    broken: set[tuple[str, str]] = field(default_factory=set)
    contents: dict[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict)
    facts: dict[tuple[str, str], VersionFacts] = field(default_factory=dict)
    numbers: dict[tuple[str, str], tuple[Mapping[str, float], str]] = field(default_factory=dict)
    runs: dict[str, RunFacts] = field(default_factory=dict)
    described: list[tuple[tuple[str, str], ...]] = field(default_factory=list)
    downloaded: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, version: str, files: Mapping[str, bytes], *, status: str = "READY") -> VersionFacts:
        """Registers (or overwrites) a version."""
        facts = VersionFacts(name, version, status, f"models:/m-{version}", artifact_uri=f"fake:/{name}/{version}")
        self.contents[name, version] = dict(files)
        self.facts[name, version] = facts
        return facts

    def delete(self, name: str, version: str) -> None:
        """Takes a registered version away, files and all."""
        del self.facts[name, version], self.contents[name, version]

    def describe(self, versions: Iterable[tuple[str, str]]) -> dict[tuple[str, str], VersionFacts | None]:
        keys = list(versions)
        with self.lock:
            self.described.append(tuple(keys))
        self._check()
        if self.broken & set(keys):
            raise Error("access to this model is denied")
        return {key: self.facts.get(key) for key in sorted(set(keys))}

    def versions(self, name: str) -> tuple[VersionFacts, ...]:
        self._check()
        found = [facts for (of, _), facts in self.facts.items() if of == name]
        return tuple(sorted(found, key=lambda f: int(f.version), reverse=True))

    def models(self) -> tuple[str, ...]:
        self._check()
        return tuple(sorted({name for name, _ in self.facts}))

    def alias(self, name: str, alias: str) -> VersionFacts | None:
        self._check()
        if any(name == of for of, _ in self.broken):
            raise Error("access to this model is denied")
        return next((facts for (of, _), facts in self.facts.items() if of == name and alias in facts.aliases), None)

    def metrics(self, facts: VersionFacts) -> tuple[Mapping[str, float], str]:
        self._check()
        return self.numbers.get((facts.name, facts.version), ({}, ""))

    def run(self, run_id: str) -> RunFacts | None:
        self._check()
        return self.runs.get(run_id)

    def files(self, facts: VersionFacts) -> tuple[FileFacts, ...]:
        self._check()
        return tuple(FileFacts(path, len(data)) for path, data in sorted(self.contents[facts.name, facts.version].items()))

    def download(self, facts: VersionFacts, into: Path) -> None:
        with self.lock:
            self.downloaded.append((facts.name, facts.version))
        self._check()
        for path, data in self.contents[facts.name, facts.version].items():
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_bytes(data)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._check()
        if (name, version) not in self.facts:
            raise Error("there is no such version")
        for key, facts in self.facts.items():
            if key[0] == name:
                others = tuple(other for other in facts.aliases if other != alias)
                self.facts[key] = replace(facts, aliases=(*others, alias) if key[1] == version else others)

    def _check(self) -> None:
        if self.down:
            raise UnavailableError("MLflow at http://fake did not answer: connection refused", hint="is it running?")


def digest_of_files(files: Mapping[str, bytes], scratch: Path) -> Digest:
    """The digest of a version that holds `files`."""
    for path, data in files.items():
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).write_bytes(data)
    return digest_of(manifest(scratch))


def pin_of(name: str, version: str, files: Mapping[str, bytes], scratch: Path) -> ModelPin:
    """A pin of a version that holds `files`."""
    return ModelPin(name, version, digest_of_files(files, scratch))
