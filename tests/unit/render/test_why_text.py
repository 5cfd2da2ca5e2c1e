"""`why` in full: every line and every key of a bundle of which everything is known, and of one of which nothing is."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from mlrelease.history.fold import fold
from mlrelease.history.landings import PinCommit
from mlrelease.history.lineage import Fate, FateKind, Run, origins
from mlrelease.history.moments import Certainty, Era, Stretch, timelines
from mlrelease.model.bundle import SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Probe, Step
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.render.lineage import (
    GITHUB,
    Explanation,
    Pull,
    Told,
    Trained,
    approval_json,
    commit_json,
    component_name,
    explanation_json,
    moment_json,
    when,
)
from mlrelease.render.why import lines, table
from support.core import ENVIRONMENT, START
from support.receipts import HOUR, Ledger, of

A = model_key("A")
GATE = {"gate": "metric", "component": A, "status": "passed", "reason": "0.9 ≥ 0.8", "evidence": {"value": 0.9}}
OTHERS = {"gate": "size", "component": "model:B", "status": "passed", "reason": "small", "evidence": {}}
COMMIT = PinCommit(
    "abcdef1234567890", "Pin A 8 (#12)", "grace", START - 2 * HOUR, START - HOUR, {}, "Better.", "fedcba0987654321"
)
RUN = RunFacts(
    "r1",
    "retrain",
    "FINISHED",
    "grace",
    "wine",
    START - 4 * HOUR,
    START - 3 * HOUR,
    "c0ffee",
    "train.py",
    {"rmse": 1.25, "auc": math.nan, "loss": -math.inf},
    {"depth": "3", "alpha": "0.1"},
    (Dataset("wine", "d1", "http", "https://x/w.csv", "training"), Dataset("port", "d2")),
)


class Telling:
    """One service's ledger, of which one event is explained."""

    def __init__(self):
        self.ledger = Ledger()

    def component(self, event, key=A, **more):
        events = self.ledger.events
        found = next(one for one in origins(events, "risk", event) if one.key == key)
        index = [one.id for one in events].index(found.event.id)
        return Told(component_name(found, found.receipt.after), found, fold(ENVIRONMENT, events[:index]), **more)

    def explained(self, event, *components, **more):
        timeline = timelines(self.ledger.events)["risk"]
        proof = self.event(event)
        receipt = proof.services["risk"]
        era = timeline.era(proof.at) if receipt.outcome is Outcome.SUCCEEDED else None
        return Explanation(ENVIRONMENT, "risk", receipt.after, proof, era, timeline.stretches[-1], components, **more)

    def event(self, name):
        return next(one for one in self.ledger.events if one.id == name)


@pytest.fixture(scope="module")
def known():
    """Version 8, proved, approved, replaced, and back again; with run, commit, pull request, probes and another place."""
    telling = Telling()
    ledger = telling.ledger
    ledger.deploy(of("7"))
    ledger.wait(HOUR).approve(of("7"), of("8"))
    first = ledger.deploy(of("8"), gates=[GATE, OTHERS], revision="0123456789abcdef", reason="git moved forward")
    ledger.wait(HOUR).deploy(of("7"), kind=ChangeKind.ROLLBACK, reason="git moved back")
    ledger.wait(HOUR).approve(of("7"), of("8"))
    event = ledger.deploy(of("8"), gates=[GATE, OTHERS], revision="0123456789abcdef", reason="git moved forward")
    newest = telling.event(event)
    receipt = replace(
        newest.services["risk"],
        probes=(
            Probe("identity", "passed", "x", "a"),
            Probe("identity", "passed", "x", "b"),
            Probe("ready", "errored", "late"),
        ),
        steps=(Step("start", 1.5), Step("switch", 0.25)),
        exercised=("model", "proxy"),
    )
    ledger.events[-1] = replace(newest, services={"risk": receipt}, run_url="https://ci/9")
    told = telling.component(
        event,
        first=telling.event(first),
        commit=COMMIT,
        pull=Pull(12, GITHUB, "Pin A 8", "grace", "https://git/12", ("bob",)),
        trained=Trained(RUN, "http://mlflow", golden="sha256:ab", golden_rows=3),
        fates=(Fate(FateKind.ROLLED_BACK, A, START + HOUR, "ada <a@b>", "too slow", "e99"),),
    )
    era = Era(of("8"), START, START + HOUR, "e5")
    runs = (Run("staging", "risk", era), Run(ENVIRONMENT, "risk", replace(era, ended=math.inf, event="e6")))
    return telling.explained(event, told, left_out=2, runs=runs)


