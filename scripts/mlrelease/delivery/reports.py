"""What a scan and a smoke test once found, kept on this host by the digest of the version that they looked at."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlrelease import atomic
from mlrelease.errors import Error
from mlrelease.gates.interface import ScannedFile, ScanReport, SmokeReport
from mlrelease.log import get
from mlrelease.model.bundle import Digest, canonical_json, sha256_digest

SCHEMA = 1
"""Of these files, and of what a report means: raised when a scanner learns to see more."""


class Reports:
    """Reports in the folder `root`, which need not exist. Equal digest, equal report: the bytes cannot change.

    A smoke test's word holds for the interpreter it ran in, and is kept only when it was good: a bad one may have been
    the machine's fault. A file that cannot be read is as if it were not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def scan(self, digest: Digest) -> ScanReport | None:
        """What the scanner found in this version, if it has looked."""
        data = self._read(self._path("scan", digest))
        if data is None:
            return None
        try:
            files = (ScannedFile(**f | {key: tuple(f[key]) for key in ("globals", "known")}) for f in data["files"])
            return ScanReport(tuple(files), str(data["scanner"]))
        except (KeyError, TypeError):
            return None

    def keep_scan(self, digest: Digest, report: ScanReport) -> None:
        """For the next time."""
        self._write(self._path("scan", digest), asdict(report))

    def smoke(self, digest: Digest, python: str) -> SmokeReport | None:
        """How this version did under this interpreter, if it did well."""
        data = self._read(self._path("smoke", digest, python))
        try:
            return None if data is None else SmokeReport(**data)
        except TypeError:
            return None

    def keep_smoke(self, digest: Digest, python: str, report: SmokeReport) -> None:
        """For the next time, unless something was wrong."""
        if not report.error and not report.errored:
            self._write(self._path("smoke", digest, python), asdict(report))

    def _path(self, kind: str, digest: Digest, *more: str) -> Path:
        place = sha256_digest(canonical_json([SCHEMA, *more])).removeprefix("sha256:")[:8]
        return self._root / f"{kind}-{digest.removeprefix('sha256:')}-{place}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, path: Path, data: dict[str, Any]) -> None:
        try:
            atomic.write(path, json.dumps(data).encode())
        except Error as error:  # it is looked at again the next time
            get("gates").warning("a report was not kept", error=error.message)
