"""Facts about many pins: together, and one by one only where that failed."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http.errors import AnsweredBadlyError
from mlrelease.registries.asking import ask
from support.core import model
from support.fake_registry import FakeRegistry


@pytest.fixture
def registry():
    registry = FakeRegistry()
    for number in range(1200):
        registry.add(f"m{number:04d}", "1", {"MLmodel": b""})
    return registry


def pins(count, *, version="1"):
    return [model(f"m{number:04d}", version) for number in range(count)]


def test_all_are_asked_for_together(registry):
    """Five hundred at a time, each once, whatever their order."""
    found = ask(registry, list(reversed(pins(1200))) * 2)
    assert {pin.name: facts.name for pin, facts in found.items()} == {pin.name: pin.name for pin in pins(1200)}
    assert [len(keys) for keys in registry.described] == [500, 500, 200]


def test_a_version_that_does_not_exist_is_none(registry):
    """That is an answer."""
    assert ask(registry, pins(2, version="9")) == dict.fromkeys(pins(2, version="9"))


def test_nothing_asked_is_nothing_answered(registry):
    """And nobody is asked."""
    assert (ask(registry, []), registry.described) == ({}, [])


def test_only_the_part_that_failed_is_asked_one_by_one(registry):
    """One that is refused harms no other."""
    registry.broken = {("m0700", "1")}
    found = ask(registry, pins(1200))
    assert {pin.name: said for pin, said in found.items() if isinstance(said, str)} == {
        "m0700": "access to this model is denied"
    }
    assert sum(len(keys) == 1 for keys in registry.described) == 500


def test_one_pin_that_fails_is_not_asked_twice(registry):
    """Together is already alone."""
    registry.broken = {("m0000", "1")}
    assert ask(registry, pins(1)) == {pins(1)[0]: "access to this model is denied"}
    assert len(registry.described) == 1


def test_a_registry_that_does_not_answer_is_asked_once(registry):
    """One deadline, not one for each part."""
    registry.down = True
    found = ask(registry, pins(1200))
    assert set(found.values()) == {"MLflow at http://fake did not answer: connection refused; is it running?"}
    assert len(registry.described) == 1


class _Failing:
    """A registry whose description raises."""

    def __init__(self, error, *, works=()):
        self.error = error
        self.works = set(works)
        self.calls = 0

    def describe(self, keys):
        self.calls += 1
        if set(keys) <= self.works:
            return dict.fromkeys(keys)
        raise self.error


@pytest.mark.parametrize(
    ("error", "most"),
    [
        pytest.param(UnavailableError("silent"), 1, id="silent: once"),
        pytest.param(AnsweredBadlyError("500"), 1 + 3 + 4, id="500 for everything: three, and those under way"),
        pytest.param(Error("401"), 1 + 50 + 4, id="refuses everything: fifty, and those under way"),
    ],
)
def test_a_registry_that_answers_nothing_is_left_alone(error, most):
    """All pins get its word."""
    registry = _Failing(error)
    assert set(ask(registry, pins(400)).values()) == {str(error)}
    assert registry.calls <= most


def test_a_refusal_of_many_pins_is_theirs_as_long_as_others_are_answered():
    """Fifty-nine models that may not be read, between two that may."""
    first, last = pins(61)[0], pins(61)[60]
    registry = _Failing(Error("403"), works={(first.name, "1"), (last.name, "1")})
    found = ask(registry, pins(61))
    assert (found[first], found[last]) == (None, None)
    assert registry.calls == 62
