"""The form of events in the ledger: every key by its name, what older versions did not write yet, and what is damage."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.model.bundle import IMAGE, SETTINGS, Bundle, Digest, ImagePin, ModelPin, canonical_json, model_key
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
from mlrelease.model.event_json import event_from_json, event_to_json

COMMON = {"id": "01E", "environment": "production", "at": 1_700_000_000.125, "actor": "ada <ada@example.org>"}
SAID = {"schema": 1, "id": "01E", "environment": "production", "at": "2023-11-14T22:13:20.125Z", "actor": COMMON["actor"]}
BUNDLE = Bundle(
    "risk",
    ImagePin("ghcr.io/acme/serve:1@sha256:i"),
    (ModelPin("A", "7", Digest("sha256:a")), ModelPin("B", "1", Digest("sha256:b"))),
    (("MODE", "fast"), ("THRESHOLD", "${T:-0.5}")),
)
CHURN = replace(BUNDLE, service="churn")
BUNDLE_SAID = {
    "id": BUNDLE.id,
    "image": "ghcr.io/acme/serve:1@sha256:i",
    "models": [
        {"name": "A", "version": "7", "digest": "sha256:a"},
        {"name": "B", "version": "1", "digest": "sha256:b"},
    ],
    "settings": {"MODE": "fast", "THRESHOLD": "${T:-0.5}"},
}
EVENTS = {
    "a deploy begins": (
        DeployStarted(
            **COMMON,
            revision="abc",
            trigger="agent",
            owner=Owner(host="db1", pid=42, process_started=12.5, name="agent", boot="m b n"),
            expires_at=1_700_000_900.0,
            services=("churn", "risk"),
            supersedes="01D",
            run_id="01RUN",
        ),
        SAID
        | {
            "kind": "deploy_started",
            "revision": "abc",
            "trigger": "agent",
            "owner": {"host": "db1", "pid": 42, "process_started": 12.5, "name": "agent", "boot": "m b n"},
            "expires_at": "2023-11-14T22:28:20.000Z",
            "services": ["churn", "risk"],
            "supersedes": "01D",
            "run_id": "01RUN",
        },
    ),
    "a deploy ends": (
        DeployFinished(
            **COMMON,
            revision="abc",
            trigger="deploy",
            started="01D",
            started_at=1_700_000_000.0,
            services={
                "risk": ServiceReceipt(
                    outcome=Outcome.ROLLED_BACK,
                    change=ChangeKind.UPDATE,
                    direction=Direction.FORWARD,
                    reason="golden predictions differ",
                    before=None,
                    after=BUNDLE,
                    rejects=((model_key("A"), "sha256:a"), (IMAGE, "sha256:i")),
                    gate_results=({"gate": "exists", "status": "passed"},),
                    probes=(Probe("golden", "failed", "row 3", "risk-1"),),
                    steps=(Step("ready", 1.234_56, "2 of 2"),),
                    exercised=("model",),
                    settings={"replicas": 2},
                ),
                "churn": ServiceReceipt(
                    outcome=Outcome.SUCCEEDED,
                    change=ChangeKind.REMOVE,
                    direction=Direction.NONE,
                    reason="its file says absent",
                    before=CHURN,
                    after=None,
                ),
            },
            run_url="https://example.org/runs/7",
            run_id="01RUN",
        ),
        SAID
        | {
            "kind": "deploy_finished",
            "revision": "abc",
            "trigger": "deploy",
            "started": "01D",
            "started_at": "2023-11-14T22:13:20.000Z",
            "finished_at": "2023-11-14T22:13:20.125Z",
            "run_url": "https://example.org/runs/7",
            "run_id": "01RUN",
            "services": {
                "churn": {
                    "outcome": "succeeded",
                    "change": "remove",
                    "direction": "none",
                    "reason": "its file says absent",
                    "before": BUNDLE_SAID | {"id": CHURN.id},
                    "after": None,
                    "rejects": [],
                    "gate_results": [],
                    "probes": [],
                    "steps": [],
                    "exercised": [],
                    "settings": {},
                },
                "risk": {
                    "outcome": "rolled_back",
                    "change": "update",
                    "direction": "forward",
                    "reason": "golden predictions differ",
                    "before": None,
                    "after": BUNDLE_SAID,
                    "rejects": [["model:A", "sha256:a"], ["image", "sha256:i"]],
                    "gate_results": [{"gate": "exists", "status": "passed"}],
                    "probes": [{"name": "golden", "status": "failed", "reason": "row 3", "instance": "risk-1"}],
                    "steps": [{"name": "ready", "seconds": 1.2346, "detail": "2 of 2"}],
                    "exercised": ["model"],
                    "settings": {"replicas": 2},
                },
            },
        },
    ),
    "a hold": (
        Held(**COMMON, reason="freeze", service="risk", until=1_700_000_060.0, pinned_to="f" * 40),
        SAID
        | {
            "kind": "held",
            "reason": "freeze",
            "service": "risk",
            "until": "2023-11-14T22:14:20.000Z",
            "pinned_to": "f" * 40,
        },
    ),
    "the end of a hold": (
        Unheld(**COMMON, reason="over", service="risk", hold="01H"),
        SAID | {"kind": "unheld", "reason": "over", "service": "risk", "hold": "01H"},
    ),
    "a rejection": (
        Rejected(**COMMON, reason="biased", service="risk", components=((model_key("A"), "sha256:a"),)),
        SAID | {"kind": "rejected", "reason": "biased", "service": "risk", "components": [["model:A", "sha256:a"]]},
    ),
    "the end of a rejection": (
        Unrejected(**COMMON, reason="was not", service="risk", components=((IMAGE, "sha256:i"), (SETTINGS, "sha256:s"))),
        SAID
        | {
            "kind": "unrejected",
            "reason": "was not",
            "service": "risk",
            "components": [["image", "sha256:i"], ["settings", "sha256:s"]],
        },
    ),
    "an approval": (
        Approved(
            **COMMON,
            service="risk",
            before=((IMAGE, "sha256:0"),),
            after=((IMAGE, "sha256:i"),),
            approver="bob",
            expires_at=1_700_000_060.0,
            run_url="https://example.org/runs/7",
            reason="read it all",
        ),
        SAID
        | {
            "kind": "approved",
            "service": "risk",
            "before": [["image", "sha256:0"]],
            "after": [["image", "sha256:i"]],
            "approver": "bob",
            "expires_at": "2023-11-14T22:14:20.000Z",
            "run_url": "https://example.org/runs/7",
            "reason": "read it all",
        },
    ),
}


def stored(name):
    """The event's text in the ledger, as data of its own."""
    return json.loads(canonical_json(event_to_json(EVENTS[name][0])))


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_stands_in_the_ledger_under_these_keys(name):
    """Every key and every form: other programs read the branch, and older versions wrote it."""
    event, said = EVENTS[name]
    assert event_to_json(event) == said
    assert json.loads(json.dumps(said)) == said


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "a deploy ends"])
def test_that_form_is_read_as_the_event(name):
    """From the text written out above, not from what this version writes."""
    event, said = EVENTS[name]
    assert event_from_json(said) == event


