"""From pins to what can be loaded: verified files in the cache, golden predictions from the ledger, expanded settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.admission import Admitted, NotAdmittedError, admit
from mlrelease.delivery.interpreter import interpreter_here
from mlrelease.delivery.probes import VerificationFailed
from mlrelease.delivery.reports import Reports
from mlrelease.delivery.site import KEEP_BUNDLES, Site
from mlrelease.errors import Error
from mlrelease.history.fold import History, fold
from mlrelease.log import get
from mlrelease.model.bundle import Bundle, Digest, ModelPin
from mlrelease.model.event import Probe
from mlrelease.model.live import Artifact, Launch
from mlrelease.model.spec import GOLDEN_RTOL
from mlrelease.registries.interface import DigestMismatch

GOLDEN_MEMORY_BYTES = 8 * 2**30
"""Address space of the process that computes golden predictions: numeric libraries map far more than they use."""

_WORKERS = 4  # hashing and downloading; each download fetches its files concurrently


def make_launch(site: Site, bundle: Bundle, settings: Mapping[str, Any]) -> Launch:
    """All that the target needs to run the bundle with these settings (`plan.drift.settings_of`), if possible from the cache.

    Raises `VerificationFailed` when the bytes are not the pin's, `UnavailableError` when they are not cached and the
    registry does not answer, `Error` for a setting whose variable is not set.
    """
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    tolerances = settings.get("golden_rtol", {})
    python = str(settings.get("python", ""))
    interpreter = interpreter_here(python)
    with ThreadPoolExecutor(_WORKERS) as pool:
        paths = dict(zip(bundle.models, pool.map(lambda pin: _verified(site, pin), bundle.models), strict=True))
    goldens = _goldens(site, paths, interpreter)
    artifacts = tuple(
        Artifact(pin.name, pin.version, pin.digest, path, goldens[pin.digest], tolerances.get(pin.name, GOLDEN_RTOL))
        for pin, path in paths.items()
    )
    environment = tuple((name, expand(value, site.variables)) for name, value in bundle.settings)
    return Launch(bundle, artifacts, int(settings.get("replicas", 1)), environment, python)


def golden_of(site: Site, digest: Digest) -> dict[str, Any] | None:
    """The golden predictions of a version that the ledger has (its clone here, or the spool); None when nobody computed any."""
    return site.ledger.golden(digest)


def admitted(site: Site, pin: ModelPin, path: Path) -> Admitted:
    """The folder of a pin's verified bytes, for loading. Raises `NotAdmittedError` unless the scan of its model opens.

    What was verified here before has passed, under the policy of its time: a stricter one stops no repair and no rollback.
    """
    gates = next((m.gates for s in site.environment.services.values() for m in s.models if m.name == pin.name), None)
    try:
        return admit(pin.digest, path, site.environment.gates if gates is None else gates, Reports(site.state_dir / "reports"))
    except NotAdmittedError as error:
        history = fold(site.environment.name, site.ledger.read(site.environment.name, fetch=False).events)
        if not any(value == pin.digest for _, _, value in history.first_verified):
            raise
        get("artifacts").warning("loaded although refused now", model=pin.name, version=pin.version, reason=error.message)
        return Admitted(path)


def compute_golden(path: Admitted, *, python: str) -> dict[str, Any] | None:
    """Golden predictions of the version in a folder, computed in an isolated process; None without an input example."""
    from mlrelease.registries.cache import serving_example  # noqa: PLC0415
    from mlrelease.serving.golden import compute  # noqa: PLC0415

    payload = serving_example(path)
    if payload is None:
        return None
    deadline = DEADLINES_S["golden.compute"]
    return compute(path, payload, deadline_s=deadline, memory_bytes=GOLDEN_MEMORY_BYTES, python=python).to_json()


def compute_goldens(paths: Sequence[Admitted], *, python: str) -> tuple[dict[str, Any] | Error | None, ...]:
    """The same for many versions at once, in their order; where one does not load or predict, the error in its place."""
    from mlrelease.registries.cache import serving_example  # noqa: PLC0415
    from mlrelease.serving.golden import Golden  # noqa: PLC0415
    from mlrelease.serving.goldens import Request, compute_many  # noqa: PLC0415

    def example(path: Path) -> Any:
        try:
            return serving_example(path)
        except Error as error:  # one strange MLmodel is no reason to leave the others out
            return error

    payloads = [example(path) for path in paths]
    asked = [isinstance(payload, Mapping) for payload in payloads]
    requests = [Request(path, payload) for path, payload, ask in zip(paths, payloads, asked, strict=True) if ask]
    deadline = DEADLINES_S["golden.compute"]
    found = iter(compute_many(requests, deadline_s=deadline, memory_bytes=GOLDEN_MEMORY_BYTES, python=python))
    answers = [next(found) if ask else payload for payload, ask in zip(payloads, asked, strict=True)]
    return tuple(answer.to_json() if isinstance(answer, Golden) else answer for answer in answers)


def prune_cache(site: Site, history: History) -> None:
    """Keeps the artifacts of the newest verified bundles of every service, of what git wants, and of what is recorded."""
    site.cache.prune(needed(site, history))


def needed(site: Site, history: History) -> set[Digest]:
    """The digests that git wants, that are recorded, and that a rollback may go back to."""
    wanted = {pin.digest for service in site.environment.services.values() for pin in service.bundle.models}
    for entries in history.verified.values():
        kept: dict[str, Bundle] = {}
        for entry in reversed(entries):
            if entry.bundle is not None and len(kept) < KEEP_BUNDLES:
                kept[entry.bundle.id] = entry.bundle
        wanted |= {pin.digest for bundle in kept.values() for pin in bundle.models}
    return wanted


def _verified(site: Site, pin: ModelPin) -> Path:
    return site.cache.verified(pin.digest) or _fetch(site, pin)


def _goldens(site: Site, paths: Mapping[ModelPin, Path], python: str) -> dict[Digest, dict[str, Any] | None]:
    """Those of every pin: known, or computed now, all of them in one isolated process and its forks."""
    goldens: dict[Digest, dict[str, Any] | None] = {
        Digest(name): golden for name, golden in site.ledger.goldens([pin.digest for pin in paths]).items()
    }
    missing: dict[ModelPin, Admitted] = {}
    new: dict[Digest, dict[str, Any]] = {}
    failed: VerificationFailed | None = None
    for pin in paths:
        if pin.digest in goldens:
            continue
        try:
            missing[pin] = admitted(site, pin, paths[pin])
        except NotAdmittedError as error:
            failed = failed or VerificationFailed(Probe(f"scan:{pin.name}", "failed", f"it was not loaded: {error.message}"))
    for pin, answer in zip(missing, compute_goldens(list(missing.values()), python=python), strict=True):
        if isinstance(answer, Error):
            failed = failed or VerificationFailed(Probe(f"golden:{pin.name}", "failed", f"in isolation: {answer.message}"))
        else:
            goldens[pin.digest] = answer
            if answer is not None:
                new[pin.digest] = answer
    if new:
        site.ledger.put_goldens(new.items())  # also where another model failed: the next try does not compute these again
    if failed is not None:
        raise failed
    return goldens


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
