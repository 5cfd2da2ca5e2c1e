"""MLflow's scoring protocol against models in memory: what is read, what is refused and why, and the form of the answer."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.serving.refusal import Refusal
from structlog.testing import capture_logs
from support.served import save_code

pytestmark = pytest.mark.xdist_group("scoring")  # importing MLflow takes seconds: once


@pytest.fixture(scope="module")
def scoring():
    from mlrelease.serving import scoring

    return scoring


class Impl:
    """A model of one function over its rows and params."""

    def __init__(self, function):
        self.function = function

    def predict(self, data, params=None):
        return self.function(data, params)


@pytest.fixture
def model(scoring):
    """`model(function, columns)` is a loaded model; `columns` are its doubles, None is no signature."""

    def make(function, columns=("x", "y"), params=()):
        from mlflow.models import Model, ModelSignature
        from mlflow.pyfunc import PyFuncModel
        from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

        signature = None
        if columns is not None:
            schema = Schema([ColSpec("double", name) for name in columns])
            given = ParamSchema([ParamSpec(name, "long", default) for name, default in params]) if params else None
            signature = ModelSignature(inputs=schema, params=given)
        meta = Model(signature=signature)
        meta.add_flavor("python_function", loader_module="unused")
        return scoring._PyFunc(PyFuncModel(model_meta=meta, model_impl=Impl(function)))

    return make


def total(data, params):
    return (data["x"] + 10 * data["y"]).tolist()


def refused(act):
    with pytest.raises(Refusal) as caught:
        act()
    refusal = caught.value
    return refusal.status, refusal.error_code, refusal.message, refusal.field


FORMATS = "dataframe_split, dataframe_records, instances, inputs"
ROWS = {"dataframe_records": [{"x": 1.0, "y": 2.0}]}


# ---- what is read


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", ("the body is not JSON (line 1, column 2)", "body")),
        (b'{\n "a": }', ("the body is not JSON (line 2, column 7)", "body")),
        (b"", ("the body is not JSON (line 1, column 1)", "body")),
        (b"\xff\xff\xff", ("the body is not JSON", "body")),
        (b"[" * 200_000, ("the body is not JSON", "body")),
        (b'{"inputs": ' + b"1" * 5000 + b"}", ("the body is not JSON", "body")),
        (b"[]", ("the body must be an object with one of dataframe_split, dataframe_records, instances, inputs", "body")),
        (b"null", ("the body must be an object with one of dataframe_split, dataframe_records, instances, inputs", "body")),
        (
            b"{}",
            ("the body must hold exactly one of dataframe_split, dataframe_records, instances, inputs; it holds none", "body"),
        ),
        (
            b'{"inputs": [], "dataframe_records": []}',
            (
                f"the body must hold exactly one of {FORMATS}; it holds dataframe_records and inputs",
                "body",
            ),
        ),
        (b'{"inputs": [1], "z": 1, "colour": 2}', ("unknown key 'colour' beside inputs", "colour")),
        (b'{"inputs": [1], "params": []}', ("params must be an object", "params")),
    ],
    ids=[
        "half an object",
        "on the second line",
        "nothing",
        "no text",
        "nested without end",
        "a number without end",
        "a list",
        "null",
        "no format",
        "two formats, in the order of the protocol",
        "unknown keys, the first by name",
        "params that are none",
    ],
)
def test_a_body_of_another_form_is_refused_with_its_place(model, body, expected):
    """400, before the model is asked."""
    asked = []
    one = model(lambda data, params: asked.append(data))
    assert refused(lambda: one.score(body)) == (400, "BAD_REQUEST", *expected)
    assert asked == []


@pytest.mark.parametrize(
    "payload",
    [
        {"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 2.0], [3.0, 4.0]]}},
        {"dataframe_split": {"columns": ["y", "x"], "data": [[2, 1], [4, 3]], "index": [7, 8]}},
        {"dataframe_records": [{"y": 2, "x": 1}, {"x": 3, "y": 4, "z": "more"}]},
        {"instances": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]},
        {"inputs": {"x": [1.0, 3.0], "y": [2.0, 4.0]}},
        {"inputs": {"x": [1.0, 3.0], "y": [2.0, 4.0]}, "params": None},
    ],
    ids=["split", "split in another order", "records", "instances", "inputs", "params that are null are none"],
)
def test_every_format_asks_the_model_the_same(model, payload):
    """And bytes are asked as what they hold."""
    one = model(total)
    assert one.predict(payload) == [21.0, 43.0]
    assert one.score(json.dumps(payload).encode()) == b'{"predictions": [21.0, 43.0]}'


def test_params_reach_the_model_and_others_are_refused(model):
    """Checked against the signature; a wrong one is told as such."""
    one = model(lambda data, params: [params["add"]], params=[("add", 5)])
    assert one.predict(ROWS) == [5]
    assert one.predict({**ROWS, "params": {"add": 7}}) == [7]
    status, code, message, field = refused(lambda: one.predict({**ROWS, "params": {"add": "many"}}))
    assert (status, code, field) == (400, "BAD_REQUEST", "params")
    assert "add" in message


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"dataframe_records": []}, "dataframe_records"),
        ({"dataframe_split": {"columns": ["x", "y"], "data": []}}, "dataframe_split"),
        ({"instances": []}, "instances"),
        ({"inputs": {"x": [], "y": []}}, "inputs"),
    ],
)
def test_no_rows_are_refused(model, payload, field):
    """A model would answer anything to them."""
    assert refused(lambda: model(total).predict(payload)) == (400, "BAD_REQUEST", f"{field} holds no rows", field)


@pytest.mark.parametrize(
    ("columns", "payload", "field"),
    [
        (("x", "y"), {"dataframe_records": [{"x": 1.0}]}, "y"),
        (("x", "x1"), {"dataframe_records": [{"x": 1.0}]}, "x1"),
        (("a.b", "a+b"), {"dataframe_records": [{"a.b": 1.0}]}, "a+b"),
        (("x", "y"), {"dataframe_records": [{"x": 1.0, "y": "abc"}]}, "y"),
        (("x", "y"), {"inputs": {"x": [1.0], "y": ["abc"]}}, "y"),
        (("x", "y"), {"instances": [{"x": 1.0, "y": 2.0}, {"x": "abc", "y": 1.0}]}, "x"),
        (("x", "y"), {"dataframe_records": 5}, "dataframe_records"),
        (("x", "y"), {"dataframe_split": {"data": 5}}, "dataframe_split"),
    ],
    ids=[
        "a column that is missing",
        "one whose name begins like another",
        "names that are patterns",
        "text for a number in records",
        "text for a number in inputs",
        "in the second of instances",
        "no rows at all",
        "no table",
    ],
)
def test_the_column_at_fault_is_named(model, columns, payload, field):
    """So that a client finds it among a hundred; in one line, without the rows that MLflow repeats."""
    status, code, message, named = refused(lambda: model(lambda data, params: [1.0], columns).predict(payload))
    assert (status, code, named) == (400, "BAD_REQUEST", field)
    assert "\n" not in message


def test_a_signature_of_type_hints_takes_inputs_as_they_are(scoring):
    """As MLflow's own server does; any other format is refused."""
    metadata = SimpleNamespace(get_input_schema=lambda: None, _is_signature_from_type_hint=lambda: True)
    one = scoring._PyFunc(SimpleNamespace(metadata=metadata, predict=lambda data, params=None: [type(data).__name__, data]))
    assert one.predict({"inputs": [{"a": 1}]}) == ["list", [{"a": 1}]]
    assert refused(lambda: one.predict({"instances": [1]})) == (
        400, "BAD_REQUEST", "this model's signature comes from type hints: use inputs", "instances",
    )  # fmt: skip