def test_a_receipt_is_read_with_its_seconds_to_a_tenth_of_a_millisecond():
    """Which is all that was written of them; the rest is as it was."""
    event, said = EVENTS["a deploy ends"]
    read = event_from_json(said)
    assert read.services["risk"].steps == (Step("ready", 1.2346, "2 of 2"),)
    assert event_to_json(read) == said
    assert read.services["churn"] == event.services["churn"]


OPTIONAL = {
    "a deploy begins": {"supersedes": "", "run_id": ""},
    "a deploy ends": {"run_url": "", "run_id": ""},
    "a hold": {"until": 0.0, "pinned_to": ""},
    "the end of a hold": {"hold": ""},
    "a rejection": {},
    "the end of a rejection": {},
    "an approval": {"run_url": ""},
}
UNREAD = {"a deploy ends": {"finished_at"}}
"""Written for people and other programs: it repeats what another key says."""


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, (_, said) in EVENTS.items() for key in said if key != "schema"]
)
def test_what_may_be_missing_and_what_may_not(name, key):
    """A key that came later has a default for the files from before it; any other is damage."""
    data = stored(name)
    del data[key]
    if key in UNREAD.get(name, ()):
        assert event_from_json(data) == event_from_json(stored(name))
    elif key in OPTIONAL[name]:
        assert getattr(event_from_json(data), key) == OPTIONAL[name][key]
    else:
        with pytest.raises(KeyError, match=key):
            event_from_json(data)


