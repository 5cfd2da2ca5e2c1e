"""Golden predictions of many versions from one cold start: each model alone in its process, each failure its own."""

from __future__ import annotations

import sys

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.serving.golden import Golden, compute
from mlrelease.serving.goldens import Request, compute_many
from support.served import ROWS, save_code, save_sklearn

MEMORY = 4 << 30
GOOD = """
def predict(self, context, model_input):
    return [7.0]
"""
BAD = {
    "raises": ("def predict(self, context, model_input):\n    raise ValueError('no good')", "cannot predict its own example"),
    "ends the process": (
        "def load_context(self, context):\n    os._exit(3)\ndef predict(self, c, i):\n    return []",
        "exit code 3",
    ),
    "crashes": (
        "def load_context(self, context):\n    os.kill(os.getpid(), 11)\ndef predict(self, c, i):\n    return []",
        "ended by signal 11",
    ),
    "hangs": ("def predict(self, context, model_input):\n    time.sleep(600)", "did not load and predict within 4 s"),
    "spins": ("def predict(self, context, model_input):\n    while True: pass", "4 s"),
    "eats memory": ("def predict(self, context, model_input):\n    return [len(bytearray(1 << 40))]", "MemoryError"),
    "has no JSON form": ("def predict(self, context, model_input):\n    return [object()]", "cannot be written as JSON"),
}


def _many(paths, *, deadline_s=60.0):
    requests = [Request(path, ROWS) for path in paths]
    return compute_many(requests, deadline_s=deadline_s, memory_bytes=MEMORY, python=sys.executable)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A model that answers 7."""
    return save_code(tmp_path_factory.mktemp("good") / "model", GOOD)


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    """A regression that answers x + 10 y."""
    return save_sklearn(tmp_path_factory.mktemp("regression") / "model")


def test_many_answer_what_each_answers_alone(good, regression):
    """The answers stand in the order asked, and are those that a process for one model gives."""
    many = _many([regression, good, regression])
    assert [one.predictions for one in many] == [pytest.approx([21.0, 43.0]), [7.0], pytest.approx([21.0, 43.0])]
    alone = compute(regression, ROWS, deadline_s=60, memory_bytes=MEMORY, python=sys.executable)
    assert (many[0].predictions, many[0].mlflow) == (alone.predictions, alone.mlflow)
    assert many[0].isolation["network"] == alone.isolation["network"]
    assert Golden.from_json(many[1].to_json()) == many[1]


def test_each_failure_is_its_own(good, tmp_path):
    """Whatever a model does to its process, its reason says so and the models around it answer."""
    paths = [good]
    for name, (body, _) in BAD.items():
        paths += [save_code(tmp_path / name.replace(" ", "-"), body), good]
    answers = _many(paths, deadline_s=4.0)
    assert [one.predictions for one in answers[::2]] == [[7.0]] * (len(BAD) + 1)
    for one, (name, (_, reason)) in zip(answers[1::2], BAD.items(), strict=True):
        assert isinstance(one, Error), name
        assert reason in one.message, name


def test_a_model_that_changes_the_libraries_changes_no_other(good, tmp_path):
    """What one model does to the modules in memory stays in its own process."""
    answer = "\ndef predict(self, context, model_input):\n    return [math.floor(1.5)]"
    spoiler = "def load_context(self, context):\n    math.floor = lambda x: 99" + answer
    first, second = _many([save_code(tmp_path / "spoiler", spoiler), save_code(tmp_path / "user", answer)])
    assert (first.predictions, second.predictions) == ([99], [1])


def test_a_folder_without_a_model_is_said_so(good, tmp_path):
    """A folder that holds no model fails alone."""
    empty = tmp_path / "empty"
    empty.mkdir()
    missing, answered = _many([empty, good])
    assert "cannot be loaded" in missing.message
    assert answered.predictions == [7.0]


def test_an_interpreter_that_is_missing_is_unavailable(good):
    """Not being able to start says nothing of the models."""
    with pytest.raises(UnavailableError, match="cannot start /no/such/python"):
        compute_many([Request(good, ROWS)], deadline_s=5, memory_bytes=MEMORY, python="/no/such/python")


def test_nothing_to_do_starts_nothing():
    """No request, no process."""
    assert compute_many([], deadline_s=5, memory_bytes=MEMORY, python="/no/such/python") == ()


def test_many_models_cost_one_cold_start(tmp_path):
    """Every model is tried by a process of its own, and all of these are forks of one that imported the libraries."""
    path = save_code(tmp_path / "model", "def predict(self, context, model_input):\n    return [os.getppid(), os.getpid()]")
    answers = [one.predictions for one in _many([path] * 12)]
    assert len({parent for parent, _ in answers}) == 1
    assert len({own for _, own in answers}) == 12