# ---- whose fault it is


def raising(error):
    def predict(data, params):
        raise error

    return predict


@pytest.mark.parametrize(
    ("error", "rows", "expected"),
    [
        (ValueError("secret"), {"x": 1.0, "y": None}, (400, "the model refuses rows without a value: y", "y")),
        (TypeError("secret"), {"x": None, "y": None}, (400, "the model refuses rows without a value: x, y", "x")),
        (ValueError("secret"), {"x": 1.0, "y": 2.0}, (500, "the model raised ValueError; the server's log says more", "")),
        (KeyError("secret"), {"x": 1.0, "y": None}, (500, "the model raised KeyError; the server's log says more", "")),
        (MemoryError(), {"x": 1.0, "y": 2.0}, (500, "the model raised MemoryError; the server's log says more", "")),
    ],
    ids=[
        "a row without a value, which the model refuses",
        "two of them, the first is the field",
        "every row has its values",
        "another fault in a row without a value",
        "no memory",
    ],
)
def test_a_client_cannot_make_a_good_version_look_broken(model, error, rows, expected):
    """Rows without a value are the client's, everything else is the model's; neither says what the exception said."""
    status, _, message, field = refused(lambda: model(raising(error)).predict({"dataframe_records": [rows]}))
    assert (status, message, field) == expected


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (1000, 400, "no 'y' here"),
        (1, 500, "the model raised MlflowException; the server's log says more"),
    ],
    ids=["a refusal of its own", "a fault inside"],
)
def test_mlflows_own_exceptions_are_told_apart_by_their_code(model, code, status, message):
    """1000 is INVALID_PARAMETER_VALUE, 1 is INTERNAL_ERROR (mlflow/protos/databricks.proto)."""
    from mlflow.exceptions import MlflowException

    got, _, text, field = refused(lambda: model(raising(MlflowException("no 'y' here\nmore", code))).predict(ROWS))
    assert (got, text, field) == (status, message, "y" if status == 400 else "")


