"""The pass over a real ledger, real git and real cache; target and registry are fakes with faults."""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.errors import Error
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import DeployFinished
from mlrelease.model.live import Role
from mlrelease.targets.interface import Fenced
from support.world import World, git


def outcome(result, service="wine"):
    receipt = result.receipts[service]
    return receipt.change, receipt.outcome


def test_first_deploy_creates_verifies_and_records(world):
    """The first pass brings the service up, proves it and records its bundle with every step timed."""
    result = world.run()
    receipt = result.receipts["wine"]
    assert outcome(result) == (ChangeKind.CREATE, Outcome.SUCCEEDED)
    assert exit_code(result) == 0
    assert world.live() == {"wine": "1"}
    assert [s.name for s in receipt.steps] == [
        "artifacts", "start", "ready", "identity", "golden", "switch", "proof", "drain", "retire",
    ]  # fmt: skip
    assert {p.name: p.status for p in receipt.probes} == {"identity": "passed", "golden:wine": "passed", "proof": "passed"}
    assert receipt.exercised == ("model",)
    assert world.history().bundle("wine") == receipt.after


def test_second_pass_is_a_noop_and_writes_nothing(deployed):
    """With nothing to do the ledger keeps its height and the target is not touched."""
    height = deployed.history().height
    deployed.target.calls.clear()
    result = deployed.run()
    assert [c.kind for c in result.plan.changes] == [ChangeKind.NOOP]
    assert result.finished is None
    assert deployed.history().height == height
    assert deployed.target.calls == []


def test_good_bump_switches_and_keeps_the_old_bundle_warm(deployed):
    """An update moves all traffic, and the bundle before stays up until keep_warm is over; then a later pass reaps it."""
    deployed.bump("wine", "2")
    result = deployed.run()
    assert outcome(result) == (ChangeKind.UPDATE, Outcome.SUCCEEDED)
    assert deployed.live() == {"wine": "2"}
    warm = [i for i in deployed.target.instances.values() if i.role is Role.WARM]
    assert len(warm) == 2
    deployed.clock += 601
    deployed.run()
    assert not [i for i in deployed.target.instances.values() if i.role is Role.WARM]


def test_git_revert_rolls_back_on_the_warm_instances_and_rejects_what_was_left(deployed):
    """A revert is a rollback: no instance is started, version 2 is rejected, and bumping it again is blocked."""
    bump = deployed.bump("wine", "2")
    deployed.run()
    deployed.revert(bump)
    deployed.target.calls.clear()
    deployed.registry.down = True  # a rollback to what is cached needs no registry
    result = deployed.run()
    assert outcome(result) == (ChangeKind.ROLLBACK, Outcome.SUCCEEDED)
    assert result.receipts["wine"].direction is Direction.BACK
    assert not [call for call in deployed.target.calls if call[0] == "start"]
    assert deployed.live() == {"wine": "1"}
    deployed.registry.down = False
    deployed.bump("wine", "2")
    blocked = deployed.run()
    assert exit_code(blocked) == 5
    assert blocked.plan.changes[0].blocked_by == "rejected"
    assert deployed.live() == {"wine": "1"}


@pytest.mark.parametrize(
    ("break_it", "step"),
    [
        (lambda w, b: w.target.die_loading.add(b), "ready"),
        (lambda w, b: w.target.lie.add(b), "identity"),
        (lambda w, b: w.target.wrong_through_proxy.add(b), "proof"),
    ],
    ids=["it cannot be loaded", "it says it is something else", "it fails after the switch"],
)
def test_failed_verification_of_an_update_leaves_the_last_good_serving(deployed, break_it, step):
    """Before or after the switch: the candidate is gone, version 1 serves, version 2 is rejected, exit 6."""
    deployed.bump("wine", "2")
    bundle = deployed.desired().spec.environments["production"].services["wine"].bundle
    break_it(deployed, bundle.id)
    result = deployed.run()
    assert outcome(result) == (ChangeKind.UPDATE, Outcome.ROLLED_BACK)
    assert result.receipts["wine"].steps[-1].name in (step, "switch_back")
    assert exit_code(result) == 6
    assert deployed.live() == {"wine": "1"}
    assert not [i for i in deployed.target.instances.values() if i.bundle == bundle.id]
    again = deployed.run()
    assert exit_code(again) == 5
    assert again.plan.changes[0].blocked_by == "rejected"
    assert again.finished is None


def test_wrong_predictions_fail_the_golden_probe(deployed):
    """A version that predicts otherwise than in isolation is rolled back before it gets a request."""
    deployed.bump("wine", "2")
    pin = deployed.pin("wine", "2")
    deployed.target.predictions = {pin.digest: [2.1]}
    result = deployed.run()
    assert outcome(result)[1] is Outcome.ROLLED_BACK
    assert "golden" in [p.name.partition(":")[0] for p in result.receipts["wine"].probes if p.status == "failed"]
    assert not any(call[0] == "route" for call in deployed.target.calls[-3:])


