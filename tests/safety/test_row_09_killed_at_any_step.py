"""A deploy was killed midway and left everything locked for ever.

Intent is recorded before acting, locks expire and are fenced, and the next pass converges from whatever it finds.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.targets.interface import Fenced

ALSO = (
    "tests/integration/test_killed.py::test_killed_after_a_step_of_a_deploy_and_of_its_rollback",
    "tests/integration/test_proven_rollback.py::test_paused_holder_that_wakes_after_its_expiry_cannot_act",
    "tests/unit/delivery/test_passes.py::test_killed_after_any_step_the_next_pass_converges",
)


class Killed(BaseException):
    """Ends a pass as SIGKILL would: nobody catches it, nothing is cleaned up."""


def killed_after(world, *steps):
    """Passes that are killed, one after each of these steps."""
    for name in steps:

        def kill(mark, name=name):
            if mark.name == name:
                raise Killed

        with pytest.raises(Killed):
            world.run(listener=kill)


@pytest.mark.parametrize(
    "steps",
    [("lock", "lock", "lock"), ("start", "ready", "switch"), ("switch", "prepare"), ("proof", "artifacts", "retire")],
    ids=["thrice at the lock", "further each time", "after the switch, then before it", "to and fro"],
)
def test_row_09_killed_again_and_again(deployed, steps):
    """Each time exactly one verified bundle gets the traffic; the first pass that lives ends with live equal to git."""
    deployed.bump("wine", "2")
    for step in steps:
        killed_after(deployed, step)
        assert len({deployed.target.instances[name].bundle for name in deployed.target.routed["wine"]}) == 1
    assert exit_code(deployed.run()) == 0
    assert deployed.live() == {"wine": "2"}
    assert deployed.run().finished is None


def test_row_09_a_first_deploy_that_was_killed_is_taken_up_again(world):
    """With nothing there before, the next pass adopts what the killed one started instead of starting it twice."""
    killed_after(world, "start")
    started = [call for call in world.target.calls if call[0] == "start"]
    assert exit_code(world.run()) == 0
    assert [call for call in world.target.calls if call[0] == "start"] == started
    assert world.live() == {"wine": "1"}


def test_row_09_the_intent_is_in_the_ledger_before_anything_moves(deployed):
    """At the first step that touches the target the ledger already says who is at work, on what, and until when."""
    deployed.bump("wine", "2")
    seen = []

    def look(mark):
        if mark.name == "prepare":
            seen.append(deployed.history().started)

    deployed.run(listener=look)
    (started,) = seen
    assert started.services == ("wine",)
    assert started.owner.pid
    assert started.expires_at > deployed.clock
    assert deployed.history().started is None


def test_row_09_an_older_pass_that_wakes_up_stops_at_its_next_step(deployed):
    """A pass that was overtaken while it slept touches nothing more and writes no receipt."""
    deployed.bump("wine", "2")
    height = []

    def overtaken(mark):
        if mark.name == "ready":
            deployed.target.highest += 10
            height.append(deployed.history().height)

    with pytest.raises(Fenced):
        deployed.run(listener=overtaken)
    assert deployed.history().height == height[0]
    assert deployed.live() == {"wine": "1"}
