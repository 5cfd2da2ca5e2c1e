"""Evidence for gates: what the registry, the host's cache and an isolated process say of each subject. Judges nothing.

Asked is only what the subject's own gates need. The order is fixed: the bytes are compared with the pin, then looked
through, and only then loaded (DESIGN §6 row 14).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlrelease.delivery.reports import Reports
from mlrelease.errors import Error
from mlrelease.gates.interface import Evidence, Metrics, ScanReport, Signature, SmokeReport, Subject
from mlrelease.gates.scan import ALLOW, refusal
from mlrelease.model.bundle import ModelPin
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec
from mlrelease.model.version import VersionFacts
from mlrelease.registries.asking import ask, measure, text_of
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.evidence import gather
from mlrelease.registries.interface import DigestMismatch, ModelRegistry
from mlrelease.registries.mlmodel import signature

_FILES = 4  # versions whose files are read at once
_GONE = "is no longer in MLflow"
_OVERWRITTEN = "was overwritten in MLflow: its files are no longer those that were pinned"


@dataclass(frozen=True, slots=True)
class Want:
    """A subject and the gates that will judge it.

    `ask`: the registry is to be asked about it at all; `files`: its files may be read too. `python` is the interpreter of
    its service, empty for the tool's own.
    """

    subject: Subject
    specs: tuple[GateSpec, ...]
    ask: bool = True
    files: bool = True
    python: str = ""

    def options(self, gate: str) -> Mapping[str, Any] | None:
        """Those of the first gate of that id; None where it will not judge a version that moves forward."""
        if self.subject.direction is not Direction.FORWARD or not self.ask:
            return None
        return next((spec.options for spec in self.specs if spec.gate == gate), None)

    @property
    def compares(self) -> bool:
        """Whether a metric of the baseline is needed."""
        if self.subject.baseline is None or self.options("metric") is None:
            return False
        return any(spec.gate == "metric" and "max_regression" in spec.options for spec in self.specs)


def evidence_for(
    wants: Sequence[Want], *, registry: Callable[[], ModelRegistry], cache: ArtifactCache, reports: Reports
) -> tuple[Evidence, ...]:
    """Evidence for each want, in their order. A registry that is down is evidence too; nothing is raised for it."""
    source = _Source(registry, cache)
    # (1): the versions, and the bytes that would be loaded
    asked = [want for want in wants if want.ask]
    requests = [(want.subject.pin, want.subject.direction is Direction.BACK) for want in asked]
    only = {want.subject.pin for want in asked if want.files}
    known = gather(requests, registry=source.registry, cache=cache, read_files=bool(only), only=only)
    found = [known[want.subject.pin] if want.ask else Evidence() for want in wants]
    # (2): the numbers of the versions, and of what they are compared with
    found = source.with_metrics(wants, found)
    # (3): what the files declare
    with ThreadPoolExecutor(_FILES) as pool:
        found = list(pool.map(source.with_signatures, wants, found))
        found = list(pool.map(source.with_sizes, wants, found))
        # (4): what loading them would run
        found = list(pool.map(lambda want, evidence: _with_scan(want, evidence, cache, reports), wants, found))
    # (5): one after the other, since each may take all the memory that it is allowed
    return tuple(_with_smoke(want, evidence, cache, reports) for want, evidence in zip(wants, found, strict=True))


class _Source:
    """The registry, connected once, and the facts about baselines, asked for once and together."""

    def __init__(self, registry: Callable[[], ModelRegistry], cache: ArtifactCache) -> None:
        self._connect = registry
        self._cache = cache
        self._registry: ModelRegistry | None = None
        self._baselines: dict[ModelPin, VersionFacts | str | None] = {}

    def registry(self) -> ModelRegistry:
        self._registry = self._registry or self._connect()
        return self._registry

    def with_metrics(self, wants: Sequence[Want], found: Sequence[Evidence]) -> list[Evidence]:
        """The evidence with metrics, for the wants that have a metric gate; asks about all baselines at once."""
        baselines = {want.subject.baseline for want, evidence in zip(wants, found, strict=True) if self._needs(want, evidence)}
        pins = sorted(pin for pin in baselines if pin is not None)
        if pins:
            self._baselines = ask(self.registry(), pins)
        measured = {
            want.subject.pin: evidence.facts
            for want, evidence in zip(wants, found, strict=True)
            if want.options("metric") is not None and evidence.facts is not None
        }
        compared = {
            want.subject.baseline: facts
            for want in wants
            if want.compares
            and want.subject.baseline is not None
            and isinstance(facts := self._baselines.get(want.subject.baseline), VersionFacts)
        }
        numbers = measure(self.registry(), {**compared, **measured}) if measured else {}
        return [self._measured(want, evidence, numbers) for want, evidence in zip(wants, found, strict=True)]

    def _needs(self, want: Want, evidence: Evidence) -> bool:
        """Whether the registry must be asked about the baseline: for its metrics, or for files that are not here."""
        baseline = want.subject.baseline
        if baseline is None or evidence.facts is None:
            return False
        reads = want.options("signature") is not None or want.options("size") is not None
        absent = reads and self._cache.get(baseline.digest) is None
        return want.compares or absent

    def _measured(self, want: Want, evidence: Evidence, numbers: Mapping[ModelPin, Metrics]) -> Evidence:
        pin = want.subject.pin
        if pin in numbers and want.options("metric") is not None:
            evidence = replace(evidence, metrics=numbers[pin])
        if not want.compares or want.subject.baseline is None or evidence.facts is None:
            return evidence
        facts = self._baselines.get(want.subject.baseline)
        if isinstance(facts, str):
            return replace(evidence, baseline_error=facts)
        if facts is None:
            return replace(evidence, baseline_metrics=Metrics(), baseline_gone=_GONE)
        return replace(evidence, baseline_metrics=numbers.get(want.subject.baseline))

    def with_signatures(self, want: Want, evidence: Evidence) -> Evidence:
        """The evidence with the signatures of the version and of its baseline, read from files of the pinned digest."""
        path = _verified(want, evidence, self._cache)
        if want.options("signature") is None or path is None:
            return evidence
        try:
            evidence = replace(evidence, signature=signature(path))
        except Error as e:
            return replace(evidence, digest_error=evidence.digest_error or text_of(e))
        if want.subject.baseline is None:
            return evidence
        declared, error, gone = self._baseline_signature(want.subject.baseline)
        error, gone = error or evidence.baseline_error, gone or evidence.baseline_gone
        return replace(evidence, baseline_signature=declared, baseline_error=error, baseline_gone=gone)

    def with_sizes(self, want: Want, evidence: Evidence) -> Evidence:
        """The evidence with the sizes of the version and of its baseline: of files here, else as the registry lists them."""
        path = _verified(want, evidence, self._cache)
        if want.options("size") is None or path is None:
            return evidence
        evidence = replace(evidence, size=_bytes_below(path))
        pin = want.subject.baseline
        if pin is None:
            return evidence
        cached = self._cache.get(pin.digest)
        if cached is not None:
            return replace(evidence, baseline_size=_bytes_below(cached))
        facts = self._baselines.get(pin)
        if facts is None:
            return replace(evidence, baseline_gone=_GONE)
        try:
            if isinstance(facts, VersionFacts):
                return replace(evidence, baseline_size=sum(file.size for file in self.registry().files(facts)))
        except Error as e:
            return replace(evidence, baseline_error=evidence.baseline_error or text_of(e))
        return replace(evidence, baseline_error=evidence.baseline_error or facts)

    def _baseline_signature(self, pin: ModelPin) -> tuple[Signature | None, str, str]:
        """The baseline's signature; else why it could not be read, or why it is no longer to be had.

        Read are only bytes of the pinned digest: where the cache has none, the whole version is fetched, since one file of
        it alone cannot be compared with a pin, and a signature that anybody may overwrite is no baseline.
        """
        try:
            path = self._cache.verified(pin.digest)
            facts = self._baselines.get(pin)
            if path is None and (pin not in self._baselines or isinstance(facts, str)):
                return None, facts if isinstance(facts, str) else "the registry was not asked for it", ""
            if path is None and facts is None:
                return None, "", _GONE
            if path is None and isinstance(facts, VersionFacts):
                path = self._cache.ensure(pin, facts, self.registry())
            return (signature(path) if path else None), "", ""
        except DigestMismatch:
            return None, "", _OVERWRITTEN
        except Error as e:
            return None, text_of(e), ""


def _verified(want: Want, evidence: Evidence, cache: ArtifactCache) -> Path | None:
    """The folder of the version's files, if they are the pin's; they were hashed just now."""
    return cache.get(want.subject.pin.digest) if evidence.found_digest == want.subject.pin.digest else None


def _bytes_below(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _with_scan(want: Want, evidence: Evidence, cache: ArtifactCache, reports: Reports) -> Evidence:
    """The evidence with the scanner's report, where a gate reads it or the model is about to be loaded."""
    path = _verified(want, evidence, cache)
    if path is None or (want.options("scan") is None and not _loads(want)):
        return evidence
    from mlrelease.registries.scan import scan  # noqa: PLC0415 - only where something is scanned

    digest = want.subject.pin.digest
    report = reports.scan(digest)
    if report is None:
        report = scan(path)
        reports.keep_scan(digest, report)
    return replace(evidence, scan=report)


