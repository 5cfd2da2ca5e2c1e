"""What a reviewer of moved pins is told: from MLflow, the ledger and the gates, and what could not be found out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.explanations import explain
from mlrelease.commands.proposals import Subject
from mlrelease.delivery.source import spec_at
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from support.pair import SECOND_IMAGE, Pair, approved, identity, staged
from support.world import git

pytestmark = pytest.mark.xdist_group("explanations")
BUMP = Subject("bump", "production", "wine", "wine")
PROMOTE = Subject("promote", "production", "wine")
ROLLBACK = Subject("rollback", "production", "wine")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in both environments, 2 is proved in staging; `port` is pinned and was never deployed."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", services=("wine", "port")).create()
        pair.run("staging")
        approved(pair, services=("wine",))
        pair.run(only=frozenset({"wine"}))
        return staged(pair)


@pytest.fixture
def pair(made, tmp_path):
    pair = made.copy(tmp_path / "p")
    pair.registry.numbers = {}
    return pair


def spec(pair, revision="HEAD"):
    repository = Git(pair.laptop)
    return spec_at(repository, repository.resolve(revision))


def told(pair, subject=BUMP, version="2", model="wine", **more):
    """The explanation of one pin's move in production."""
    before = spec(pair)
    pair.bump(model, version)
    return explain(pair.person(), subject, before, spec(pair), **more)


def test_the_pin_and_where_it_comes_from(pair):
    """Name, versions, digest, run and logged model."""
    facts = pair.registry.facts["wine", "2"]
    pair.registry.facts["wine", "2"] = replace(facts, run_id="r7", model_id="m-7")
    about = told(pair)
    (pin,) = about.pins
    assert (pin.name, pin.before, pin.after, pin.origin) == ("wine", "1", "2", "run r7, logged model m-7")
    assert pin.digest == pair.pin("wine", "2").digest
    assert (about.environment, about.service, about.problems) == ("production", "wine", ())


TITLES = {
    "a bump": (BUMP, "Pin wine 2 in production"),
    "a promotion": (PROMOTE, "Promote wine 2 to production"),
    "a rollback": (ROLLBACK, "Roll back wine in production to wine 2"),
}


@pytest.mark.parametrize(("subject", "title"), TITLES.values(), ids=TITLES)
def test_the_title_says_what_is_done(pair, subject, title):
    """By the verb."""
    assert told(pair, subject, judged=False).title == title


def test_the_image_is_a_pin_like_the_models(pair):
    """First, with both tags."""
    before = spec(pair)
    pair.image("production", "wine")
    about = explain(pair.person(), PROMOTE, before, spec(pair))
    (pin,) = about.pins
    assert (pin.name, pin.before, pin.after) == ("image", "ghcr.io/acme/serve:0.1.0", "ghcr.io/acme/serve:0.2.0")
    assert pin.digest == SECOND_IMAGE.partition("@")[2]
    assert about.title == "Promote image to production"
    assert about.measured == ()


def test_of_a_bump_other_moves_of_the_service_are_not_told(pair):
    """It is about one model."""
    before = spec(pair)
    pair.image("production", "wine")
    pair.bump("wine", "2")
    assert [pin.name for pin in explain(pair.person(), BUMP, before, spec(pair)).pins] == ["wine"]


def test_several_services_are_told_together(pair):
    """A rollback to a release moves more than one."""
    before = spec(pair)
    pair.bump("wine", "2")
    pair.bump("port", "2")
    subject = Subject("rollback", "production", "port", others=("wine",))
    about = explain(pair.person(), subject, before, spec(pair), judged=False)
    assert [(pin.name, pin.after) for pin in about.pins] == [("port", "2"), ("wine", "2")]