# ---- the form of the answer


def arrays():
    import numpy as np
    import pandas as pd

    return {
        "an array": (np.array([[1.5, 2.0]]), [[1.5, 2.0]]),
        "integers of numpy": ([np.int64(1), np.float32(0.5), np.bool_(True)], [1, 0.5, True]),
        "one number": (np.float64(2.0), 2.0),
        "a series": (pd.Series([1, 2], name="p"), [{"p": 1}, {"p": 2}]),
        "a series without a name": (pd.Series([1.0]), [{"0": 1.0}]),
        "a table": (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        "a table with NaN": (pd.DataFrame({"a": [math.nan, 1.0]}), [{"a": None}, {"a": 1.0}]),
        "words": (["a", "ä"], ["a", "ä"]),
        "columns": ({"p": [1.0], "q": {"r": [math.inf]}}, {"p": [1.0], "q": {"r": [None]}}),
        "NaN and both infinities": ([math.nan, math.inf, -math.inf, 1.0], [None, None, None, 1.0]),
        "an array with NaN": (np.array([math.nan, 1.0]), [None, 1.0]),
        "nothing": (None, None),
        "no predictions": ([], []),
    }


@pytest.mark.parametrize("name", list(arrays()))
def test_predictions_are_written_as_mlflow_writes_them(scoring, name):
    """But for NaN and infinity, which are null: what comes out is JSON for every client."""
    raw, expected = arrays()[name]
    answer = scoring._answer(raw)
    assert json.loads(answer, parse_constant=lambda c: pytest.fail(f"{c} is no JSON")) == {"predictions": expected}


def _circle():
    circle = []
    circle.append(circle)
    return circle


def _deep():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (object(), "object"),
        ([object()], "list"),
        ({(1, 2): 3}, "dict"),
        ({1.0, 2.0}, "set"),
        (_circle(), "list"),
        (_deep(), "list"),
    ],
    ids=["an object", "in a list", "a key that is none", "a set", "a circle", "nested without end"],
)  # fmt: skip
def test_predictions_without_a_json_form_are_the_models_fault(scoring, raw, kind):
    """Only their kind is told."""
    expected = (500, "INTERNAL_ERROR", f"the model's predictions ({kind}) cannot be written as JSON", "")
    assert refused(lambda: scoring._answer(raw)) == expected


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_what_goes_in_comes_out_in_every_format(rows):
    """A model that gives its rows back: values, order and count, whichever way they were sent."""
    from mlrelease.serving import scoring

    metadata = SimpleNamespace(get_input_schema=lambda: None, _is_signature_from_type_hint=lambda: False)
    one = scoring._PyFunc(SimpleNamespace(metadata=metadata, predict=lambda data, params=None: data))
    records = [{"x": x, "y": y} for x, y in rows]
    assert one.predict({"dataframe_records": records}) == records
    split = {"columns": ["x", "y"], "data": [list(row) for row in rows]}
    assert json.loads(one.score(json.dumps({"dataframe_split": split}).encode())) == {"predictions": records}
    assert one.predict({"inputs": [list(row) for row in rows]}) == [list(row) for row in rows]


