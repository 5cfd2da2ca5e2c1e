"""A rollout in trouble: what serves afterwards, what is rejected, what is said, and that the pass goes on."""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.errors import Error
from mlrelease.history.fold import fold
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import DeployFinished
from mlrelease.model.live import Role
from mlrelease.targets.interface import Fenced
from support.place import FaultyTarget, Place

REFUSED = "the proxy rejected the route"


def only(result, name="wine"):
    return result.receipts[name]


def serving(place, name="wine"):
    """The bundles that get traffic, by what the proxy was told and by what answers."""
    named = [place.target.instances.get(one) for one in place.target.routed.get(name, ())]
    routed = {one.bundle for one in named if one is not None}
    return set(place.target.routes[name].weights) | routed if name in place.target.routes else routed


def of_bundle(place, bundle):
    return [i.id for i in place.target.instances.values() if i.bundle == bundle.id]


@pytest.fixture
def two(tmp_path, place):
    """Two services, both running; `place` has set the pauses to nothing."""
    made = Place(tmp_path / "two", names=("alpha", "beta"), target=FaultyTarget())
    made.run()
    return made


@pytest.mark.parametrize(
    ("faults", "last"),
    [
        ({"start": [Error("no room")]}, "start"),
        ({"observe": [None, Error("no room")]}, "ready"),
        ({"route": [Error("no room")]}, "switch"),
        ({"keep": [Error("no room")]}, "switch"),
        ({"idle": [Error("no room")]}, "drain"),
        ({"keep": [None, Error("no room")]}, "retire"),
    ],
    ids=[
        "nothing could be started",
        "nobody could be looked at",
        "the proxy did not answer",
        "the supervisor did not answer after the switch",
        "the proxy did not say what is in flight",
        "what served could not be kept warm",
    ],
)
def test_an_error_at_any_step_of_an_update_puts_back_and_rejects_nothing(running, faults, last):
    """We could not tell: version 1 serves with all traffic, nothing of version 2 is left, and it may be tried again."""
    old, new = running.bundle(), running.bump("wine", "2")
    running.target.faults = faults
    result = running.run()
    receipt = only(result)
    assert (receipt.outcome, receipt.reason, receipt.rejects) == (Outcome.ERRORED, "no room", ())
    (failed,) = [step for step in receipt.steps if step.detail.startswith("failed: ")]
    assert failed.name == last
    assert serving(running) == {old.id}
    assert of_bundle(running, new) == []
    assert exit_code(result) == 1
    assert only(running.run()).outcome is Outcome.SUCCEEDED
    assert serving(running) == {new.id}


def test_after_the_switch_back_the_proxy_names_the_revision_of_what_serves(running):
    """`X-Revision` is that of the commit whose version answers, not of the one that failed."""
    bundle = running.bump("wine", "2")
    running.target.wrong_through_proxy.add(bundle.id)
    receipt = only(running.run())
    assert receipt.steps[-1].name == "switch_back"
    assert running.target.routes["wine"].revision == "r1"


def test_a_failure_before_the_switch_touches_no_route(running):
    """What serves did not move, so nothing is moved back."""
    bundle = running.bump("wine", "2")
    running.target.lie.add(bundle.id)
    receipt = only(running.run())
    assert receipt.outcome is Outcome.ROLLED_BACK
    assert [call for call in running.target.calls if call[0] == "route"] == []
    assert [step.name for step in receipt.steps] == ["artifacts", "start", "ready", "identity"]
    assert [p.status for p in receipt.probes] == ["failed"]