def test_metrics_stand_beside_what_is_recorded(pair):
    """Not what the branch pins: what answers is what it has to beat."""
    pair.registry.numbers["wine", "1"] = ({"rmse": 80.0}, "model")
    pair.registry.numbers["wine", "2"] = ({"rmse": 70.0}, "model")
    pair.registry.numbers["wine", "3"] = ({"rmse": 60.0}, "run")
    pair.bump("wine", "2")
    (measured,) = told(pair, version="3").measured
    assert (measured.values, measured.compared) == ({"rmse": 60.0}, {"rmse": 80.0})
    assert measured.baseline == "Compared with version 1, which production has recorded."


def test_what_never_served_here_is_compared_with_nothing(pair):
    """The environment has a history, this service has none."""
    (measured,) = told(pair, Subject("bump", "production", "port", "port"), model="port").measured
    assert measured.compared == {}
    assert measured.baseline == "There is nothing to compare it with: it never served here."


def test_without_any_history_the_branch_s_pin_is_the_baseline(tmp_path):
    """Nothing was ever deployed."""
    with identity():
        pair = Pair(tmp_path / "p").create()
    pair.registry.numbers["wine", "1"] = ({"rmse": 80.0}, "model")
    (measured,) = told(pair).measured
    assert measured.compared == {"rmse": 80.0}
    assert measured.baseline == "Compared with version 1, which origin/main pins: nothing is recorded yet."


def test_gates_are_those_of_what_moves(pair):
    """Every gate of the model, none of its neighbours'."""
    about = told(pair)
    assert {result.component for result in about.gates} == {"model:wine"}
    assert {result.gate for result in about.gates} >= {"exists", "digest", "promoted_from", "rejected"}
    assert told(pair, version="3", judged=False).gates == ()


def test_a_registry_that_is_down_is_said(pair):
    """The proposal stands: what could not be asked is named, and there are no numbers."""
    before = spec(pair)
    pair.bump("wine", "2")
    pair.registry.down = True
    about = explain(pair.person(), BUMP, before, spec(pair))
    assert about.measured == ()
    assert about.pins[0].origin == ""
    assert any("MLflow at http://fake did not answer" in problem for problem in about.problems)


def test_a_version_that_is_gone_is_said(pair):
    """By name."""
    before = spec(pair)
    pair.bump("wine", "2")
    pair.registry.delete("wine", "2")
    about = explain(pair.person(), BUMP, before, spec(pair))
    assert "wine 2: MLflow has no such version" in about.problems


def test_a_ledger_that_does_not_hold_together_is_said(pair):
    """Then nothing is judged by it."""
    folder = pair.root / "breaker"
    git(pair.root, "clone", "--quiet", str(pair.root / "origin.git"), "breaker")
    git(folder, "checkout", "--quiet", "--detach", "origin/mlrelease/ledger")
    git(folder, "rm", "--quiet", str(min((folder / "production/events").iterdir())))
    git(folder, "commit", "--quiet", "-m", "lost")
    git(folder, "push", "--quiet", "origin", "HEAD:refs/heads/mlrelease/ledger")
    about = told(pair)
    assert any("the ledger of production does not hold together" in problem for problem in about.problems)
    assert about.gates == ()


def test_files_with_findings_are_an_error(pair):
    """Somebody broke the branch: there is nothing to explain."""
    before = spec(pair)
    pair.file("production", "models", "wine").write_text("nonsense: [\n")
    pair.commit("Break it")
    with pytest.raises(Error, match="has findings in production/wine"):
        explain(pair.person(), BUMP, before, spec(pair))


def test_the_ways_on_fit_the_verb(pair):
    """How to merge and undo a move forward, and a rollback that runs already."""
    forward, back = told(pair), told(pair, ROLLBACK, version="3", judged=False)
    assert "waits for an approval" in forward.merging[1]
    assert any("mlrelease rollback production --model wine --now" in line for line in forward.undoing)
    assert "the hold ends by itself" in back.merging[1]
    (way,) = back.undoing
    assert way.startswith("Closing this does not end the hold: mlrelease unhold production --service wine --reason … does")


def test_evidence_is_passed_on(pair):
    """What a promotion's source proved."""
    assert told(pair, PROMOTE, evidence=["verified in staging"]).evidence == ("verified in staging",)
