from __future__ import annotations

import pytest
from mlrelease.delivery import lock, probes, rollout
from support.place import FaultyTarget, Place
from support.world import World


@pytest.fixture
def world(tmp_path):
    """One service, version 1 pinned, nothing deployed."""
    return World(tmp_path / "w").create()


@pytest.fixture
def deployed(world):
    """Version 1 deployed and proved."""
    assert world.run().receipts["wine"].outcome.value == "succeeded"
    return world


@pytest.fixture
def place(tmp_path, monkeypatch):
    """One service of two replicas without git, version 1 wanted; nothing waits between two looks."""
    monkeypatch.setattr(probes, "POLL_S", 0.0)
    monkeypatch.setattr(rollout, "DRAIN_POLL_S", 0.0)
    monkeypatch.setattr(lock, "LOCK_POLL_S", 0.0)
    return Place(tmp_path / "p", target=FaultyTarget())


@pytest.fixture
def running(place):
    """The same, deployed and proved."""
    assert place.run().receipts["wine"].outcome.value == "succeeded"
    place.target.calls.clear()
    place.target.drained.clear()
    return place
