"""`wait`: on another machine than the host, until the tip was dealt with; each ending with its exit code and next command."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from mlrelease.commands.wait import WaitOptions, wait
from mlrelease.commands.words import hold
from mlrelease.errors import Error, UsageError
from mlrelease.model.beat import SILENT_S
from support.estate import until
from support.pair import Pair, approved, identity, staged
from support.watching import agent_of, watched
from support.world import git


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in production, whose agent has said so."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", approval="none").create()
        pair.run("staging")
        pair.run()
        agent_of(pair).once()
    return pair


@pytest.fixture
def pair(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


def waited(pair, *, environment="production", variables=None, **options):
    """The wait of somebody at the laptop; nothing is to be waited for unless a time is given."""
    person = pair.person()
    person = replace(person, variables={**person.variables, **(variables or {})})
    return wait(person, environment, WaitOptions(**{"timeout_s": 0.0, "interval_s": 0.05} | options))


def failing(pair, version="2"):
    """The version is pinned, and every instance of it says that it is something else."""
    staged(pair, version)
    commit = pair.bump("wine", version)
    bundle = pair.desired().spec.environments["production"].services["wine"].bundle
    pair.target.lie.add(bundle.id)
    return commit


def test_what_was_dealt_with_before_is_said_at_once(pair, capsys):
    """Exit 0, what runs by name, and the agent's own word."""
    report = waited(pair)
    tip = pair.desired().revision
    assert (report.exit_code, report.next) == (0, "mlrelease status production")
    assert report.verdict == f"production at {tip[:9]}: wine succeeded"
    assert report.data["services"]["wine"]["came_to"] == "succeeded"
    assert report.data["agent"]["revision"] == tip
    assert "the agent reported" in report.notes[0]
    assert f"production at {tip[:9]}: wine succeeded: first deploy here" in capsys.readouterr().err


def test_a_push_is_waited_for_until_its_receipt(pair, capsys):
    """One line for each change of state; the receipt's exit code."""
    staged(pair)
    pair.bump("wine", "2")
    with watched(pair):
        report = waited(pair, timeout_s=30.0)
    assert report.exit_code == 0
    assert pair.live() == {"wine": "2"}
    (row,) = report.rows
    assert row[:2] == ("wine", "update: succeeded")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(set(lines))


def test_a_tip_that_changes_nothing_ends_once_the_agent_has_seen_it(pair):
    """No receipt is written for it; before the agent has looked, nobody knows."""
    tip = pair.commit("Only words")
    assert waited(pair).exit_code == 1
    with watched(pair):
        report = waited(pair, timeout_s=30.0)
    assert (report.exit_code, report.verdict) == (0, f"production at {tip[:9]}: wine in sync")


def test_an_automatic_rollback_is_six_and_names_the_way_back(pair):
    """Also when the agent has looked again since, and says "rejected" by now."""
    failing(pair)
    agent = agent_of(pair)
    assert [agent.once(), agent.once()] == [6, 5]
    report = waited(pair)
    assert (report.exit_code, report.next) == (6, "mlrelease rollback production --service wine --last-good")
    assert report.data["services"]["wine"]["came_to"] == "rolled_back"


def test_what_is_held_ends_the_wait_with_five(pair):
    """Named, with the next command; the host need not even live."""
    hold(pair.person(), "production", service="", reason="quarter end", until=0.0)
    staged(pair)
    pair.bump("wine", "2")
    report = waited(pair)
    assert (report.exit_code, report.next) == (5, "mlrelease history production --service wine")
    assert "quarter end" in report.rows[0][4]
    assert report.data["services"]["wine"]["blocked_by"] == "hold"


def test_what_was_never_proved_upstream_sends_to_the_environment_before(pair):
    """Its own wait is the one to run first."""
    pair.bump("wine", "2")
    report = waited(pair)
    assert (report.exit_code, report.next) == (5, "mlrelease wait staging")


