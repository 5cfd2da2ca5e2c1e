"""The signature in an `MLmodel` file, and requests cut to rows: every type by its name, every wrong shape an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.gates.interface import Column, Signature
from mlrelease.registries.mlmodel import ROWS, cut, metadata, serving_example, signature

HEAD = "flavors: {sklearn: {}}\n"


@pytest.fixture
def declared(tmp_path):
    """Writes an `MLmodel` with this signature, and gives its folder."""

    def write(inputs, outputs=None):
        parts = {"inputs": inputs, "outputs": outputs}
        said = {name: part if isinstance(part, str) else json.dumps(part) for name, part in parts.items() if part is not None}
        (tmp_path / "MLmodel").write_text(HEAD + json.dumps({"signature": said})[1:-1])
        return tmp_path

    return write


def array(items, **more):
    return {"type": "array", "items": items, **more}


TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}
LONG, TEXT = {"type": "long"}, {"type": "string"}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param({"type": "double"}, "double", id="plain"),
        pytest.param(TENSOR, "tensor(float32, [-1, 4])", id="a tensor"),
        pytest.param({"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": []}}, "tensor(int8, [])", id="a scalar"),
        pytest.param(array(LONG), "array(long)", id="an array"),
        pytest.param(array(array(TEXT)), "array(array(string))", id="an array of arrays"),
        pytest.param({"type": "map", "values": array(LONG)}, "map(array(long))", id="a map"),
        pytest.param(
            {"type": "object", "properties": {"b": LONG, "a": TEXT | {"required": False}}},
            "object(a: string?, b: long)",
            id="an object",
        ),
        pytest.param({"type": "object", "properties": {}}, "object()", id="an object of nothing"),
        pytest.param({"type": "any"}, "any", id="one that is not known here"),
    ],
)  # fmt: skip
def test_a_type_is_written_with_all_that_it_is_made_of(declared, spec, text):
    """Equal types have equal texts, whatever the order of their parts."""
    assert signature(declared([spec | {"name": "x"}])) == Signature((Column("x", text),), None)


def test_columns_keep_their_order_and_say_what_is_required(declared):
    """Required unless said otherwise; a tensor may have no name."""
    columns = [LONG | {"name": "b", "required": False}, TEXT | {"name": "a", "required": True}, TENSOR, LONG | {"name": None}]
    found = signature(declared(columns, []))
    assert found.inputs == (
        Column("b", "long", required=False),
        Column("a", "string"),
        Column("", "tensor(float32, [-1, 4])"),
        Column("", "long"),
    )
    assert found.outputs == ()


def test_a_part_that_is_not_declared_is_none(declared, tmp_path):
    """Which is not the same as no columns."""
    assert signature(declared(None, [LONG])) == Signature(None, (Column("", "long"),))
    (tmp_path / "MLmodel").write_text(HEAD)
    assert signature(tmp_path) == Signature(None, None)
    (tmp_path / "MLmodel").write_text(HEAD + "signature: null\n")
    assert signature(tmp_path) == Signature(None, None)


STRANGE = "the MLmodel file is not one that MLflow writes"
DEEP = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    "text",
    [
        *('"abc"', '{"a": 1}', "[1]", '["double"]', "[[]]", "null", "7", "{", "", DEEP),
        *('[{"name": "a"}]', '[{"type": "tensor"}]', '[{"type": "tensor", "tensor-spec": {"dtype": "x", "shape": 3}}]'),
        *('[{"type": "array"}]', '[{"type": "map", "values": 1}]', '[{"type": "object", "properties": []}]'),
        '{"type": "array", "items": ' * 400 + "1" + "}" * 400,
    ],
    ids=lambda text: text[:40] or "nothing",
)
def test_a_signature_of_another_shape_is_an_error(declared, text):
    """Never a traceback, and never columns that nobody declared."""
    with pytest.raises(Error) as caught:
        signature(declared(text))
    assert (caught.value.message, caught.value.hint) == (
        "the MLmodel file is not one that MLflow writes",
        "log the model again",
    )
    assert caught.value.where.endswith("/MLmodel")


@pytest.mark.parametrize("text", ['"abc"', '{"a": 1}', "[1]", "null", DEEP, "7"], ids=lambda text: text[:20])
def test_inputs_of_another_shape_are_an_error_to_who_asks_for_metadata(declared, text):
    """Letters of a text are no columns."""
    with pytest.raises(Error, match="the MLmodel file is not one that MLflow writes"):
        metadata(declared(text))


@pytest.mark.parametrize(
    "text",
    [
        *("flavors: abc\n", "flavors: [a]\n", "flavors: null\n", HEAD + "signature: abc\n", HEAD + "signature: [1]\n"),
        *(
            HEAD + "saved_input_example_info: abc\n",
            HEAD + "saved_input_example_info: [1]\n",
            HEAD + "signature: {inputs: 7}\n",
        ),
        *("flavors: " + "[" * 3000, "a: b: c\n", "flavors: !!binary x\n"),
    ],
    ids=lambda text: text[:50],
)
def test_a_file_of_another_shape_is_an_error_to_who_asks_for_metadata(tmp_path, text):
    """Also where a text would pass for a list of letters."""
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(Error, match="the MLmodel file is not one that MLflow writes"):
        metadata(tmp_path)


def example(folder, text):
    """A model whose serving example is that text."""
    (folder / "MLmodel").write_text(HEAD + "saved_input_example_info: {serving_input_path: example.json}\n")
    (folder / "example.json").write_text(text)
    return folder


def test_an_example_far_too_deep_is_an_error(tmp_path):
    """As any other that is no JSON."""
    with pytest.raises(Error) as caught:
        serving_example(example(tmp_path, '{"inputs": ' + "[" * 50_000 + "]" * 50_000 + "}"))
    assert (caught.value.message, caught.value.where) == ("the serving example is not JSON", str(tmp_path / "example.json"))


@pytest.mark.parametrize("path", ["''", "null", "0"])
def test_an_example_that_is_not_named_is_none(tmp_path, path):
    """A version may have an example that no server could answer."""
    (tmp_path / "MLmodel").write_text(HEAD + f"saved_input_example_info: {{type: ndarray, serving_input_path: {path}}}\n")
    assert serving_example(tmp_path) is None
    assert metadata(tmp_path).has_input_example


@pytest.mark.parametrize("path", [".", "deep/..", "deep", "'a\\0b'", "link"])
def test_an_example_that_is_no_file_is_an_error(tmp_path, path):
    """A folder, a link, a name that cannot be."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "MLmodel").write_text(HEAD + f"saved_input_example_info: {{serving_input_path: {path}}}\n")
    with pytest.raises(Error, match=r"(has no file|outside the model's folder)"):
        serving_example(tmp_path)


