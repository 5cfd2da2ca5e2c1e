"""What the gate `signature` lets pass, MLflow's own enforcement accepts, with the values that the client sent."""

from __future__ import annotations

import pytest
from mlrelease.gates.interface import Column, Evidence, Signature
from mlrelease.gates.signature import WIDER, evaluate
from mlrelease.registries.mlmodel import signature as read_signature
from support.gating import READY, subject

VALUES = {
    "boolean": [True, False],
    "integer": [2, -(2**31)],
    "long": [2, 2**53],
    "float": [0.5, -2.25],
    "double": [0.1, 1e300],
    "string": ["a", "b"],
}


def passes(base: Signature, mine: Signature) -> bool:
    return evaluate({}, subject(), Evidence(READY, asked=True, signature=mine, baseline_signature=base)).opens


def answered(schema, payload):
    """The frame that a model with this schema gets for a JSON request; raises where MLflow refuses."""
    from mlflow.models.utils import _enforce_schema
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    return _enforce_schema(infer_and_parse_data({"dataframe_split": payload}, schema), schema)


@pytest.mark.parametrize(("base", "mine"), [(base, mine) for base in VALUES for mine in (base, *sorted(WIDER.get(base, ())))])
def test_a_type_that_passes_keeps_every_value(base, mine):
    """A request made for the baseline reads the same under the candidate."""
    from mlflow.types import ColSpec, Schema

    assert passes(*(Signature((Column("a", kind),), None) for kind in (base, mine)))
    payload = {"columns": ["a"], "data": [[value] for value in VALUES[base]]}
    found = answered(Schema([ColSpec(mine, "a")]), payload)["a"].tolist()
    assert found == pytest.approx(VALUES[base], rel=0, abs=0) if base != "string" else found == VALUES[base]


@pytest.mark.parametrize(
    ("base", "mine"),
    [("double", "long"), ("long", "integer"), ("double", "float"), ("double", "string"), ("string", "double")],
)
def test_a_type_that_narrows_answers_wrongly_or_not_at_all(base, mine):
    """Why the gate says no: MLflow reads another value, or refuses; it is not merely strict."""
    from mlflow.exceptions import MlflowException
    from mlflow.types import ColSpec, Schema

    assert not passes(*(Signature((Column("a", kind),), None) for kind in (base, mine)))
    values = [2**53 + 1] if (base, mine) == ("long", "integer") else VALUES[base][:1]
    try:
        found = answered(Schema([ColSpec(mine, "a")]), {"columns": ["a"], "data": [[value] for value in values]})["a"].tolist()
    except MlflowException:
        return
    assert [(type(v), v) for v in found] != [(str if mine == "string" else type(values[0]), values[0])]


@pytest.mark.parametrize(
    ("mine", "is_accepted"),
    [
        ([("a", True)], True),
        ([("b", True), ("a", True)], True),
        ([("a", True), ("b", True), ("c", False)], True),
        ([("a", True), ("b", True), ("c", True)], False),
        ([("a", False), ("b", True)], True),
    ],
    ids=["an input dropped", "turned round", "a new optional one", "a new required one", "one that may now be left out"],
)
def test_columns_that_come_and_go(mine, is_accepted):
    """The gate and MLflow agree on every request that the baseline (a and b, both required) accepted."""
    from mlflow.exceptions import MlflowException
    from mlflow.types import ColSpec, Schema

    base = Signature((Column("a", "double"), Column("b", "double")), None)
    now = Signature(tuple(Column(name, "double", required) for name, required in mine), None)
    assert passes(base, now) is is_accepted
    schema = Schema([ColSpec("double", name, required) for name, required in mine])
    payload = {"columns": ["a", "b"], "data": [[1.5, 2.5]]}
    if is_accepted:
        assert set(answered(schema, payload).columns) == {name for name, _ in mine} & {"a", "b"}
    else:
        with pytest.raises(MlflowException, match="missing inputs"):
            answered(schema, payload)


def test_signatures_are_read_as_mlflow_writes_them(tmp_path):
    """Columns, optional ones, tensors and compound types, from the file that MLflow itself writes."""
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType, Array, Map, Object, Property

    inner = Object([Property("q", DataType.long), Property("p", DataType.string, required=False)])
    inputs = [
        ColSpec("double", "a"),
        ColSpec("long", "b", required=False),
        ColSpec(Array(DataType.double), "v"),
        ColSpec(inner, "o"),
        ColSpec(Map(DataType.long), "m", required=False),
        ColSpec(AnyType(), "z"),
    ]
    outputs = [TensorSpec(np.dtype("float32"), (-1, 3))]
    model = Model(signature=ModelSignature(Schema(inputs), Schema(outputs)))
    model.add_flavor("python_function", loader_module="mlflow.sklearn")
    model.save(str(tmp_path / "MLmodel"))
    assert read_signature(tmp_path) == Signature(
        (
            Column("a", "double"),
            Column("b", "long", required=False),
            Column("v", "array(double)"),
            Column("o", "object(p: string?, q: long)"),
            Column("m", "map(long)", required=False),
            Column("z", "any"),
        ),
        (Column("", "tensor(float32, [-1, 3])"),),
    )
