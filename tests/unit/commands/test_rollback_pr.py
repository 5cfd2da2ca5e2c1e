"""`rollback` where the tracked branch takes no push, or with `--pr`: branch, hold and pull request; over the local GitHub."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.rollback import RollbackOptions, rollback
from mlrelease.commands.rollback_proposal import wait_in_pull_request
from mlrelease.commands.status import status
from mlrelease.commands.words import unhold
from mlrelease.errors import Error, UsageError
from mlrelease.forge.command import PushRefusedError
from mlrelease.model.event import Held
from mlrelease.spec.edit import set_model_pin
from support.desk import desk
from support.github_server import running_github
from support.hosted import BASE, hosted
from support.pair import identity
from support.world import World, git

pytestmark = pytest.mark.xdist_group("rollback_pr")
BRANCH = "mlrelease/rollback/production/wine"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Versions 1, 2 and 3 deployed one after the other."""
    with identity():
        world = World(tmp_path_factory.mktemp("made") / "w").create()
        world.run()
        for version in "23":
            world.bump("wine", version)
            world.run()
        return world


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with identity(), running_github(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def here(made, hub, tmp_path):
    """A copy of it all, whose tracked branch takes pull requests only."""
    here = hosted(made.copy(tmp_path / "w"), hub, f"acme/{tmp_path.name.replace('_', '-')}")
    hub.protect(here.name)
    return here


@pytest.fixture
def world(here):
    return here.pair


def back(here, workspace=None, **options):
    return rollback(workspace or here.person(), "production", RollbackOptions(**options))


def standing(world):
    return [(held.service, held.pinned_to) for held in world.history().holds]


def test_a_refused_push_becomes_a_pull_request_and_a_hold(here, world):
    """Exit 0: the branch is untouched, the commit waits, and the hold makes it count."""
    tip = here.at("main")
    report = back(here)
    (pull,) = here.open
    commit = here.at(BRANCH)
    assert report.exit_code == 0
    assert f"opened #{pull['number']}, held at {commit[:9]} until it is merged" in report.verdict
    assert report.next == f"review and merge {pull['html_url']}"
    assert report.data["pull_request"] == {"number": pull["number"], "url": pull["html_url"], "commit": commit}
    assert here.at("main") == tip
    assert here.changed(BRANCH) == [BASE]
    assert standing(world) == [("wine", commit)]
    assert world.live() == {"wine": "3"}


def test_the_host_goes_back_at_its_next_look(here, world):
    """Nothing was merged; what answers is the old version, proved."""
    back(here)
    world.run()
    assert world.live() == {"wine": "2"}


def test_merged_the_hold_ends(here, world):
    """Approved and merged by people; the pass after that has nothing to do but to say so."""
    back(here)
    world.run()
    number = here.open[0]["number"]
    here.hub.review(here.name, number, "grace")
    here.hub.merge(here.name, number)
    world.run()
    assert standing(world) == []
    assert world.live() == {"wine": "2"}


def test_applied_and_proved_at_once(here, world):
    """`--now` on the host, branch protected: the same proof with the seconds, and the pull request to be merged."""
    report = back(here, to="1", now=True)
    assert report.exit_code == 0
    assert any("is proved after" in note for note in report.notes)
    assert report.next.startswith("review and merge ")
    assert world.live() == {"wine": "1"}


def test_not_proved_is_never_0(here, world):
    """The hold stands and the pull request is open, and the exit code is 1."""
    world.target.wrong_through_proxy.add(world.history().verified["wine"][0].bundle.id)
    report = back(here, to="1", now=True)
    assert report.exit_code == 1
    assert any("NOT proved" in note for note in report.notes)


def test_asked_for_it_comes_also_where_a_push_would_do(made, hub, tmp_path):
    """`--pr` on an open branch."""
    here = hosted(made.copy(tmp_path / "w"), hub, f"acme/{tmp_path.name.replace('_', '-')}")
    tip = here.at("main")
    report = back(here, pr=True)
    assert report.exit_code == 0
    assert (here.at("main"), len(here.open)) == (tip, 1)
    assert len(standing(here.pair)) == 1


def test_the_text_says_that_it_runs_already(here):
    """And how it ends, both ways."""
    back(here)
    (pull,) = here.open
    assert pull["title"] == "Roll back wine in production to wine 2"
    assert "Ada rolled this back: Roll back wine in production to wine 2." in pull["body"]
    assert "It runs already, by a hold; when this is merged, the hold ends by itself." in pull["body"]
    assert "mlrelease unhold production --service wine --reason …" in pull["body"]
    assert "### Gates" not in pull["body"]


def test_twice_is_once(here, world):
    """The same branch, hold and pull request; before the host moved and after."""
    back(here)
    commit, height = here.at(BRANCH), world.history().height
    again = back(here)
    assert again.verdict.endswith(f"proposed already in #{here.open[0]['number']}, held at {commit[:9]} until it is merged")
    assert (here.at(BRANCH), world.history().height, len(here.open)) == (commit, height, 1)
    world.run()
    height = world.history().height
    back(here)
    assert (here.at(BRANCH), world.history().height, len(here.open)) == (commit, height, 1)


def test_further_back_takes_the_place_of_the_first(here, world):
    """One hold, one pull request, the newer pins."""
    back(here)
    world.run()
    back(here, to="1")
    world.run()
    assert world.live() == {"wine": "1"}
    assert standing(world) == [("wine", here.at(BRANCH))]
    assert [pull["title"] for pull in here.open] == ["Roll back wine in production to wine 1"]


@pytest.mark.parametrize("left", ["branch", "branch and hold"], ids=["killed before the hold", "killed before the request"])
def test_what_a_killed_run_left_is_gone_on_with(here, world, left):
    """Run again, it comes to the same end."""
    back(here)
    commit = here.at(BRANCH)
    here.state.pulls.clear()
    if left == "branch":
        git(here.bare, "update-ref", "-d", "refs/heads/mlrelease/ledger")
        git(
            here.bare,
            "update-ref",
            "refs/heads/mlrelease/ledger",
            git(world.host, "rev-parse", "refs/mlrelease/remote/ledger~1"),
        )
        for folder in (world.host, world.laptop):
            git(folder, "update-ref", "-d", "refs/mlrelease/remote/ledger")
    report = back(here)
    assert report.exit_code == 0
    assert (here.at(BRANCH), standing(world)) == (commit, [("wine", commit)])
    assert len(here.open) == 1


def test_a_closed_one_is_asked_for_again(here):
    """A person asks now: that somebody closed it before is no reason to wait."""
    back(here)
    here.hub.close_pull(here.name, here.open[0]["number"])
    back(here)
    assert len(here.open) == 1


def test_closed_unmerged_the_hold_stays(here, world):
    """Closing a pull request deploys nothing; lifting the hold is a word of its own."""
    back(here)
    world.run()
    here.hub.close_pull(here.name, here.open[0]["number"])
    world.run()
    assert world.live() == {"wine": "2"}
    unhold(here.person(), "production", service="wine", reason="3 was right after all")
    assert world.run().plan.changes[0].blocked_by == "rejected"


def test_without_a_github_the_hold_counts_and_the_rest_is_said(here, world):
    """A bare protected remote: the branch is there to be merged by hand; exit 0, for it was not asked for."""
    report = back(here, workspace=desk(world))
    assert report.exit_code == 0
    assert any(BRANCH in note and "merge" in note for note in report.notes)
    assert standing(world) == [("wine", here.at(BRANCH))]


def test_with_pr_and_without_a_github_nothing_begins(here, world):
    """Said before anything is written."""
    with pytest.raises(Error, match="not on GitHub"):
        back(here, workspace=desk(world), pr=True)
    assert (here.at(BRANCH), standing(world)) == ("", [])


def test_a_github_that_fails_does_not_undo_the_rollback(here, world):
    """The hold counts; the note says that the pull request is missing, and with `--pr` the exit code is 1."""
    here.hub.fault(f"* /repos/{here.name}/pulls", 403, forever=True)
    report = back(here, pr=True)
    assert report.exit_code == 1
    assert any("no pull request was opened" in note and "run this again" in note for note in report.notes)
    assert standing(world) == [("wine", here.at(BRANCH))]
    world.run()
    assert world.live() == {"wine": "2"}


def test_a_remote_that_takes_no_push_at_all_is_an_error(here, world):
    """No right to push: neither branch nor hold."""
    hook = here.bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/mlrelease/ledger) exit 0;; esac; echo no >&2; exit 1\n')
    with pytest.raises(Error, match="refused the push"):
        back(here)
    assert (here.at(BRANCH), standing(world)) == ("", [])


