"""What an `MLmodel` file and a serving example say."""

from __future__ import annotations

import json

import pytest
from mlrelease.errors import Error
from mlrelease.registries import cache
from mlrelease.registries.mlmodel import ModelMetadata, cut, metadata

COLUMNS = '[{"type": "double", "name": "a", "required": true}]'
MLMODEL = f"""
flavors:
  sklearn: {{pickled_model: model.pkl}}
  python_function: {{loader_module: mlflow.sklearn}}
signature:
  inputs: '{COLUMNS}'
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: dataframe
"""


def test_metadata_names_flavors_inputs_and_example(tmp_path):
    """As MLflow 3 writes them."""
    (tmp_path / "MLmodel").write_text(MLMODEL)
    assert cache.metadata(tmp_path) == ModelMetadata(
        flavors=("python_function", "sklearn"),
        inputs=({"type": "double", "name": "a", "required": True},),
        has_input_example=True,
        example="serving_input_example.json",
    )


def test_metadata_of_a_bare_model_says_what_is_missing(tmp_path):
    """No signature is None, not an empty one."""
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {}}\n")
    assert metadata(tmp_path) == ModelMetadata(("sklearn",), None, has_input_example=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "has no file MLmodel", id="missing"),
        pytest.param("", "not one that MLflow writes", id="empty"),
        pytest.param("- a\n", "not one that MLflow writes", id="a list"),
        pytest.param("flavors: 3\n", "not one that MLflow writes", id="flavors are a number"),
        pytest.param("flavors: {a: {}}\nsignature: {inputs: '{'}\n", "not one that MLflow writes", id="broken signature"),
        pytest.param("flavors: !!python/object/apply:os.system ['touch ran']\n", "not one", id="a tag that would run"),
        pytest.param("flavors: {" + " " * (5 << 20) + "}", "larger than 4 MiB", id="too large"),
        pytest.param(b"\xff\xfe", "not UTF-8", id="not text"),
    ],
)
def test_a_broken_mlmodel_file_is_an_error(tmp_path, monkeypatch, text, message):
    """With its place, and nothing in it runs."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "MLmodel").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Error, match=message):
        metadata(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_the_serving_example_is_cut_to_32_rows(tmp_path):
    """Columns stay, data ends after row 32."""
    (tmp_path / "MLmodel").write_text(MLMODEL)
    rows = [[float(n)] for n in range(100)]
    (tmp_path / "serving_input_example.json").write_text(json.dumps({"dataframe_split": {"columns": ["a"], "data": rows}}))
    assert cache.serving_example(tmp_path) == {"dataframe_split": {"columns": ["a"], "data": rows[:32]}}


def test_a_version_without_an_example_has_none(tmp_path):
    """The probe is skipped then; it is no error."""
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {}}\n")
    assert cache.serving_example(tmp_path) is None


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        pytest.param("serving_input_example.json", None, "has no file serving_input_example.json", id="missing"),
        pytest.param("serving_input_example.json", "{", "not JSON", id="not JSON"),
        pytest.param("serving_input_example.json", "[1]", "not a JSON object", id="a list"),
        pytest.param("../outside.json", '{"inputs": [1]}', "outside the model's folder", id="outside"),
        pytest.param("/etc/hostname", None, "outside the model's folder", id="absolute"),
    ],
)
def test_a_broken_example_is_an_error(tmp_path, path, content, message):
    """A version that names an example has to have one, inside its folder."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text(MLMODEL.replace("serving_input_example.json", path))
    if content is not None:
        (model / path).write_text(content)
    with pytest.raises(Error, match=message):
        cache.serving_example(model)


LONG = list(range(40))
SHORT = LONG[:32]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(
            {"dataframe_split": {"columns": LONG, "index": LONG, "data": LONG}},
            {"dataframe_split": {"columns": LONG, "index": SHORT, "data": SHORT}},
            id="split: as many columns as you like",
        ),
        pytest.param({"dataframe_records": LONG}, {"dataframe_records": SHORT}, id="records"),
        pytest.param({"instances": LONG}, {"instances": SHORT}, id="instances"),
        pytest.param(
            {"inputs": LONG, "params": {"k": LONG}}, {"inputs": SHORT, "params": {"k": LONG}}, id="inputs, not params"
        ),
        pytest.param({"inputs": {"a": LONG, "b": LONG}}, {"inputs": {"a": SHORT, "b": SHORT}}, id="a list for each column"),
        pytest.param({"inputs": {"a": LONG, "b": 1}}, {"inputs": {"a": LONG, "b": 1}}, id="one row with an array in it"),
        pytest.param({"inputs": {"v": LONG}}, {"inputs": {"v": LONG}}, id="one row whose column is an array"),
        pytest.param({"inputs": "text"}, {"inputs": "text"}, id="text"),
        pytest.param({"messages": LONG}, {"messages": LONG}, id="another protocol"),
    ],
)
def test_only_rows_are_cut(payload, expected):
    """What is not a list of rows stays whole."""
    assert cut(payload, ({"type": "array", "name": "v"},)) == expected
