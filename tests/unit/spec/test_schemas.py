"""The JSON Schemas agree with the types, the example and the documentation."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from mlrelease.spec.schemas import schemas

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "templates" / "schemas"
FILES = {
    "environment.v1.json": "environment.yaml",
    "service.v1.json": "services/wine.yaml",
    "model.v1.json": "models/wine.yaml",
}


def example(name: str):
    return yaml.safe_load((ROOT / "environments" / "production" / FILES[name]).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(FILES))
def test_committed_schema_is_current(name):
    """The committed file is what the types say; else: python -m mlrelease.spec.schemas templates/schemas."""
    assert (COMMITTED / name).read_text(encoding="utf-8") == schemas()[name]


def test_the_entry_writes_all_files(tmp_path):
    """`python -m mlrelease.spec.schemas DIR` writes exactly the committed files."""
    subprocess.run([sys.executable, "-m", "mlrelease.spec.schemas", str(tmp_path)], check=True, timeout=30)
    assert {p.name: p.read_text("utf-8") for p in tmp_path.iterdir()} == schemas()


@pytest.mark.parametrize("name", sorted(FILES))
def test_schema_accepts_the_example(name):
    """The schema is a schema of its draft, and the example is valid under it."""
    schema = json.loads(schemas()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(example(name))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("environment.v1.json", {"schema": 2}),
        ("environment.v1.json", {"novelty": 1}),
        ("environment.v1.json", {"target": {"kind": "mainframe", "listen": "h:1"}}),
        ("environment.v1.json", {"gates": [{"gate": "accuracy"}]}),
        ("environment.v1.json", {"keep_warm": "10"}),
        ("environment.v1.json", {"promotes_from": None}),
        ("service.v1.json", {"replicas": 65}),
        ("service.v1.json", {"image": "repo:tag"}),
        ("service.v1.json", {"env": {"A-B": "x"}}),
        ("model.v1.json", {"version": 8}),
        ("model.v1.json", {"version": "latest"}),
        ("model.v1.json", {"digest": "sha256:zz"}),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value,
)
def test_schema_refuses_what_is_broken(name, change):
    """An editor marks the commonest mistakes while they are typed."""
    validator = jsonschema.Draft202012Validator(json.loads(schemas()[name]))
    assert not validator.is_valid(copy.deepcopy(example(name)) | change)


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_required_key_is_required(name):
    """Leaving out a required key is refused."""
    schema = json.loads(schemas()[name])
    for key in schema["required"]:
        rest = {k: v for k, v in example(name).items() if k != key}
        assert not jsonschema.Draft202012Validator(schema).is_valid(rest), key