def test_a_version_that_fails_where_the_way_back_fails_too_is_recorded_as_failed(running):
    """The receipt is written, with both reasons; the version is rejected, so that it is not tried for ever."""
    old, new = running.bundle(), running.bump("wine", "2")
    running.target.wrong_through_proxy.add(new.id)
    running.target.break_route.add(old.id)
    result = running.run()
    receipt = only(result)
    assert receipt.outcome is Outcome.FAILED
    assert receipt.reason == (
        f"through the proxy: /identity answered 503 with no identity in it; and putting back failed: {REFUSED}"
    )
    assert receipt.rejects == ((model_key("wine"), str(new.models[0].digest)),)
    assert exit_code(result) == 1
    assert isinstance(running.ledger.told[-1], DeployFinished)
    assert running.history().started is None


def test_a_candidate_that_will_not_end_does_not_hide_that_the_old_version_serves(running):
    """Rolled back, with what was left said behind the reason; the next pass takes it away."""
    old, new = running.bundle(), running.bump("wine", "2")
    running.target.die_loading.add(new.id)
    running.target.faults["stop"] = [OSError("it does not end")]
    receipt = only(running.run())
    assert receipt.outcome is Outcome.ROLLED_BACK
    assert receipt.reason == "exited 4 while loading: cannot load; and putting back failed: it does not end"
    assert serving(running) == {old.id}
    running.bump("wine", "1")
    running.run()
    assert of_bundle(running, new) == []


def test_one_service_whose_way_back_fails_does_not_stop_the_next(two):
    """Each is its own transaction, in the pass and in the ledger."""
    old = two.bundle("alpha")
    bad, good = two.bump("alpha", "2"), two.bump("beta", "2")
    two.target.wrong_through_proxy.add(bad.id)
    two.target.break_route.add(old.id)
    result = two.run()
    assert {name: receipt.outcome.value for name, receipt in result.receipts.items()} == {
        "alpha": "failed",
        "beta": "succeeded",
    }
    assert two.history().bundle("beta") == good


@pytest.mark.parametrize("error", [Error("the supervisor is gone"), OSError("the supervisor is gone")], ids=["said", "raw"])
def test_a_service_that_cannot_be_looked_at_is_errored_and_the_next_one_goes_on(two, error):
    """Its receipt says why; nothing of it was touched, nothing is rejected."""
    two.bump("alpha", "2")
    two.bump("beta", "2")
    two.target.faults["observe"] = [error]
    before = of_bundle(two, two.history().bundle("alpha"))
    result = two.run()
    receipt = only(result, "alpha")
    assert (receipt.outcome, receipt.reason, receipt.rejects) == (Outcome.ERRORED, "the supervisor is gone", ())
    assert (receipt.steps, receipt.settings["replicas"]) == ((), 2)
    assert of_bundle(two, two.history().bundle("alpha")) == before
    assert only(result, "beta").outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("operation", ["observe", "start", "route", "keep", "stop"])
def test_a_newer_pass_ends_this_one_at_whatever_it_does(two, operation):
    """Nothing more is touched and nothing is written: the newer pass goes on from what it finds."""
    two.want(keep_warm_s=0.0)
    two.bump("alpha", "2")
    two.bump("beta", "2")
    two.target.faults[operation] = [Fenced("a newer pass owns this target")]
    two.target.calls.clear()
    with pytest.raises(Fenced):
        two.run()
    assert not isinstance(two.ledger.told[-1], DeployFinished)
    assert serving(two, "beta") == {two.history().bundle("beta").id}
    served = two.history().bundle("beta").id
    others = [i for i in two.target.instances.values() if i.service == "beta" and i.bundle != served]
    assert all(i.role is Role.CANDIDATE for i in others), "started ahead, and nothing more"


@pytest.mark.parametrize("operation", ["route", "stop"])
def test_a_newer_pass_ends_this_one_while_it_puts_back(running, operation):
    """To move traffic back would undo what the newer pass did."""
    bundle = running.bump("wine", "2")
    running.target.wrong_through_proxy.add(bundle.id)
    running.target.faults[operation] = [None, Fenced("newer")] if operation == "route" else [Fenced("newer")]
    with pytest.raises(Fenced):
        running.run()


