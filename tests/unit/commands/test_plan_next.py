"""`plan`: what is said beside the table, which command comes next, and the exit code, by how the world and the clone are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from mlrelease.commands.plan import plan, way_out
from mlrelease.commands.workspace import FindingsError
from mlrelease.errors import UsageError
from mlrelease.forge.git import Git
from mlrelease.model.change import Change, ChangeKind
from mlrelease.model.gate import GateResult, GateStatus
from support.core import bundle
from support.desk import Desk, desk
from support.pair import identity
from support.world import World, git

pytestmark = pytest.mark.xdist_group("plan-next")
EXERCISED = "this target exercises model: the image is pinned and recorded, not run"
UNCOMMITTED = "this is the plan of the work tree, which has changes that are not committed"


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """Version 1 is deployed; nobody changes it."""
    with identity():
        world = World(tmp_path_factory.mktemp("next") / "w").create()
        world.run()
        return world


@pytest.fixture(scope="module")
def ahead(settled, tmp_path_factory):
    """Version 2 is pinned, pushed, and waits to be deployed."""
    with identity():
        world = settled.copy(tmp_path_factory.mktemp("next") / "ahead")
        world.bump("wine", "2")
        return world


@pytest.fixture
def unpushed(settled, tmp_path):
    """Version 2 is pinned in a commit of the laptop alone."""
    world = settled.copy(tmp_path / "u")
    text = world.service_file("wine").read_text()
    world.service_file("wine").write_text(text.replace("replicas: 2", "replicas: 3"))
    git(world.laptop, "commit", "--quiet", "-am", "More")
    return world


@dataclass(frozen=True, slots=True)
class Here(Desk):
    """A desk whose environment is that of its own files, pushed or not."""

    runs_here: bool = True

    def site(self, environment):
        return replace(self.world.site(), environment=environment, runs_here=self.runs_here)


def at(world, **more):
    known = desk(world)
    return Here(known.git, known.branch, known.actor, known.run_id, known.variables, world, **more)


def planned(world, *, exit_code=False, offline=False, services=(), person=None):
    return plan(person or at(world), "production", exit_code=exit_code, offline=offline, services=services)


def test_nothing_to_do_is_zero_either_way(settled):
    """Nothing is said beside it; what comes next is a look."""
    for exit_code in (False, True):
        found = planned(settled, exit_code=exit_code)
        assert (found.exit_code, list(found.notes), found.next) == (0, [], "mlrelease status production")


def test_a_change_is_three_only_when_asked_for(ahead):
    """A plan is a look; the code is for a pipeline that wants it."""
    found = planned(ahead)
    assert (found.exit_code, list(found.notes), found.next) == (0, [EXERCISED], "mlrelease deploy production")
    assert planned(ahead, exit_code=True).exit_code == 3


def test_what_is_not_pushed_is_pushed_next(unpushed):
    """A deploy would not see it."""
    assert planned(unpushed).next == "git push origin main"


def test_what_is_not_committed_is_said(settled, tmp_path):
    """The plan is that of the work tree; a file elsewhere in it does not matter."""
    world = settled.copy(tmp_path / "d")
    (world.laptop / "README.md").write_text("new\n")
    assert UNCOMMITTED not in planned(world).notes
    text = world.service_file("wine").read_text()
    world.service_file("wine").write_text(text.replace("replicas: 2", "replicas: 4"))
    found = planned(world)
    assert list(found.notes) == [EXERCISED, UNCOMMITTED]
    assert found.data["changes"]["wine"]["change"] == "settings"


def test_elsewhere_what_runs_is_not_looked_at(ahead):
    """With the folder that would be there."""
    found = planned(ahead, person=at(ahead, runs_here=False))
    assert found.notes[0] == (f"production does not run on this host (no {ahead.root / 'state'}): what runs was not looked at")


def test_offline_no_gate_is_asked(ahead, tmp_path):
    """The registry may be away: what would change is known all the same."""
    world = ahead.copy(tmp_path / "o")
    world.registry.down = True
    found = planned(world, offline=True)
    assert (found.exit_code, found.next) == (0, "mlrelease deploy production")
    shut = planned(world)
    assert (shut.exit_code, shut.next) == (1, "mlrelease plan production")
    assert world.registry.downloaded == ahead.registry.downloaded


def test_offline_the_git_host_is_not_asked_either(ahead, tmp_path, monkeypatch):
    """Not even for the ledger's tip: only this desk's own site fetches."""
    world = ahead.copy(tmp_path / "g")
    asked, call = [], Git.call

    def watched(self, *arguments, remote=None, **options):
        if remote:
            asked.append(arguments[0])
        return call(self, *arguments, remote=remote, **options)

    monkeypatch.setattr(Git, "call", watched)
    planned(world)
    assert asked == ["fetch", "ls-remote"]
    asked.clear()
    assert planned(world, offline=True).exit_code == 0
    assert asked == ["fetch"]


def test_one_service_can_be_asked_for(ahead):
    """Another one's changes are not in it."""
    found = planned(ahead, services=("wine",))
    assert list(found.data["changes"]) == ["wine"]


def test_names_and_findings_are_refused(settled, tmp_path):
    """Usage for the one, exit 4 for the other."""
    with pytest.raises(UsageError, match="there is no environment 'prod'"):
        plan(at(settled), "prod", exit_code=False, offline=True, services=())
    world = settled.copy(tmp_path / "f")
    path = world.laptop / "environments/production/environment.yaml"
    path.write_text(path.read_text() + "colour: red\n")
    with pytest.raises(FindingsError, match="production cannot be read"):
        planned(world)


# -- the way out of a block --------------------------------------------------------------------------------------------

SHUT = GateResult(gate="metric", component="model:wine", status=GateStatus.FAILED, reason="worse")
OPEN = GateResult(gate="digest", component="model:beer", status=GateStatus.PASSED, reason="it is")

WAYS = {
    "rejected": "mlrelease rollback production --service risk --last-good",
    "approval": "mlrelease approve production --service risk",
    "soak": "mlrelease plan production",
    "waiting": "mlrelease plan production",
    "promotion": "mlrelease status",
    "findings": "mlrelease validate --offline",
    "undeclared": "mlrelease validate --offline",
    "removals": "mlrelease deploy production --allow-remove",
    "gate:metric": "mlrelease bump production wine --to VERSION",
    "gate:metric:errored": "mlrelease plan production",
    "hold": "mlrelease history production --service risk",
    "something newer": "mlrelease history production --service risk",
}


@pytest.mark.parametrize(("blocked_by", "command"), WAYS.items(), ids=WAYS)
def test_every_block_has_a_way_out(blocked_by, command):
    """Of a gate it is the model that did not pass, not the first that was judged."""
    change = Change(
        "risk", ChangeKind.UPDATE, "new", bundle(), bundle(tag="2"), blocked="no", blocked_by=blocked_by,
        gate_results=(OPEN, SHUT),
    )  # fmt: skip
    assert way_out("production", change) == command