def _with_smoke(want: Want, evidence: Evidence, cache: ArtifactCache, reports: Reports) -> Evidence:
    """The evidence with a report of loading the model in isolation; it is not loaded unless the scan's policy opens."""
    path = _verified(want, evidence, cache)
    if path is None or not _loads(want):
        return evidence
    shut = _forbidden(want, evidence.scan)
    if shut:
        return replace(evidence, smoke=SmokeReport(error=f"it was not loaded: {shut}", errored=True))
    python, digest = want.python or sys.executable, want.subject.pin.digest
    report = reports.smoke(digest, python)
    if report is None:
        report = _smoke(path, python)
        reports.keep_smoke(digest, python, report)
    return replace(evidence, smoke=report)


def _loads(want: Want) -> bool:
    return want.options("smoke") is not None and want.subject.may_load


def _forbidden(want: Want, report: ScanReport | None) -> str:
    """Why the model must not be loaded: the scan's policy, as configured or its default."""
    options = want.options("scan") or {}
    return "nobody looked through its files" if report is None else refusal(report, tuple(options.get(ALLOW, ())))


def _smoke(path: Path, python: str) -> SmokeReport:
    from mlrelease.deadlines import DEADLINES_S  # noqa: PLC0415 - only where a model is loaded
    from mlrelease.delivery.artifacts import GOLDEN_MEMORY_BYTES  # noqa: PLC0415
    from mlrelease.serving.smoke import smoke  # noqa: PLC0415

    return smoke(path, deadline_s=DEADLINES_S["golden.compute"], memory_bytes=GOLDEN_MEMORY_BYTES, python=python)
