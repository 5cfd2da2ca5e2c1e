"""While one service is proved the next ones load: what starts when, and what is left when a turn does not come."""

from __future__ import annotations

import shutil

import pytest
from mlrelease.delivery.ahead import SERVICES_AHEAD
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.errors import Error
from mlrelease.model.change import Outcome
from support.place import FaultyTarget, Place

NAMES = ("alpha", "beta", "gamma", "omega")


@pytest.fixture
def four(tmp_path, place):
    """Four services of two replicas, nothing deployed; `place` has set the pauses to nothing."""
    return Place(tmp_path / "four", names=NAMES, target=FaultyTarget())


@pytest.fixture
def all_run(four):
    """The same, deployed and proved."""
    four.run()
    four.target.calls.clear()
    return four


def order(place):
    """The services as they were started and routed, each time once."""
    told = [f"{call[0]} {call[1].partition('-')[0]}" for call in place.target.calls if call[0] in ("start", "route")]
    return list(dict.fromkeys(told))


def of_bundle(place, bundle):
    return [i.id for i in place.target.instances.values() if i.bundle == bundle.id]


def bump_all(place, version="2"):
    return {name: place.bump(name, version) for name in NAMES}


def test_the_next_two_load_while_one_is_proved(four):
    """And no more than that; each is started once, and switched in its turn."""
    assert exit_code(four.run()) == 0
    assert SERVICES_AHEAD == 2
    assert order(four) == [
        *("start alpha", "start beta", "start gamma", "route alpha"),
        *("start omega", "route beta", "route gamma", "route omega"),
    ]
    assert len(four.target.instances) == 2 * len(NAMES)


def test_what_goes_back_has_the_machine_to_itself(all_run):
    """A rollback waits for nobody: the one after it begins when it is proved."""
    all_run.bump("alpha", "2")
    all_run.run()
    all_run.target.calls.clear()
    all_run.bump("alpha", "1")
    all_run.bump("beta", "2")
    assert exit_code(all_run.run()) == 0
    assert order(all_run) == ["route alpha", "start beta", "route beta"]


def test_a_rollback_is_not_begun_before_its_turn(all_run):
    """Nor a repair: each may find the instances that it needs, and asks when it is sure."""
    all_run.bump("omega", "2")
    all_run.run()
    all_run.target.calls.clear()
    lost = all_run.target.routed["beta"][0]
    del all_run.target.instances[lost]
    all_run.bump("alpha", "2")
    all_run.bump("omega", "1")
    assert exit_code(all_run.run()) == 0
    assert order(all_run) == ["start alpha", "route alpha", "start beta", "route beta", "route omega"]


@pytest.mark.parametrize("missing", ["files", "golden"])
def test_only_what_is_at_hand_is_started_ahead(four, missing):
    """To download or to compute for another would keep the one whose turn it is."""
    beta = four.bundle("beta").models[0].digest

    def lose(mark):
        if (mark.service, mark.name) == ("", "prepare"):
            if missing == "golden":
                del four.ledger.stored[beta]
            else:
                shutil.rmtree(four.site().cache.get(beta))

    four.run(listener=lose)
    assert order(four) == [
        *("start alpha", "start gamma", "route alpha"),
        *("start beta", "start omega", "route beta", "route gamma", "route omega"),
    ]


def test_a_start_that_fails_ahead_is_tried_again_in_its_turn(all_run):
    """What went wrong early says nothing against the service, and nothing of the one before it."""
    wanted = bump_all(all_run)
    all_run.target.faults["start"] = [None, Error("no room")]
    result = all_run.run()
    assert {name: receipt.outcome for name, receipt in result.receipts.items()} == dict.fromkeys(NAMES, Outcome.SUCCEEDED)
    assert all_run.live() == {name: bundle.id for name, bundle in wanted.items()}
    assert order(all_run)[:4] == ["start alpha", "start gamma", "route alpha", "start beta"]


def test_one_that_dies_loading_is_told_in_its_turn(all_run):
    """The others are what they would be without it."""
    wanted = bump_all(all_run)
    all_run.target.die_loading.add(wanted["beta"].id)
    result = all_run.run()
    assert {name: receipt.outcome.value for name, receipt in result.receipts.items()} == {
        "alpha": "succeeded",
        "beta": "rolled_back",
        "gamma": "succeeded",
        "omega": "succeeded",
    }
    assert of_bundle(all_run, wanted["beta"]) == []


def test_one_that_fails_leaves_the_next_ones_to_their_turn(all_run):
    """They were started while it was proved, and are taken over as they are."""
    wanted = bump_all(all_run)
    all_run.target.lie.add(wanted["alpha"].id)
    result = all_run.run()
    assert [receipt.outcome for receipt in result.receipts.values()] == [Outcome.ROLLED_BACK, *[Outcome.SUCCEEDED] * 3]
    assert len(of_bundle(all_run, wanted["beta"])) == 2


def test_an_interrupt_ends_what_was_started_ahead(all_run):
    """Nothing loads for a turn that does not come."""
    wanted = bump_all(all_run)
    all_run.target.faults["route"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        all_run.run()
    assert ("start", "beta") in [(call[0], call[1].partition("-")[0]) for call in all_run.target.calls]
    assert [of_bundle(all_run, bundle) for bundle in wanted.values()] == [[], [], [], []]
    assert exit_code(all_run.run()) == 0
    assert all_run.live() == {name: bundle.id for name, bundle in wanted.items()}


def test_what_an_interrupt_cannot_end_is_taken_over_by_the_next_pass(all_run):
    """It is written down all the same, and the lock is given back."""
    wanted = bump_all(all_run)
    all_run.target.faults = {"route": [KeyboardInterrupt()], "stop": [None, None, Error("no supervisor"), OSError("gone")]}
    with pytest.raises(KeyboardInterrupt):
        all_run.run()
    assert all_run.history().started is None
    left = of_bundle(all_run, wanted["beta"])
    assert len(left) == 2
    assert exit_code(all_run.run()) == 0
    assert of_bundle(all_run, wanted["beta"]) == left


def test_what_a_killed_pass_started_ahead_goes_when_git_went_back(all_run):
    """Its turn never came, and nobody wants it any more: the next pass finds it left over."""
    beta = all_run.bundle("beta")
    all_run.bump("alpha", "2")
    new = all_run.bump("beta", "2")

    class Killed(BaseException):
        """As SIGKILL would: nothing is tidied."""

    def kill(mark):
        if mark.name == "golden":
            raise Killed

    with pytest.raises(Killed):
        all_run.run(listener=kill)
    assert len(of_bundle(all_run, new)) == 2
    all_run.want(all_run.service("beta", "1"))
    assert exit_code(all_run.run()) == 0
    assert of_bundle(all_run, new) == []
    assert all_run.live()["beta"] == beta.id