def test_first_deploy_that_fails_leaves_nothing_and_exits_one(world):
    """Where nothing verified was there before, the candidate goes and the health is Missing."""
    bundle = world.desired().spec.environments["production"].services["wine"].bundle
    world.target.wrong_through_proxy.add(bundle.id)
    result = world.run()
    assert outcome(result) == (ChangeKind.CREATE, Outcome.FAILED)
    assert exit_code(result) == 1
    assert world.target.instances == {}
    assert world.target.routes == {}
    assert exit_code(world.run()) == 5


def test_tampered_artifacts_are_refused_before_anything_starts(deployed):
    """Bytes that are not the pin's are blocked by the digest gate, recorded once, and not fetched again at each poll."""
    deployed.bump("wine", "3")
    deployed.registry.add("wine", "3", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})
    deployed.target.calls.clear()
    result = deployed.run(impatient=False)
    assert outcome(result) == (ChangeKind.UPDATE, Outcome.BLOCKED)
    assert exit_code(result) == 5
    assert result.plan.changes[0].blocked_by == "gate:digest:failed"
    assert deployed.target.calls == []
    downloads = len(deployed.registry.downloaded)
    deployed.clock -= 59  # the next poll, a second later
    waiting = deployed.run(impatient=False)
    # run() moves the clock by 60 s: one failed try waits 5 s only, so judge the very next moment by hand
    assert len(deployed.registry.downloaded) >= downloads
    assert waiting.plan.changes[0].blocked


def test_registry_down_blocks_a_forward_change_and_keeps_serving(deployed):
    """Fail static: MLflow gone means errored, exit 1, and version 1 goes on."""
    deployed.bump("wine", "2")
    deployed.registry.down = True
    result = deployed.run()
    assert outcome(result)[1] is Outcome.ERRORED
    assert exit_code(result) == 1
    assert deployed.live() == {"wine": "1"}
    deployed.registry.down = False
    assert outcome(deployed.run()) == (ChangeKind.UPDATE, Outcome.SUCCEEDED)


def test_dead_instance_is_repaired(deployed):
    """A missing replica is drift: a repair starts another and records it."""
    name = next(iter(deployed.target.instances))
    del deployed.target.instances[name]
    result = deployed.run()
    assert outcome(result) == (ChangeKind.REPAIR, Outcome.SUCCEEDED)
    assert len([i for i in deployed.target.instances.values() if i.role is Role.ACTIVE]) == 2


def test_settings_are_updated_in_place(deployed):
    """More replicas is a settings change: same bundle, no rollback, one more instance."""
    deployed.edit(deployed.service_file("wine"), ("replicas",), "3")
    path = deployed.service_file("wine")
    path.write_text(path.read_text().replace('"3"', "3"))
    deployed.commit("Unquote")
    result = deployed.run()
    assert outcome(result) == (ChangeKind.SETTINGS, Outcome.SUCCEEDED)
    assert len(deployed.target.instances) == 3
    assert exit_code(deployed.run()) == 0


def test_removed_service_is_stopped_and_its_revert_brings_it_back(deployed):
    """`state: absent` removes; the revert of that commit is a rollback, proved like any other."""
    path = deployed.service_file("wine")
    path.write_text(path.read_text() + "\nstate: absent\n")
    removal = deployed.commit("Remove wine")
    result = deployed.run()
    assert outcome(result) == (ChangeKind.REMOVE, Outcome.SUCCEEDED)
    assert deployed.target.instances == {}
    assert deployed.run().finished is None
    deployed.revert(removal)
    assert outcome(deployed.run()) == (ChangeKind.ROLLBACK, Outcome.SUCCEEDED)
    assert deployed.live() == {"wine": "1"}


def test_stale_tip_is_refused(deployed):
    """A branch that was moved back is an old job, not a rollback: nothing is touched."""
    first = git(deployed.laptop, "rev-parse", "HEAD")
    deployed.bump("wine", "2")
    deployed.run()
    git(deployed.laptop, "push", "--quiet", "--force", "origin", f"{first}:main")
    with pytest.raises(Error, match="older than what was applied"):
        deployed.run()
    assert deployed.live() == {"wine": "2"}


def test_newer_pass_fences_the_older_one(deployed):
    """When a higher fencing number was claimed, a pass stops at once and records nothing more."""
    deployed.bump("wine", "2")

    def newer(mark):
        if mark.name == "prepare":
            deployed.target.highest += 10

    with pytest.raises(Fenced):
        deployed.run(listener=newer)
    assert deployed.live() == {"wine": "1"}


class Killed(BaseException):
    """Ends a pass as SIGKILL would: nobody catches it, nothing is cleaned up."""


