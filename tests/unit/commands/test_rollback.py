"""`rollback`: which bundle it goes back to, what it commits, and when it refuses; over the small world."""

from __future__ import annotations

import pytest
from mlrelease.commands.rollback import RollbackOptions, rollback
from mlrelease.commands.words import Named, reject
from mlrelease.errors import Error, UsageError
from mlrelease.model.event import Unrejected
from support.desk import desk
from support.world import World, git


@pytest.fixture
def third(tmp_path):
    """Versions 1, 2 and 3 deployed one after the other."""
    world = World(tmp_path / "w").create()
    world.run()
    for version in "23":
        world.bump("wine", version)
        world.run()
    return world


@pytest.fixture
def fleet(tmp_path):
    """Two services at version 2, deployed from 1."""
    world = World(tmp_path / "w", services=("a", "b")).create()
    world.run()
    for name in "ab":
        world.bump(name, "2")
    world.run()
    return world


def back(world, **options):
    return rollback(desk(world), "production", RollbackOptions(**options))


def pinned(world, service="wine"):
    """The version that the tip of the tracked branch pins."""
    return world.desired().spec.environments["production"].services[service].bundle.versions()[service]


def test_without_more_it_goes_to_the_version_before(third):
    """`--last-good` is the default: one commit on the tracked branch, nothing applied yet."""
    before = git(third.laptop, "rev-parse", "origin/main")
    report = back(third)
    assert report.exit_code == 0
    assert report.next == "mlrelease deploy production"
    assert pinned(third) == "2"
    assert third.live() == {"wine": "3"}
    assert git(third.host, "rev-list", "--count", f"{before}..origin/main") == "1"
    assert git(third.host, "log", "-1", "--format=%s", "origin/main") == "Roll back wine in production to wine 2"


def test_only_the_pin_s_own_lines_change(third):
    """Comments, order and quoting stay: the diff has two lines out and two in."""
    path = third.model_file("wine")
    path.write_text(path.read_text() + "\n# read on Mondays\ngolden: {rtol: 1e-5}\n")
    third.commit("Say when it is read")
    back(third, to="1")
    assert pinned(third) == "1"
    diff = git(third.host, "show", "--format=", "--numstat", "origin/main").split()
    assert diff == ["2", "2", "environments/production/models/wine.yaml"]
    assert "# read on Mondays" in git(third.host, "show", "origin/main:environments/production/models/wine.yaml")


def test_applied_and_proved_at_once(third):
    """`--now` ends with the old version answering, and says after how many seconds."""
    report = back(third, to="1", now=True)
    assert report.exit_code == 0
    assert third.live() == {"wine": "1"}
    assert "wine 1" in report.notes[-1]
    assert "is proved after" in report.notes[-1]


def test_not_proved_is_never_0(third):
    """With `--now` and a target that does not answer rightly, the exit code is 1 and the report says NOT proved."""
    third.target.wrong_through_proxy.add(third.history().verified["wine"][0].bundle.id)
    report = back(third, to="1", now=True)
    assert report.exit_code == 1
    assert "NOT proved" in report.notes[-1]


def test_it_is_committed_on_the_tip_whatever_lies_in_the_work_tree(third):
    """A dirty checkout is no reason to wait at three in the morning, and is left as it is."""
    path = third.model_file("wine")
    path.write_text("half an edit")
    back(third)
    assert pinned(third) == "2"
    assert path.read_text() == "half an edit"


def test_without_a_push_nothing_leaves_this_clone(third):
    """`--no-push` commits here only."""
    tip = git(third.laptop, "ls-remote", "origin", "refs/heads/main")
    back(third, push=False)
    assert git(third.laptop, "ls-remote", "origin", "refs/heads/main") == tip


def test_twice_is_once(third):
    """Git wants it already: no second commit."""
    back(third, to="1")
    tip = git(third.laptop, "ls-remote", "origin", "refs/heads/main")
    report = back(third, to="1")
    assert "git wants it already" in report.verdict
    assert git(third.laptop, "ls-remote", "origin", "refs/heads/main") == tip


REFUSED = {
    "a version that was never here": (
        {"to": "9"},
        "wine version 9 was never verified in production",
        "verified there: 1, 2, 3; to move forward: mlrelease bump",
    ),
    "a model that is not there": ({"model": "beer", "to": "1"}, "production has no model 'beer'", "models there: wine"),
    "a service that is not there": (
        {"service": "beer"},
        "production has no valid service 'beer'",
        "services there: wine",
    ),
    "both at once and not pushed": (
        {"now": True, "push": False},
        "--now applies what is pushed: it does not go with --no-push",
        "",
    ),
}


