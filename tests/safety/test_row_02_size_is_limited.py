"""A generated model file doubled in size and killed every proxy that read it.

The gate `size` limits a version relative to the one that serves; every version is loaded and proved beside production first.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import Outcome
from support.fake_registry import pin_of
from support.world import World

ALSO = ("tests/unit/gates/test_size.py::test_bounds_are_inclusive_and_exact",)


@pytest.fixture
def sized(tmp_path):
    """A service whose environment has the gate; version 1, of 1,013 bytes, deployed."""
    world = World(tmp_path / "w").create()
    path = world.laptop / "environments" / "production" / "environment.yaml"
    path.write_text(path.read_text() + "  - gate: size\n")
    world.commit("Limit sizes")
    pin(world, "1", 1000)
    world.bump("wine", "1")
    assert exit_code(world.run()) == 0
    return world


def pin(world, version, size):
    """A registered version with so many bytes beside its MLmodel file."""
    files = {"MLmodel": b"flavors: {}\n", "model.bin": version.encode() * size}
    world.registry.add("wine", version, files)
    world.pins["wine", version] = found = pin_of("wine", version, files, world.root / "scratch" / f"sized-{version}")
    golden = {"schema": 1, "payload": {"inputs": [[1.0]]}, "predictions": [float(version)]}
    world.site().ledger.put_golden(found.digest, golden)
    return found


@pytest.mark.parametrize("size", [500, 1000, 2000], ids=["smaller", "as large", "nearly twice as large"])
def test_row_02_a_version_of_a_usual_size_goes_live(sized, size):
    """Up to twice the size of what serves."""
    pin(sized, "2", size)
    sized.bump("wine", "2")
    assert sized.run().receipts["wine"].outcome is Outcome.SUCCEEDED
    assert sized.live() == {"wine": "2"}


def test_row_02_one_that_more_than_doubled_is_stopped_before_anything_loads_it(sized):
    """The gate says by how much, nothing starts, and version 1 serves on."""
    pin(sized, "2", 3000)
    sized.bump("wine", "2")
    sized.target.calls.clear()
    result = sized.run()
    assert (exit_code(result), result.plan.changes[0].blocked_by) == (5, "gate:size:failed")
    assert "3012 bytes, beside 1012 bytes of version 1 (recorded): grown by more than 100%" in result.plan.changes[0].blocked
    assert sized.target.calls == []
    assert sized.live() == {"wine": "1"}


def test_row_02_growth_is_measured_from_what_serves_not_from_what_was_wanted(sized):
    """Twice in a row not quite doubled is two deploys, each judged by itself; a version that never served is no baseline."""
    pin(sized, "2", 3000)
    sized.bump("wine", "2")
    sized.run()
    pin(sized, "3", 5000)
    sized.bump("wine", "3")
    assert sized.run().plan.changes[0].blocked_by == "gate:size:failed"
    assert sized.live() == {"wine": "1"}


def test_row_02_the_new_version_is_proved_beside_the_old_before_it_gets_traffic(sized):
    """Two instances of each are there at the moment of the switch, and the old ones still have the traffic."""
    pin(sized, "2", 1500)
    sized.bump("wine", "2")
    seen = []

    def look(mark):
        if mark.name == "golden":
            seen.append((sized.live()["wine"], len(sized.target.instances)))

    sized.run(listener=look)
    assert seen == [("1", 4)]
