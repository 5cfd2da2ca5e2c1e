"""Evidence about pins, gathered from the registry and the host's cache, concurrently. Judges nothing, loads nothing.

One bad pin spoils its own evidence only; a registry that is down is evidence too, not an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mlrelease.errors import Error
from mlrelease.gates.interface import Evidence
from mlrelease.model.bundle import ModelPin
from mlrelease.registries.asking import ask, text_of
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.interface import DigestMismatch, ModelRegistry

_DOWNLOADS = 4  # each of them fetches its files concurrently


def gather(
    requests: Sequence[tuple[ModelPin, bool]],
    *,
    registry: Callable[[], ModelRegistry],
    cache: ArtifactCache,
    read_files: bool,
    only: Collection[ModelPin] | None = None,
) -> dict[ModelPin, Evidence]:
    """Evidence by pin, for (pin, moves back) pairs; a pin that moves both ways counts as moving forward.

    `registry` is called only when something must be asked (an unset variable does not stop a rollback); a pin that moves
    back and is verified in the cache is not asked for. With `read_files`, a forward pin's artifacts (of `only` these pins,
    where given) are brought into the cache, where the server will load them; without, only metadata is read.
    """
    back: dict[ModelPin, bool] = {}
    for pin, moves_back in requests:
        back[pin] = moves_back and back.get(pin, True)
    read = {pin for pin in back if read_files and (only is None or pin in only)}
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        looked = pool.map(lambda pin: _in_cache(cache, pin, back=back[pin]) if pin in read or back[pin] else Evidence(), back)
        found = dict(zip(back, looked, strict=True))
    asking = [pin for pin in back if not (back[pin] and found[pin].cached)]
    if not asking:
        return found
    try:
        connected = registry()
    except Error as e:
        return found | {pin: replace(found[pin], error=text_of(e)) for pin in asking}
    for pin, answer in ask(connected, asking).items():
        if isinstance(answer, str):
            found[pin] = replace(found[pin], error=answer)
        else:
            found[pin] = replace(found[pin], asked=True, facts=answer)
    fetching = [pin for pin in asking if pin in read]
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        fetched = pool.map(lambda pin: _with_files(pin, found[pin], connected, cache), fetching)
        found |= dict(zip(fetching, fetched, strict=True))
    return found


def _in_cache(cache: ArtifactCache, pin: ModelPin, *, back: bool) -> Evidence:
    """What the cache says. Forward, only bytes count that the registry gave for this version; back, the digest is enough."""
    try:
        cached = (back or cache.came_from(pin)) and cache.verified(pin.digest) is not None
    except Error as e:
        return Evidence(digest_error=text_of(e))
    return Evidence(cached=cached, found_digest=pin.digest if cached else None)


def _with_files(pin: ModelPin, evidence: Evidence, registry: ModelRegistry, cache: ArtifactCache) -> Evidence:
    """The evidence with the digest of the bytes that would be loaded: the cache's if they lie there, else the registry's."""
    facts = evidence.facts
    if evidence.cached or facts is None:
        return evidence
    if facts.status != "READY":
        return replace(evidence, digest_error=f"the version is {facts.status or 'of unknown status'}: its files were not read")
    try:
        cache.ensure(pin, facts, registry)
    except DigestMismatch as e:
        return replace(evidence, found_digest=e.found)
    except Error as e:
        return replace(evidence, digest_error=text_of(e))
    return replace(evidence, found_digest=pin.digest)
