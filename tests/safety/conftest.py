"""The small world of `support/world.py`, as every row of the table starts from it."""

from __future__ import annotations

import pytest
from support.world import World


@pytest.fixture
def world(tmp_path):
    """One service of two replicas, version 1 pinned, nothing deployed."""
    return World(tmp_path / "w").create()


@pytest.fixture
def deployed(world):
    """Version 1 deployed and proved."""
    assert world.run().receipts["wine"].outcome.value == "succeeded"
    return world
