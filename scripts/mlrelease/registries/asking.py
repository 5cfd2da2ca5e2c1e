"""Facts about many pins, asked for together, so that one that the registry chokes on harms no other."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlrelease.errors import Error, UnavailableError
from mlrelease.gates.interface import Metrics
from mlrelease.http.errors import AnsweredBadlyError
from mlrelease.model.bundle import ModelPin
from mlrelease.model.version import VersionFacts
from mlrelease.registries.interface import ModelRegistry

_WORKERS = 4  # as many as the adapter has questions under way
_TOGETHER = 500  # asked for at once; if that fails, so many are asked for one by one
_PATIENCE = 3  # so many pins without any answer, and the registry counts as down for the rest
_HOPELESS = 50  # so many refusals and not one answer: it is not the pins that are refused

Answer = VersionFacts | str | None
"""Facts, None for a version that does not exist, or why it could not be asked for."""


def ask(registry: ModelRegistry, pins: Sequence[ModelPin]) -> dict[ModelPin, Answer]:
    """An answer for each pin."""
    ordered = sorted(set(pins), key=lambda pin: (len(pin.version), pin.version, pin.name))  # neighbours share a search
    found: dict[ModelPin, Answer] = {}
    singly = _Singly(registry)
    for first in range(0, len(ordered), _TOGETHER):
        group = ordered[first : first + _TOGETHER]
        try:
            facts = registry.describe([(pin.name, pin.version) for pin in group])
        except Error as e:
            # A registry that does not answer is not asked again; one that answers with an error may choke on one of them.
            if isinstance(e, UnavailableError) and not isinstance(e, AnsweredBadlyError):
                return found | dict.fromkeys(ordered[first:], text_of(e))
            found |= dict.fromkeys(group, text_of(e)) if len(group) == 1 else singly.ask(group)
        else:
            found |= {pin: facts[pin.name, pin.version] for pin in group}
    return found


def text_of(error: Error) -> str:
    """The error in one line, with what to do about it."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


class _Singly:
    """Asks pin by pin, and remembers how that went: a registry that answers nothing is left alone."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._answered = False
        self._silent = self._refused = 0
        self._given_up = ""

    def ask(self, pins: Sequence[ModelPin]) -> dict[ModelPin, Answer]:
        with ThreadPoolExecutor(_WORKERS) as pool:
            return dict(zip(pins, pool.map(self._one, pins), strict=True))

    def _one(self, pin: ModelPin) -> Answer:
        if self._given_up:
            return self._given_up
        key = (pin.name, pin.version)
        try:
            facts = self._registry.describe([key])[key]
        except Error as e:
            return self._failed(e)
        self._answered = True
        return facts

    def _failed(self, error: Error) -> str:
        text = text_of(error)
        with self._lock:
            if isinstance(error, UnavailableError):
                self._silent += 1
            elif not self._answered:
                self._refused += 1
            if self._silent >= _PATIENCE or self._refused >= _HOPELESS:
                self._given_up = self._given_up or text
        return text


def measure(registry: ModelRegistry, versions: Mapping[ModelPin, VersionFacts]) -> dict[ModelPin, Metrics]:
    """The metrics of many versions, or why they could not be read; a registry that falls silent is not asked on."""
    silent: list[str] = []

    def one(facts: VersionFacts) -> Metrics:
        if len(silent) >= _PATIENCE:
            return Metrics(error=silent[0])
        try:
            return Metrics(*registry.metrics(facts))
        except Error as e:
            if isinstance(e, UnavailableError):
                silent.append(text_of(e))
            return Metrics(error=text_of(e))

    with ThreadPoolExecutor(_WORKERS) as pool:
        return dict(zip(versions, pool.map(one, versions.values()), strict=True))
