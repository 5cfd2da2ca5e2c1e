"""What holds for every value of the model: it cannot be changed, knows nothing of the world, and is what it was made of."""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import inspect
import pickle
from enum import Enum
from pathlib import Path

import mlrelease.model
import pytest
from mlrelease.model import bundle, change, event, finding, gate, live, release, spec

FOLDER = Path(mlrelease.model.__file__).parent
MODULES = [
    importlib.import_module(f"mlrelease.model.{path.stem}") for path in sorted(FOLDER.glob("*.py")) if path.stem[0] != "_"
]
VALUES = [
    found
    for module in MODULES
    for _, found in inspect.getmembers(module, dataclasses.is_dataclass)
    if found.__module__ == module.__name__
]
WORDS = [
    found
    for module in MODULES
    for _, found in inspect.getmembers(module, lambda found: inspect.isclass(found) and issubclass(found, Enum))
    if found.__module__ == module.__name__
]


def test_the_model_is_found():
    """The tables below are not empty."""
    assert len(MODULES) >= 10
    assert {event.Held, bundle.Bundle, spec.Spec, live.Instance, release.Release} <= set(VALUES)
    assert {change.Outcome, gate.GateStatus, live.Role, release.Level} <= set(WORDS)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_a_value_cannot_be_changed_nor_grow(value):
    """What was decided on is what is applied; a misspelt field is an error and not a new one."""
    assert value.__dataclass_params__.frozen
    assert "__dict__" not in dir(value)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_a_word_is_its_text(words):
    """In JSON, in a table and in a comparison: the member, its value and its text are one."""
    for word in words:
        assert (str(word), f"{word}", word == word.value) == (word.value, word.value, True)
        assert words(word.value) is word


PURE = {"collections", "dataclasses", "datetime", "enum", "hashlib", "json", "pathlib", "re", "types", "typing", "__future__"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_ground_floor_imports_nothing_of_the_world(module):
    """Neither a clock, the system, a network nor any floor above: now, ids and texts come in as arguments."""
    imported = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    outside = {name for name in imported if name.partition(".")[0] not in PURE and not name.startswith("mlrelease.model.")}
    assert outside == set()


PIN = bundle.ModelPin("A", "7", bundle.Digest("sha256:a"))
ONE = bundle.Bundle("risk", bundle.ImagePin("serve:1@sha256:i"), (PIN,), (("MODE", "fast"),))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_is_equal_and_of_the_same_id(copied):
    """A value that went through another process, or beside the one that it is compared with, is the same."""
    assert copied(ONE) == ONE
    assert copied(ONE).id == ONE.id
    assert hash(copied(ONE)) == hash(ONE)


def test_pins_are_sorted_by_name_then_version_then_digest():
    """As texts: a report and an id list them in one order."""
    pins = [bundle.ModelPin(n, v, bundle.Digest(d)) for n in "BA" for v in ("9", "10") for d in ("sha256:b", "sha256:a")]
    assert sorted(pins) == sorted(pins, key=lambda pin: (pin.name, pin.version, pin.digest))
    assert [pin.version for pin in sorted(pins)][:2] == ["10", "10"]


def test_findings_are_sorted_by_their_place_then_by_their_rule():
    """The file, the line, the column: as a person walks through them."""
    found = [
        finding.Finding("b.yaml", 1, 1, "a", "m"),
        finding.Finding("a.yaml", 10, 1, "a", "m"),
        finding.Finding("a.yaml", 9, 2, "b", "m"),
        finding.Finding("a.yaml", 9, 2, "a", "m"),
        finding.Finding("a.yaml", 9, 1, "z", "m"),
        finding.Finding("a.yaml", 0, 0, "z", "m"),
    ]
    assert sorted(found) == list(reversed(found))


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (gate.GateSpec("exists"), "exists"),
        (gate.GateSpec("metric", {"metric": "rmse", "max": 80}), "metric rmse"),
        (gate.GateSpec("metric", {"max": 80}), "metric"),
        (gate.GateSpec("metric", {"metric": ""}), "metric"),
        (gate.GateSpec("size", {"metric": "rmse"}), "size"),
    ],
    ids=["by its id", "a metric by its name", "a metric without one", "a metric of no name", "no other gate has metrics"],
)
def test_a_gate_replaces_one_of_the_same_key(given, key):
    """Two metrics stand beside each other; the same one twice is one."""
    assert given.key == key


