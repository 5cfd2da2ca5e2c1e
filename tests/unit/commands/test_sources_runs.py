"""What `why` asks of MLflow: the run behind a version, or why it cannot be named; and no secret out of what somebody logged."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from mlrelease.commands.sources import OFFLINE, Sources
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.render.lineage import Trained
from mlrelease.spec.secrets import HIDDEN
from support.core import model
from support.fake_registry import FakeRegistry
from support.newcomer import newcomer
from support.pair import identity

pytestmark = pytest.mark.xdist_group("sources-runs")
RUN = RunFacts("r1", name="monday", user="grace", git_commit="c0ffee" + "0" * 34, metrics={"rmse": 1.5}, params={"C": "0.1"})
SECRETS = {
    "a password in an address": ("https://ada:hunter2@db.example.com/wine", "hunter2"),
    "a token in a query": ("s3://bucket/wine?sig=hunter2", "hunter2"),
    "a token of a git host": (f"pushed with ghp_{'hunter2' * 6}", "hunter2"),
    "a signed token": (f"eyJhunter2hunter2.eyJ{'hunter2' * 3}.x", "hunter2"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The example in a repository without a remote."""
    with identity():
        yield newcomer(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def registry():
    """Version 1 has a run, 2 has none, 3's is gone."""
    found = FakeRegistry()
    for version, run in (("1", "r1"), ("2", ""), ("3", "r3")):
        found.add("wine", version, {})
        found.facts["wine", version] = replace(found.facts["wine", version], run_id=run)
    found.runs["r1"] = RUN
    return found


def asked(made, registry, version, *, sources=None, environment="production", **options):
    sources = sources or Sources(replace(made, fake=registry), options.get("offline", False))
    return sources.trained(environment, model("wine", version), made.ledger())


def test_the_run_behind_a_version(made, registry):
    """With the server that says so."""
    assert asked(made, registry, "1") == Trained(run=RUN, where="http://fake")


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("2", "wine 2 was registered without a run"),
        ("3", "run r3 is gone at http://fake"),
        ("4", "wine 4 is not registered at http://fake any more"),
    ],
    ids=["no run", "a run that was deleted", "a version that was deleted"],
)
def test_why_no_run_is_named(made, registry, version, problem):
    """One of them does not keep the next from being asked."""
    sources = Sources(replace(made, fake=registry), offline=False)
    assert asked(made, registry, version, sources=sources) == Trained(problem=problem)
    assert asked(made, registry, "1", sources=sources).run == RUN


def test_a_server_that_is_away_is_asked_once(made, registry):
    """The deadline is paid once; the other versions get the same word, also when it is back."""
    registry.down = True
    sources = Sources(replace(made, fake=registry), offline=False)
    gone = Trained(problem="MLflow at http://fake did not answer: connection refused")
    assert asked(made, registry, "1", sources=sources) == gone
    registry.down = False
    assert asked(made, registry, "2", sources=sources) == gone
    assert len(registry.described) == 1


def test_offline_nobody_is_asked(made, registry):
    """And it is said."""
    assert asked(made, registry, "1", offline=True) == Trained(problem=OFFLINE)
    assert registry.described == []


def test_an_environment_that_is_gone_has_no_server(made, registry):
    """Its address stood in a file that is no more; said of it alone."""
    sources = Sources(replace(made, fake=registry), offline=False)
    found = asked(made, registry, "1", sources=sources, environment="staging")
    assert found.problem == "staging is not among the environments of main any more, or has findings"
    assert asked(made, registry, "1", sources=sources).run == RUN


def test_golden_predictions_stand_beside_a_run_that_is_gone(made, registry):
    """The ledger has them: by digest and number of rows."""
    made.ledger().put_golden(model("wine", "3").digest, {"schema": 1, "payload": {}, "predictions": [1.0, 2.0]})
    found = asked(made, registry, "3")
    assert (found.golden_rows, found.golden[:7]) == (2, "sha256:")
    assert asked(made, registry, "3", offline=True).golden == found.golden
    assert found.problem == "run r3 is gone at http://fake"


def test_a_note_is_said_once(made):
    """However often it is found."""
    sources = Sources(made, offline=False)
    for text in ("a", "b", "a"):
        sources.note(text)
    assert sources.notes == ["a", "b"]


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_no_field_of_a_run_shows_a_secret(made, registry, text, secret):
    """Whoever could write to MLflow wrote them: names, tags, keys and values, and those of its data."""
    fields = dict.fromkeys(("name", "status", "user", "experiment", "git_commit", "entry"), text)
    data = Dataset(text, text, text, text, text)
    registry.runs["r1"] = RunFacts(
        "r1", **fields, metrics={text: 1.0}, params={text: text, "plain": text}, datasets=(data, data)
    )
    found = asked(made, registry, "1").run
    assert secret not in str(asdict(found))
    assert (len(found.datasets), len(found.params), list(found.metrics.values())) == (2, 2, [1.0])


@pytest.mark.parametrize("key", ["password", "db_password", "API_KEY", "hf.token"])
def test_a_parameter_named_like_a_secret_is_hidden_whatever_it_holds(made, registry, key):
    """Its name stays: that it was there is worth knowing."""
    registry.runs["r1"] = replace(RUN, params={key: "x", "pad_token": "[PAD]", "max_tokens": "7"})
    assert asked(made, registry, "1").run.params == {key: HIDDEN, "pad_token": "[PAD]", "max_tokens": "7"}
