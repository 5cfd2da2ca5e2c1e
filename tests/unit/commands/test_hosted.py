"""`reconcile --hosted`: what a scheduled run says of environments whose host is elsewhere, and what it mends itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.deploy import DeployOptions
from mlrelease.commands.hosted import hosted
from mlrelease.commands.words import hold
from mlrelease.delivery.agent import ownership
from mlrelease.errors import Error, UsageError
from mlrelease.model.beat import SILENT_S
from support.pair import Pair, identity, staged
from support.watching import agent_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in both environments, and both agents have said so."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", approval="none").create()
        for environment in ("staging", "production"):
            agent = agent_of(pair, environment)
            agent.once()
            agent.once()
    return pair


@pytest.fixture
def pair(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


def looked(pair, *environments, here=False):
    """The report on a runner, or on a machine where a pass has claimed the targets."""
    person = pair.person(folder=pair.host if here else None)
    person = replace(person, site_of=lambda environment: replace(pair.site(environment), runs_here=here))
    return hosted(person, environments, DeployOptions())


def test_all_is_well(pair):
    """Exit 0, from the agents' own words; nothing is written."""
    height = pair.history().height
    report = looked(pair)
    assert report.exit_code == 0
    assert report.verdict.startswith("2 environments: production at ")
    assert [row[:4] for row in report.rows] == [
        ("production", "wine", "InSync", "Healthy"),
        ("staging", "wine", "InSync", "Healthy"),
    ]
    assert pair.history().height == height


def test_an_environment_named_twice_is_looked_at_once(pair):
    """In the order in which they were named."""
    assert looked(pair, "staging", "staging").verdict == looked(pair, "staging").verdict
    assert [row[0] for row in looked(pair, "staging", "production", "staging").rows] == ["staging", "production"]


def test_a_silent_agent_is_one(pair):
    """Longer than five beats; the next command is to start it."""
    pair.clock += SILENT_S + 60.0
    report = looked(pair, "production")
    assert (report.exit_code, report.next) == (1, "mlrelease agent production")
    assert "the agent has been silent for 6 min" in report.verdict
    assert report.data["agent"]["silent"] is True


def test_an_environment_that_no_agent_ever_reported_from_is_one(tmp_path):
    """Nothing that is merged goes live there."""
    pair = Pair(tmp_path / "p", approval="none").create()
    report = looked(pair, "staging")
    assert (report.exit_code, report.next) == (1, "mlrelease agent staging")
    assert report.verdict.endswith(": no agent ever reported")
    assert report.data["agent"] is None


def test_what_the_agent_has_not_come_to_is_three(pair):
    """Changes wait; the next command waits for them."""
    pair.stage("wine", "2")
    report = looked(pair, "staging")
    assert (report.exit_code, report.next) == (3, "mlrelease wait staging")
    assert report.verdict.endswith("waits for the agent: wine")


def test_a_tip_that_the_agent_has_not_seen_is_three_though_it_changes_nothing(pair):
    """Whether all is well there is not known yet."""
    pair.commit("Only words")
    report = looked(pair, "production")
    assert report.exit_code == 3
    assert report.verdict.endswith("the agent has not looked at it yet")
    assert report.rows[0][1] == "Unknown"


def test_drift_is_three(pair):
    """The agent saw that what runs is not what is recorded, and has not mended it."""
    beat = pair.site().ledger.heartbeat("production")
    pair.site().ledger.beat("production", beat | {"sync": {"wine": "Drifted"}})
    report = looked(pair, "production")
    assert (report.exit_code, report.rows[0][1]) == (3, "Drifted")
    assert report.verdict.endswith("drifted: wine")


def test_what_is_held_is_five_as_the_agent_says(pair):
    """Nothing is wrong with the agent."""
    hold(pair.person(), "production", service="", reason="quarter end", until=0.0)
    staged(pair)
    pair.bump("wine", "2")
    agent_of(pair).once()
    report = looked(pair, "production")
    assert (report.exit_code, report.next) == (5, "mlrelease plan production")
    assert "blocked: wine (held by grace: quarter end)" in report.verdict


def test_a_pass_that_ended_in_an_error_is_one(pair):
    """In the agent's words."""
    beat = pair.site().ledger.heartbeat("production")
    broken = beat | {"exit_code": 1, "verdict": "the disk is full", "sync": {}, "health": {}}
    pair.site().ledger.beat("production", broken)
    report = looked(pair, "production")
    assert (report.exit_code, report.verdict.endswith("the disk is full")) == (1, True)
    assert report.rows[0][1] == "Unknown"


def test_an_older_agent_that_does_not_say_is_no_failure(pair):
    """It lives and has looked at the tip; more is not known."""
    beat = pair.site().ledger.heartbeat("production")
    pair.site().ledger.beat("production", {"at": beat["at"], "revision": beat["revision"]})
    assert looked(pair, "production").exit_code == 0


def test_the_worst_of_several_wins_and_findings_stop_only_theirs(pair):
    """Staging has changes, production's file is broken."""
    pair.stage("wine", "2")
    file = pair.laptop / "environments/production/environment.yaml"
    file.write_text(file.read_text().replace("schema: 1", "schema: 9"))
    pair.commit("A schema of the future")
    report = looked(pair)
    assert report.exit_code == 4
    assert [name for name, *_ in report.rows] == ["staging"]
    assert set(report.data["environments"]) == {"production", "staging"}


def test_where_the_target_is_and_nobody_watches_a_pass_mends_it(pair):
    """An instance died, and the agent has been silent: this is the host, so it is put right."""
    victim = pair.target.routed["wine"][0]
    del pair.target.instances[victim]
    pair.clock += SILENT_S + 60.0
    report = looked(pair, "production", here=True)
    assert report.exit_code == 0
    assert report.data["services"]["wine"]["change"] == "repair"
    assert len(pair.target.routed["wine"]) == 2


def test_where_the_target_is_and_an_agent_lives_nothing_is_touched(pair):
    """Two who repair would be one too many."""
    victim = pair.target.routed["wine"][0]
    del pair.target.instances[victim]
    height = pair.history().height
    looked(pair, "production", here=True)
    assert victim not in pair.target.instances
    with ownership(pair.site().state_dir) as owned:
        assert owned
        pair.clock += SILENT_S + 60.0
        assert looked(pair, "production", here=True).exit_code == 1
    assert pair.history().height == height


def test_an_evicted_run_is_made_up_for_by_the_next(pair):
    """Two pushes whose runs never came: the next scheduled one deals with both, where it is the host."""
    pair.stage("wine", "2")
    pair.commit("Only words")
    pair.clock += SILENT_S + 60.0
    assert looked(pair, "staging", here=True).exit_code == 0
    assert pair.history("staging").bundle("wine").versions() == {"wine": "2"}


def test_a_name_that_is_none_is_usage(pair):
    """A slip of the pen starts nothing."""
    with pytest.raises(UsageError, match="there is no environment 'prod'"):
        looked(pair, "prod")


def test_a_repository_without_environments_is_an_error(pair):
    """There is nothing to ask about."""
    for file in sorted((pair.laptop / "environments").rglob("*.yaml")):
        file.unlink()
    pair.commit("Emptied")
    with pytest.raises(Error):
        looked(pair)
