"""`digest`: the bytes that would be loaded are those that the pin names (DESIGN §5.6).

No minimum sample, no numbers, no options. The only gate that sees artifacts overwritten after registration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlrelease.gates.interface import Evidence, Subject, stands_in_cache, word
from mlrelease.model.bundle import Digest
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "digest"


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Passed for equal digests, failed for others or a missing version; skipped when nobody was to read the files."""
    pin = subject.pin
    if options:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {min(options)!r}")
    if stands_in_cache(subject, evidence):
        reason = "this host's cache holds the pinned bytes, hashed now"
        return word(ID, subject, GateStatus.PASSED, reason, source="cache", found=pin.digest)
    if evidence.found_digest is not None:
        source = "cache" if evidence.cached else "registry"
        if evidence.found_digest == pin.digest:
            reason = "the artifacts have the pinned digest"
            return word(ID, subject, GateStatus.PASSED, reason, source=source, found=pin.digest)
        return word(
            ID,
            subject,
            GateStatus.FAILED,
            f"the artifacts were changed after the pin was written: expected {_short(pin.digest)}, "
            f"found {_short(evidence.found_digest)}",
            expected=pin.digest,
            found=evidence.found_digest,
            source=source,
        )
    if evidence.digest_error or evidence.error:
        return word(ID, subject, GateStatus.ERRORED, evidence.digest_error or evidence.error)
    if evidence.asked and evidence.facts is None:
        return word(ID, subject, GateStatus.FAILED, f"{pin.name} version {pin.version} does not exist: there are no artifacts")
    reason = "files are read for changed pins only"
    return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)


def _short(digest: Digest) -> str:
    """Enough to tell digests apart in a sentence; the evidence has them whole."""
    return f"{digest[:19]}…"
