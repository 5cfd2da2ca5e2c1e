"""Which commit is newer: a tip older than what was applied is refused, and where nobody can tell, nothing moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.delivery import source
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.passes import ROLLBACK, run_pass
from mlrelease.delivery.source import Tracked
from mlrelease.delivery.staleness import BLOCKED_BY, KNOWN_REWRITTEN, halted, untold_order
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.model.change import ChangeKind
from support.core import Story, environment, service
from support.world import git

MAIN = Tracked("origin", "main")


def other_host(world):
    """A clone that was made just now, with what it wants and its site: another machine takes over."""
    place = world.root / "other"
    git(world.root, "clone", "--quiet", "origin.git", "other")
    repository = Git(place)
    online = source.fetch(repository, MAIN)
    return world.site(clone=place), source.desired(repository, MAIN, online=online)


def forget(world):
    """The git host throws away what no branch holds, as GitHub does some day."""
    git(world.root / "origin.git", "reflog", "expire", "--expire=now", "--all")
    git(world.root / "origin.git", "gc", "--quiet", "--prune=now")


def rewritten(world):
    """Version 2 was applied at a commit that the branch, rewritten since, does not hold any more; 3 is what it wants."""
    start = git(world.laptop, "rev-parse", "HEAD")
    applied = world.bump("wine", "2")
    world.run()
    git(world.laptop, "reset", "--quiet", "--hard", start)
    world.pin("wine", "3")
    git(world.laptop, "push", "--quiet", "--force", "origin", "HEAD:main")
    world.bump("wine", "3")
    return applied


def run_on(world, site, desired, **more):
    world.clock += 60.0
    return run_pass(site, desired, world.order(**more))


def test_an_unknown_applied_revision_moves_nothing_forward(deployed):
    """A fresh clone of a rewritten branch: whether its tip is newer cannot be told, so nothing moves; exit 1."""
    applied = rewritten(deployed)
    forget(deployed)
    site, desired = other_host(deployed)
    deployed.target.calls.clear()
    height = deployed.history().height
    result = run_on(deployed, site, desired)
    (change,) = result.plan.changes
    assert (exit_code(result), change.blocked_by, result.finished) == (1, BLOCKED_BY, None)
    assert f"{applied[:9]} is not in this clone" in change.blocked
    assert f"git config {KNOWN_REWRITTEN} {applied}" in change.blocked
    assert (deployed.live(), deployed.target.calls) == ({"wine": "2"}, [])
    assert deployed.history().height == height


def test_an_unknown_applied_revision_moves_nothing_back_either(deployed):
    """An old tip looks like a move back: version 1 was proved before version 2, which is what runs."""
    start = git(deployed.laptop, "rev-parse", "HEAD")
    deployed.bump("wine", "2")
    deployed.run()
    git(deployed.laptop, "push", "--quiet", "--force", "origin", f"{start}:main")
    forget(deployed)
    site, desired = other_host(deployed)
    result = run_on(deployed, site, desired)
    (change,) = result.plan.changes
    assert (exit_code(result), change.kind, change.blocked_by) == (1, ChangeKind.ROLLBACK, BLOCKED_BY)
    assert deployed.live() == {"wine": "2"}


def test_a_rollback_that_a_person_asked_for_waits_for_nobody(deployed):
    """At three in the morning the way back is open, whatever became of the branch."""
    start = git(deployed.laptop, "rev-parse", "HEAD")
    deployed.bump("wine", "2")
    deployed.run()
    git(deployed.laptop, "push", "--quiet", "--force", "origin", f"{start}:main")
    forget(deployed)
    site, desired = other_host(deployed)
    deployed.clock += 60.0
    result = run_pass(site, desired, replace(deployed.order(), trigger=ROLLBACK))
    assert exit_code(result) == 0
    assert deployed.live() == {"wine": "1"}


def test_what_died_is_repaired_all_the_same(deployed):
    """A repair moves nothing: what is recorded is started again."""
    deployed.bump("wine", "2")
    deployed.run()
    applied = deployed.history().applied
    git(deployed.laptop, "reset", "--quiet", "--hard", "HEAD~1")
    git(deployed.laptop, "cherry-pick", "-x", applied)
    git(deployed.laptop, "push", "--quiet", "--force", "origin", "HEAD:main")
    forget(deployed)
    site, desired = other_host(deployed)
    victim = deployed.target.routed["wine"][0]
    del deployed.target.instances[victim]
    result = run_on(deployed, site, desired)
    assert result.receipts["wine"].change is ChangeKind.REPAIR
    assert exit_code(result) == 0
    assert deployed.live() == {"wine": "2"}


def test_a_person_who_knows_says_so_once(deployed):
    """For that commit alone: the next rewrite is asked about again."""
    applied = rewritten(deployed)
    forget(deployed)
    site, desired = other_host(deployed)
    git(deployed.root / "other", "config", KNOWN_REWRITTEN, applied)
    assert exit_code(run_on(deployed, site, desired)) == 0
    assert deployed.live() == {"wine": "3"}
    repository = Git(deployed.root / "other")
    assert untold_order(MAIN, repository, desired.revision, "f" * 40, online=True)


def test_what_another_host_applied_is_fetched_and_compared(deployed):
    """The commit is on no branch any more, and the git host still has it: the order can be told, and the tip is older."""
    start = git(deployed.laptop, "rev-parse", "HEAD")
    deployed.bump("wine", "2")
    deployed.run()
    git(deployed.laptop, "push", "--quiet", "--force", "origin", f"{start}:main")
    git(deployed.root / "origin.git", "config", "uploadpack.allowAnySHA1InWant", "true")
    site, desired = other_host(deployed)
    with pytest.raises(Error, match="older than what was applied here"):
        run_on(deployed, site, desired)
    assert deployed.live() == {"wine": "2"}


def test_a_commit_that_this_clone_lacks_while_the_host_is_away_is_waited_for(deployed):
    """Another machine applied it after the last fetch; offline nobody can tell, and nobody is asked to configure anything."""
    clone = deployed.root / "other"
    git(deployed.root, "clone", "--quiet", "origin.git", "other")
    deployed.bump("wine", "2")
    deployed.run()
    site = deployed.site(clone=clone)
    site.ledger.read("production")  # its own ledger is of today, its branch of yesterday
    (deployed.root / "origin.git").rename(deployed.root / "away.git")
    old = source.desired(Git(clone), MAIN, online=False)
    result = run_on(deployed, replace(site, environment=old.spec.environments["production"]), old)
    (change,) = result.plan.changes
    assert (exit_code(result), change.blocked_by) == (1, BLOCKED_BY)
    assert "goes on by itself" in change.blocked
    assert KNOWN_REWRITTEN not in change.blocked
    assert deployed.live() == {"wine": "2"}
    (deployed.root / "away.git").rename(deployed.root / "origin.git")
    assert source.fetch(Git(clone), MAIN)
    assert exit_code(run_on(deployed, site, source.desired(Git(clone), MAIN))) == 0


def test_a_shallow_clone_asks_for_what_it_lacks(deployed):
    """As a runner checks out: one commit deep. The applied one is older, and is brought."""
    applied = deployed.history().applied
    tip = deployed.commit("Only words")
    git(deployed.root, "clone", "--quiet", "--depth=1", f"file://{deployed.root / 'origin.git'}", "shallow")
    repository = Git(deployed.root / "shallow")
    assert repository.resolve(applied) is None
    assert untold_order(MAIN, repository, tip, applied, online=True) == ""
    assert repository.resolve(applied) == applied


@pytest.mark.parametrize("applied", ["", "tip"], ids=["nothing was ever applied", "the tip itself was"])
def test_there_is_an_order_where_nothing_is_to_be_compared(deployed, applied):
    """Nothing is asked of anybody."""
    tip = deployed.desired().revision
    assert untold_order(MAIN, Git(deployed.host), tip, tip if applied else "", online=False) == ""


def test_without_a_remote_there_is_nobody_to_ask(deployed):
    """A repository of one machine: what it does not have, nobody has."""
    why = untold_order(Tracked("", "main"), Git(deployed.host), "a" * 40, "b" * 40, online=True)
    assert "bbbbbbbbb is not in this clone" in why


def test_only_what_moves_is_halted():
    """Creations, updates, rollbacks, settings and removals wait; repairs, no-ops and what is blocked already do not."""
    story = Story()
    story.apply(environment(service(), service("fraud", {"B": "1"})))
    story.hold("fraud")
    wanted = environment(service(replicas=3), service("fraud", {"B": "2"}), service("third", {"C": "1"}))
    found = halted(story.plan(wanted), "nobody knows")
    assert {c.service: (c.kind.value, c.blocked_by) for c in found.changes} == {
        "fraud": ("update", "hold"),
        "risk": ("settings", BLOCKED_BY),
        "third": ("create", BLOCKED_BY),
    }
    same = story.plan(environment(service(), service("fraud", {"B": "1"})))
    assert halted(same, "nobody knows") == same


def test_a_service_that_a_hold_decides_is_not_halted():
    """A rollback that waits in a pull request names its commit: which tip is newer is not asked."""
    story = Story()
    story.apply(environment(service(), service("fraud", {"B": "1"})))
    wanted = environment(service(models={"A": "8"}), service("fraud", {"B": "2"}))
    found = halted(story.plan(wanted), "nobody knows", but=frozenset({"risk"}))
    assert {c.service: c.blocked_by for c in found.changes} == {"fraud": BLOCKED_BY, "risk": ""}
