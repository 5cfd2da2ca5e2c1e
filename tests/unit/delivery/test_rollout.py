"""One service moving from one bundle to another: the steps in their order, what is left behind, and what is written down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.errors import Error
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import Probe
from mlrelease.model.live import Role
from mlrelease.model.spec import State


def roles(place):
    """Each instance of the target with its role."""
    return {name: instance.role.value for name, instance in place.target.instances.items()}


def only(result, name="wine"):
    return result.receipts[name]


def test_a_first_deploy_writes_every_step_with_what_it_found(place):
    """Steps in order with their details, a probe for each instance and model, and the settings as they are."""
    receipt = only(place.run())
    bundle = place.bundle()
    assert [(step.name, step.detail) for step in receipt.steps] == [
        ("artifacts", "1 verified"),
        ("start", "2 instances"),
        ("ready", ""),
        ("identity", ""),
        ("golden", ""),
        ("switch", f"all traffic to {bundle.id}"),
        ("proof", ""),
        ("drain", ""),
        ("retire", "0 kept warm, 0 stopped"),
    ]
    assert receipt.probes == (
        Probe("identity", "passed", f"answers as bundle {bundle.id}", "wine-1"),
        Probe("identity", "passed", f"answers as bundle {bundle.id}", "wine-2"),
        Probe("golden:wine", "passed", "alone and 50 at a time", "wine-1"),
        Probe("golden:wine", "passed", "alone and 50 at a time", "wine-2"),
        Probe("proof", "passed", "5 in a row through the proxy and of 2 instances"),
    )
    assert (receipt.before, receipt.after, receipt.exercised, receipt.rejects) == (None, bundle, ("model",), ())
    assert receipt.settings == {
        "replicas": 2,
        "strategy": "blue_green",
        "timeout_s": 60.0,
        "listen": "127.0.0.1:8080",
        "golden_rtol": {"wine": 1e-6},
    }
    assert roles(place) == {"wine-1": "active", "wine-2": "active"}
    assert place.target.drained == [], "nothing served before: nobody is asked whether it is idle"


def test_an_update_starts_beside_switches_drains_and_keeps_warm(running):
    """The order of what is done to the target: no stop before the switch, and what served stays warm until its time."""
    bundle = running.bump("wine", "2")
    receipt = only(running.run())
    assert [call[0] for call in running.target.calls] == ["prepare", "start", "start", "route"]
    assert running.target.calls[-1] == ("route", "wine", bundle.id)
    assert roles(running) == {"wine-1": "warm", "wine-2": "warm", "wine-3": "active", "wine-4": "active"}
    assert {i.until for i in running.target.instances.values()} == {0.0, running.clock + running.environment.keep_warm_s}
    assert receipt.steps[-1].detail == "2 kept warm, 0 stopped"
    assert running.target.routes["wine"].revision == "r2"
    assert (running.target.routes["wine"].prefix, running.target.routes["wine"].timeout_s) == ("/wine/", 60.0)


def test_what_served_is_idle_twice_in_a_row_before_it_is_retired(running):
    """One quiet look may fall between two requests."""
    running.target.busy = 3
    running.bump("wine", "2")
    running.run()
    assert running.target.drained == [("wine-1", "wine-2")] * 5


def test_without_a_time_to_keep_warm_what_served_is_stopped(running):
    """`keep_warm: 0` means that nothing of the version before stays."""
    running.want(keep_warm_s=0.0)
    running.bump("wine", "2")
    assert only(running.run()).steps[-1].detail == "0 kept warm, 2 stopped"
    assert roles(running) == {"wine-3": "active", "wine-4": "active"}


@pytest.mark.parametrize(
    "fault",
    [{"supervised": False}, {"ready": False}],
    ids=["one without a supervisor could not be taken over", "one that is not ready could not be gone back to"],
)
def test_only_what_can_be_gone_back_to_is_kept_warm(running, fault):
    """The other instance of the same bundle is kept."""
    running.target.instances["wine-1"] = replace(running.target.instances["wine-1"], **fault)
    running.bump("wine", "2")
    assert only(running.run()).steps[-1].detail == "1 kept warm, 1 stopped"
    assert roles(running) == {"wine-2": "warm", "wine-3": "active", "wine-4": "active"}


def test_strays_and_leftovers_go_and_warm_ones_of_a_third_bundle_stay(running):
    """A rollout leaves the service tidy, and takes no way back away that is still open."""
    of = running.target.instances["wine-1"]
    running.target.instances |= {
        "stray": replace(of, id="stray", role=Role.STRAY, supervised=False),
        "left": replace(of, id="left", role=Role.CANDIDATE, bundle="aaaaaaaaaaaa"),
        "warm": replace(of, id="warm", role=Role.WARM, bundle="bbbbbbbbbbbb", until=running.clock + 1e6),
        "orphan": replace(of, id="orphan", role=Role.WARM, bundle="bbbbbbbbbbbb", supervised=False),
    }
    running.bump("wine", "2")
    running.run()
    assert roles(running).keys() == {"wine-1", "wine-2", "wine-3", "wine-4", "warm"}


def test_a_rollback_takes_the_warm_instances_and_starts_none(running):
    """They are active again, without a limit; what was left is kept warm and rejected."""
    old, new = running.bundle(), running.bump("wine", "2")
    running.run()
    running.target.calls.clear()
    running.bump("wine", "1")
    running.clock -= 3600
    receipt = only(running.run())
    assert (receipt.change, receipt.direction, receipt.outcome) == (ChangeKind.ROLLBACK, Direction.BACK, Outcome.SUCCEEDED)
    assert receipt.rejects == ((model_key("wine"), new.components()[model_key("wine")]),)
    assert [call[0] for call in running.target.calls] == ["prepare", "route"]
    assert {(i.bundle, i.role.value, i.until > 0) for i in running.target.instances.values()} == {
        (old.id, "active", False),
        (new.id, "warm", True),
    }


def test_the_models_that_did_not_change_are_asked_once(place):
    """Beside one that did, under the same image; with another image everything is proved in full again."""
    place.bump("wine", "1", "1")
    place.run()

    def asked(receipt):
        return {p.name: p.reason for p in receipt.probes if p.name.startswith("golden:")}

    place.bump("wine", "1", "2")
    full, once = "alone and 50 at a time", "alone: the same bytes answered before"
    assert asked(only(place.run())) == {"golden:wine": once, "golden:wine-2": full}
    place.bump("wine", "1", "2", tag="2")
    assert asked(only(place.run())) == {"golden:wine": full, "golden:wine-2": full}
    place.bump("wine", "1", "3", tag="2", env=(("MODE", "fast"),))
    assert asked(only(place.run())) == {"golden:wine": full, "golden:wine-2": full}


def test_another_interpreter_proves_every_model_in_full(place, tmp_path):
    """The same bytes may answer otherwise under other libraries."""
    python = tmp_path / "python"
    python.write_text("""#!/bin/sh\necho '{"missing": [], "version": [3, 12]}'\n""")
    python.chmod(0o755)
    place.bump("wine", "1", "1")
    place.run()
    place.bump("wine", "1", "2", python=str(python))
    receipt = only(place.run())
    assert receipt.settings["python"] == str(python)
    assert {p.reason for p in receipt.probes if p.name == "golden:wine"} == {"alone and 50 at a time"}