STEPS = ["lock", "prepare", "artifacts", "start", "ready", "identity", "golden", "switch", "proof", "drain", "retire", "record"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("move", ["deploy", "rollback"])
def test_killed_after_any_step_the_next_pass_converges(deployed, step, move):
    """After each step exactly one verified bundle or the old one serves, and the next pass ends with live = git."""
    bump = deployed.bump("wine", "2")
    if move == "rollback":
        deployed.run()
        deployed.revert(bump)

    def kill(mark):
        if mark.name == step:
            raise Killed

    with pytest.raises(Killed):
        deployed.run(listener=kill)
    assert deployed.live()["wine"] in ("1", "2")
    assert len({deployed.target.instances[n].bundle for n in deployed.target.routed["wine"]}) == 1
    result = deployed.run()
    assert exit_code(result) == 0
    assert deployed.live() == {"wine": "2" if move == "deploy" else "1"}
    assert deployed.run().finished is None


@pytest.mark.parametrize("step", STEPS[:-1])
def test_killed_midway_and_reverted_meanwhile(deployed, step):
    """A deploy that was killed and whose commit was reverted ends with the old version and nothing left over."""
    bump = deployed.bump("wine", "2")

    def kill(mark):
        if mark.name == step:
            raise Killed

    with pytest.raises(Killed):
        deployed.run(listener=kill)
    deployed.revert(bump)
    assert exit_code(deployed.run()) == 0
    assert deployed.live() == {"wine": "1"}
    assert {i.bundle for i in deployed.target.instances.values() if i.role is not Role.WARM} == {
        deployed.history().bundle("wine").id
    }


def test_services_are_independent(tmp_path):
    """One service that fails does not stop the other; the worst decides the exit code."""
    world = World(tmp_path / "w", services=("alpha", "beta")).create()
    world.run()
    world.bump("alpha", "2")
    world.bump("beta", "2")
    bad = world.desired().spec.environments["production"].services["alpha"].bundle
    world.target.die_loading.add(bad.id)
    result = world.run()
    assert outcome(result, "alpha")[1] is Outcome.ROLLED_BACK
    assert outcome(result, "beta")[1] is Outcome.SUCCEEDED
    assert exit_code(result) == 6
    assert world.live() == {"alpha": "1", "beta": "2"}


def test_findings_block_their_own_service_only(tmp_path):
    """A broken file keeps its own service where it is; the other one goes on."""
    world = World(tmp_path / "w", services=("alpha", "beta")).create()
    world.run()
    world.bump("beta", "2")
    path = world.service_file("alpha")
    path.write_text(path.read_text().replace("replicas: 2", "replicas: many"))
    world.commit("Break alpha")
    result = world.run()
    assert outcome(result, "beta")[1] is Outcome.SUCCEEDED
    assert exit_code(result) == 4
    assert world.live() == {"alpha": "1", "beta": "2"}


def test_git_host_down_acts_on_the_last_tip_and_spools(deployed):
    """With the remote gone a repair is done all the same; its events wait and arrive when the host is back."""
    origin = deployed.root / "origin.git"
    site = deployed.site()
    desired = deployed.desired()
    origin.rename(deployed.root / "gone.git")
    name = next(iter(deployed.target.instances))
    del deployed.target.instances[name]
    from mlrelease.delivery.passes import run_pass

    result = run_pass(site, desired, deployed.order())
    assert outcome(result) == (ChangeKind.REPAIR, Outcome.SUCCEEDED)
    assert result.spooled > 0
    (deployed.root / "gone.git").rename(origin)
    deployed.bump("wine", "2")
    assert outcome(deployed.run()) == (ChangeKind.UPDATE, Outcome.SUCCEEDED)
    view = deployed.site().ledger.read("production")
    assert view.broken == ""
    assert view.spooled == 0
    kinds = [r.change for event in view.events if isinstance(event, DeployFinished) for r in event.services.values()]
    assert kinds == [ChangeKind.CREATE, ChangeKind.REPAIR, ChangeKind.UPDATE]


def test_a_host_that_comes_back_gets_what_waits_without_another_change(deployed):
    """A repair while it was away; then nothing more is to be done: the receipt arrives all the same, also for others to see."""
    origin = deployed.root / "origin.git"
    site, wanted = deployed.site(), deployed.desired()
    origin.rename(deployed.root / "gone.git")
    del deployed.target.instances[next(iter(deployed.target.instances))]
    from mlrelease.delivery.passes import run_pass

    assert run_pass(site, wanted, deployed.order()).spooled == 2
    (deployed.root / "gone.git").rename(origin)
    result = deployed.run()
    assert (result.finished, result.spooled) == (None, 0)
    elsewhere = deployed.site(clone=deployed.laptop).ledger.read("production")
    assert isinstance(elsewhere.events[-1], DeployFinished)
    assert [r.change for r in elsewhere.events[-1].services.values()] == [ChangeKind.REPAIR]


def test_without_a_remote_the_local_branch_is_desired(tmp_path):
    """A repository without a remote works the same, with its ledger on a local ref."""
    world = World(tmp_path / "w", remote=False).create()
    assert outcome(world.run()) == (ChangeKind.CREATE, Outcome.SUCCEEDED)
    bump = world.bump("wine", "2")
    assert outcome(world.run()) == (ChangeKind.UPDATE, Outcome.SUCCEEDED)
    world.revert(bump)
    assert outcome(world.run()) == (ChangeKind.ROLLBACK, Outcome.SUCCEEDED)
    assert world.live() == {"wine": "1"}
