"""A hold with a commit: that commit is desired until the tracked branch agrees; whatever else happens meanwhile."""

from __future__ import annotations

import itertools

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.passes import look
from mlrelease.errors import Error
from mlrelease.forge.branches import branch_name
from mlrelease.model.change import ChangeKind, Outcome, Sync
from mlrelease.model.event import Held, Unheld
from mlrelease.model.live import Role
from mlrelease.spec.edit import set_image, set_model_pin
from support.pair import identity
from support.world import World, git

pytestmark = pytest.mark.xdist_group("pinned")

BRANCH = branch_name("rollback", "production", "wine")


def second(root, **options):
    """Versions 1 and 2 of every service deployed one after the other; the branch pins 2."""
    with identity():
        world = World(root, **options).create()
        world.run()
        for name in world.services:
            world.bump(name, "2")
        world.run()
        assert set(world.live().values()) == {"2"}
        return world


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return second(tmp_path_factory.mktemp("made") / "w")


@pytest.fixture(scope="module")
def made_two(tmp_path_factory):
    return second(tmp_path_factory.mktemp("made-two") / "w", services=("wine", "port"))


@pytest.fixture
def world(made, tmp_path):
    """One service at version 2."""
    return made.copy(tmp_path / "w")


@pytest.fixture
def two(made_two, tmp_path):
    """Two services at version 2."""
    return made_two.copy(tmp_path / "w")


def pinned_commit(world, version, service="wine", *, branch=BRANCH, text=None):
    """A commit on the tip that pins the version, on a branch of its own at the remote; not on the tracked one."""
    pin = world.pin(service, version)
    path = world.model_file(service)
    before = path.read_bytes()
    path.write_bytes(set_model_pin(before, pin.version, pin.digest) if text is None else text)
    git(world.laptop, "commit", "--quiet", "-a", "-m", f"Roll back {service}\n\nProposed-by: mlrelease")
    commit = git(world.laptop, "rev-parse", "HEAD")
    if branch:
        git(world.laptop, "push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{branch}")
    git(world.laptop, "reset", "--quiet", "--hard", "HEAD~1")
    return commit


def hold(world, commit, service="wine", **more):
    """The word that a rollback writes."""
    event = Held(world.ids(), "production", world.clock, "ada", "2 is wrong", service, pinned_to=commit, **more)
    world.site().ledger.append([event])
    return event


def held_back(world, version="1"):
    """Held at a commit with that version, applied."""
    commit = pinned_commit(world, version)
    hold(world, commit)
    world.run()
    return commit


def standing(world):
    """The commits that holds name."""
    return [held.pinned_to for held in world.history().holds]


def plan(world):
    """The only Change of the plan of the tip, and its sync."""
    found, _, _ = look(world.site(), world.desired())
    (change,) = found.changes
    return change, found.sync["wine"]


def merge_squashed(world, commit):
    """The pull request's button: one commit on the tracked branch with the files of that one."""
    git(world.laptop, "checkout", "--quiet", commit, "--", "environments")
    return world.commit("Roll back wine (#7)")


def test_the_commit_is_desired(world):
    """A pass goes back, as for a commit on the tracked branch: proved, recorded, what it left rejected."""
    hold(world, pinned_commit(world, "1"))
    result = world.run()
    receipt = result.receipts["wine"]
    assert (receipt.change, receipt.outcome) == (ChangeKind.ROLLBACK, Outcome.SUCCEEDED)
    assert world.live() == {"wine": "1"}
    assert [reason for _, reason in receipt.rejects] == [str(world.pin("wine", "2").digest)]
    assert result.finished.revision == git(world.host, "rev-parse", "origin/main")