def test_what_a_killed_pass_had_started_goes_with_the_version_that_fails(running):
    """The candidates of before are taken up by the next try, and end with it."""
    old, new = running.bundle(), running.bump("wine", "2")

    def kill(mark):
        if mark.name == "start":
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        running.run(listener=kill)
    assert len(of_bundle(running, new)) == 2
    running.target.faults["start"] = [Error("no room")]
    assert only(running.run()).outcome is Outcome.ERRORED
    assert of_bundle(running, new) == []
    assert serving(running) == {old.id}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (ChangeKind.REPAIR, lambda place: place.target.instances.pop("wine-1")),
        (ChangeKind.SETTINGS, lambda place: place.want(place.service("wine", "1", replicas=3))),
    ],
    ids=["a repair", "new settings"],
)
def test_what_moves_no_component_rejects_nothing_when_it_fails(running, kind, change):
    """The version was proved; something else is wrong. What still answers keeps its traffic."""
    change(running)
    bundle = running.bundle()
    running.target.die_loading.add(bundle.id)
    result = running.run()
    receipt = only(result)
    assert (receipt.change, receipt.outcome, receipt.rejects) == (kind, Outcome.FAILED, ())
    assert receipt.reason == "exited 4 while loading: cannot load"
    assert serving(running) == {bundle.id}
    assert exit_code(result) == 1


@pytest.fixture
def moved(running):
    """Version 2 runs, version 1 is what git wants again; the warm instances are gone, so that they are started anew."""
    running.bump("wine", "2")
    running.run()
    for name in ("wine-1", "wine-2"):
        del running.target.instances[name]
    running.bump("wine", "1")
    return running


def test_a_rollback_that_fails_before_the_switch_moves_nothing(moved):
    """Version 2 serves on, the candidate goes; nothing is rejected, least of all the way back."""
    new = moved.history().bundle("wine")
    moved.target.die_loading.add(moved.bundle().id)
    receipt = only(moved.run())
    assert (receipt.change, receipt.outcome, receipt.rejects) == (ChangeKind.ROLLBACK, Outcome.FAILED, ())
    assert serving(moved) == {new.id}
    assert of_bundle(moved, moved.bundle()) == []


def test_a_rollback_that_fails_after_the_switch_stays_on_its_target(moved):
    """A person asked for it: it is not undone, and what was left is not rejected by a move that was not proved."""
    moved.target.wrong_through_proxy.add(moved.bundle().id)
    receipt = only(moved.run())
    assert (receipt.outcome, receipt.rejects) == (Outcome.FAILED, ())
    assert serving(moved) == {moved.bundle().id}
    assert len(of_bundle(moved, moved.bundle())) == 2


def test_a_rollback_that_errors_after_the_switch_stays_and_names_what_is_older(running):
    """What it left is newer, and no way out: the next to try is what was proved before the target; else nothing is named."""
    oldest = running.bundle()
    for version in ("2", "3"):
        running.bump("wine", version)
        running.run()
    middle = running.bump("wine", "2")
    running.target.faults["keep"] = [Error("no answer")]
    receipt = only(running.run())
    assert (receipt.outcome, receipt.change, receipt.rejects) == (Outcome.ERRORED, ChangeKind.ROLLBACK, ())
    assert receipt.reason == f"no answer; the next older verified bundle is {oldest.id}"
    assert serving(running) == {middle.id}
    running.bump("wine", "1")
    running.target.faults["keep"] = [Error("no answer")]
    assert only(running.run()).reason == "no answer"
    assert serving(running) == {oldest.id}


def test_a_target_that_was_never_proved_as_a_whole_is_as_old_as_what_it_left(place):
    """Both models go back, each to what it was at another time: what is older was proved before the bundle that was left."""
    place.bump("wine", "1", "1")
    place.run()
    oldest = place.bundle()
    for versions in (("1", "2"), ("2", "3"), ("3", "4")):
        place.bump("wine", *versions)
        place.run()
    place.bump("wine", "2", "2")
    place.target.faults["keep"] = [Error("no answer")]
    receipt = only(place.run())
    named = place.history().verified["wine"][2].bundle
    assert named.id != oldest.id
    assert receipt.reason == f"no answer; the next older verified bundle is {named.id}"


