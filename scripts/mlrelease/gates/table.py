"""All gates by id. A new gate is one module beside this one and one row here."""

from __future__ import annotations

from mlrelease.gates import digest, exists, metric, promoted_from, rejected, scan, signature, size, smoke
from mlrelease.gates.interface import Gate

GATES: dict[str, Gate] = {
    "exists": exists,
    "digest": digest,
    "metric": metric,
    "signature": signature,
    "size": size,
    "scan": scan,
    "smoke": smoke,
    "promoted_from": promoted_from,
    "rejected": rejected,
}