def test_all_that_is_known_is_told_in_the_order_of_the_questions(known):
    """What, since when, from where, who said yes, what was checked, on what it was trained, what came of it."""
    assert list(lines(known)) == [
        ("bundle", f"A 8 ({known.bundle.id[:7]}) of risk, image {known.bundle.image.reference}", "ledger e10"),
        ("served", "in production from 2023-11-15T01:14:34Z on, with no later change in the ledger", "ledger e10"),
        ("A 8", f"{known.bundle.models[0].digest}, here since 2023-11-15T01:14:34Z: update, git moved forward", "ledger e10"),
        ("A 8: first proved", "here at 2023-11-14T23:13:57Z, and replaced in between", "ledger e5"),
        ("A 8: gate metric, then", "passed: 0.9 ≥ 0.8", "ledger e5"),
        (
            "A 8: commit",
            "abcdef123 Pin A 8 (#12), by grace, written 2023-11-14T20:13:20Z, landed 2023-11-14T21:13:20Z",
            "git abcdef123",
        ),
        ("A 8: pull request", "#12 Pin A 8, by grace, approved by bob", "GitHub"),
        ("A 8: approval", "by grace at 2023-11-15T01:14:15Z, run https://ci/1", "ledger e8"),
        ("A 8: gate metric", "passed: 0.9 ≥ 0.8", "ledger e10"),
        ("A 8: run", "retrain by grace, 2023-11-14T18:13:20Z, FINISHED at http://mlflow", "MLflow run r1"),
        ("A 8: code", "train.py at c0ffee", "MLflow run r1"),
        ("A 8: data", "wine (training), digest d1, http https://x/w.csv", "MLflow run r1"),
        ("A 8: data", "port, digest d2", "MLflow run r1"),
        ("A 8: parameters", "alpha 0.1, depth 3", "MLflow run r1"),
        ("A 8: metrics", "auc nan, loss -inf, rmse 1.25", "MLflow run r1"),
        ("A 8: golden predictions", "sha256:ab, 3 rows", "ledger golden"),
        ("A 8: since", "rolled back at 2023-11-14T23:13:20Z by ada: too slow", "ledger e99"),
        ("models", "2 more that this change did not move: name one with --model", "ledger e10"),
        ("probes", "identity passed ×2, ready errored; ready: late", "ledger e10"),
        (
            "receipt",
            (
                "update succeeded at 2023-11-15T01:14:34Z, by ada (test), in 1.75 s, at 012345678, exercised model, proxy, "
                "run https://ci/9"
            ),
            "ledger e10",
        ),
        ("also ran in", "staging/risk from 2023-11-14T22:13:20Z until 2023-11-14T23:13:20Z", "ledger e5"),
        ("ran in", "production/risk from 2023-11-14T22:13:20Z on, with no later change in the ledger", "ledger e6"),
    ]


def test_the_table_has_the_environment_before_each_line(known):
    """Of several explanations, one after the other."""
    rows = table([known, known])
    assert rows == [(ENVIRONMENT, *line) for line in lines(known)] * 2


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


@pytest.fixture(scope="module")
def bare():
    """A version that was tried once, and of which only the ledger knows."""
    telling = Telling()
    telling.ledger.deploy(of("7"))
    event = telling.ledger.deploy(of("8"), Outcome.ROLLED_BACK, reason="golden rows differ", taken=())
    one = telling.event(event)
    origin = replace(telling.component("e2").origin, value="sha256:8", event=one, receipt=one.services["risk"])
    told = Told("A 8", origin, fold(ENVIRONMENT, telling.ledger.events[:2]))
    return telling.explained(event, told)


def test_what_is_not_known_is_said_or_left_out(bare):
    """No line about nothing but where its absence is news."""
    assert list(lines(bare)) == [
        ("bundle", f"A 8 ({bare.bundle.id[:7]}) of risk, image {bare.bundle.image.reference}", "ledger e4"),
        ("served", "never proved in production: update rolled_back: golden rows differ", "ledger e4"),
        ("A 8", "sha256:8, tried here (rolled_back) at 2023-11-14T22:13:38Z: update, golden rows differ", "ledger e4"),
        ("A 8: commit", "not found on the tracked branch; the pass was at r0", "git"),
        ("A 8: approval", "none is recorded for this change", "ledger e4"),
        ("receipt", "update rolled_back at 2023-11-14T22:13:38Z, by ada (test), at r0", "ledger e4"),
    ]


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


def test_settings_are_told_by_the_newest_commit_of_their_file():
    """No digest in the file says which commit brought them."""
    telling = Telling()
    event = telling.ledger.deploy(of("7", MODE="x"))
    one = telling.explained(event, telling.component(event, SETTINGS, commit=COMMIT))
    (said,) = [what for about, what, _ in lines(one) if about == "settings: commit"]
    assert said.startswith("the newest of that file: abcdef123 Pin A 8 (#12), by grace")


@pytest.mark.parametrize(
    ("run", "trained"),
    [
        (RunFacts("r1"), "r1, status unknown at http://mlflow"),
        (RunFacts("r1", "retrain", "RUNNING"), "retrain, RUNNING at http://mlflow"),
        (RunFacts("r1", user="grace", started_at=START), "r1 by grace, 2023-11-14T22:13:20Z, status unknown at http://mlflow"),
    ],
    ids=["its id alone", "a name", "a person and a time"],
)
def test_a_run_is_called_by_what_is_known(run, trained):
    """The id where it has no name."""
    telling = Telling()
    event = telling.ledger.deploy(of("7"))
    one = telling.explained(event, telling.component(event, trained=Trained(run, "http://mlflow")))
    (said,) = [what for about, what, _ in lines(one) if about == "A 7: run"]
    assert said == trained


@pytest.mark.parametrize(("count", "ends"), [(8, "p7 x"), (9, "p7 x, and 1 more")], ids=["as many as are shown", "one more"])
def test_parameters_that_do_not_fit_are_counted(count, ends):
    """In the order of their names; JSON has them all."""
    run = RunFacts("r1", params={f"p{n}": "x" for n in reversed(range(count))}, metrics={f"p{n}": n / 4 for n in range(count)})
    telling = Telling()
    event = telling.ledger.deploy(of("7"))
    one = telling.explained(event, telling.component(event, trained=Trained(run, "m")))
    (said,) = [what for about, what, _ in lines(one) if about == "A 7: parameters"]
    assert said == ", ".join(f"p{n} x" for n in range(7)) + f", {ends}"
    (measured,) = [what for about, what, _ in lines(one) if about == "A 7: metrics"]
    assert measured.startswith("p0 0, p1 0.25, p2 0.5")
    assert len(explanation_json(one)["components"][A]["run"]["params"]) == count


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
