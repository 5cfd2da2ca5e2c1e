"""What the ledger says, held against what clients got."""

from __future__ import annotations

import json
from dataclasses import asdict

from mlrelease.demo.load import Answered, summarize
from mlrelease.demo.proof import objections, proved
from mlrelease.model.when import iso


def finished(began, at, version, outcome="succeeded", change="update"):
    """An event as `history --output json` shows it."""
    models = [{"name": "port", "version": "9"}, {"name": "wine", "version": version}]
    receipt = {"outcome": outcome, "change": change, "after": {"models": models}}
    return {
        "kind": "deploy_finished",
        "at": iso(at),
        "started_at": iso(began),
        "finished_at": iso(at),
        "revision": f"r{at:g}",
        "services": {"wine": receipt},
    }


def answers(*given):
    """A load whose requests started at these moments and were answered by these versions."""
    return summarize(json.dumps(asdict(Answered(s, s, s + 0.01, 200, version=v))) + "\n" for s, v in given)


EVENTS = [
    finished(10, 11, "1", change="create"),
    {"kind": "deploy_started", "at": iso(20), "services": ["wine"]},
    finished(20, 22, "2"),
    finished(30, 31, "4", "rolled_back"),
]


def test_only_what_succeeded_is_proved():
    """A pass that was rolled back ends no stay: the version before goes on being the only one allowed."""
    found = proved(reversed(EVENTS), "wine")
    assert [(p.version, p.revision, p.since, p.until) for p in found] == [("1", "r11", 11, 20), ("2", "r22", 22, float("inf"))]


def test_other_services_are_not_asked():
    """The events of another service say nothing about this one."""
    assert proved(EVENTS, "other") == []


def test_a_model_of_a_fleet_is_told_by_its_name():
    """The versions are those of the model that is asked, whatever else the service serves."""
    assert [p.version for p in proved(EVENTS, "wine", "port")] == ["9", "9"]


def test_no_objection_to_an_orderly_switch():
    """Between the beginning and the end of a pass either may answer."""
    seen = answers((12, "1"), (20.5, "1"), (21, "2"), (21.5, "1"), (23, "2"), (40, "2"))
    assert objections(seen, proved(EVENTS, "wine")) == []


def test_an_answer_of_the_old_version_after_the_switch():
    """What was declared done is done: one old answer is one too many."""
    seen = answers((12, "1"), (23, "2"), (24, "1"))
    assert objections(seen, proved(EVENTS, "wine")) == ["version 1 gave 1 answers while 2 was proved to serve"]


def test_an_answer_of_a_version_that_was_refused():
    """A version that was rolled back must not have answered anybody."""
    seen = answers((12, "1"), (23, "2"), (30.5, "4"))
    assert objections(seen, proved(EVENTS, "wine")) == ["version 4 gave 1 answers while 2 was proved to serve"]


def test_silence_proves_nothing():
    """Where nobody asked, that nothing went wrong is not shown."""
    seen = answers((12, "1"))
    assert len(objections(seen, proved(EVENTS, "wine"))) == 1


def test_failures_are_named_and_counted():
    """The first five by id, the others as a number."""
    failed = [Answered(12 + i, 12 + i, 13 + i, 503, "status 503", request_id=f"id{i}") for i in range(7)]
    seen = summarize(json.dumps(asdict(a)) + "\n" for a in failed)
    found = objections(seen, [])
    assert found[0] == "request id0 failed: status 503"
    assert found[5:] == ["2 more requests failed"]
