"""Events and their JSON: what is written is read again, and what a newer version wrote is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.model import event as events
from mlrelease.model.bundle import IMAGE, canonical_json, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import (
    Approved,
    DeployFinished,
    DeployStarted,
    Held,
    Owner,
    Probe,
    Rejected,
    ServiceReceipt,
    Step,
    Unheld,
    UnknownEvent,
    Unrejected,
)
from mlrelease.model.event_json import SCHEMA, event_from_json, event_to_json
from support.core import bundle, digest

text = st.text(max_size=12)
moments = st.integers(1, 4_000_000_000_000).map(lambda ms: ms / 1000)
components = st.lists(
    st.tuples(st.sampled_from([IMAGE, model_key("A")]), st.sampled_from([digest("1"), digest("2")])), max_size=2
).map(tuple)
bundles = st.none() | st.builds(
    lambda tag, version, env: bundle("risk", tag, {"A": version, "B": "1"}, **env),
    text.filter(lambda t: "@" not in t),
    text,
    st.dictionaries(st.sampled_from(["X", "Y"]), text),
)
receipts = st.builds(
    ServiceReceipt,
    outcome=st.sampled_from(Outcome),
    change=st.sampled_from(ChangeKind),
    direction=st.sampled_from(Direction),
    reason=text,
    before=bundles,
    after=bundles,
    rejects=components,
    gate_results=st.lists(
        st.fixed_dictionaries({"gate": text, "evidence": st.dictionaries(text, st.integers())}), max_size=2
    ).map(tuple),
    probes=st.lists(st.builds(Probe, text, text, text, text), max_size=2).map(tuple),
    steps=st.lists(st.builds(Step, text, st.integers(0, 10**6).map(lambda n: n / 10_000), text), max_size=2).map(tuple),
    exercised=st.lists(text, max_size=2).map(tuple),
    settings=st.dictionaries(text, st.integers() | text, max_size=2),
)
common = {"id": text, "environment": text, "at": moments, "actor": text}
STRATEGIES = {
    DeployStarted: st.builds(
        DeployStarted,
        **common,
        revision=text,
        trigger=text,
        owner=st.builds(Owner, text, st.integers(), st.floats(allow_nan=False), text),
        expires_at=moments,
        services=st.lists(text, max_size=2).map(tuple),
        supersedes=text,
    ),
    DeployFinished: st.builds(
        DeployFinished,
        **common,
        revision=text,
        trigger=text,
        started=text,
        started_at=moments,
        services=st.dictionaries(st.just("risk"), receipts),
        run_url=text,
    ),
    Held: st.builds(Held, **common, reason=text, service=text, until=st.just(0.0) | moments),
    Unheld: st.builds(Unheld, **common, reason=text, service=text, hold=text),
    Rejected: st.builds(Rejected, **common, reason=text, service=text, components=components),
    Unrejected: st.builds(Unrejected, **common, reason=text, service=text, components=components),
    Approved: st.builds(
        Approved,
        **common,
        service=text,
        before=components,
        after=components,
        approver=text,
        expires_at=moments,
        run_url=text,
        reason=text,
    ),
}


def test_every_kind_of_event_has_a_round_trip():
    """A kind added to the union must be added to the table of this file."""
    assert set(STRATEGIES) == set(events.Event.__args__)


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.KIND)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_an_event_survives_the_ledger(kind, data):
    """Written as text and read again it is the same event."""
    event = data.draw(STRATEGIES[kind])
    stored = json.loads(canonical_json(event_to_json(event)))
    assert event_from_json(stored) == event
    assert (stored["schema"], stored["kind"]) == (SCHEMA, kind.KIND)


def started(**changes):
    event = DeployStarted("e1", "production", 1.0, "ada", "abc", "test", Owner("host", 1, 1.0), 2.0)
    return {**event_to_json(event), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kind": "paused"}, id="a kind that this version does not know"),
        pytest.param({"schema": SCHEMA + 1}, id="a known kind of a later schema"),
        pytest.param({"schema": None}, id="no schema"),
    ],
)
def test_what_a_newer_version_wrote_is_kept_by_name(changes):
    """Neither an error nor a guess: an UnknownEvent with everything that stood there."""
    data = started(**changes)
    assert event_from_json(data) == UnknownEvent(data["kind"], "e1", "production", 1.0, "ada", data)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"at": "yesterday"}, ValueError, id="not a moment"),
        pytest.param({"at": "2026-01-01T00:00:00"}, ValueError, id="a moment without a zone"),
        pytest.param({"owner": {"host": "h"}}, TypeError, id="an owner without its process"),
        pytest.param({"owner": {"host": "h", "pid": 1, "process_started": 1.0, "shoe": 43}}, TypeError, id="an owner too rich"),
        pytest.param({"services": None}, TypeError, id="null for a list"),
    ],
)
def test_a_damaged_event_is_an_error(changes, error):
    """A known kind that cannot be read is never passed over."""
    with pytest.raises(error):
        event_from_json(started(**changes))


@pytest.mark.parametrize("key", ["id", "environment", "actor", "revision", "owner", "expires_at"])
def test_an_event_without_a_field_is_an_error(key):
    """Every field that has no default must stand there."""
    data = started()
    del data[key]
    with pytest.raises(KeyError):
        event_from_json(data)


def test_an_owner_is_named_for_people():
    """A lock's holder is shown by name, host and process."""
    assert str(Owner("db1", 42, 1.0, "agent")) == "agent on db1 (pid 42)"
    assert str(Owner("db1", 42, 1.0)) == "process on db1 (pid 42)"