def test_a_ledger_that_takes_nothing_is_said(here, world):
    """The hold is known to this machine alone: exit 1 unless the pass here has proved it."""
    hook = here.bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/mlrelease/rollback/*) exit 0;; esac; echo no >&2; exit 1\n')
    report = back(here)
    assert report.exit_code == 1
    assert any("the hold on wine waits on this machine" in note for note in report.notes)


def test_a_push_that_only_came_too_late_is_no_protection(made, hub, tmp_path):
    """Somebody was faster: try again, and no hold."""
    here = hosted(made.copy(tmp_path / "w"), hub, f"acme/{tmp_path.name.replace('_', '-')}")
    hook = here.bare / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 0\n")
    git(here.bare, "config", "receive.denyCurrentBranch", "ignore")
    folder = tmp_path / "racer"
    git(tmp_path, "clone", "--quiet", str(here.bare), "racer")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "First")
    git(here.pair.laptop, "config", "remote.origin.pushurl", str(here.bare))
    (here.pair.laptop / ".git/hooks/pre-push").write_text(f"#!/bin/sh\ngit -C {folder} push --quiet origin main\n")
    (here.pair.laptop / ".git/hooks/pre-push").chmod(0o755)
    with pytest.raises(PushRefusedError) as refused:
        back(here)
    assert refused.value.stale
    assert (here.open, standing(here.pair)) == ([], [])


def test_a_push_that_is_taken_ends_an_older_hold(here, world):
    """The branch was opened meanwhile: what a person rolls back to now is what counts."""
    back(here)
    world.run()
    here.state.rulesets.clear()
    (here.bare / "rules").write_text("")
    report = back(here, to="1")
    assert "committed as" in report.verdict
    assert standing(world) == []
    world.run()
    assert world.live() == {"wine": "1"}


def test_git_has_it_already_and_a_hold_says_otherwise(here, world):
    """Asked to go to what the branch has: the way is to lift the hold."""
    back(here)
    world.run()
    report = back(here, to="3")
    assert "git wants it already" in report.verdict
    assert report.next == 'mlrelease unhold production --service wine --reason "…"'


def test_status_and_history_name_the_commit(here, world):
    """Whoever looks sees why the branch is not what runs."""
    from mlrelease.commands.history import history

    back(here)
    world.run()
    commit = here.at(BRANCH)
    (row,) = status(here.person(), ("production",)).rows
    assert f"held at {commit[:9]} by Ada <ada@example.com> until origin/main has its pins" in row[-1]
    rows = history(here.person(), "production", service="wine", limit=50).rows
    (held,) = [row for row in rows if row[2] == "held"]
    assert held[7] == commit[:9]


def test_several_services_go_back_by_one_branch(here, world):
    """One commit, a hold on each; another set of services leaves nothing of the first behind."""
    person, site, desired = here.person(), world.site(), world.desired()
    pin = world.pin("wine", "1")
    changed = {BASE: set_model_pin((here.file("main") + "\n").encode(), pin.version, pin.digest)}
    done = wait_in_pull_request(person, site, desired, ("wine", "port"), changed, "Roll back to v1\n")
    branch = "mlrelease/rollback/production/several+"
    assert sorted(service for service, _ in standing(world)) == ["port", "wine"]
    assert {commit for _, commit in standing(world)} == {done.sha} == {here.at(branch)}
    pin = world.pin("wine", "2")
    other = {BASE: set_model_pin((here.file("main") + "\n").encode(), pin.version, pin.digest)}
    again = wait_in_pull_request(person, site, desired, ("wine", "port"), other, "Roll back to v2\n")
    assert again.sha == here.at(branch) != done.sha
    assert again.number == done.number
    assert "| wine | 3 | 2 |" in here.open[0]["body"]


def test_what_contradicts_is_refused(here):
    """`--no-push` and `--pr`."""
    with pytest.raises(UsageError):
        back(here, pr=True, push=False)


def test_another_person_s_hold_is_no_rollback_s(here, world):
    """A freeze stands beside it: the rollback passes it, and it goes on after the merge."""
    world.site().ledger.append([Held(world.ids(), "production", world.clock, "grace", "freeze", "")])
    back(here)
    world.run()
    assert world.live() == {"wine": "2"}
    here.hub.review(here.name, here.open[0]["number"], "grace")
    here.hub.merge(here.name, here.open[0]["number"])
    world.run()
    assert [held.reason for held in world.history().holds] == ["freeze"]


def test_a_workspace_without_a_git_identity_can_propose(here, monkeypatch):
    """A job or a host: the tool signs by itself."""
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here.pair.root))
    workspace = replace(here.person(), actor="ci")
    assert back(here, workspace=workspace, pr=True).exit_code == 0
    assert git(here.bare, "log", "-1", "--format=%an", BRANCH) == "mlrelease"
