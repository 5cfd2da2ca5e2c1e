"""From pins to what can be loaded: verified files in the cache, golden predictions from the ledger, expanded settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlrelease import atomic
from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.probes import VerificationFailed
from mlrelease.delivery.site import KEEP_BUNDLES, Site
from mlrelease.errors import Error, UnavailableError
from mlrelease.history.fold import History
from mlrelease.log import get
from mlrelease.model.bundle import Bundle, Digest, ModelPin
from mlrelease.model.event import Probe
from mlrelease.model.live import Artifact, Launch
from mlrelease.model.spec import GOLDEN_RTOL
from mlrelease.registries.interface import DigestMismatch

GOLDEN_MEMORY_BYTES = 8 * 2**30
"""Address space of the process that computes golden predictions: numeric libraries map far more than they use."""


def make_launch(site: Site, bundle: Bundle, settings: Mapping[str, Any]) -> Launch:
    """All that the target needs to run the bundle with these settings (`plan.drift.settings_of`), if possible from the cache.

    Raises `VerificationFailed` when the bytes are not the pin's, `UnavailableError` when they are not cached and the
    registry does not answer, `Error` for a setting whose variable is not set.
    """
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    tolerances = settings.get("golden_rtol", {})
    artifacts = tuple(_artifact(site, pin, tolerances.get(pin.name, GOLDEN_RTOL)) for pin in bundle.models)
    environment = tuple((name, expand(value, site.variables)) for name, value in bundle.settings)
    return Launch(bundle, artifacts, int(settings.get("replicas", 1)), environment)


def golden_of(site: Site, digest: Digest, path: Path, *, compute: bool) -> dict[str, Any] | None:
    """The golden predictions of a version: kept on this host, in the ledger, or computed in isolation now.

    None when the version has no input example, or (with `compute` false) when nobody has computed them yet.
    Raises `Error` when the model does not load or predict.
    """
    kept = site.state_dir / "golden" / f"{digest.removeprefix('sha256:')}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    stored = site.ledger.golden(digest)
    if stored is None and compute:
        stored = compute_golden(path)
        if stored is not None:
            site.ledger.put_golden(digest, stored)
    if stored is not None:
        atomic.write(kept, json.dumps(stored).encode())
    return stored


def compute_golden(path: Path) -> dict[str, Any] | None:
    """Golden predictions of the version in a folder, computed in an isolated process; None without an input example."""
    from mlrelease.registries.cache import serving_example  # noqa: PLC0415
    from mlrelease.serving.golden import compute  # noqa: PLC0415

    payload = serving_example(path)
    if payload is None:
        return None
    deadline = DEADLINES_S["golden.compute"]
    return compute(path, payload, deadline_s=deadline, memory_bytes=GOLDEN_MEMORY_BYTES, python=sys.executable).to_json()


def prune_cache(site: Site, history: History) -> None:
    """Keeps the artifacts of the newest verified bundles of every service, of what git wants, and of what is recorded."""
    wanted = {pin.digest for service in site.environment.services.values() for pin in service.bundle.models}
    for entries in history.verified.values():
        kept: dict[str, Bundle] = {}
        for entry in reversed(entries):
            if entry.bundle is not None and len(kept) < KEEP_BUNDLES:
                kept[entry.bundle.id] = entry.bundle
        wanted |= {pin.digest for bundle in kept.values() for pin in bundle.models}
    site.cache.prune(wanted)


def _artifact(site: Site, pin: ModelPin, rtol: float) -> Artifact:
    path = site.cache.verified(pin.digest)
    if path is None:
        path = _fetch(site, pin)
    try:
        golden = golden_of(site, pin.digest, path, compute=True)
    except UnavailableError:
        raise
    except Error as error:
        raise VerificationFailed(Probe(f"golden:{pin.name}", "failed", f"in isolation: {error.message}")) from error
    return Artifact(pin.name, pin.version, pin.digest, path, golden, rtol)


def _fetch(site: Site, pin: ModelPin) -> Path:
    registry = site.registry()
    facts = registry.describe([(pin.name, pin.version)])[pin.name, pin.version]
    if facts is None:
        raise Error(
            f"{pin.name} version {pin.version} is neither in the cache nor at {registry.where}",
            hint="pin a version that exists: mlrelease history",
        )
    get("artifacts").info("downloading", model=pin.name, version=pin.version)
    try:
        return site.cache.ensure(pin, facts, registry)
    except DigestMismatch as error:
        reason = f"artifacts of {pin.name} {pin.version} are not those of the pin: found {error.found}"
        raise VerificationFailed(Probe(f"digest:{pin.name}", "failed", reason)) from error
