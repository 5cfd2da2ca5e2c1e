"""`why`'s words: one line a fact with its source, for every form that a fact can have."""

from __future__ import annotations

import json

import pytest
from mlrelease.history.fold import fold
from mlrelease.history.landings import PinCommit
from mlrelease.history.lineage import Run, fates, origins
from mlrelease.history.moments import timelines
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import Probe
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.render.lineage import GITHUB, Explanation, Pull, Told, Trained, component_name, explanation_json, person
from mlrelease.render.why import SHOWN, lines, table
from support.core import ENVIRONMENT, bundle
from support.receipts import Ledger, of

COMMIT = PinCommit("a" * 40, "Pin A 8 (#12)", "grace", 1_699_990_000.0, 1_699_995_000.0, {}, "Better.")
RUN = RunFacts("r1", "retrain", "FINISHED", "grace", started_at=1_699_980_000.0, git_commit="c0ffee", entry="train.py")


def told_of(ledger, event, **more):
    found = next(one for one in origins(ledger.events, "risk", event) if one.key == model_key("A"))
    index = [one.id for one in ledger.events].index(found.event.id)
    before = fold(ENVIRONMENT, ledger.events[:index])
    return Told(component_name(found, found.receipt.after), found, before, **more)


def explanation(ledger=None, event="", **more):
    """Version 8 over 7 in one service, unless a ledger is given."""
    if ledger is None:
        ledger = Ledger()
        ledger.deploy(of("7"))
        event = ledger.deploy(of("8"))
    timeline = timelines(ledger.events)["risk"]
    proof = next(one for one in ledger.events if one.id == event)
    given = {"components": (), "runs": (), "left_out": 0} | {k: more.pop(k) for k in ("runs", "left_out") if k in more}
    components = () if more.pop("bare", False) else (told_of(ledger, event, **more),)
    after = proof.services["risk"].after
    era = timeline.era(proof.at) if proof.services["risk"].outcome is Outcome.SUCCEEDED else None
    return Explanation(ENVIRONMENT, "risk", after, proof, era, timeline.stretches[-1], **(given | {"components": components}))


def said(one, about):
    """What is said about it, and by which source; several of one name as a list."""
    found = [(what, source) for name, what, source in lines(one) if name == about]
    return found[0] if len(found) == 1 else found


def test_a_bundle_and_its_time_come_first():
    """With the receipt that says so."""
    one = explanation()
    assert said(one, "bundle")[0].startswith("A 8 (")
    assert said(one, "bundle")[1] == f"ledger {one.proof.id}"
    assert "on, with no later change" in said(one, "served")[0]


def test_a_commit_is_named_with_both_its_dates():
    """Who wrote it, when, and when it landed; git is the source."""
    what, source = said(explanation(commit=COMMIT), "A 8: commit")
    assert what.startswith("aaaaaaaaa Pin A 8 (#12), by grace, written 2023-11-14T19:26:40Z, landed 2023-11-14T20:50:00Z")
    assert source == "git aaaaaaaaa"


def test_a_commit_that_was_not_found_is_not_replaced_by_another():
    """The pass's own revision is named as that."""
    what, source = said(explanation(), "A 8: commit")
    assert what == "not found on the tracked branch; the pass was at r0"
    assert source == "git"


