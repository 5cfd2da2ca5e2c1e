"""`history --kpi` and `history --since`: over real git and a real ledger, whose figures are counted by hand."""

from __future__ import annotations

import json

import pytest
from mlrelease.commands.history import history
from mlrelease.commands.kpi import kpi
from mlrelease.errors import UsageError
from mlrelease.model.when import iso
from support.desk import desk, told
from support.pair import identity
from support.past import dated
from support.repositories import git
from support.world import World

HOUR = 3600.0
DAY = 86400.0
pytestmark = pytest.mark.xdist_group("kpi")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two services: both deployed; `a` moved on by a merged pull request and rolled back, `b` failed its proof."""
    with identity():
        world = World(tmp_path_factory.mktemp("kpi") / "w", services=("a", "b"))
        dated(world)
        world.create()
        world.run()
        world.clock += 2 * DAY

        # Written an hour before it is merged, merged ten minutes before it is deployed.
        dated(world)
        git(world.laptop, "checkout", "--quiet", "-b", "bump")
        pin, path = world.pin("a", "2"), world.model_file("a")
        from mlrelease.spec.edit import set_model_pin

        path.write_bytes(set_model_pin(path.read_bytes(), pin.version, pin.digest))
        git(world.laptop, "commit", "--quiet", "--all", "--message", "Pin a 2")
        world.clock += HOUR
        dated(world)
        git(world.laptop, "checkout", "--quiet", "main")
        git(world.laptop, "merge", "--quiet", "--no-ff", "--message", "Merge pull request #5 from acme/bump", "bump")
        git(world.laptop, "push", "--quiet", "origin", "main")
        merge = git(world.laptop, "rev-parse", "HEAD")
        world.clock += 540.0
        world.run()
        world.clock += DAY

        dated(world)
        git(world.laptop, "revert", "--no-edit", "--mainline", "1", merge)
        world._pushed()
        world.clock += 60.0
        world.run()

        world.bump("b", "2")
        world.target.die_loading.add(world.desired().spec.environments["production"].services["b"].bundle.id)
        world.run()
        world.clock += DAY
        yield world


def test_a_merge_is_dated_by_what_it_brought(world):
    """Landed when it was merged, written when its commit was."""
    found = kpi(desk(world), "production", service="a").data["services"]["a"]
    assert found["lead_time_landed"]["n"] == 2
    assert (found["lead_time_landed"]["longest"], found["lead_time_authored"]["longest"]) == (600.0, HOUR + 600.0)


def test_the_figures_of_all_and_of_each(world):
    """Counted by hand."""
    data = kpi(desk(world), "production").data
    assert (data["kpis"]["deployments"], data["kpis"]["change_failures"]) == (3, {"part": 2, "of": 4, "rate": 0.5})
    assert data["kpis"]["failed_by"] == {"rolled_back": 1, "undone": 1}
    assert data["services"]["a"]["rollback_from_commit"]["longest"] == 120.0
    assert data["services"]["a"]["time_to_restore"]["longest"] == pytest.approx(DAY + 120.0, abs=60.0)
    assert data["services"]["b"]["time_to_restore"]["n"] == 0, "the candidate never had the traffic"
    assert set(data["services"]["a"]["steps"]) >= {"start", "switch", "proof"}


def test_a_service_is_shown_alone_and_an_unknown_one_refused(world):
    """With the names that there are."""
    report = kpi(desk(world), "production", service="b")
    assert [row[0] for row in report.rows] == ["b"]
    with pytest.raises(UsageError, match="nothing is recorded of a service 'c'") as refused:
        kpi(desk(world), "production", service="c")
    assert refused.value.hint.endswith("a, b")


def test_a_time_can_be_asked_for(world):
    """The window's end is not in it: the failure of `b` was exactly a day ago."""
    window = {"since": "3d", "until": "1d"}
    data = kpi(desk(world), "production", **window).data
    assert data["kpis"]["deployments"] == 1
    lines = history(desk(world), "production", service="", limit=99, **window).rows
    assert [row[2] for row in lines] == ["rollback succeeded", "update succeeded"]
    early = history(desk(world), "production", service="", limit=99, until="3d").rows
    assert {row[2] for row in early} == {"create succeeded"}


def test_without_a_time_everything_counts_also_of_a_clock_that_is_ahead(world, monkeypatch):
    """The host's moment may still be to come here."""
    whole = kpi(desk(world), "production").data["kpis"]["success"]["of"]
    monkeypatch.setattr(world, "clock", world.clock - 30 * DAY)
    assert kpi(desk(world), "production").data["kpis"]["success"]["of"] == whole


def test_a_clone_without_the_branch_has_no_lead_times_and_says_why(world, tmp_path):
    """The other figures are there."""
    from dataclasses import replace

    person = desk(world)
    report = kpi(replace(person, branch=replace(person.branch, branch="nowhere")), "production")
    assert report.data["kpis"]["lead_time_landed"]["n"] == 0
    assert any(note.startswith("no lead times: there is no commit on origin/nowhere") for note in report.notes)
    assert any("deployments without a lead time: 3" in note for note in report.notes)


def test_an_environment_that_is_none_is_refused(world):
    """A slip of the pen is no empty table."""
    with pytest.raises(UsageError, match="no environment 'prod'"):
        kpi(desk(world), "prod")


def test_the_report_names_its_window(world, capsys):
    """From the ledger's first event to now."""
    text = told(kpi(desk(world), "production"), world, capsys, output="json")
    data = json.loads(text.rpartition("exit code")[0])
    first = world.site().ledger.read("production").events[0]
    assert (data["since"], data["until"]) == (iso(first.at), iso(world.clock))
    assert data["verdict"].startswith("production: deployments 3, failed changes 2 of 4")