def test_a_repair_proves_every_model_in_full(running):
    """Something other than the models is in question."""
    del running.target.instances["wine-1"]
    receipt = only(running.run())
    assert (receipt.change, receipt.outcome) == (ChangeKind.REPAIR, Outcome.SUCCEEDED)
    assert {p.reason for p in receipt.probes if p.name == "golden:wine"} == {"alone and 50 at a time"}
    assert roles(running) == {"wine-2": "active", "wine-3": "active"}


def test_fewer_replicas_stop_what_is_too_many_and_nothing_is_kept_warm(running):
    """It is of the same bundle: there is nothing to go back to."""
    running.want(running.service("wine", "1", replicas=1))
    receipt = only(running.run())
    assert (receipt.change, receipt.steps[-1].detail) == (ChangeKind.SETTINGS, "0 kept warm, 1 stopped")
    assert len(running.target.instances) == 1


def test_taking_away_moves_the_route_first_and_says_nothing_against_the_version(running):
    """Route, drain, stop; every instance goes, also a warm one; nothing is rejected, nothing is said to have run."""
    running.bump("wine", "2")
    running.run()
    running.target.calls.clear()
    running.target.drained.clear()
    running.want(replace(running.environment.services["wine"], state=State.ABSENT))
    receipt = only(running.run(removals_allowed=True))
    assert (receipt.change, receipt.outcome, receipt.after, receipt.rejects) == (
        ChangeKind.REMOVE,
        Outcome.SUCCEEDED,
        None,
        (),
    )
    assert [call[:2] for call in running.target.calls[1:]] == [
        ("route", "wine"),
        *(("stop", f"wine-{n}") for n in range(1, 5)),
    ]
    assert [(step.name, step.detail) for step in receipt.steps] == [
        ("switch", ""),
        ("drain", ""),
        ("retire", "4 instances stopped"),
    ]
    assert set(running.target.drained) == {("wine-3", "wine-4")}, "only what had traffic can have something in flight"
    assert receipt.exercised == ()
    assert running.history().bundle("wine") is None


def test_a_removal_that_errors_is_tried_again_from_what_is_left(running):
    """The proxy let go of the route, one instance would not end: errored now, done by the next pass."""
    running.want(replace(running.environment.services["wine"], state=State.ABSENT))
    running.target.faults["stop"] = [None, Error("it does not end")]
    receipt = only(running.run())
    assert (receipt.outcome, receipt.reason) == (Outcome.ERRORED, "it does not end")
    assert roles(running) == {"wine-2": "candidate"}
    assert only(running.run()).outcome is Outcome.SUCCEEDED
    assert running.target.instances == {}


def test_an_image_that_moves_alone_is_a_component_of_its_own(running):
    """Rolled back, the image is rejected and not the model under it."""
    bundle = running.bump("wine", "1", tag="2")
    running.target.lie.add(bundle.id)
    receipt = only(running.run())
    assert receipt.outcome is Outcome.ROLLED_BACK
    assert receipt.rejects == ((IMAGE, bundle.components()[IMAGE]),)