def test_a_service_file_is_its_bundle_whatever_the_order_of_its_models():
    """Sorted by name, with the settings as they stand there; replicas and timeouts are beside it."""
    models = tuple(spec.ModelSpec(f"m/{n}", n, "risk", bundle.ModelPin(n, "1", bundle.Digest(f"sha256:{n}"))) for n in "BA")
    one = spec.ServiceSpec("s", "risk", ONE.image, models, replicas=3, timeout_s=1.0, env=(("MODE", "fast"),))
    assert [pin.name for pin in one.bundle.models] == ["A", "B"]
    assert one.bundle == dataclasses.replace(one, models=models[::-1], replicas=1).bundle
    assert one.bundle.settings == (("MODE", "fast"),)


def test_gates_that_a_person_may_open_are_gates_that_judge():
    """Nobody vouches for bytes that are not the pin's, or for what would run what the policy forbids."""
    assert set(gate.WAIVABLE) & {"exists", "digest", "scan", "promoted_from", "rejected"} == set()


@pytest.mark.parametrize(
    ("reference", "digest", "short"),
    [
        ("serve:1@sha256:ab", "sha256:ab", "serve:1"),
        ("h:5000/a/serve:1@sha256:ab", "sha256:ab", "h:5000/a/serve:1"),
        ("serve@sha256:ab", "sha256:ab", "serve"),
        ("u@h/serve:1@sha256:ab", "sha256:ab", "u"),
    ],
    ids=["name and tag", "a registry with a port", "no tag", "what no file may hold: the digest is still the last part"],
)
def test_an_images_digest_is_behind_its_last_at(reference, digest, short):
    """What identifies is never cut short by what stands before it."""
    assert (bundle.ImagePin(reference).digest, bundle.ImagePin(reference).short) == (digest, short)


def test_the_ledgers_form_of_a_bundle_has_these_keys():
    """Models by name; the id is written for people, and computed again when it is read."""
    pins = (bundle.ModelPin("B", "1", bundle.Digest("sha256:b")), PIN)
    said = dataclasses.replace(ONE, models=pins).to_json()
    assert said == {
        "id": said["id"],
        "image": "serve:1@sha256:i",
        "models": [{"name": "A", "version": "7", "digest": "sha256:a"}, {"name": "B", "version": "1", "digest": "sha256:b"}],
        "settings": {"MODE": "fast"},
    }
    forged = said | {"id": "000000000000"}
    assert bundle.Bundle.from_json("risk", forged).id == said["id"] != "000000000000"
    older = {key: value for key, value in said.items() if key != "settings"}
    assert bundle.Bundle.from_json("risk", older).settings == ()


@pytest.mark.parametrize(
    "damage",
    [{"models": None}, {"models": [1]}, {"models": [{}]}, {"models": {"A": 1}}, {"settings": []}, {"settings": None}],
    ids=str,
)
def test_a_damaged_bundle_is_one_of_three_errors(damage):
    """Never an empty one."""
    with pytest.raises((KeyError, TypeError, AttributeError)):
        bundle.Bundle.from_json("risk", ONE.to_json() | damage)


@pytest.mark.parametrize("data", [None, [], "text", 7], ids=repr)
def test_what_is_no_bundle_at_all_is_one_too(data):
    """Of any other kind of JSON."""
    with pytest.raises(TypeError):
        bundle.Bundle.from_json("risk", data)
