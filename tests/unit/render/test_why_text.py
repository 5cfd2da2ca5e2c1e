"""`why` in full: every line of a bundle of which everything is known, and of one of which nothing is."""

from __future__ import annotations

import pytest
from mlrelease.model.bundle import SETTINGS
from mlrelease.model.run import RunFacts
from mlrelease.render.lineage import Trained, explanation_json
from mlrelease.render.why import lines, table
from support.core import ENVIRONMENT, START
from support.explained import COMMIT, A, Telling, hardly_known, well_known
from support.receipts import of


@pytest.fixture(scope="module")
def known():
    """Version 8, proved, approved, replaced, and back again; with all that may be known."""
    return well_known()


@pytest.fixture(scope="module")
def bare():
    """A version that was tried once, and of which only the ledger knows."""
    return hardly_known()


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
