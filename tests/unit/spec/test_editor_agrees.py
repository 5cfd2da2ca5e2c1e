"""What an editor marks by the JSON Schema is what the program refuses: each key with values of its own, both ways."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from mlrelease.spec.check import check
from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile
from mlrelease.spec.schemas import main, schemas
from support.example import DIGEST, ENV, EXAMPLE, IMAGE, MOD, SVC

KINDS = {
    "environment": (ENV, EnvironmentFile, "production"),
    "service": (SVC, ServiceFile, "wine"),
    "model": (MOD, ModelFile, "wine"),
}
VALIDATORS = {kind: jsonschema.Draft202012Validator(json.loads(schemas()[f"{kind}.v1.json"])) for kind in KINDS}
WAIVER = {"gate": "metric", "version": "8", "reason": "r", "approver": "ada", "expires": "2026-12-31"}
HEX = "ab" * 32


def changed(kind, place, value):
    """The example with this value at that place; missing mappings on the way are made."""
    data = yaml.safe_load(EXAMPLE[KINDS[kind][0]])
    *way, last = place.split(".")
    inner = data
    for key in way:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return data


def verdicts(kind, data):
    """What the schema says, and what the program says, of the same values. Layout is no matter of a schema."""
    _, document, name = KINDS[kind]
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    rules = {d.rule for d in check(document, text.encode(), name).defects} - {"pin-adjacent", "name-mismatch"}
    return VALIDATORS[kind].is_valid(data), not rules


TABLE = [
    ("environment", "environment", ["production", "a", "0-a", "a" * 63], ["", "A", "-a", "a_b", "a" * 64, 7, None, ["a"]]),
    ("environment", "promotes_from", ["staging"], ["Staging", 1, None, {}]),
    ("environment", "soak", ["0s", "24h", "999999d"], ["", "24", "1w", "-1s", "1.5h", "1000000s", 24, None]),
    ("environment", "keep_warm", ["0s", "10m"], ["10", 10, "1H"]),
    ("environment", "approval", ["required", "none"], ["", "yes", True, None, "None"]),
    ("environment", "alias", ["production", "a.b_c", "A"], [".a", "a b", "a/b", "a" * 64, 1]),
    ("environment", "tracking_uri", ["http://h", "https://h:1/p", "sqlite:///m.db", "${U}", "${U:-http://h}"],
     ["", "h", "ftp://h", "sqlite://m", 1, None, ["http://h"]]),
    ("environment", "target", [{"kind": "local", "listen": "h:1"}, {"kind": "local", "listen": "h:1", "state_dir": "/x"}],
     ["local", None, [], {}, {"kind": "local"}, {"listen": "h:1"}, {"kind": "local", "listen": "h:1", "port": 1}]),
    ("environment", "target.kind", ["local"], ["compose", "", None, 1]),
    ("environment", "target.listen", ["127.0.0.1:80", "[::1]:80", "h:1"], ["h", ":80", "h:", "h_:80", "::1:80", 80, None]),
    ("environment", "gates", [[], [{"gate": "exists"}], [{"gate": "metric", "metric": "m", "max": 1}]],
     [{}, "exists", ["exists"], [{}], [{"gate": "none"}], [{"gate": "exists", "x": 1}], [None]]),
    ("environment", "state", ["present", "absent"], ["", "gone", True, None]),
    ("service", "service", ["wine"], ["Wine", "", 1, "w.x"]),
    ("service", "image", [IMAGE, f"localhost:5000/a:1@sha256:{HEX}"],
     ["a:1", f"a@sha256:{HEX}", f"A:1@sha256:{HEX}", f"a:1@sha256:{HEX}0", f"a:1@sha256:{HEX.upper()}", 1, None]),
    ("service", "replicas", [1, 64], [0, 65, -1, 1.5, "1", None, [1]]),
    ("service", "delivery", [{}, {"strategy": "blue_green"}, {"timeout": "1s"}], ["blue_green", None, [], {"x": 1}]),
    ("service", "delivery.strategy", ["blue_green"], ["canary", None, 1]),
    ("service", "delivery.timeout", ["1s", "90m"], ["1", "", 1, None]),
    ("service", "runtime.python", ["/p", "/opt/x/bin/python"], ["python", "./p", "//p", 1, None]),
    ("service", "env", [{}, {"A": "x", "_b1": ""}], ["A=x", None, ["A"], {"A-B": "x"}, {"1A": "x"}, {"A": 1}, {"A": None}]),
    ("service", "state", ["present", "absent"], ["gone", None]),
    ("model", "state", ["present", "absent"], ["gone", None]),
    ("model", "service", ["wine"], ["Wine", 1]),
    ("model", "model", ["wine", "A.b_c-1"], ["", ".a", "a b", "a" * 64, 1]),
    ("model", "version", ["1", "8", "9" * 19], ["", "0", "08", "v8", "latest", "8.0", "9" * 20, 8, 1.1, None]),
    ("model", "digest", [DIGEST], ["", HEX, f"md5:{HEX}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}", 1, None]),
    ("model", "golden.rtol", [0, 1e-6, 0.5], [1, -0.1, "half", None, True]),
    ("model", "gates", [[{"gate": "scan", "allow": ["a.b", "a.*", "loader:a", "file:a/b", "file:a/*"]}]],
     [[{"gate": "scan", "allow": [text]}] for text in ("*", "a.*.b", "1a", "a b", "file:", "loader:", "file:*", "")]),
    ("model", "gates", [[{"gate": "size", "max_growth": "100%", "max_mb": 0.5}]],
     [[{"gate": "size", **bad}] for bad in ({"max_growth": "1"}, {"max_growth": 1}, {"max_mb": 0}, {"max_mb": "1"})]),
    ("model", "gates", [[{"gate": "smoke", "max_seconds": 0.1, "allow_nan": True}], [{"gate": "smoke"}]],
     [[{"gate": "smoke", **bad}] for bad in ({"max_seconds": 0}, {"max_seconds": "1"}, {"allow_nan": 1}, {"allow_nan": "no"})]),
    ("model", "gates",
     [[{"gate": "metric", "metric": "val/a b.c:1", "max": 1, "max_regression": part}] for part in (0, 5, "5%", "0.5%")],
     [[{"gate": "metric", "metric": "m", "max": 1, "max_regression": part}] for part in (-1, "5", "5 %", "-5%", True, None)]),
    ("model", "waivers", [[], [WAIVER], [WAIVER | {"metric": "rmse"}]],
     [{}, ["x"], [{}], [WAIVER | {"version": 8}], [WAIVER | {"gate": "digest"}], [WAIVER | {"x": 1}],
      [WAIVER | {"expires": 20261231}], *([{k: v for k, v in WAIVER.items() if k != key}] for key in WAIVER)]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "place", "good", "bad"), TABLE, ids=[f"{row[0]}: {row[1]}" for row in TABLE])
def test_editor_and_program_say_the_same(kind, place, good, bad):
    """Green in the editor and red in the pull request, or the other way round, teaches people to trust neither."""
    for value in good:
        assert verdicts(kind, changed(kind, place, value)) == (True, True), value
    for value in bad:
        assert verdicts(kind, changed(kind, place, value)) == (False, False), value


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_in_the_table(kind):
    """But `schema`, which has a test of its own."""
    said = {row[1].split(".")[0] for row in TABLE if row[0] == kind}
    assert said | {"schema"} == set(VALIDATORS[kind].schema["properties"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 2, -1, "1", 1.5, True, None, [1]], ids=repr)
def test_only_schema_one_is_this_format(kind, value):
    """A truth is no number here, whatever Python thinks."""
    assert verdicts(kind, changed(kind, "schema", value)) == (False, False)


@pytest.mark.parametrize("arguments", [[], ["a", "b"]], ids=["none", "two"])
def test_the_entry_without_its_folder_says_how_it_is_called(arguments, capsys):
    """And writes nothing."""
    assert main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m mlrelease.spec.schemas DIR\n"


def test_the_entry_writes_into_the_folder_named(tmp_path):
    """All of them, each a text with a line end."""
    assert main([str(tmp_path)]) == 0
    written = {place.name: place.read_text(encoding="utf-8") for place in tmp_path.iterdir()}
    assert written == schemas()
    assert all(text.endswith("}\n") for text in written.values())