def test_the_plan_says_by_whom_and_until_when(world):
    """Before and after it is applied; in sync is what the commit says."""
    commit = pinned_commit(world, "1")
    hold(world, commit)
    where = f"held at {commit[:9]} by ada until origin/main has its pins: 2 is wrong"
    change, sync = plan(world)
    assert (change.kind, sync) == (ChangeKind.ROLLBACK, Sync.OUT_OF_SYNC)
    assert change.reason == f"git moved back to what was verified here before; {where}"
    world.run()
    change, sync = plan(world)
    assert (change.kind, change.reason, sync) == (ChangeKind.NOOP, f"in sync; {where}", Sync.IN_SYNC)


def test_looking_and_passing_again_write_nothing(world):
    """The hold goes on; there is nothing to do."""
    held_back(world)
    height = world.history().height
    plan(world)
    assert world.run().finished is None
    assert world.history().height == height


def test_a_forward_commit_meanwhile_waits(world):
    """The pins of the commit count until the branch has them, whatever else the branch gets."""
    commit = held_back(world)
    world.bump("wine", "3")
    assert world.run().finished is None
    assert world.live() == {"wine": "1"}
    assert standing(world) == [commit]


def test_equal_pins_end_it(world):
    """The pass that sees the merge writes that the hold is over, touches nothing, and the branch alone counts again."""
    commit = held_back(world)
    calls = len(world.target.calls)
    merge_squashed(world, commit)
    world.run()
    assert standing(world) == []
    assert [call for call in world.target.calls[calls:] if call[0] in ("start", "route", "stop")] == []
    (over,) = [e for e in world.site().ledger.read("production").events if isinstance(e, Unheld)]
    assert (over.service, over.reason) == ("wine", "origin/main has its pins")
    world.bump("wine", "3")
    world.run()
    assert world.live() == {"wine": "3"}


def test_a_look_ends_nothing(world):
    """A plan is no pass: it says in sync, and the ledger is as before."""
    commit = held_back(world)
    merge_squashed(world, commit)
    change, _ = plan(world)
    assert change.reason == "in sync"
    assert standing(world) == [commit]


def test_merged_and_moved_on_between_two_looks(world):
    """The branch had the pins, and has newer ones: the hold is over, the newer ones are deployed."""
    commit = held_back(world)
    merge_squashed(world, commit)
    world.bump("wine", "3")
    world.run()
    assert standing(world) == []
    assert world.live() == {"wine": "3"}


def test_a_merge_commit_ends_it(world):
    """Not squashed: the commit itself is on the branch."""
    commit = held_back(world)
    git(world.laptop, "merge", "--quiet", "--no-ff", "-m", "Merge #7", commit)
    git(world.laptop, "push", "--quiet", "origin", "main")
    world.bump("wine", "3")
    world.run()
    assert standing(world) == []
    assert world.live() == {"wine": "3"}


def test_pins_from_before_the_hold_do_not_end_it(world):
    """Version 1 was on the branch long ago: that is no answer to a hold of today."""
    assert git(world.laptop, "log", "--format=%s").splitlines().count("Pin wine 1") == 1
    commit = held_back(world)
    world.commit("Something else")
    world.run()
    assert standing(world) == [commit]


def test_other_settings_on_the_branch_do_not_hinder_the_end(world):
    """Pins are compared, not replicas."""
    commit = held_back(world)
    merge_squashed(world, commit)
    world.edit(world.service_file("wine"), ("replicas",), "3")
    world.run()
    assert standing(world) == []


def test_unhold_ends_it_too(world):
    """Then git wants what was left, which is rejected: blocked, and what serves keeps serving."""
    held_back(world)
    world.site().ledger.append([Unheld(world.ids(), "production", world.clock, "ada", "over", "wine")])
    result = world.run()
    assert result.plan.changes[0].blocked_by == "rejected"
    assert world.live() == {"wine": "1"}


def test_a_person_s_own_hold_outlives_it(world):
    """The end of a rollback lifts the rollback's hold alone."""
    commit = held_back(world)
    world.site().ledger.append([Held(world.ids(), "production", world.clock, "grace", "quarter end", "wine")])
    merge_squashed(world, commit)
    world.run()
    assert [held.reason for held in world.history().holds] == ["quarter end"]


