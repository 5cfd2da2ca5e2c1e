"""MLflow's run as a value: whole, with everything missing that may be, and of a shape that is none."""

from __future__ import annotations

import math

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.model.run import Dataset, RunFacts
from mlrelease.registries.mlflow_rest import MlflowRest
from mlrelease.registries.runs import run_of
from support.faulty_server import answer, closed_port, error, faulty

WHOLE = {
    "info": {
        "run_id": "abc",
        "run_name": "retrain",
        "status": "FINISHED",
        "user_id": "root",
        "experiment_id": "3",
        "start_time": 1_800_000_000_000,
        "end_time": 1_800_000_060_500,
    },
    "data": {
        "params": [{"key": "C", "value": "0.1"}],
        "metrics": [
            {"key": "rmse", "value": 1.5, "step": 0, "timestamp": 1},
            {"key": "rmse", "value": 1.25, "step": 1, "timestamp": 2},
            {"key": "broken", "value": "NaN", "step": 0, "timestamp": 1},
        ],
        "tags": [
            {"key": "mlflow.source.git.commit", "value": "f" * 40},
            {"key": "mlflow.source.name", "value": "train.py"},
            {"key": "mlflow.user", "value": "grace"},
        ],
    },
    "inputs": {
        "dataset_inputs": [
            {
                "dataset": {"name": "wine", "digest": "d1", "source_type": "http", "source": '{"url": "https://x/w.csv"}'},
                "tags": [{"key": "mlflow.data.context", "value": "training"}],
            },
            {"dataset": {"name": "held out", "digest": "d2"}},
        ]
    },
}


def test_a_whole_run_is_read_whole():
    """The last metric counts, the tag's user before the account's."""
    found = run_of(WHOLE)
    assert math.isnan(found.metrics["broken"])
    assert found.metrics["rmse"] == 1.25
    assert found.datasets == (
        Dataset("wine", "d1", "http", '{"url": "https://x/w.csv"}', "training"),
        Dataset("held out", "d2"),
    )
    assert (found.run_id, found.name, found.status, found.user) == ("abc", "retrain", "FINISHED", "grace")
    assert (found.started_at, found.ended_at, found.experiment) == (1_800_000_000.0, 1_800_000_060.5, "3")
    assert (found.git_commit, found.entry, found.params) == ("f" * 40, "train.py", {"C": "0.1"})


@pytest.mark.parametrize(
    "item",
    [
        {"info": {"run_id": "abc"}},
        {"info": {"run_id": "abc", "end_time": None}, "data": {}, "inputs": {}},
        {"info": {"run_id": "abc", "start_time": ""}, "data": {"tags": [], "params": []}},
    ],
    ids=["the id alone", "empty parts", "empty times"],
)
def test_what_a_run_may_lack_is_empty(item):
    """A run that somebody began and left."""
    assert run_of(item) == RunFacts("abc")


def test_times_may_come_as_text():
    """MLflow's JSON has 64-bit numbers as text in places."""
    assert run_of({"info": {"run_id": "abc", "start_time": "1800000000000"}}).started_at == 1_800_000_000.0


@pytest.mark.parametrize(
    "item",
    [{}, {"info": {}}, {"info": None}, {"info": {"run_id": "a"}, "data": []}, {"info": {"run_id": "a"}, "inputs": [1]}],
    ids=["nothing", "no id", "no info", "data is a list", "inputs is a list"],
)
def test_another_shape_is_an_error(item):
    """One that the adapters translate."""
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        run_of(item)


def asked(play, run_id="abc"):
    with faulty(play) as server:
        return MlflowRest(server.url, credentials={}).run(run_id)


def test_a_server_is_asked_for_a_run_by_its_id():
    """One call."""
    found = asked(answer({"run": WHOLE}))
    assert (found.run_id, found.params, found.datasets) == ("abc", {"C": "0.1"}, run_of(WHOLE).datasets)


def test_a_run_that_is_gone_is_none():
    """Deleted for good."""
    assert asked(error(404, "RESOURCE_DOES_NOT_EXIST")) is None


@pytest.mark.parametrize("value", [{}, {"run": []}, {"run": {"info": {}}}, {"run": None}], ids=repr)
def test_an_answer_of_another_shape_is_an_error(value):
    """Not a KeyError."""
    with pytest.raises(Error, match="something else than the API describes"):
        asked(answer(value))


def test_a_server_that_does_not_answer_is_said_so():
    """Within its deadline."""
    with closed_port() as port, pytest.raises(UnavailableError, match="connection refused"):
        MlflowRest(f"http://127.0.0.1:{port}", credentials={}).run("abc")