def test_a_hold_without_end_says_so():
    """People read the file: no end is an empty text, not the year 1970."""
    endless = Held("e1", "production", 1.0, "ada", "freeze")
    assert event_to_json(endless)["until"] == ""
    assert event_to_json(Held("e1", "production", 1.0, "ada", "freeze", until=60.0))["until"] == "1970-01-01T00:01:00.000Z"


def test_an_approval_stands_in_the_ledger_as_lists_of_digests():
    """Who, what from, what to and until when: all that a reader of the branch needs, and nothing to be looked up."""
    approved = Approved(
        id="e1",
        environment="production",
        at=1.0,
        actor="ci",
        service="risk",
        before=(),
        after=((IMAGE, "sha256:1"), (model_key("A"), "sha256:2")),
        approver="ada",
        expires_at=61.0,
        run_url="https://example.org/runs/7",
    )
    assert event_to_json(approved) == {
        "schema": 1,
        "kind": "approved",
        "id": "e1",
        "environment": "production",
        "at": "1970-01-01T00:00:01.000Z",
        "actor": "ci",
        "service": "risk",
        "before": [],
        "after": [["image", "sha256:1"], ["model:A", "sha256:2"]],
        "approver": "ada",
        "expires_at": "1970-01-01T00:01:01.000Z",
        "run_url": "https://example.org/runs/7",
        "reason": "",
    }


@pytest.mark.parametrize("key", ["before", "after", "approver", "expires_at", "service"])
def test_an_approval_without_its_terms_is_an_error(key):
    """What is not said is never taken for "anything" or "for ever"."""
    data = event_to_json(Approved("e1", "production", 1.0, "ada", "risk", (), (), "ada", 2.0))
    del data[key]
    with pytest.raises(KeyError):
        event_from_json(data)


def test_a_hold_with_a_commit_comes_back_whole():
    """And one that an older version wrote has none."""
    held = Held("e1", "production", 1.0, "ada", "Roll back wine", "wine", pinned_to="a" * 40)
    data = event_to_json(held)
    assert data["pinned_to"] == "a" * 40
    assert event_from_json(data) == held
    del data["pinned_to"]
    assert event_from_json(data).pinned_to == ""


def test_the_end_of_one_hold_comes_back_whole():
    """And one that an older version wrote ends all of the service's."""
    over = Unheld("e2", "production", 1.0, "agent", "main has its pins", "wine", hold="e1")
    data = event_to_json(over)
    assert event_from_json(data) == over
    del data["hold"]
    assert event_from_json(data).hold == ""