def test_under_a_hold_its_commit_is_what_was_desired():
    """And the ledger is the source; JSON says so under a name of its own."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    hold = ledger.hold(pinned_to="c0ffee0000")
    event = ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    one = explanation(ledger, event, commit=COMMIT)
    assert said(one, "A 7: commit") == ("c0ffee000, desired by a hold of ada: freeze", f"ledger {hold}")
    component = explanation_json(one)["components"]["model:A"]
    assert (component["held_at"], component["commit"]) == ("c0ffee0000", None)


@pytest.mark.parametrize(
    ("pull", "what", "source"),
    [
        (Pull(12, "git aaaaaaaaa"), "#12", "git aaaaaaaaa"),
        (Pull(12, GITHUB, "Pin A 8", "grace", "u", ("bob", "carol")), "#12 Pin A 8, by grace, approved by bob, carol", GITHUB),
        (Pull(12, GITHUB, "Pin A 8", "grace", "u", ()), "#12 Pin A 8, by grace, approved by nobody", GITHUB),
    ],
    ids=["out of the subject", "from GitHub", "that nobody approved"],
)
def test_a_pull_request_says_who_told_of_it(pull, what, source):
    """Not asked and not approved are two things."""
    assert said(explanation(pull=pull), "A 8: pull request") == (what, source)


def test_an_approval_names_approver_run_and_reason():
    """Without the address."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    given = ledger.approve(of("7"), of("8"))
    event = ledger.deploy(of("8"))
    what, source = said(explanation(ledger, event), "A 8: approval")
    assert what.startswith("by grace at ")
    assert what.endswith("run https://ci/1")
    assert source == f"ledger {given}"


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (ChangeKind.UPDATE, "none is recorded for this change"),
        (ChangeKind.ROLLBACK, "none is recorded for this change; a rollback waits for none"),
    ],
)
def test_without_an_approval_that_is_said(kind, what):
    """Whether one was needed then, the ledger does not know."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    event = ledger.deploy(of("8"), kind=kind)
    assert said(explanation(ledger, event), "A 8: approval")[0] == what


def test_gates_are_those_of_this_component():
    """Of another model's there is no word."""
    ledger = Ledger()
    gates = [
        {"gate": gate, "component": component, "status": "passed", "reason": f"{gate} of {component}", "evidence": {}}
        for gate, component in (("metric", "model:A"), ("metric", "model:B"), ("digest", "model:A"))
    ]
    event = ledger.deploy(of("7"), gates=gates)
    one = explanation(ledger, event)
    assert said(one, "A 7: gate metric") == ("passed: metric of model:A", f"ledger {event}")
    assert said(one, "A 7: gate digest")[0] == "passed: digest of model:A"
    assert len(explanation_json(one)["components"]["model:A"]["gates"]) == 2


def test_what_came_back_keeps_the_gates_of_its_first_proof():
    """A rollback skips them: what opened them was then."""
    ledger = Ledger()
    gate = {"gate": "metric", "component": "model:A", "status": "passed", "reason": "0.9 ≥ 0.8", "evidence": {}}
    first = ledger.deploy(of("7"), gates=[gate])
    ledger.deploy(of("8"))
    event = ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    one = explanation(ledger, event, first=next(e for e in ledger.events if e.id == first))
    assert said(one, "A 7: gate metric, then") == ("passed: 0.9 ≥ 0.8", f"ledger {first}")
    assert said(one, "A 7: first proved")[1] == f"ledger {first}"
    assert explanation_json(one)["components"]["model:A"]["first_proved"]["event"] == first


def test_a_run_names_code_data_parameters_and_metrics():
    """As they were logged; MLflow and the run are the source."""
    run = RunFacts(
        **{name: getattr(RUN, name) for name in ("run_id", "name", "status", "user", "git_commit", "entry", "started_at")},
        params={f"p{n}": str(n) for n in range(SHOWN + 2)},
        metrics={"rmse": 1.23456789, "broken": float("nan")},
        datasets=(Dataset("wine", "d1", "http", "https://x/w.csv", "training"),),
    )
    one = explanation(trained=Trained(run, "http://mlflow", golden="sha256:ab", golden_rows=3))
    assert said(one, "A 8: run") == (
        "retrain by grace, 2023-11-14T16:40:00Z, FINISHED at http://mlflow",
        "MLflow run r1",
    )
    assert said(one, "A 8: code")[0] == "train.py at c0ffee"
    assert said(one, "A 8: data")[0] == "wine (training), digest d1, http https://x/w.csv"
    assert said(one, "A 8: parameters")[0].endswith("p7 7, and 2 more")
    assert said(one, "A 8: metrics")[0] == "broken nan, rmse 1.23457"
    assert said(one, "A 8: golden predictions")[0] == "sha256:ab, 3 rows"
    json.dumps(explanation_json(one), allow_nan=False)


