"""What a scheduled run says, from an agent's last word and the ledger's plan: exit code, verdict and next command."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from mlrelease.commands.hosted import asked
from mlrelease.delivery.source import Desired
from mlrelease.model.beat import SILENT_S, Beat
from mlrelease.model.spec import Spec
from support.core import START, Story, environment, service

NOW = START + 10_000
TIP = "abcdef0123456789"
SITE = SimpleNamespace(environment=environment(), branch="origin/main")
WELL = Beat(NOW - 30, TIP, height=2, exit_code=0, verdict="1 in sync", sync={"risk": "InSync"}, health={"risk": "Healthy"})


def story():
    told = Story()
    told.apply(environment(service()))
    return told


def settled():
    """What git wants is recorded."""
    return story().plan(environment(service()), revision=TIP)


def ahead():
    """Version 8 waits to be deployed."""
    return story().plan(environment(service(models={"A": "8"})), revision=TIP)


def held():
    """Version 8 may not be."""
    told = story()
    told.hold("risk")
    return told.plan(environment(service(models={"A": "8"})), revision=TIP)


def said(plan, beat, *, online=True):
    return asked(SITE, Desired(TIP, Spec({}, ()), online), plan, beat, now=NOW)


DRIFTED = replace(WELL, sync={"risk": "Drifted"}, verdict="1 drifted")
OLDER = replace(WELL, revision="0" * 16)
WAIT, START_IT, PLAN = (f"mlrelease {verb} production" for verb in ("wait", "agent", "plan"))
UNSEEN = "the agent has not looked at it yet"
TABLE = {
    "all is well": (settled, WELL, 0, "dealt with", WAIT),
    "nobody ever reported": (settled, None, 1, "no agent ever reported", START_IT),
    "silent": (settled, replace(WELL, at=NOW - SILENT_S - 1), 1, "the agent has been silent for 5 min", START_IT),
    "just not silent": (settled, replace(WELL, at=NOW - SILENT_S), 0, "dealt with", WAIT),
    "a clock ahead": (settled, replace(WELL, at=NOW + 60), 0, "dealt with", WAIT),
    "of an older revision": (settled, OLDER, 3, UNSEEN, WAIT),
    "a change waits": (ahead, OLDER, 3, "waits for the agent: risk", WAIT),
    "a change waits at the tip": (ahead, WELL, 3, "waits for the agent: risk", WAIT),
    "drift": (settled, DRIFTED, 3, "drifted: risk", WAIT),
    "drift and a change": (ahead, DRIFTED, 3, "waits for the agent: risk; drifted: risk", WAIT),
    "held": (held, replace(WELL, exit_code=5, verdict="1 held"), 5, "blocked: risk (", PLAN),
    "a pass that failed": (settled, replace(WELL, exit_code=1, verdict="MLflow is away"), 1, "MLflow is away", PLAN),
    "rolled back": (settled, replace(WELL, exit_code=6, verdict="1 rolled back"), 6, "1 rolled back", PLAN),
    "an error of an older revision": (settled, replace(OLDER, exit_code=1, verdict="x"), 3, UNSEEN, WAIT),
    "an agent that does not say": (settled, replace(WELL, height=-1, exit_code=-1), 0, "dealt with", WAIT),
}  # fmt: skip


@pytest.mark.parametrize(("plan", "beat", "code", "verdict", "command"), TABLE.values(), ids=TABLE)
def test_the_agents_word_decides(plan, beat, code, verdict, command):
    """What it said of an older revision is not what the tip comes to; a silent one has said nothing."""
    report = said(plan(), beat)
    assert report.verdict.startswith(f"production at {TIP[:9]}: {verdict}")
    assert (report.exit_code, report.next) == (code, command)


@pytest.mark.parametrize(
    ("beat", "words"),
    [
        (WELL, ("InSync", "Healthy")),
        (OLDER, ("Unknown", "Healthy")),
        (None, ("Unknown", "Unknown")),
        (replace(WELL, sync={}, health={}), ("Unknown", "Unknown")),
    ],
    ids=["at the tip", "of an older revision", "nobody", "a service that it did not know"],
)
def test_what_is_not_known_is_unknown(beat, words):
    """Health is what runs, whichever revision; in sync is with the tip alone."""
    (row,) = said(settled(), beat).rows
    assert row[:3] == ("risk", *words)


def test_the_json_has_the_agents_word_and_its_age():
    """Stable keys; none is left out where there is no agent."""
    data = said(ahead(), replace(WELL, at=NOW - 30.04)).data
    assert (data["agent"]["age_s"], data["agent"]["silent"], data["agent"]["revision"]) == (30.0, False, TIP)
    assert data["changes"]["risk"]["change"] == "update"
    assert said(settled(), None).data["agent"] is None
    assert sorted(data) == ["agent", "changes", "environment", "online", "revision"]


def test_a_git_host_that_is_away_is_said():
    """Beside the agent's life, which is always said."""
    assert len(said(settled(), WELL).notes) == 1
    assert said(settled(), WELL, online=False).notes[1] == (
        "the git host did not answer: this is the last fetched tip of origin/main"
    )