@pytest.mark.parametrize(("options", "message", "hint"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_gone_back_to_is_said_before_anything_is_written(third, options, message, hint):
    """No commit, no event; the message names it and the hint names what there is."""
    tip = git(third.laptop, "ls-remote", "origin")
    with pytest.raises(Error) as refusal:
        back(third, **options)
    assert (refusal.value.message, refusal.value.hint or "") == (message, hint)
    assert git(third.laptop, "ls-remote", "origin") == tip


def test_nothing_before_the_first(tmp_path):
    """With one verified version there is nowhere to go."""
    world = World(tmp_path / "w").create()
    world.run()
    with pytest.raises(Error, match="nothing else was ever verified for wine in production"):
        back(world)


def test_several_services_must_be_told_apart(fleet):
    """Which one, is asked; naming it moves that one only, naming a model finds its service."""
    with pytest.raises(UsageError, match=r"which service\?") as question:
        back(fleet)
    assert question.value.hint == "--service, one of a, b"
    back(fleet, service="a")
    back(fleet, model="b", to="1")
    assert (pinned(fleet, "a"), pinned(fleet, "b")) == ("1", "1")


def test_after_an_automatic_rollback_it_makes_git_true_again(third):
    """Git is ahead of what serves: the last good state is the one that serves, not the one before it."""
    third.bump("wine", "4")
    third.target.wrong_through_proxy.add(third.desired().spec.environments["production"].services["wine"].bundle.id)
    third.run()
    assert third.live() == {"wine": "3"}
    back(third)
    assert pinned(third) == "3"
    assert third.run().finished is None


def test_what_failed_or_was_left_is_no_last_good(third):
    """Back from 3 to 2; then the newest verified that nobody rejected is 1."""
    back(third, now=True)
    back(third, now=True)
    assert third.live() == {"wine": "1"}


def test_a_person_s_rejection_is_refused_as_a_target(third):
    """The message names who and why, and both ways on."""
    reject(desk(third), "production", Named(model="wine", version="1"), reason="trained on the wrong year")
    with pytest.raises(Error) as refusal:
        back(third, to="1")
    assert "was rejected by Ada <ada@example.com>: trained on the wrong year" in refusal.value.message
    assert '--force "…"' in refusal.value.hint
    assert pinned(third) == "3"


def test_forced_it_goes_there_all_the_same_and_the_ledger_says_why(third):
    """The rejection is lifted with the reason given, so that the host does not refuse the move; the proof is the same."""
    reject(desk(third), "production", Named(model="wine", version="1"), reason="trained on the wrong year")
    report = back(third, to="1", now=True, force="2 and 3 are worse still")
    assert report.exit_code == 0
    assert third.live() == {"wine": "1"}
    events = third.site().ledger.read("production").events
    (lifted,) = [event for event in events if isinstance(event, Unrejected)]
    assert (lifted.reason, lifted.actor) == ("2 and 3 are worse still", "Ada <ada@example.com>")


def test_a_force_without_a_reason_is_no_force(third):
    """Blank is not why."""
    reject(desk(third), "production", Named(model="wine", version="1"), reason="trained on the wrong year")
    with pytest.raises(Error, match="was rejected by"):
        back(third, to="1", force="   ")


def test_a_force_that_nobody_needed_lifts_nothing(third):
    """Where no person's rejection stands in the way, the ledger gets no extra word."""
    back(third, to="1", force="just in case")
    assert not [e for e in third.site().ledger.read("production").events if isinstance(e, Unrejected)]


def test_a_target_that_is_neither_cached_nor_registered_is_found_out_first(third):
    """It exists and loads, or nothing is committed."""
    pin = third.pin("wine", "1")
    third.site().cache.prune({third.pin("wine", v).digest for v in "23"})
    third.registry.delete("wine", "1")
    assert third.site().cache.verified(pin.digest) is None
    with pytest.raises(Error, match="is gone: neither in this host's cache nor at http://fake"):
        back(third, to="1")
    assert pinned(third) == "3"


def test_a_target_that_was_overwritten_in_the_registry_is_found_out_first(third):
    """Other bytes under the same number are not what was verified here."""
    third.site().cache.prune({third.pin("wine", v).digest for v in "23"})
    third.registry.add("wine", "1", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})
    with pytest.raises(Error, match="is not what was verified here"):
        back(third, to="1")
    assert pinned(third) == "3"


def test_a_push_that_is_refused_leaves_git_and_target_alone(third):
    """No branch takes one: the error says so, the remote is as before, nothing was applied."""
    hook = third.root / "origin.git" / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/mlrelease/ledger) ;; *) echo protected >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    third.target.calls.clear()
    with pytest.raises(Error, match=r"refused|rejected|declined|protected"):
        back(third, to="1", now=True)
    assert pinned(third) == "3"
    assert third.target.calls == []