@pytest.mark.parametrize("fault", ["lie", "wrong_through_proxy"])
def test_a_first_deploy_that_fails_leaves_neither_instance_nor_route(place, fault):
    """There is nothing to go back to: Missing is better than wrong."""
    getattr(place.target, fault).add(place.bundle().id)
    result = place.run()
    assert only(result).outcome is Outcome.FAILED
    assert (place.target.routes, place.target.instances) == ({}, {})
    assert exit_code(result) == 1


def test_an_update_of_a_service_whose_old_version_is_dead_cannot_go_back(running):
    """Verification refused the new one and the old one does not serve: failed, not rolled back."""
    new = running.bump("wine", "2")
    running.target.lie.add(new.id)
    for name, instance in running.target.instances.items():
        running.target.instances[name] = type(instance)(
            id=name, service="wine", bundle=instance.bundle, role=Role.ACTIVE, ready=False, supervised=True
        )
    result = running.run()
    assert only(result).outcome is Outcome.FAILED
    assert exit_code(result) == 1


@pytest.mark.parametrize("operation", ["start", "route", "idle"])
def test_an_interrupt_is_written_down_for_every_service_and_then_ends_the_pass(two, operation):
    """The one at work was interrupted, the next one did not begin; the lock is given back."""
    old, new = two.bundle("alpha"), two.bump("alpha", "2")
    two.bump("beta", "2")
    two.target.faults[operation] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        two.run()
    finished = two.ledger.told[-1]
    assert {name: (r.outcome.value, r.reason) for name, r in finished.services.items()} == {
        "alpha": ("aborted", "interrupted"),
        "beta": ("aborted", "interrupted before it began"),
    }
    assert two.history().started is None
    assert serving(two, "alpha") == ({new.id} if operation == "idle" else {old.id})
    assert exit_code(two.run()) == 0
    assert serving(two, "alpha") == {new.id}


def test_an_interrupt_while_nothing_can_be_tidied_is_still_written_down(running):
    """The supervisor is gone and somebody presses Ctrl-C: the receipt says both."""
    running.bump("wine", "2")
    running.target.faults = {"route": [KeyboardInterrupt()], "stop": [Error("no supervisor")]}
    with pytest.raises(KeyboardInterrupt):
        running.run()
    (receipt,) = running.ledger.told[-1].services.values()
    assert (receipt.outcome, receipt.reason) == (
        Outcome.ABORTED,
        "interrupted; and putting back failed: no supervisor",
    )


def test_a_target_that_cannot_be_prepared_is_errored_for_each_service(two):
    """Nothing was begun; the blocked and the errored ones all get their line."""
    two.bump("alpha", "2")
    two.bump("beta", "2")
    two.target.faults["prepare"] = [Error("the port is taken")]
    result = two.run()
    assert {name: (r.outcome.value, r.reason, r.steps) for name, r in result.receipts.items()} == {
        "alpha": ("errored", "the port is taken", ()),
        "beta": ("errored", "the port is taken", ()),
    }
    assert exit_code(result) == 1


def test_what_an_error_wrote_is_what_the_fold_counts(running):
    """So many tries in a row, the newest reason; a success forgets them."""
    bundle = running.bump("wine", "2")
    for number in (1, 2):
        running.target.faults["start"] = [Error(f"no room {number}")]
        running.run()
    attempt = fold("production", running.ledger.told).attempts["wine", bundle.id]
    assert (attempt.outcome, attempt.count, attempt.reason) == (Outcome.ERRORED, 2, "no room 2")
    running.run()
    assert running.history().attempts == {}