def test_what_a_run_does_not_say_is_said_to_be_missing():
    """No program, no commit, no data."""
    one = explanation(trained=Trained(RunFacts("r1"), "http://mlflow"))
    assert said(one, "A 8: code")[0] == "program not logged at a commit that was not logged"
    assert said(one, "A 8: data")[0] == "no dataset was logged with the run"
    assert said(one, "A 8: parameters") == said(one, "A 8: metrics") == []
    assert said(one, "A 8: golden predictions")[0] == "none are stored"


def test_a_registry_that_did_not_answer_is_said():
    """In words and in JSON."""
    one = explanation(trained=Trained(problem="connection refused"))
    assert said(one, "A 8: run") == ("not known: connection refused", "MLflow")
    assert explanation_json(one)["components"]["model:A"]["run_problem"] == "connection refused"


def test_what_befell_it_is_told_with_who_and_why():
    """Each with its event."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    event = ledger.deploy(of("8"))
    back = ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK, reason="git moved back")
    ledger.reject((model_key("A"), of("8").components()[model_key("A")]))
    pairs = [(model_key("A"), of("8").components()[model_key("A")])]
    one = explanation(ledger, event, fates=fates(ledger.events, "risk", pairs, event))
    first, second = said(one, "A 8: since")
    assert first[1] == f"ledger {back}"
    assert "rolled back" in first[0]
    assert first[0].endswith("by ada: git moved back")
    assert "rejected" in second[0]
    assert "until" in said(one, "served")[0]


def test_probes_are_counted_and_those_that_did_not_pass_have_their_reason():
    """A fleet's are not all named."""
    ledger = Ledger()
    event = ledger.deploy(of("7"))
    probes = [
        Probe("identity", "passed", "x", "a"),
        Probe("identity", "passed", "x", "b"),
        Probe("golden:A", "skipped", "none"),
    ]
    probes += [Probe(f"golden:m{n}", "passed", "x") for n in range(20)]
    object.__setattr__(ledger.events[-1].services["risk"], "probes", tuple(probes))
    what, _ = said(explanation(ledger, event), "probes")
    assert what.startswith("identity passed ×2, golden:A skipped, golden:m0 passed")
    assert what.endswith("and 14 more; golden:A: none")


def test_a_candidate_was_never_proved():
    """Its try is told instead."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    event = ledger.deploy(of("8"), Outcome.ROLLED_BACK, reason="golden rows differ")
    one = explanation(ledger, event, bare=True)
    assert said(one, "served")[0] == f"never proved in {ENVIRONMENT}: update rolled_back: golden rows differ"
    assert explanation_json(one)["since"] == explanation_json(one)["until"] == ""


def test_other_times_and_places_are_named():
    """The environment's own apart from the others'."""
    ledger = Ledger()
    event = ledger.deploy(of("8"))
    era = timelines(ledger.events)["risk"].era(ledger.now)
    one = explanation(ledger, event, runs=(Run("staging", "risk", era), Run(ENVIRONMENT, "other", era)), left_out=3)
    assert said(one, "also ran in")[0].startswith("staging/risk from ")
    assert said(one, "ran in")[0].startswith(f"{ENVIRONMENT}/other from ")
    assert said(one, "models")[0].startswith("3 more that this change did not move")


def test_every_row_has_its_environment_and_a_source():
    """Also of several explanations."""
    rows = table([explanation(commit=COMMIT), explanation()])
    assert {row[0] for row in rows} == {ENVIRONMENT}
    assert all(row[1] and row[2] and row[3] for row in rows)


@pytest.mark.parametrize(("actor", "name"), [("ada <a@b>", "ada"), ("bot", "bot"), ("", "")])
def test_a_person_is_named_without_the_address(actor, name):
    """It stands in the ledger, and in JSON."""
    assert person(actor) == name


def test_components_have_the_names_that_people_use():
    """A model with its version, an image without its registry."""
    ledger = Ledger()
    event = ledger.deploy(bundle("risk", "3", {"A": "7"}, MODE="x"))
    names = [component_name(one, one.receipt.after) for one in origins(ledger.events, "risk", event)]
    assert names == ["image serve:3", "A 7", "settings"]
