"""`status` says how old the agent's word is, here and from elsewhere; and of several environments, one that is broken too."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from mlrelease.commands.status import status
from mlrelease.commands.workspace import FindingsError
from mlrelease.errors import Error, UsageError
from mlrelease.model.beat import SILENT_S
from support.pair import Pair, identity
from support.watching import agent_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in staging, and nobody watches."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", approval="none").create()
        pair.run("staging")
    return pair


@pytest.fixture
def pair(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


def looked(pair, *, here):
    person = pair.person()
    person = replace(person, site_of=lambda environment: replace(pair.site(environment), runs_here=here))
    return status(person, ("staging",))


@pytest.mark.parametrize("here", [True, False], ids=["on the host", "elsewhere"])
def test_the_agents_word_has_an_age(pair, here):
    """Twelve seconds ago; long ago it is silence."""
    agent_of(pair, "staging").once()
    pair.clock += 12.0
    report = looked(pair, here=here)
    assert report.exit_code == 0
    assert any(note.startswith("staging: the agent reported 12 s ago (at ") for note in report.notes)
    assert report.data["environments"]["staging"]["heartbeat"]["age_s"] == 12.0
    pair.clock += SILENT_S
    assert any("staging: the agent has been silent for 5 min" in note for note in looked(pair, here=here).notes)


@pytest.mark.parametrize(("here", "told"), [(True, ("InSync", "in sync")), (False, ("Unknown", "as recorded"))], ids=str)
def test_what_was_not_looked_at_is_not_called_in_sync(pair, here, told):
    """Elsewhere the ledger alone speaks."""
    (row,) = looked(pair, here=here).rows
    assert (row[2], row[-1]) == told


def test_elsewhere_that_nobody_ever_reported_is_said(pair):
    """There is nothing else to go by there."""
    report = looked(pair, here=False)
    assert "staging: no agent ever reported" in report.notes
    assert report.data["environments"]["staging"]["heartbeat"] is None


def test_on_the_host_without_an_agent_one_line_is_enough(pair):
    """That nobody watches is said already."""
    notes = looked(pair, here=True).notes
    assert "no agent watches staging on this host: mlrelease agent" in notes
    assert not any("ever reported" in note for note in notes)


# -- several environments ----------------------------------------------------------------------------------------------


def everywhere(pair, *names):
    person = pair.person()
    return status(replace(person, site_of=lambda environment: replace(pair.site(environment), runs_here=True)), names)


def test_all_environments_are_looked_at_in_order(pair):
    """Without a name; the worst health of all is in the verdict, and what is not deployed is not in sync."""
    report = everywhere(pair)
    assert [(row[0], row[2], row[3]) for row in report.rows] == [
        ("production", "OutOfSync", "Missing"),
        ("staging", "InSync", "Healthy"),
    ]
    tip = report.data["environments"]["staging"]["revision"][:9]
    assert report.verdict == f"1 of 2 services in sync with origin/main at {tip}, Missing"
    assert (report.exit_code, report.next) == (0, "mlrelease history production")


def test_one_that_is_named_twice_has_its_rows_once(pair):
    """In the order in which they were named."""
    report = everywhere(pair, "staging", "production", "staging")
    assert [row[0] for row in report.rows] == ["staging", "production"]
    assert report.next == "mlrelease history staging"
    assert list(report.data["environments"]) == ["staging", "production"]


def test_one_that_cannot_be_read_does_not_hide_the_others(pair):
    """Exit 4 with its finding; of it nothing is known, which is the worst health. Alone, or by name, it is the error."""
    path = pair.laptop / "environments/production/environment.yaml"
    path.write_text(path.read_text() + "colour: red\n")
    pair.commit("Break production")
    report = everywhere(pair)
    assert [row[0] for row in report.rows] == ["staging"]
    assert report.notes[0].startswith("production cannot be read: ")
    assert report.notes[0].endswith(": mlrelease validate --offline")
    assert (report.exit_code, report.next) == (4, "mlrelease validate --offline")
    assert report.verdict.endswith(", Unknown")
    for names in (("production",), ("staging", "production")):
        with pytest.raises(FindingsError, match="production cannot be read"):
            everywhere(pair, *names)
    path = pair.laptop / "environments/staging/environment.yaml"
    path.write_text(path.read_text() + "colour: red\n")
    pair.commit("Break staging too")
    with pytest.raises(FindingsError, match="production cannot be read"):
        everywhere(pair)


def test_a_git_host_that_is_away_is_said(pair):
    """What is known is of the last fetch."""
    (pair.root / "origin.git").rename(pair.root / "away.git")
    report = everywhere(pair, "staging")
    assert report.notes[-1] == "the git host did not answer: this is the last fetched tip of origin/main"
    assert report.exit_code == 0


def test_a_name_that_is_none_is_usage(pair):
    """With those that are; in a repository without any, that is said."""
    with pytest.raises(UsageError) as refused:
        everywhere(pair, "staging", "nowhere")
    assert refused.value.hint == "environments here: production, staging"
    shutil.rmtree(pair.laptop / "environments")
    pair.commit("Remove everything")
    with pytest.raises(Error) as failed:
        everywhere(pair)
    assert (failed.value.message, failed.value.hint) == (
        "there is no environment at origin/main", "mlrelease validate --offline",
    )  # fmt: skip
