"""One bad item stopped the loop for all the rest.

Services are transactions of their own; each gets its line, and the worst decides the exit code.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import Outcome
from mlrelease.model.event import Held
from support.world import World

ALSO = ("tests/unit/delivery/test_passes.py::test_services_are_independent",)


@pytest.fixture
def three(tmp_path):
    """Services a, b and c at version 1, and version 2 of each pinned."""
    world = World(tmp_path / "w", services=("a", "b", "c")).create()
    assert exit_code(world.run()) == 0
    for name in "abc":
        world.bump(name, "2")
    return world


def bundle(world, name):
    return world.desired().spec.environments["production"].services[name].bundle


def broken_file(world):
    world.model_file("b").write_text("schema: 1\n")
    world.commit("Break b")


def held(world):
    word = Held(world.ids(), "production", world.clock, "ada", "month's end", "b", 0.0)
    world.site().ledger.append([word])


def tampered(world):
    world.registry.add("b", "2", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})


CASES = {
    "it dies while loading": (lambda w: w.target.die_loading.add(bundle(w, "b").id), 6, Outcome.ROLLED_BACK),
    "it fails after the switch": (lambda w: w.target.wrong_through_proxy.add(bundle(w, "b").id), 6, Outcome.ROLLED_BACK),
    "its artifacts were tampered with": (tampered, 5, Outcome.BLOCKED),
    "its version was deleted": (lambda w: w.registry.delete("b", "2"), 5, Outcome.BLOCKED),
    "the proxy refuses its route": (lambda w: w.target.break_route.add(bundle(w, "b").id), 1, Outcome.ERRORED),
    "it is held": (held, 5, None),
}


@pytest.mark.parametrize(("break_it", "code", "outcome"), CASES.values(), ids=CASES)
def test_row_13_one_bad_service_stops_no_other(three, break_it, code, outcome):
    """Whatever is wrong with b: a and c move to version 2, b serves version 1, and the exit code is b's."""
    break_it(three)
    result = three.run()
    assert three.live() == {"a": "2", "b": "1", "c": "2"}
    assert exit_code(result) == code
    assert {name: r.outcome for name, r in result.receipts.items() if name != "b"} == {
        "a": Outcome.SUCCEEDED,
        "c": Outcome.SUCCEEDED,
    }
    assert (result.receipts["b"].outcome if "b" in result.receipts else None) is outcome


def test_row_13_each_service_has_its_line_in_plan_and_ledger(three):
    """Nobody is left out of the plan because another is bad."""
    three.target.die_loading.add(bundle(three, "b").id)
    result = three.run()
    assert [change.service for change in result.plan.changes] == ["a", "b", "c"]
    assert sorted(result.finished.services) == ["a", "b", "c"]


def test_row_13_an_interrupt_ends_the_pass_at_a_boundary(three):
    """Ctrl-C during b: a is done and recorded, b is aborted and serves version 1, c was not begun, and all three are said."""

    def interrupt(mark):
        if (mark.service, mark.name) == ("b", "start"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        three.run(listener=interrupt)
    assert three.live() == {"a": "2", "b": "1", "c": "1"}
    history = three.history()
    assert {name: history.bundle(name).versions()[name] for name in "abc"} == {"a": "2", "b": "1", "c": "1"}
    assert exit_code(three.run()) == 0
    assert three.live() == {"a": "2", "b": "2", "c": "2"}