def test_a_gate_that_shut_is_five_with_its_word(pair):
    """From the receipt: the gate ran on the host."""
    staged(pair, "3")
    pair.bump("wine", "3")
    pair.registry.add("wine", "3", {"MLmodel": b"flavors: {}\n", "model.bin": b"something else"})
    agent_of(pair).once()
    report = waited(pair)
    assert report.exit_code == 5
    assert "gate digest failed" in report.rows[0][4]


def test_findings_in_the_tip_are_four(pair):
    """No host will ever deal with a file that cannot be read."""
    pair.service_file("wine").write_text("schema: 1\nservice: wine\n")
    pair.commit("Half a file")
    report = waited(pair)
    assert (report.exit_code, report.next) == (4, "mlrelease validate --offline")


def test_nobody_comes_in_time(pair, capsys):
    """Exit 1, what was last seen, and that the agent has been silent; what to start is the next command."""
    staged(pair)
    pair.bump("wine", "2")
    pair.clock += SILENT_S + 60.0
    report = waited(pair)
    assert (report.exit_code, report.next) == (1, "mlrelease agent production")
    assert "not dealt with within 0 s; last seen: wine waits for its update" in report.verdict
    assert "the agent has been silent for" in report.notes[0]
    assert "silent" in capsys.readouterr().err


def test_an_agent_that_lives_and_is_late_is_waited_for_again(pair):
    """The next command is the same wait."""
    staged(pair)
    pair.bump("wine", "2")
    report = waited(pair)
    assert (report.exit_code, report.next) == (1, "mlrelease wait production")


def test_without_any_agent_ever_it_says_so(tmp_path):
    """A new environment, and nobody at home."""
    pair = Pair(tmp_path / "p", approval="none").create()
    report = waited(pair, environment="staging")
    assert (report.exit_code, report.notes[0], report.next) == (1, "no agent ever reported", "mlrelease agent staging")
    assert report.data["agent"] is None


def test_a_newer_commit_supersedes_the_one_waited_for(pair, capsys):
    """The tip is what counts: said, and waited for instead."""
    staged(pair)
    first = pair.bump("wine", "2")
    reports = []
    with watched(pair) as away:
        away.set()
        waiting = threading.Thread(target=lambda: reports.append(waited(pair, timeout_s=60.0)))
        waiting.start()
        until(lambda: "waits for its update" in capsys.readouterr().err, what="the first look")
        second = pair.commit("Only words")
        away.clear()
        waiting.join(60)
    (report,) = reports
    assert (report.exit_code, report.data["revision"], report.data["superseded"]) == (0, second, [first])
    assert f"moved on from {first[:9]} to {second[:9]}" in capsys.readouterr().err
    assert pair.live() == {"wine": "2"}


def test_a_job_that_was_skipped_is_made_up_for_by_the_next(pair):
    """Two pushes, one wait: the second one's deals with both, as the host does."""
    staged(pair)
    skipped = pair.bump("wine", "2")
    pair.commit("Later words")
    with watched(pair):
        assert waited(pair, timeout_s=30.0).exit_code == 0
    assert pair.live() == {"wine": "2"}
    assert git(pair.laptop, "merge-base", "--is-ancestor", skipped, pair.history().applied) == ""


def test_an_old_job_that_runs_again_ends_at_once_with_its_own_receipt(pair):
    """Nothing is started; what it came to then is what it comes to now."""
    bad = failing(pair)
    agent_of(pair).once()
    staged(pair, "3")
    pair.bump("wine", "3")
    agent_of(pair).once()
    assert pair.live() == {"wine": "3"}
    height = pair.history().height
    report = waited(pair, revision=bad)
    assert report.exit_code == 6
    assert report.verdict == f"production: {bad[:9]} was already dealt with, and superseded by {pair.history().applied[:9]}"
    assert pair.history().height == height


def test_an_old_job_without_a_receipt_takes_that_of_what_superseded_it(pair):
    """Its commit was never the tip when a host looked."""
    staged(pair)
    never_alone = pair.bump("wine", "2")
    newest = pair.commit("Only words")
    agent_of(pair).once()
    pair.commit("More words")
    report = waited(pair, revision=never_alone)
    assert (report.exit_code, report.data["superseded_by"]) == (0, newest)
    assert report.verdict == f"production: {never_alone[:9]} was superseded by {newest[:9]}"


