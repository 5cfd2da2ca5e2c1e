"""Tampered artifacts were loaded.

Digests are compared before anything is unpickled; caches are keyed by digest and verified anew at each use.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import Outcome

ALSO = (
    "tests/integration/test_mlflow_rest.py::test_a_tampered_pickle_is_refused_and_never_ran",
    "tests/integration/test_serving.py::test_a_tampered_artifact_is_refused_before_it_is_unpickled",
)


@pytest.mark.parametrize(
    "files",
    [
        {"MLmodel": b"flavors: {}\n", "model.bin": b"wine 3"},
        {"MLmodel": b"flavors: {}\n", "model.bin": b"wine 2", "extra.py": b"import os"},
        {"MLmodel": b"flavors: {}\n", "other.bin": b"wine 2"},
        {"model.bin": b"wine 2"},
    ],
    ids=["other bytes of the same length", "one file more", "a file renamed", "a file less"],
)
def test_row_14_what_the_registry_gives_must_be_what_was_pinned(deployed, files):
    """Artifacts that were overwritten after the pin was written are refused by the digest, before anything starts."""
    deployed.bump("wine", "2")
    deployed.registry.add("wine", "2", files)
    deployed.target.calls.clear()
    result = deployed.run()
    assert (result.receipts["wine"].outcome, exit_code(result)) == (Outcome.BLOCKED, 5)
    assert result.plan.changes[0].blocked_by == "gate:digest:failed"
    assert deployed.target.calls == []
    assert deployed.live() == {"wine": "1"}


def test_row_14_bytes_that_changed_in_the_cache_are_not_loaded(deployed):
    """Somebody writes into the cache of the host: the next start fetches the pinned bytes anew instead."""
    pin = deployed.pin("wine", "1")
    cache = deployed.site().cache
    path = cache.verified(pin.digest)
    file = next(f for f in path.rglob("model.bin"))
    file.chmod(0o644)
    file.write_bytes(b"wine 666")
    assert cache.verified(pin.digest) is None
    deployed.target.instances.pop("wine-1")  # a repair must load it
    assert deployed.run().receipts["wine"].outcome is Outcome.SUCCEEDED
    fresh = deployed.site().cache.verified(pin.digest)
    assert next(fresh.rglob("model.bin")).read_bytes() == b"wine 1"
    assert all(a.path.joinpath("model.bin").read_bytes() == b"wine 1" for a in deployed.target.launches["wine-3"].artifacts)


def test_row_14_changed_in_the_cache_and_the_registry_gone_is_an_error_not_a_guess(deployed):
    """With nobody to ask for the pinned bytes the repair is errored; the instance that is left serves on."""
    path = deployed.site().cache.verified(deployed.pin("wine", "1").digest)
    file = next(f for f in path.rglob("model.bin"))
    file.chmod(0o644)
    file.write_bytes(b"wine 666")
    deployed.registry.down = True
    deployed.target.instances.pop("wine-1")
    result = deployed.run()
    assert exit_code(result) == 1
    assert sorted(deployed.target.instances) == ["wine-2"]
