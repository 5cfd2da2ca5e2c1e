"""`scan`: loading the version would run nothing but what the policy allows (DESIGN §5.7).

No minimum sample, no numbers. `allow` adds names to the default policy (`scan_names`): `package.module.Name`,
`package.module.*` for everything in it, `file:path` for a file that Python imports or that is of a format not read here
(`file:code/*` for a folder), `loader:module` for what MLflow loads with. Only an exact name allows what is known from
attacks: no pattern does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlrelease.gates.interface import Evidence, ScannedFile, ScanReport, Subject, stands_in_cache, word
from mlrelease.gates.scan_names import ALLOWED
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "scan"

ALLOW = "allow"
MOST_NAMES = 100
"""So many refused names go into the evidence; receipts keep it for ever."""


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Passed when every name is allowed and every file could be read; failed with the first that is not."""
    unknown = set(options) - {ALLOW}
    if unknown:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {min(unknown)!r}")
    if evidence.scan is None:
        return _unscanned(subject, evidence)
    return _judged(subject, evidence.scan, tuple(options.get(ALLOW, ())))


def refusal(report: ScanReport, allow: Collection[str]) -> str:
    """Why the version must not be loaded, with the file and the first name; empty when it may."""
    if not report.files:
        return "the scan looked at no file"
    name, file = next(_refused(report, allow), ("", None))
    troubled = next((found for found in report.files if found.problem), None)
    if file is not None:
        return f"loading {file.path or 'it'} would {_act(name, file)}, which is not allowed"
    return f"{troubled.path or 'it'} ({troubled.format}) cannot be vouched for: {troubled.problem}" if troubled else ""


def _unscanned(subject: Subject, evidence: Evidence) -> GateResult:
    if stands_in_cache(subject, evidence):
        reason = "it was scanned before it was first loaded here"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.ROLLBACK)
    if evidence.error or evidence.digest_error:
        return word(ID, subject, GateStatus.ERRORED, evidence.digest_error or evidence.error)
    if evidence.found_digest is not None and evidence.found_digest != subject.pin.digest:
        return word(ID, subject, GateStatus.FAILED, "the artifacts are not those of the pin: they were not scanned")
    if evidence.asked and evidence.facts is None:
        pin = subject.pin
        reason = f"{pin.name} version {pin.version} does not exist: there is nothing to scan"
        return word(ID, subject, GateStatus.FAILED, reason)
    if evidence.cached:
        return word(ID, subject, GateStatus.ERRORED, "the files were not scanned")
    reason = "files are read for changed pins only"
    return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)


def _judged(subject: Subject, report: ScanReport, allow: tuple[str, ...]) -> GateResult:
    reason = refusal(report, allow)
    files = [f"{file.path} ({file.format})" for file in report.files]
    if not reason:
        names = len({name for file in report.files for name in file.globals})
        counted = f"{names} {'name' if names == 1 else 'names'} in {len(files)} {'file' if len(files) == 1 else 'files'}"
        return word(ID, subject, GateStatus.PASSED, f"{counted}, all allowed", files=files[:MOST_NAMES], scanner=report.scanner)
    refused = [f"{file.path}: {name}" for name, file in _refused(report, allow)]
    return word(
        ID,
        subject,
        GateStatus.FAILED,
        reason,
        refused=refused[:MOST_NAMES],
        more=max(0, len(refused) - MOST_NAMES),
        problems=[f"{file.path}: {file.problem}" for file in report.files if file.problem][:MOST_NAMES],
        known=sorted({name for file in report.files for name in file.known})[:MOST_NAMES],
        scanner=report.scanner,
    )


def _refused(report: ScanReport, allow: Collection[str]) -> Iterator[tuple[str, ScannedFile]]:
    """Each name that is not allowed, with its file; what is known from attacks first."""
    found = [
        (name not in file.known, name, file)
        for file in report.files
        for name in file.globals
        if not _is_allowed(name, allow, is_known=name in file.known)
    ]
    for _, name, file in sorted(found, key=lambda item: item[0]):
        yield name, file


def _is_allowed(name: str, allow: Collection[str], *, is_known: bool) -> bool:
    if name in allow or name in ALLOWED:
        return True
    return not is_known and any(pattern.endswith("*") and _matches(name, pattern[:-1]) for pattern in allow)


def _matches(name: str, beginning: str) -> bool:
    """A pattern ends in `.*`, or `/*` for files; `*` alone and `file:*` would allow everything, so they match nothing."""
    return beginning[-1:] in (".", "/") and name.startswith(beginning) and len(beginning) > 1


def _act(name: str, file: ScannedFile) -> str:
    kind, _, place = name.partition(":")
    if kind == "file" and place:
        return f"run {place} ({file.format})" if file.format.startswith("python") else f"read {place} ({file.format})"
    return f"import {place} to load with" if kind == "loader" and place else f"import {name}"
