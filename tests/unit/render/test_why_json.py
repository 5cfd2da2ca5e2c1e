"""`why` as JSON: every key of a bundle of which everything is known, and of one of which nothing is."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from mlrelease.history.moments import Certainty, Stretch
from mlrelease.render.lineage import approval_json, commit_json, explanation_json, moment_json, when
from support.core import START
from support.explained import GATE, A, hardly_known, well_known
from support.receipts import of


@pytest.fixture(scope="module")
def known():
    """Version 8, proved, approved, replaced, and back again; with all that may be known."""
    return well_known()


@pytest.fixture(scope="module")
def bare():
    """A version that was tried once, and of which only the ledger knows."""
    return hardly_known()


def test_all_that_is_known_as_json(known):
    """Every key; NaN and infinities as text, for JSON has none."""
    found = json.loads(json.dumps(explanation_json(known), allow_nan=False))
    receipt = found.pop("receipt")
    assert {key: receipt[key] for key in ("id", "at", "started_at", "revision", "actor", "trigger", "run_url", "outcome")} == {
        "id": "e10",
        "at": "2023-11-15T01:14:34.000Z",
        "started_at": "2023-11-15T01:14:15.500Z",
        "revision": "0123456789abcdef",
        "actor": "ada <a@b>",
        "trigger": "test",
        "run_url": "https://ci/9",
        "outcome": "succeeded",
    }
    component = found["components"].pop(A)
    assert found == {
        "environment": "production",
        "service": "risk",
        "bundle": known.bundle.to_json(),
        "serves_now": True,
        "certainty_now": "recorded",
        "since": "2023-11-15T01:14:34.000Z",
        "until": "",
        "components": {},
        "left_out": 2,
        "runs": [
            {
                "environment": "staging",
                "service": "risk",
                "since": "2023-11-14T22:13:20.000Z",
                "until": "2023-11-14T23:13:20.000Z",
                "event": "e5",
            },
            {
                "environment": "production",
                "service": "risk",
                "since": "2023-11-14T22:13:20.000Z",
                "until": "",
                "event": "e6",
            },
        ],
    }
    assert component == {
        "name": "A 8",
        "value": known.bundle.models[0].digest,
        "event": "e10",
        "at": "2023-11-15T01:14:34.000Z",
        "first_proved": {"event": "e5", "at": "2023-11-14T23:13:57.000Z"},
        "change": "update",
        "outcome": "succeeded",
        "commit": {
            "sha": "abcdef1234567890",
            "subject": "Pin A 8 (#12)",
            "message": "Better.",
            "author": "grace",
            "authored_at": "2023-11-14T20:13:20.000Z",
            "landed_at": "2023-11-14T21:13:20.000Z",
            "written_by": "fedcba0987654321",
            "pull": 12,
        },
        "held_at": "",
        "pull": {
            "number": 12,
            "source": "GitHub",
            "title": "Pin A 8",
            "author": "grace",
            "url": "https://git/12",
            "approvers": ["bob"],
        },
        "approval": {
            "id": "e8",
            "approver": "grace <g@example.com>",
            "at": "2023-11-15T01:14:15.500Z",
            "run_url": "https://ci/1",
            "reason": "",
        },
        "gates": [GATE],
        "first_gates": [GATE],
        "run": {
            "id": "r1",
            "name": "retrain",
            "status": "FINISHED",
            "user": "grace",
            "experiment": "wine",
            "started_at": "2023-11-14T18:13:20.000Z",
            "ended_at": "2023-11-14T19:13:20.000Z",
            "git_commit": "c0ffee",
            "entry": "train.py",
            "metrics": {"auc": "nan", "loss": "-inf", "rmse": 1.25},
            "params": {"alpha": "0.1", "depth": "3"},
            "datasets": [
                {"name": "wine", "digest": "d1", "source_type": "http", "source": "https://x/w.csv", "context": "training"},
                {"name": "port", "digest": "d2", "source_type": "", "source": "", "context": ""},
            ],
        },
        "run_problem": "",
        "golden": {"digest": "sha256:ab", "rows": 3},
        "since": [
            {
                "what": "rolled_back",
                "at": "2023-11-14T23:13:20.000Z",
                "actor": "ada <a@b>",
                "reason": "too slow",
                "event": "e99",
            }
        ],
    }


def test_what_is_not_known_is_null_or_empty_in_json(bare):
    """The keys are those of a bundle of which everything is known."""
    found = explanation_json(bare)
    assert (found["since"], found["until"], found["runs"], found["left_out"]) == ("", "", [], 0)
    assert found["serves_now"] is False
    component = found["components"][A]
    assert {key: value for key, value in component.items() if not value} == {
        "first_proved": None,
        "commit": None,
        "held_at": "",
        "pull": None,
        "approval": None,
        "gates": [],
        "first_gates": [],
        "run": None,
        "run_problem": "",
        "golden": None,
        "since": [],
    }


def test_the_keys_are_the_same_whatever_is_known(known, bare):
    """A reader needs one form."""
    full, empty = (explanation_json(one) for one in (known, bare))
    assert list(full) == list(empty)
    assert list(full["receipt"]) == list(empty["receipt"])
    assert list(full["components"][A]) == list(empty["components"][A])


def test_a_removed_service_serves_nothing_now(known):
    """And what served before is not what serves."""
    gone = replace(known, now=Stretch(START, math.inf, None, Certainty.RECORDED))
    other = replace(known, now=Stretch(START, math.inf, of("9"), Certainty.SWITCHING))
    assert [explanation_json(one)["serves_now"] for one in (known, gone, other)] == [True, False, False]
    assert explanation_json(other)["certainty_now"] == "switching"


@pytest.mark.parametrize(
    ("moment", "shown", "kept"),
    [
        (START, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000Z"),
        (START + 0.9996, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.999Z"),
        (math.inf, "–", ""),
        (-math.inf, "–", ""),
    ],
    ids=["a second", "nearly the next", "never", "always"],
)
def test_a_moment_is_shown_to_the_second_and_kept_to_the_millisecond(moment, shown, kept):
    """And what lies beyond everything is a dash, or empty."""
    assert (when(moment), moment_json(moment)) == (shown, kept)


def test_nothing_is_null():
    """A commit and an approval that are not there."""
    assert (commit_json(None), approval_json(None)) == (None, None)
