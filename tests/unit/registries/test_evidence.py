"""Evidence about pins: from the registry, from the cache, and of neither."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.evidence import gather
from support.fake_registry import FakeRegistry, pin_of

FILES = {"MLmodel": b"flavors: {}\n", "model.bin": b"weights"}
DOWN = "MLflow at http://fake did not answer: connection refused; is it running?"
FORWARD, BACK = False, True


@pytest.fixture
def registry():
    registry = FakeRegistry()
    registry.add("risk", "1", FILES)
    return registry


@pytest.fixture
def pin(tmp_path):
    return pin_of("risk", "1", FILES, tmp_path / "scratch")


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


def one(pin, back, registry, cache, *, read_files=True):
    return gather([(pin, back)], registry=lambda: registry, cache=cache, read_files=read_files)[pin]


def test_a_forward_pin_is_asked_for_and_its_files_come_into_the_cache(pin, registry, cache):
    """What is hashed is what the server will load."""
    evidence = one(pin, FORWARD, registry, cache)
    assert (evidence.asked, evidence.error, evidence.found_digest, evidence.cached) == (True, "", pin.digest, False)
    assert evidence.facts == registry.facts["risk", "1"]
    assert cache.verified(pin.digest) is not None


def test_a_cached_forward_pin_is_asked_for_and_not_downloaded(pin, registry, cache):
    """Exists is the registry's word, the bytes are the cache's."""
    cache.ensure(pin, registry.facts["risk", "1"], registry)
    evidence = one(pin, FORWARD, registry, cache)
    assert (evidence.asked, evidence.cached, evidence.found_digest) == (True, True, pin.digest)
    assert len(registry.downloaded) == 1


def test_a_new_version_with_the_digest_of_a_cached_older_one_is_found_out(pin, registry, cache):
    """The digest forgotten in an edit by hand: the registry's files of the new version are read."""
    cache.ensure(pin, registry.facts["risk", "1"], registry)
    registry.add("risk", "2", {"MLmodel": b"other"})
    evidence = one(type(pin)("risk", "2", pin.digest), FORWARD, registry, cache)
    assert evidence.cached is False
    assert evidence.found_digest not in (None, pin.digest)


def test_a_pin_that_moves_back_and_is_cached_asks_nobody(pin, registry, cache):
    """Not even for the address: an unset variable does not stop a rollback."""
    cache.ensure(pin, registry.facts["risk", "1"], registry)

    def unset():
        raise Error("the variable MLFLOW_TRACKING_URI is not set")

    evidence = gather([(pin, BACK)], registry=unset, cache=cache, read_files=True)[pin]
    assert (evidence.asked, evidence.error, evidence.cached, evidence.found_digest) == (False, "", True, pin.digest)
    assert registry.described == []


def test_a_pin_that_moves_back_and_is_damaged_in_the_cache_is_fetched_again(pin, registry, cache):
    """The cache is believed only after hashing it now."""
    path = cache.ensure(pin, registry.facts["risk", "1"], registry)
    (path / "model.bin").chmod(0o600)
    (path / "model.bin").write_bytes(b"tampere")
    evidence = one(pin, BACK, registry, cache)
    assert (evidence.asked, evidence.cached, evidence.found_digest) == (True, False, pin.digest)


def test_a_pin_that_moves_both_ways_counts_as_forward(pin, registry, cache):
    """Two services may pin one version."""
    cache.ensure(pin, registry.facts["risk", "1"], registry)
    for requests in ([(pin, BACK), (pin, FORWARD)], [(pin, FORWARD), (pin, BACK)]):
        evidence = gather(requests, registry=lambda: registry, cache=cache, read_files=True)[pin]
        assert (evidence.asked, evidence.cached) == (True, True)


def test_metadata_alone_reads_no_file(pin, registry, cache):
    """As in a pull request check of what did not change."""
    evidence = one(pin, FORWARD, registry, cache, read_files=False)
    assert (evidence.asked, evidence.found_digest, evidence.digest_error) == (True, None, "")
    assert registry.downloaded == []
    assert not cache.root.exists()


def test_tampered_artifacts_are_evidence_and_stay_out_of_the_cache(pin, registry, cache):
    """The other digest is named, the bytes are gone."""
    registry.add("risk", "1", FILES | {"model.bin": b"tampered"})
    evidence = one(pin, FORWARD, registry, cache)
    assert evidence.found_digest not in (None, pin.digest)
    assert list(cache.root.iterdir()) == []


@pytest.mark.parametrize("back", [FORWARD, BACK], ids=["forward", "back"])
def test_a_registry_that_is_down_is_evidence(pin, registry, cache, back):
    """With what to do, and no exception."""
    registry.down = True
    evidence = one(pin, back, registry, cache)
    assert (evidence.asked, evidence.error, evidence.facts) == (False, DOWN, None)


def test_a_registry_that_cannot_be_addressed_is_evidence(pin, cache):
    """For every pin that needs it."""

    def unset():
        raise Error("the variable MLFLOW_TRACKING_URI is not set", hint="export it")

    evidence = gather([(pin, FORWARD)], registry=unset, cache=cache, read_files=True)[pin]
    assert evidence.error == "the variable MLFLOW_TRACKING_URI is not set; export it"


def test_a_registry_that_is_down_is_not_asked_for_every_pin(pin, registry, cache):
    """A thousand pins do not wait a thousand deadlines."""
    registry.down = True
    pins = [type(pin)("risk", str(n), pin.digest) for n in range(1000)]
    found = gather([(p, FORWARD) for p in pins], registry=lambda: registry, cache=cache, read_files=True)
    assert {e.error for e in found.values()} == {DOWN}
    assert len(registry.described) < 60


def test_one_bad_pin_spoils_its_own_evidence_only(pin, registry, cache):
    """Services are independent (DESIGN §6, row 13)."""
    other = type(pin)("risk", "2", pin.digest)
    third = type(pin)("risk", "3", pin.digest)
    registry.broken = {("risk", "2")}
    requests = [(pin, FORWARD), (other, FORWARD), (third, FORWARD)]
    found = gather(requests, registry=lambda: registry, cache=cache, read_files=True)
    assert found[other].error == "access to this model is denied"
    assert found[pin].found_digest == pin.digest
    assert (found[third].asked, found[third].facts, found[third].found_digest) == (True, None, None)


def test_a_version_that_is_not_ready_is_not_read(pin, registry, cache):
    """Its files may still be on their way."""
    registry.add("risk", "1", FILES, status="PENDING_REGISTRATION")
    evidence = one(pin, FORWARD, registry, cache)
    assert evidence.digest_error == "the version is PENDING_REGISTRATION: its files were not read"
    assert registry.downloaded == []


def test_a_cache_that_cannot_be_written_is_evidence(pin, registry, tmp_path):
    """Metadata is there, the digest is not."""
    (tmp_path / "file").write_text("")
    evidence = one(pin, FORWARD, registry, ArtifactCache(tmp_path / "file" / "cache"))
    assert evidence.asked
    assert "cannot write the artifact cache" in evidence.digest_error
    assert evidence.found_digest is None


def test_nothing_asked_is_nothing_found(registry, cache):
    """No request, no work."""
    assert gather([], registry=lambda: registry, cache=cache, read_files=True) == {}