ROWS_OF = st.lists(st.integers(), max_size=40)
COLUMNS = st.dictionaries(st.sampled_from("ab"), st.one_of(ROWS_OF, st.integers()), max_size=2)
VALUES = st.one_of(ROWS_OF, COLUMNS, st.text(max_size=3), st.none())
SPLIT = st.one_of(
    st.fixed_dictionaries({}, optional={"data": ROWS_OF, "index": ROWS_OF, "columns": ROWS_OF}), st.none(), ROWS_OF
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={"dataframe_split": SPLIT, "dataframe_records": VALUES, "instances": VALUES, "inputs": VALUES, "params": VALUES},
)


@settings(max_examples=80, deadline=None)
@given(PAYLOADS)
def test_a_cut_request_is_a_beginning_of_the_whole(payload):
    """Twice is once, the original is as it was, and of everything that is shorter the first rows are left."""
    before = json.dumps(payload)
    shorter = cut(payload)
    assert json.dumps(payload) == before
    assert cut(shorter) == shorter
    assert shorter.keys() == payload.keys()

    def check(old, new):
        if isinstance(old, dict) and isinstance(new, dict):
            assert old.keys() == new.keys()
            for key in old:
                check(old[key], new[key])
        else:
            assert new == old or (isinstance(old, list) and new == old[:ROWS])

    check(payload, shorter)
