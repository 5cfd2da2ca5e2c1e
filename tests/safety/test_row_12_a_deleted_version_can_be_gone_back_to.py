"""A pinned version was deleted from the registry.

Each pin is checked for existence, and the host's cache keeps the last verified bundles to go back to.
"""

from __future__ import annotations

import shutil

from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.site import KEEP_BUNDLES
from mlrelease.model.change import ChangeKind, Outcome

ALSO = ("tests/integration/test_mlflow_rest.py::test_a_rollback_to_cached_bytes_passes_when_the_version_was_deleted",)


def deploy(world, *versions):
    for version in versions:
        commit = world.bump("wine", version)
        assert exit_code(world.run()) == 0
    return commit


def test_row_12_back_to_a_version_that_the_registry_lost(deployed):
    """Version 1 is deleted while 2 serves: the revert is proved from the cache."""
    bump = deploy(deployed, "2")
    deployed.registry.delete("wine", "1")
    deployed.revert(bump)
    result = deployed.run()
    assert (result.receipts["wine"].change, result.receipts["wine"].outcome) == (ChangeKind.ROLLBACK, Outcome.SUCCEEDED)
    assert deployed.live() == {"wine": "1"}


def test_row_12_a_pin_of_a_version_that_is_not_there_is_blocked(deployed):
    """Forward, a missing version is the gate's word: it never starts."""
    deployed.bump("wine", "2")
    deployed.registry.delete("wine", "2")
    deployed.target.calls.clear()
    result = deployed.run()
    assert (exit_code(result), result.plan.changes[0].blocked_by) == (5, "gate:exists:failed")
    assert deployed.target.calls == []


def test_row_12_the_cache_keeps_the_last_verified_bundles_and_no_more(deployed):
    """After many deploys the newest bundles lie in the cache, older ones are pruned."""
    versions = [str(number) for number in range(2, KEEP_BUNDLES + 4)]
    deploy(deployed, *versions)
    cache = deployed.site().cache
    kept = [v for v in ["1", *versions] if cache.verified(deployed.pin("wine", v).digest) is not None]
    assert kept == versions[-KEEP_BUNDLES:]


def test_row_12_neither_cached_nor_registered_is_said_and_moves_nothing(deployed):
    """With the cache lost too, the rollback fails before the switch: version 2 serves on, exit 1, and the reason names it."""
    bump = deploy(deployed, "2")
    deployed.registry.delete("wine", "1")
    shutil.rmtree(deployed.root / "state" / "cache")
    for name in [n for n, i in deployed.target.instances.items() if i.role.value == "warm"]:
        deployed.target.instances.pop(name)
    deployed.revert(bump)
    result = deployed.run()
    assert exit_code(result) in (1, 5)
    assert deployed.live() == {"wine": "2"}
    said = " ".join([*(c.blocked for c in result.plan.changes), *(r.reason for r in result.receipts.values())])
    assert "wine version 1" in said