def test_a_newer_rollback_takes_the_place_of_the_one_before(world):
    """One commit is desired at a time; the end of the newer one does not bring the older one back."""
    world.bump("wine", "3")
    world.run()
    older = held_back(world, "2")
    newer = held_back(world, "1")
    assert world.live() == {"wine": "1"}
    assert standing(world) == [newer]
    merge_squashed(world, newer)
    world.run()
    assert standing(world) == []
    assert older not in standing(world)
    assert world.live() == {"wine": "1"}


def test_one_that_has_run_out_counts_no_more(world):
    """`until` holds for it as for any hold."""
    hold(world, pinned_commit(world, "1"), until=world.clock + 30.0)
    world.run()
    assert world.live() == {"wine": "2"}


def test_the_other_services_follow_the_branch(two):
    """One is held back; the other one goes forward in the same pass."""
    hold(two, pinned_commit(two, "1"))
    two.bump("port", "3")
    two.run()
    assert two.live() == {"wine": "1", "port": "3"}


def test_findings_in_the_service_s_files_do_not_stop_it(world):
    """On the tip the file is broken; the commit has it whole: going back does not wait for the mend."""
    hold(world, pinned_commit(world, "1"))
    world.model_file("wine").write_text("nonsense: [\n")
    world.commit("Break it")
    world.run()
    assert world.live() == {"wine": "1"}


def test_a_service_file_that_is_gone_from_the_branch_is_still_held(world):
    """Somebody deleted the files: the commit says what is desired."""
    commit = pinned_commit(world, "1")
    hold(world, commit)
    git(world.laptop, "rm", "--quiet", str(world.model_file("wine")))
    world.commit("Delete it")
    world.run()
    assert (world.live(), standing(world)) == ({"wine": "1"}, [commit])


def test_a_rollback_that_takes_an_older_image_and_a_newer_one_is_not_stopped_by_its_own_hold(world):
    """What the hold asks for moves forward in part: the hold itself does not say no."""
    commit_image = set_image(world.service_file("wine").read_bytes(), f"ghcr.io/acme/serve:0.2.0@sha256:{'cd34' * 16}")
    world.service_file("wine").write_bytes(commit_image)
    hold(world, pinned_commit(world, "1"))
    git(world.laptop, "checkout", "--quiet", "HEAD", "--", ".")
    result = world.run()
    assert result.receipts["wine"].outcome is Outcome.SUCCEEDED
    assert world.live() == {"wine": "1"}


def test_the_commit_is_fetched(world):
    """The host has never seen that branch."""
    commit = pinned_commit(world, "1")
    hold(world, commit)
    assert git(world.host, "cat-file", "-t", "origin/main") == "commit"
    with pytest.raises(Exception, match="cat-file"):
        git(world.host, "cat-file", "-e", commit)
    world.run()
    assert world.live() == {"wine": "1"}
    assert git(world.host, "cat-file", "-t", commit) == "commit"


