"""What is told of a bundle, built out of a small ledger: once with all that may be known, once with next to nothing."""

from __future__ import annotations

import math
from dataclasses import replace

from mlrelease.history.fold import fold
from mlrelease.history.landings import PinCommit
from mlrelease.history.lineage import Fate, FateKind, Run, origins
from mlrelease.history.moments import Era, timelines
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Probe, Step
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.render.lineage import GITHUB, Explanation, Pull, Told, Trained, component_name
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


def well_known():
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


def hardly_known():
    """A version that was tried once, and of which only the ledger knows."""
    telling = Telling()
    telling.ledger.deploy(of("7"))
    event = telling.ledger.deploy(of("8"), Outcome.ROLLED_BACK, reason="golden rows differ", taken=())
    one = telling.event(event)
    origin = replace(telling.component("e2").origin, value="sha256:8", event=one, receipt=one.services["risk"])
    told = Told("A 8", origin, fold(ENVIRONMENT, telling.ledger.events[:2]))
    return telling.explained(event, told)
