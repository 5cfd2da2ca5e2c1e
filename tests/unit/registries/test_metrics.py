"""Which of several logged values counts, and which zeros are none."""

from __future__ import annotations

import math

import pytest
from mlrelease.registries import metrics

LARGEST = 1.7976931348623157e308


def logged(key, value, *, step=0, at=1, run_id="r"):
    return {"key": key, "value": value, "step": step, "timestamp": at, "run_id": run_id}


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        pytest.param([logged("a", 1.0)], 1.0, id="one"),
        pytest.param([logged("a", 1.0, step=2), logged("a", 2.0, step=1, at=9)], 1.0, id="the last step, not the last moment"),
        pytest.param([logged("a", 1.0, at=5), logged("a", 2.0, at=4)], 1.0, id="of one step the last moment"),
        pytest.param([logged("a", 1.0), logged("a", 2.0)], 2.0, id="of one moment the last in the list"),
        pytest.param([{"key": "a", "value": 3.0}], 3.0, id="step and moment left out"),
    ],
)
def test_the_last_value_counts(values, counts):
    """For a run as for a model."""
    assert metrics.of_run(values) == {"a": counts}
    assert metrics.of_model(values, lambda run_id, key: []) == {"a": counts}


@pytest.mark.parametrize(
    ("value", "read"),
    [
        pytest.param(1, 1.0, id="a whole number"),
        pytest.param("Infinity", math.inf, id="infinity in JSON"),
        pytest.param("-Infinity", -math.inf, id="its negative"),
        pytest.param(LARGEST, math.inf, id="infinity in MLflow's database"),
        pytest.param(-LARGEST, -math.inf, id="its negative there"),
        pytest.param(1e300, 1e300, id="large, and finite"),
    ],
)
def test_numbers_are_read_as_they_were_logged(value, read):
    """JSON has no infinities, and MLflow's database neither."""
    assert metrics.number(value) == read


def test_nan_is_read_as_nan():
    """Protobuf's JSON writes it as a text."""
    assert math.isnan(metrics.of_run([logged("a", "NaN")])["a"])


@pytest.mark.parametrize(
    ("history", "counts"),
    [
        pytest.param([logged("a", 0.0)], 0.0, id="a zero"),
        pytest.param([{"key": "a", "step": 0, "timestamp": 1}], 0.0, id="a zero that the JSON leaves out"),
        pytest.param([logged("a", "NaN")], math.nan, id="NaN"),
        pytest.param([logged("a", 0.0, at=2), logged("a", "NaN")], math.nan, id="NaN, and a zero of another moment"),
        pytest.param([logged("a", 0.0), logged("a", "NaN", step=3)], 0.0, id="a zero, and NaN of another step"),
        pytest.param([logged("a", 0.0), logged("a", "NaN")], math.nan, id="both at one moment"),
        pytest.param([], math.nan, id="nothing: the run is gone"),
    ],
)
def test_a_zero_of_a_logged_model_is_looked_up(history, counts):
    """MLflow answers 0.0 for NaN there: what is not surely a zero opens no gate."""
    asked = []

    def look(run_id, key):
        asked.append((run_id, key))
        return history

    found = metrics.of_model([logged("a", 0.0, run_id="r7"), logged("b", 2.0)], look)
    assert found["b"] == 2.0
    assert math.isnan(found["a"]) if math.isnan(counts) else found["a"] == counts
    assert asked == [("r7", "a")]
