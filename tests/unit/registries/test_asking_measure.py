"""Metrics of many versions, evidence of some, and work on many items: order, patience, and the first failure."""

from __future__ import annotations

import threading

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.gates.interface import Metrics
from mlrelease.model.version import VersionFacts
from mlrelease.registries.asking import measure, text_of
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.concurrently import concurrently
from mlrelease.registries.evidence import gather
from support.core import model
from support.fake_registry import FakeRegistry, pin_of


class Measuring:
    """A registry whose metrics are by version: numbers, or what is raised."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def metrics(self, facts):
        self.asked.append(facts.version)
        found = self.answers.get(facts.version, ({"rmse": 1.0}, "run"))
        if isinstance(found, Exception):
            raise found
        return found


def versions(count):
    """So many versions of one model."""
    return {model("m", str(n)): VersionFacts("m", str(n), "READY", "") for n in range(1, count + 1)}


def test_each_version_has_its_own_numbers():
    """By pin, in the order that was asked for, with whose they are."""
    registry = Measuring({"1": ({"rmse": 2.5}, "model"), "2": ({}, "")})
    found = measure(registry, versions(3))
    assert list(found) == list(versions(3))
    assert list(found.values()) == [Metrics({"rmse": 2.5}, "model"), Metrics({}, ""), Metrics({"rmse": 1.0}, "run")]


def test_a_version_whose_metrics_cannot_be_read_harms_no_other():
    """However many those are: they are refused, not unanswered."""
    refused = {str(n): Error("no", hint="ask") for n in range(1, 40)}
    registry = Measuring(refused)
    found = list(measure(registry, versions(40)).values())
    assert found[:39] == [Metrics(error="no; ask")] * 39
    assert found[39] == Metrics({"rmse": 1.0}, "run")
    assert len(registry.asked) == 40


def test_a_registry_that_falls_silent_is_left_alone():
    """After three and those under way; the rest have the first one's word."""
    silent = {str(n): UnavailableError(f"silent {n}") for n in range(1, 101)}
    registry = Measuring(silent)
    found = measure(registry, versions(100))
    assert len(registry.asked) <= 3 + 4
    assert {pin.version for pin, said in found.items() if not said.error} == set()
    assert {found[model("m", str(n))].error for n in range(20, 101)} <= {f"silent {n}" for n in range(1, 8)}


def test_two_that_are_not_answered_are_no_silence():
    """The third makes it one."""
    registry = Measuring({"1": UnavailableError("a"), "2": UnavailableError("b")})
    assert sum(not said.error for said in measure(registry, versions(30)).values()) == 28


def test_nothing_measured_asks_nobody():
    """No versions, no answers."""
    registry = Measuring({})
    assert (measure(registry, {}), registry.asked) == ({}, [])


@pytest.mark.parametrize(("hint", "text"), [("do that", "it broke; do that"), ("", "it broke")])
def test_an_error_is_one_line_with_its_way_out(hint, text):
    """As evidence keeps it."""
    assert text_of(Error("it broke", hint=hint)) == text


# ---- work on many items


def test_results_come_in_the_order_of_the_items():
    """Whoever is done first: the first item waits for the last."""
    last = threading.Event()

    def work(item):
        if item == 3:
            last.set()
        assert last.wait(30)
        return item * 10

    assert concurrently(work, iter([0, 1, 2, 3]), workers=4) == [0, 10, 20, 30]


@pytest.mark.parametrize("items", [[], [7]], ids=["none", "one"])
def test_one_item_needs_no_thread(items):
    """It is done where it was asked for."""
    assert concurrently(lambda item: (item, threading.get_ident()), items, workers=4) == [
        (item, threading.get_ident()) for item in items
    ]


