"""The door before a model's first load: only a version whose files the scan's policy lets through is loaded (DESIGN §6 row 14).

What computes with a model takes an `Admitted` folder, and only `admit` gives one out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NewType

from mlrelease.delivery.reports import Reports
from mlrelease.errors import Error
from mlrelease.model.bundle import Digest
from mlrelease.model.gate import GateSpec

Admitted = NewType("Admitted", Path)
"""A folder whose bytes are those of a digest, and whose scan opened."""


class NotAdmittedError(Error):
    """The policy does not let the version be loaded: a no, where other errors are "could not"."""


def admit(digest: Digest, path: Path, gates: Sequence[GateSpec], reports: Reports) -> Admitted:
    """The folder `path`, which holds the verified bytes of `digest`, for loading.

    Judged by the gate `scan` as configured in `gates`, by its default policy where they have none. Raises
    `NotAdmittedError` with the file and the first name that is not allowed.
    """
    from mlrelease.gates import scan as gate  # noqa: PLC0415 - only where something is about to be loaded
    from mlrelease.registries.scan import scan  # noqa: PLC0415

    report = reports.scan(digest)
    if report is None:
        report = scan(path)
        reports.keep_scan(digest, report)
    options = next((spec.options for spec in gates if spec.gate == gate.ID), {})
    reason = gate.refusal(report, tuple(options.get(gate.ALLOW, ())))
    if reason:
        raise NotAdmittedError(reason, hint="what is safe all the same is named under the gate scan: docs/rules.md#scan")
    return Admitted(path)