def test_in_a_github_run_the_runs_commit_is_what_counts(pair):
    """A run that is started again is about its own commit, without being told."""
    old = pair.desired().revision
    staged(pair)
    pair.bump("wine", "2")
    agent_of(pair).once()
    run = {"GITHUB_ACTIONS": "true", "GITHUB_SHA": old}
    assert waited(pair, variables=run).data["superseded_by"] == pair.history().applied
    elsewhere = {"GITHUB_ACTIONS": "true", "GITHUB_SHA": "f" * 40}
    assert "superseded_by" not in waited(pair, variables=elsewhere).data
    assert "superseded_by" not in waited(pair, variables={"GITHUB_SHA": old}).data


def test_a_commit_that_is_on_no_branch_of_the_host_is_an_error(pair):
    """It would be waited for until the end of time."""
    git(pair.laptop, "checkout", "--quiet", "-b", "feature")
    git(pair.laptop, "commit", "--quiet", "--allow-empty", "-m", "Not merged")
    with pytest.raises(Error, match="is not on origin/main") as raised:
        waited(pair, revision="feature")
    assert raised.value.hint == "merge it into main first"
    with pytest.raises(UsageError, match="there is no commit 'nonsense' here"):
        waited(pair, revision="nonsense")


def test_a_branch_that_was_moved_back_is_refused_as_the_host_does(pair):
    """The host will not go there, so there is nothing to wait for."""
    first = git(pair.laptop, "rev-parse", "HEAD")
    staged(pair)
    pair.bump("wine", "2")
    agent_of(pair).once()
    git(pair.laptop, "push", "--quiet", "--force", "origin", f"{first}:main")
    with pytest.raises(Error, match="older than what was applied here"):
        waited(pair)


def test_while_the_git_host_does_not_answer_nothing_is_concluded(pair):
    """What was last fetched may be old: it is said, and waited."""
    origin = pair.root / "origin.git"
    site = pair.site()
    person = replace(pair.person(), site_of=lambda _: site)
    origin.rename(pair.root / "away.git")
    report = wait(person, "production", WaitOptions(timeout_s=0.0))
    assert report.exit_code == 1
    assert "the git host did not answer: this is what was last fetched" in report.notes
    (pair.root / "away.git").rename(origin)
    assert wait(person, "production", WaitOptions(timeout_s=0.0)).exit_code == 0


def test_a_damaged_heartbeat_is_as_none(pair):
    """It is logged; a receipt needs no heartbeat."""
    pair.site().ledger.beat("production", {"at": "yesterday"})
    report = waited(pair)
    assert (report.exit_code, report.notes[0], report.data["agent"]) == (0, "no agent ever reported", None)


def test_an_approval_is_waited_for_by_nobody_but_taken_up_when_given(tmp_path):
    """First five with the command to run; after the yes, the same wait goes on to the end."""
    pair = Pair(tmp_path / "p").create()
    pair.run("staging")
    report = waited(pair)
    assert (report.exit_code, report.next) == (5, "mlrelease approve production --service wine")
    agent_of(pair).once()
    assert waited(pair).exit_code == 5
    approved(pair)
    assert waited(pair).exit_code == 1, "the agent has not looked since"
    with watched(pair):
        assert waited(pair, timeout_s=30.0).exit_code == 0
    assert pair.live() == {"wine": "1"}


def test_a_shallow_checkout_of_a_runner_is_enough(pair):
    """As a workflow checks out: one commit deep; what was applied before lies beyond it."""
    staged(pair)
    tip = pair.bump("wine", "2")
    git(pair.root, "clone", "--quiet", "--depth=1", f"file://{pair.root / 'origin.git'}", "runner")
    agent_of(pair).once()
    newer = pair.commit("Only words")
    agent_of(pair).once()
    person = pair.person(folder=pair.root / "runner")
    run = {**person.variables, "GITHUB_ACTIONS": "true", "GITHUB_SHA": tip}
    report = wait(replace(person, variables=run), "production", WaitOptions(timeout_s=0.0))
    assert (report.exit_code, report.data["revision"]) == (0, newer)
