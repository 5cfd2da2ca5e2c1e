"""`status` says how old the agent's word is, here and from elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.status import status
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