# ---- rows and gaps


def test_rows_are_counted_in_every_form(scoring):
    """Of the longest column; what is no list is one row."""
    import numpy as np
    import pandas as pd

    counted = [
        ([], 0), ([1, 2], 2), (np.zeros((3, 2)), 3), (np.float64(1), 1), (np.array(5), 1), ({}, 0),
        ({"a": np.zeros(2), "b": np.zeros(4)}, 4), (pd.DataFrame({"a": []}), 0), (pd.DataFrame({"a": [1, 2]}), 2), ("word", 1),
    ]  # fmt: skip
    assert [scoring._rows(data) for data, _ in counted] == [rows for _, rows in counted]


def test_columns_without_a_value_are_found_in_every_form(scoring):
    """Null, NaN, infinity, and the missing values of pandas; words and zeros are values."""
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({
        "full": [1.0, 0.0], "nan": [1.0, math.nan], "inf": [math.inf, 1.0], "none": ["a", None], "words": ["", "a"],
        "when": [pd.NaT, pd.Timestamp(0)], "na": [pd.NA, 1],
    })  # fmt: skip
    assert scoring._columns_without_value(frame) == ["nan", "inf", "none", "when", "na"]
    assert scoring._columns_without_value({"a": np.array([1.0, math.nan]), "b": np.array([1.0]), "c": "word"}) == ["a"]
    assert scoring._columns_without_value(np.array([[1.0, math.nan]])) == ["inputs"]
    assert scoring._columns_without_value([None]) == []


def test_loading_names_the_mlflow_that_did_it(scoring):
    """As it is recorded beside golden predictions."""
    import mlflow

    assert scoring.mlflow_version() == mlflow.__version__


def test_a_model_that_is_code_leaves_its_folder_as_it_was(tmp_path):
    """No bytecode is written beside it: the folder would not be that of the pin any more."""
    folder = save_code(tmp_path / "model", "def predict(self, context, model_input):\n    return [1.0] * len(model_input)")
    before = digest_of(manifest(folder))
    asked = f"from pathlib import Path\nfrom mlrelease.serving.scoring import load\nload(Path({str(folder)!r}))"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", asked], env=environ, check=True, capture_output=True, timeout=120)
    assert digest_of(manifest(folder)) == before


def test_what_is_not_as_logged_is_said_once(scoring, tmp_path):
    """In one line of the log, with the folder; the model is loaded all the same."""
    folder = save_code(tmp_path / "model", "def predict(self, context, model_input):\n    return [1.0] * len(model_input)")
    (folder / "requirements.txt").write_text("nothing-of-this-name==1\n")
    with capture_logs() as said:
        scoring.load(folder)
    assert [line for line in said if line["event"] == "not what the model was logged with"] == [
        {
            "event": "not what the model was logged with",
            "log_level": "warning",
            "component": "serving",
            "folder": str(folder),
            "differences": ["nothing-of-this-name is not here, ==1 is asked for"],
        }
    ]