@pytest.mark.parametrize(
    ("path", "default"),
    [
        (("owner", "name"), ""),
        (("owner", "boot"), ""),
        (("owner", "host"), None),
        (("owner", "pid"), None),
        (("owner", "process_started"), None),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_an_owner_must_say_of_itself(path, default):
    """Host, process and its start decide whether a lock is held; its name is for people, the boot came later."""
    data = stored("a deploy begins")
    del data[path[0]][path[1]]
    if default is None:
        with pytest.raises(TypeError):
            event_from_json(data)
    else:
        assert getattr(event_from_json(data).owner, path[1]) == default


RECEIPT_KEYS = sorted(EVENTS["a deploy ends"][1]["services"]["risk"])


@pytest.mark.parametrize("key", RECEIPT_KEYS)
def test_what_a_receipt_must_say(key):
    """All but the settings, which came later."""
    data = stored("a deploy ends")
    del data["services"]["risk"][key]
    if key == "settings":
        assert event_from_json(data).services["risk"].settings == {}
    else:
        with pytest.raises(KeyError, match=key):
            event_from_json(data)


@pytest.mark.parametrize("key", ["outcome", "change", "direction"])
def test_a_word_that_is_none_of_ours_is_damage(key):
    """Neither skipped nor taken for the nearest: the receipt decides what is rejected."""
    data = stored("a deploy ends")
    data["services"]["risk"][key] = "splendid"
    with pytest.raises(ValueError, match="'splendid' is not a valid"):
        event_from_json(data)


ODD = [None, True, 0, -1, 1.5, "", "x", "9999-12-31T23:59:59-23:59", [], [[]], {}, {"id": 1}, float("nan"), float("inf")]


def places(value, here=()):
    """Every place in a JSON value."""
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in inner:
        yield from places(found, (*here, key))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_an_event_or_one_of_four_errors(data):
    """Whoever reads the branch catches these, counts the file and goes on; anything else would end the pass."""
    said = stored(data.draw(st.sampled_from(sorted(EVENTS))))
    place = data.draw(st.sampled_from(sorted(places(said), key=repr)))
    odd = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    if not place:
        said = odd
    else:
        at = said
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = odd
    try:
        read = event_from_json(said)
    except (KeyError, TypeError, ValueError, AttributeError):
        return
    assert read.environment is said["environment"]


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("change", [{"schema": 2}, {"schema": "1"}, {"kind": "deploy_paused"}, {"kind": "Held"}], ids=str)
def test_an_event_of_the_future_is_kept_whole(name, change):
    """Whatever else it holds, and in whatever form: it is shown by its kind, and counts in the chain."""
    data = stored(name) | change | {"new": {"deep": [1]}}
    del data["actor"]
    kept = event_from_json(data)
    assert kept == UnknownEvent(data["kind"], "01E", "production", 1_700_000_000.125, "", data)


@pytest.mark.parametrize("key", ["kind", "id", "environment", "at"])
def test_even_an_event_of_the_future_says_when_where_and_what(key):
    """Without these it has no place in the chain."""
    data = stored("a hold") | {"schema": 2}
    del data[key]
    with pytest.raises(KeyError, match=key):
        event_from_json(data)


def test_new_keys_of_a_known_kind_are_passed_over():
    """A later version of the same schema may say more; what is known of it still holds."""
    for name, (event, said) in EVENTS.items():
        if name != "a deploy ends":
            assert event_from_json(said | {"prev": "sha256:0", "new": 1}) == event