def test_the_commit_is_fetched_by_its_id_where_the_branch_is_gone(world):
    """Merged or closed, its branch deleted: GitHub still gives it out, by way of `refs/pull/N/head`."""
    git(world.root / "origin.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    commit = pinned_commit(world, "1")
    git(world.root / "origin.git", "update-ref", "refs/pull/7/head", commit)
    git(world.root / "origin.git", "update-ref", "-d", f"refs/heads/{BRANCH}")
    hold(world, commit)
    world.run()
    assert world.live() == {"wine": "1"}


def test_it_survives_git_gc(world):
    """No branch of the host has the commit: a ref of its own keeps it, until the hold is over."""
    commit = held_back(world)
    git(world.root / "origin.git", "update-ref", "-d", f"refs/heads/{BRANCH}")
    git(world.host, "gc", "--quiet", "--prune=now")
    assert git(world.host, "cat-file", "-t", commit) == "commit"
    merge_squashed(world, commit)
    world.run()
    assert git(world.host, "for-each-ref", "refs/mlrelease/pinned") == ""


def test_a_commit_that_nobody_has_stops_the_service_and_nothing_else(two):
    """Fail static: the service stays as it is, errored and named with the way out; the other one moves."""
    commit = pinned_commit(two, "1", branch="")
    hold(two, commit)
    two.bump("port", "3")
    result = two.run()
    (change,) = [c for c in result.plan.changes if c.service == "wine"]
    assert change.blocked_by == "hold:errored"
    assert change.blocked.startswith(
        f"held at {commit[:9]} by ada until origin/main has its pins, and that commit cannot be read"
    )
    assert exit_code(result) == 1
    assert two.live() == {"wine": "2", "port": "3"}


def test_it_is_applied_as_soon_as_it_can_be_read(world):
    """The commit arrives later."""
    commit = pinned_commit(world, "1", branch="")
    hold(world, commit)
    world.run()
    assert world.live() == {"wine": "2"}
    git(world.laptop, "push", "--quiet", "origin", f"{commit}:refs/heads/{BRANCH}")
    world.run()
    assert world.live() == {"wine": "1"}


def test_drift_is_repaired_while_the_commit_cannot_be_read(world):
    """What is recorded is kept as it should be."""
    hold(world, pinned_commit(world, "1", branch=""))
    lost = next(i.id for i in world.target.observe().instances if i.role is Role.ACTIVE)
    del world.target.instances[lost]
    result = world.run()
    assert result.receipts["wine"].change is ChangeKind.REPAIR
    assert "that commit cannot be read" in result.receipts["wine"].reason
    assert world.live() == {"wine": "2"}


def test_a_commit_with_findings_is_not_applied(world):
    """It says what is wrong with it."""
    hold(world, pinned_commit(world, "1", text=b"nonsense: [\n"))
    change, _ = plan(world)
    assert change.blocked_by == "hold:errored"
    assert "wine has findings there, or is not there" in change.blocked


def test_a_git_host_that_is_down_does_not_stop_what_is_here(world):
    """Seen once, it is applied from this clone, as the last fetched tip is."""
    commit = pinned_commit(world, "1")
    git(world.host, "fetch", "--quiet", "origin", f"refs/heads/{BRANCH}")
    hold(world, commit)
    world.desired()
    world.site().ledger.read("production")
    (world.root / "origin.git").rename(world.root / "away.git")
    world.run()
    assert world.live() == {"wine": "1"}


def test_the_agent_s_look_reads_the_commit_once(world):
    """A hold may stand for weeks, and an agent looks each few seconds."""
    from mlrelease.delivery import pinned

    held_back(world)
    world.bump("wine", "3")
    world.run()
    before = pinned._read.cache_info()
    for _ in itertools.repeat(None, 3):
        look(world.site(), world.desired(), judged=False)
    after = pinned._read.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


def test_a_world_without_a_remote_holds_too(tmp_path):
    """The commit is in this very repository."""
    world = second(tmp_path / "w", remote=False)
    commit = pinned_commit(world, "1", branch="")
    hold(world, commit)
    world.run()
    assert world.live() == {"wine": "1"}


STORIES = {
    "held, merged, forward, held again": ("hold 1", "merge", "pin 3", "hold 1", "merge"),
    "held twice, the second merged": ("hold 1", "hold 1", "merge", "pin 3"),
    "forward before the merge": ("hold 1", "pin 3", "merge", "pin 4"),
    "lifted, held, merged": ("hold 1", "lift", "hold 1", "merge"),
    "merged twice over": ("hold 1", "merge", "something", "pin 3", "pin 4"),
    "held while forward waits, then lifted": ("pin 3", "hold 1", "pin 4", "lift"),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_whatever_happens_what_serves_is_what_was_asked_for(world, story):
    """After every step and its pass: the held commit's version while a hold stands, else the branch's, unless rejected."""
    held = ""
    for step in story:
        verb, _, version = step.partition(" ")
        if verb == "hold":
            held = pinned_commit(world, version)
            hold(world, held)
        elif verb == "pin":
            world.bump("wine", version)
        elif verb == "merge":
            git(world.laptop, "fetch", "--quiet", "origin")
            merge_squashed(world, held)
            held = ""
        elif verb == "lift":
            world.site().ledger.append([Unheld(world.ids(), "production", world.clock, "ada", "over", "wine")])
            held = ""
        else:
            world.commit("Something else")
        world.run()
        history = world.history()
        standing_now = history.pinned_hold("wine", world.clock)
        assert (standing_now.pinned_to if standing_now else "") == held
        wanted = "1" if held else world.desired().spec.environments["production"].services["wine"].bundle.versions()["wine"]
        digest = str(world.pin("wine", wanted).digest)
        rejected = any(("model:wine", digest) in r.components for r in history.rejections)
        assert world.live() == {"wine": wanted} or rejected
        assert world.run().finished is None, "a second pass has nothing to do"


def test_a_pass_over_another_service_ends_no_less(two):
    """`deploy --service port` sees that the hold on `wine` is over, and writes it: nothing moves by it."""
    commit = pinned_commit(two, "1")
    hold(two, commit)
    two.run()
    merge_squashed(two, commit)
    two.run(only=frozenset({"port"}))
    assert standing(two) == []
    assert two.live() == {"wine": "1", "port": "2"}


def test_two_holds_on_two_services_are_obeyed_in_one_pass(two):
    """Each by its own commit; one is merged, the other goes on."""
    wine = pinned_commit(two, "1")
    hold(two, wine)
    port = pinned_commit(two, "1", "port", branch=branch_name("rollback", "production", "port"))
    hold(two, port, "port")
    two.run()
    assert two.live() == {"wine": "1", "port": "1"}
    merge_squashed(two, wine)
    two.run()
    assert standing(two) == [port]
    assert two.live() == {"wine": "1", "port": "1"}


def test_one_commit_may_hold_several_services(two):
    """A release rolled back to: one commit, a hold on each."""
    git(two.laptop, "checkout", "--quiet", "--detach")
    pinned_commit(two, "1", branch="")
    git(two.laptop, "reset", "--quiet", "--hard", "HEAD@{1}")
    both = pinned_commit(two, "1", "port")
    git(two.laptop, "checkout", "--quiet", "main")
    for service in two.services:
        hold(two, both, service)
    two.run()
    assert two.live() == {"wine": "1", "port": "1"}


def test_a_hold_without_a_commit_is_a_hold_as_ever(world):
    """No forward change; nothing is read for it."""
    world.site().ledger.append([Held(world.ids(), "production", world.clock, "ada", "freeze", "wine")])
    world.bump("wine", "3")
    result = world.run()
    assert result.plan.changes[0].blocked_by == "hold"
    assert world.live() == {"wine": "2"}


def test_an_abandoned_branch_of_somebody_else_does_not_end_it(world):
    """Only commits on the tracked branch count."""
    commit = held_back(world)
    git(world.laptop, "push", "--quiet", "origin", f"{commit}:refs/heads/somebody")
    world.run()
    assert standing(world) == [commit]


def test_a_stale_tip_ends_no_hold(world):
    """The branch was moved back to before: nothing is believed of it, and the pass says so."""
    commit = held_back(world)
    merge_squashed(world, commit)
    git(world.root / "origin.git", "update-ref", "refs/heads/main", git(world.laptop, "rev-parse", "HEAD~2"))
    with pytest.raises(Error, match="older than what was applied here"):
        world.run()
    assert standing(world) == [commit]
    assert world.live() == {"wine": "1"}
