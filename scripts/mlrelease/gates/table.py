"""All gates by id. A new gate is one module beside this one and one row here."""

from __future__ import annotations

from mlrelease.gates import digest, exists
from mlrelease.gates.interface import Gate

GATES: dict[str, Gate] = {
    "exists": exists,
    "digest": digest,
}
