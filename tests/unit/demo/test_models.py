"""The two bad versions are really bad: else the demo would show nothing."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from mlrelease.demo.models import RECIPES, poison


def test_the_poisoned_pickle_leaves_a_trace_when_it_is_loaded(tmp_path):
    """That the demo finds no trace means that nobody loaded it."""
    trace = tmp_path / "trace"
    data = poison(trace)
    assert not trace.exists()
    pickle.loads(data)
    assert trace.read_text() == "somebody loaded the poisoned pickle\n"


def test_versions_are_numbered_in_the_order_of_registration():
    """MLflow gives the numbers: the recipes have to name them as they will be."""
    assert [recipe.version for recipe in RECIPES] == [str(number) for number in range(1, len(RECIPES) + 1)]


@pytest.fixture(scope="module")
def unsteady(tmp_path_factory):
    """Version 4 over one column, which it standardises with mean 10 and scale 5: class 1 from 12.5 upwards."""
    from mlrelease.demo.unsteady import UnsteadyClassifier

    numbers = tmp_path_factory.mktemp("model") / "numbers.json"
    numbers.write_text(json.dumps({"mean": [10.0], "scale": [5.0], "weights": [[0.0], [1.0]], "bias": [0.5, 0.0]}))
    model = UnsteadyClassifier()
    model.load_context(SimpleNamespace(artifacts={"numbers": str(numbers)}))
    return model


def rows():
    """Three rows of the classes 0, 1, 1."""
    import pandas as pd

    return pd.DataFrame({"x": [5.0, 13.0, 20.0]})


def test_the_unsteady_version_is_right_alone(unsteady):
    """One request after the other gets the right classes, again and again."""
    assert [unsteady.predict(None, rows()).tolist() for _ in range(3)] == [[0, 1, 1]] * 3


def test_the_unsteady_version_is_wrong_in_company(unsteady):
    """The very same rows, asked for many times at once, get other classes."""
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: unsteady.predict(None, rows()).tolist(), range(50)))
    assert sum(answer != [0, 1, 1] for answer in answers) >= 5