def test_the_first_failure_is_raised_and_the_rest_is_not_begun():
    """A dead server costs one deadline; of several failures that of the first item is told."""
    together, begun = threading.Barrier(2), []

    def work(item):
        begun.append(item)
        together.wait(30)
        raise UnavailableError(f"gone {item}")

    with pytest.raises(UnavailableError, match="gone 0"):
        concurrently(work, range(2), workers=2)
    begun.clear()
    with pytest.raises(UnavailableError, match="gone 0"):
        concurrently(lambda item: begun.append(item) or _gone(item), range(100), workers=2)
    assert len(begun) <= 2


def _gone(item):
    raise UnavailableError(f"gone {item}")


def test_no_more_than_so_many_work_at_once():
    """As many as the server has connections: three at a time, and never a fourth."""
    lock, three, now, most = threading.Lock(), threading.Barrier(3), 0, 0

    def work(item):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        three.wait(30)
        with lock:
            now -= 1
        three.wait(30)

    concurrently(work, range(30), workers=3)
    assert most == 3


# ---- evidence

FILES = {"MLmodel": b"flavors: {}\n"}
FORWARD, BACK = False, True


@pytest.fixture
def registry():
    """Three versions of `risk`, all of the same files."""
    registry = FakeRegistry()
    for number in "123":
        registry.add("risk", number, FILES)
    return registry


@pytest.fixture
def pins(tmp_path):
    """The pins of the three."""
    return [pin_of("risk", number, FILES, tmp_path / "scratch") for number in "123"]


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


def test_files_are_read_only_of_the_pins_that_are_wanted(pins, registry, cache):
    """The rest have their facts, and no digest."""
    found = gather([(p, FORWARD) for p in pins], registry=lambda: registry, cache=cache, read_files=True, only={pins[1]})
    assert [found[pin].found_digest for pin in pins] == [None, pins[1].digest, None]
    assert [found[pin].asked for pin in pins] == [True] * 3
    assert registry.downloaded == [("risk", "2")]


def test_files_that_are_wanted_are_not_read_where_none_are(pins, registry, cache):
    """`only` narrows, it does not ask."""
    gather([(pins[0], FORWARD)], registry=lambda: registry, cache=cache, read_files=False, only={pins[0]})
    assert registry.downloaded == []


def test_a_pin_that_moves_back_and_is_not_cached_is_asked_for_without_its_files(pins, registry, cache):
    """Where no files are read: exists or not is the registry's word."""
    found = gather([(pins[0], BACK)], registry=lambda: registry, cache=cache, read_files=False)[pins[0]]
    assert (found.asked, found.cached, found.found_digest) == (True, False, None)


def test_a_cached_pin_that_moves_back_is_verified_even_where_no_files_are_read(pins, registry, cache):
    """A rollback trusts the cache alone, so the cache is hashed."""
    cache.ensure(pins[0], registry.facts["risk", "1"], registry)
    registry.down = True
    found = gather([(pins[0], BACK)], registry=lambda: registry, cache=cache, read_files=False)[pins[0]]
    assert (found.asked, found.cached, found.found_digest, found.error) == (False, True, pins[0].digest, "")


def test_the_same_bytes_by_another_version_serve_a_pin_that_moves_back(pins, registry, cache):
    """Back, the digest is enough; forward, the registry must have given them for that very version."""
    cache.ensure(pins[0], registry.facts["risk", "1"], registry)
    requests = [(pins[1], BACK), (pins[2], FORWARD)]
    found = gather(requests, registry=lambda: registry, cache=cache, read_files=True)
    assert [found[pin].cached for pin in pins[1:]] == [True, False]
    assert registry.downloaded == [("risk", "1"), ("risk", "3")]


def test_a_cache_that_cannot_be_looked_at_is_evidence(pins, registry, tmp_path):
    """It spoils the digest, not the facts."""
    (tmp_path / "cache").mkdir()
    broken = type(pins[0])("risk", "1", "sha256:none")
    found = gather([(broken, BACK)], registry=lambda: registry, cache=ArtifactCache(tmp_path / "cache"), read_files=True)[
        broken
    ]
    assert found.digest_error.startswith("'sha256:none' is not a sha256 digest; ")
    assert found.asked
