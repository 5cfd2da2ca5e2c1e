"""A bot proposed again the version that had just been rolled back.

Rejections are in the ledger, by digest; plan, validate, bump and promote obey them until somebody lifts them with a reason.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.bundle import model_key
from mlrelease.model.change import Outcome
from mlrelease.model.event import Unrejected

ALSO = (
    "tests/integration/test_proven_rollback.py::test_a_rejection_and_a_hold_are_a_persons_word",
    "tests/unit/delivery/test_passes.py::test_git_revert_rolls_back_on_the_warm_instances_and_rejects_what_was_left",
)


def reverted(world):
    """Version 2 deployed, and reverted."""
    bump = world.bump("wine", "2")
    world.run()
    world.revert(bump)
    assert exit_code(world.run()) == 0
    return world


def failed(world):
    """Version 2 tried, and found wanting after the switch."""
    world.bump("wine", "2")
    world.target.wrong_through_proxy.add(world.desired().spec.environments["production"].services["wine"].bundle.id)
    assert exit_code(world.run()) == 6
    world.target.wrong_through_proxy.clear()
    return world


@pytest.mark.parametrize("after", [reverted, failed], ids=["a person went back from it", "it failed its verification"])
def test_row_05_the_same_bytes_are_refused_again_and_again(deployed, after):
    """However often it is pinned, nothing starts; the exit code says blocked and the reason says by what."""
    world = after(deployed)
    world.bump("wine", "2")
    world.target.calls.clear()
    for _ in range(3):
        result = world.run()
        assert (exit_code(result), result.plan.changes[0].blocked_by) == (5, "rejected")
        assert result.finished is None
    assert world.target.calls == []
    assert world.live() == {"wine": "1"}


@pytest.mark.parametrize("after", [reverted, failed], ids=["a person went back from it", "it failed its verification"])
def test_row_05_another_version_number_with_the_same_bytes_is_the_same_version(deployed, after):
    """The rejection names the digest: registering the bytes anew does not get round it."""
    world = after(deployed)
    same = world.pin("wine", "2")
    path = world.model_file("wine")
    path.write_text(path.read_text().replace(f'version: "{path.read_text().split(chr(34))[1]}"', 'version: "9"'))
    path.write_text(path.read_text().replace(world.pin("wine", "1").digest, same.digest))
    world.commit("The same, called 9")
    assert world.run().plan.changes[0].blocked_by == "rejected"


@pytest.mark.parametrize("after", [reverted, failed], ids=["a person went back from it", "it failed its verification"])
def test_row_05_the_next_version_is_not_held_against(deployed, after):
    """Version 3 is another component value: it moves."""
    world = after(deployed)
    world.bump("wine", "3")
    assert world.run().receipts["wine"].outcome is Outcome.SUCCEEDED
    assert world.live() == {"wine": "3"}


@pytest.mark.parametrize("after", [reverted, failed], ids=["a person went back from it", "it failed its verification"])
def test_row_05_a_lifted_rejection_lets_it_through(deployed, after):
    """A person's word with a reason opens the way again."""
    world = after(deployed)
    world.bump("wine", "2")
    component = (model_key("wine"), str(world.pin("wine", "2").digest))
    word = Unrejected(world.ids(), "production", world.clock, "ada", "the probe was wrong", "wine", (component,))
    world.site().ledger.append([word])
    assert world.run().receipts["wine"].outcome is Outcome.SUCCEEDED
    assert world.live() == {"wine": "2"}
