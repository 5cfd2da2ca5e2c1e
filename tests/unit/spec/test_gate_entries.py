"""Gates and waivers as files say them: what is accepted, what is a finding and where, and how two lists become one."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from mlrelease.model.gate import WAIVABLE, GateSpec, Waiver
from mlrelease.model.spec import SourceFile
from mlrelease.spec.gates import BY_ID
from mlrelease.spec.load import load
from mlrelease.spec.schemas import schemas
from support.example import ENV, MOD
from support.example import EXAMPLE as FILES

EXAMPLE = {path: data.decode() for path, data in FILES.items()}
GATES = "gates:\n  - gate: exists\n  - gate: digest\n"
MODEL_LINES = EXAMPLE[MOD].count("\n") + 1
WAIVER = '{gate: metric, version: "8", reason: harder test set, approver: ada, expires: "2026-12-31"}'


def spec_of(own: str = "", *, environment: str = GATES, head: str = ""):
    """The example with other gates in the environment's file, and lines added to the model's."""
    assert GATES in EXAMPLE[ENV]
    files = EXAMPLE | {ENV: EXAMPLE[ENV].replace(GATES, head + environment), MOD: f"{EXAMPLE[MOD]}\n{own}"}
    if head:
        for path, text in EXAMPLE.items():
            other = text.replace("production", "staging").replace(":8080", ":8081")
            files[path.replace("production", "staging")] = other
    return load({path: SourceFile(text.encode()) for path, text in files.items()})


def gates_of(own: str = "", **more: str):
    spec = spec_of(own, **more)
    assert spec.findings == ()
    return spec.environments["production"].services["wine"].models[0].gates


def entry(text: str) -> str:
    return f"gates:\n  - {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("gate: metric, metric: rmse, max: 80", {"metric": "rmse", "max": 80}),
        ("gate: metric, metric: rmse, max: 80, max_regression: 5%", {"metric": "rmse", "max": 80, "max_regression": "5%"}),
        ("gate: metric, metric: r2, min: -0.5", {"metric": "r2", "min": -0.5}),
        (
            "gate: metric, metric: auc, max_regression: 0.02, direction: higher",
            {"metric": "auc", "max_regression": 0.02, "direction": "higher"},
        ),
        (
            "gate: metric, metric: bias, min: -1, max: 1, max_regression: 0, direction: lower",
            {"metric": "bias", "min": -1, "max": 1, "max_regression": 0, "direction": "lower"},
        ),
        (
            "gate: metric, metric: val/auc 1, min: 0.5, min_samples: 500, samples: rows",
            {"metric": "val/auc 1", "min": 0.5, "min_samples": 500, "samples": "rows"},
        ),
        ("gate: signature", {}),
        ("gate: signature, required: false", {"required": False}),
        ("gate: scan, allow: [acme.models.Net, acme.layers.*]", {"allow": ["acme.models.Net", "acme.layers.*"]}),
        (
            "gate: scan, allow: ['loader:acme.flavor', 'file:code/net.py', 'file:code/*']",
            {"allow": ["loader:acme.flavor", "file:code/net.py", "file:code/*"]},
        ),
        ("gate: smoke, max_seconds: 30, allow_nan: true", {"max_seconds": 30, "allow_nan": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_entry_becomes_a_gate_with_the_options_that_it_names(text, options):
    """What the file leaves out is left to the gate's default; the schema for editors accepts it too."""
    gate = text.split(",")[0].removeprefix("gate: ")
    assert gates_of(entry(text)) == (GateSpec("exists"), GateSpec("digest"), GateSpec(gate, options))
    validator = jsonschema.Draft202012Validator(json.loads(schemas()["model.v1.json"]))
    assert [e.message for e in validator.iter_errors(yaml.safe_load(EXAMPLE[MOD] + entry(text)))] == []


@pytest.mark.parametrize(
    ("text", "rule", "column", "message", "expected"),
    [
        ("metric: rmse", "missing-key", 5, "gate is missing in entry 1 of the list", "gate: …"),
        (
            "gate: 5",
            "unknown-gate",
            12,
            "there is no such gate",
            "one of: exists, digest, metric, signature, size, scan, smoke",
        ),
        (
            "gate: [metric]",
            "unknown-gate",
            12,
            "there is no such gate",
            "one of: exists, digest, metric, signature, size, scan, smoke",
        ),
        (
            "gate: promoted_from",
            "unknown-gate",
            12,
            "there is no such gate",
            "one of: exists, digest, metric, signature, size, scan, smoke",
        ),
        ("gate: TODO", "placeholder", 12, "gate holds a placeholder", "the real value"),
        ("gate: null", "null-value", 12, "gate has no value", "a value"),
        ("gate: metric", "missing-key", 5, "metric is missing in entry 1 of the list", "metric: …"),
        ("gate: metric, metric: rmse", "missing-key", 5, "the gate has no bound", "min, max or max_regression"),
        ("gate: metric, metric: '☃', max: 1", "bad-name", 28, "no metric can have this name", None),
        ("gate: metric, metric: rmse, min: 2, max: 1", "bad-value", 5, "min is above max: nothing opens", "min: not above max"),
        ("gate: metric, metric: rmse, max: .nan", "bad-value", 39, "not a finite number", "a finite number"),
        ("gate: metric, metric: rmse, min: -.inf", "bad-value", 39, "not a finite number", "a finite number"),
        ("gate: metric, metric: rmse, max: true", "wrong-type", 39, "max is not a number", "a number"),
        ("gate: metric, metric: rmse, max: '80'", "wrong-type", 39, "max is not a number", "a number"),
        ("gate: metric, metric: rmse, max_regression: 5%", "missing-key", 5, "nothing says which way is better", None),
        (
            "gate: metric, metric: rmse, min: 1, max: 2, max_regression: 5%",
            *("missing-key", 5, "nothing says which way is better", "direction: lower (or higher)"),
        ),
        ("gate: metric, metric: rmse, max: 1, max_regression: -5%", "bad-value", 58, "not a tolerance", None),
        ("gate: metric, metric: rmse, max: 1, max_regression: 5 %", "bad-value", 58, "not a tolerance", None),
        ("gate: metric, metric: rmse, max: 1, max_regression: 5pct", "bad-value", 58, "not a tolerance", None),
        ("gate: metric, metric: rmse, max: 1, max_regression: -0.1", "bad-value", 58, "not a tolerance", None),
        ("gate: metric, metric: rmse, max: 1, max_regression: .inf", "bad-value", 58, "not a tolerance", None),
        ("gate: metric, metric: rmse, max: 1, max_regression: true", "bad-value", 58, "not a tolerance", None),
        (f"gate: metric, metric: rmse, max: 1, max_regression: 1{'0' * 400}", "bad-value", 58, "not a tolerance", None),
        (
            "gate: metric, metric: rmse, max: 1, direction: up",
            "bad-value",
            53,
            "direction is not one of the values allowed",
            None,
        ),
        (
            "gate: metric, metric: rmse, max: 1, min_samples: 5",
            "missing-key",
            5,
            "min_samples and samples need each other",
            None,
        ),
        ("gate: metric, metric: rmse, max: 1, samples: n", "missing-key", 5, "min_samples and samples need each other", None),
        (
            "gate: metric, metric: rmse, max: 1, min_samples: 0, samples: n",
            "bad-value",
            55,
            "min_samples is out of range",
            "a whole number of 1 or more",
        ),
        ("gate: metric, metric: rmse, maximum: 1", "unknown-key", 34, "the format has no such key", None),
        ("gate: signature, required: maybe", "wrong-type", 33, "required is not true or false", "true or false"),
        ("gate: scan, allow: os.system", "wrong-type", 25, "allow is not a list (lines that begin with -)", None),
        ("gate: scan, allow: ['os.*.system']", "bad-value", 26, "not the name of something that loading can run", None),
        ("gate: scan, allow: ['*']", "bad-value", 26, "not the name of something that loading can run", None),
        ("gate: smoke, max_seconds: 0", "bad-value", 32, "max_seconds is out of range", "a number above 0, at most 3600"),
        ("gate: digest, max: 1", "unknown-key", 20, "the format has no such key", "one of: gate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_entry_is_one_finding_at_its_place(text, rule, column, message, expected):
    """Every mistake is named once, at the token (or the entry) that has it."""
    (found,) = spec_of(entry(text)).findings
    assert (found.path, found.rule, found.line, found.column) == (MOD, rule, MODEL_LINES + 2, column)
    assert found.message.startswith(message)
    if expected:
        assert found.expected == expected


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ("gates: [{gate: exists}, {gate: exists}]\n", "exists"),
        ("gates: [{gate: metric, metric: a, max: 1}, {gate: metric, metric: a, max: 2}]\n", "metric a"),
    ],
    ids=["the same gate", "the same metric"],
)
def test_twins_in_one_list_are_a_finding(entries, found):
    """The second would silently replace the first."""
    (finding,) = spec_of(entries).findings
    assert (finding.rule, finding.found, finding.line) == ("gate-twice", found, MODEL_LINES + 1)


def test_the_model_s_own_gate_replaces_the_environment_s_of_the_same_key():
    """In its place; metric gates of other names stay, and new ones follow."""
    environment = (
        "gates:\n  - gate: exists\n  - {gate: metric, metric: rmse, max: 80}\n  - {gate: metric, metric: r2, min: 0.5}\n"
    )
    own = "gates:\n  - {gate: metric, metric: mae, max: 9}\n  - {gate: metric, metric: rmse, max: 60}\n"
    assert gates_of(own, environment=environment) == (
        GateSpec("exists"),
        GateSpec("metric", {"metric": "rmse", "max": 60}),
        GateSpec("metric", {"metric": "r2", "min": 0.5}),
        GateSpec("metric", {"metric": "mae", "max": 9}),
    )


@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("promotes_from: staging\n", {"environment": "staging", "soak_s": 0.0, "target": "local"}),
        ("promotes_from: staging\nsoak: 24h\n", {"environment": "staging", "soak_s": 86400.0, "target": "local"}),
    ],
    ids=["no soak", "a day of soak"],
)
def test_promotes_from_adds_its_gate_to_every_model(head, options):
    """Nobody can forget to list it, and no model's own gates replace it."""
    assert gates_of("gates: [{gate: signature}]\n", head=head) == (
        *(GateSpec("exists"), GateSpec("digest"), GateSpec("signature")),
        GateSpec("promoted_from", options),
    )


def test_waivers_are_read():
    """With and without the name of a metric."""
    own = f"waivers:\n  - {WAIVER}\n  - {WAIVER.replace('gate: metric', 'gate: metric, metric: rmse')}\n"
    spec = spec_of(own)
    assert spec.findings == ()
    assert spec.environments["production"].services["wine"].models[0].waivers == (
        Waiver("metric", "8", "harder test set", "ada", "2026-12-31"),
        Waiver("metric", "8", "harder test set", "ada", "2026-12-31", "rmse"),
    )


@pytest.mark.parametrize(
    ("old", "new", "rule", "message"),
    [
        ("gate: metric", "gate: digest", "not-waivable", "no waiver opens this gate"),
        ("gate: metric", "gate: rejected", "not-waivable", "no waiver opens this gate"),
        ("gate: metric", "gate: metrik", "not-waivable", "no waiver opens this gate"),
        ("gate: metric, ", "", "missing-key", "gate is missing in entry 1 of the list"),
        ('version: "8"', "version: 8", "wrong-type", "version is not text"),
        ('version: "8"', "version: latest", "version-not-exact", "version is not one exact MLflow version"),
        ("reason: harder test set", "reason: ''", "null-value", "reason is blank"),
        ("reason: harder test set", "reason: TODO", "placeholder", "reason holds a placeholder"),
        ("approver: ada, ", "", "missing-key", "approver is missing in entry 1 of the list"),
        ('expires: "2026-12-31"', "expires: 2026-12-31", "wrong-type", "expires is not text"),
        ('expires: "2026-12-31"', 'expires: "2026-02-30"', "bad-value", "not a date"),
        ('expires: "2026-12-31"', 'expires: "31.12.2026"', "bad-value", "not a date"),
        ('expires: "2026-12-31"', 'expires: "never"', "bad-value", "not a date"),
        ('expires: "2026-12-31"', "expiry: x", "unknown-key", "the format has no such key"),
        ("gate: metric", "gate: smoke, metric: rmse", "bad-value", "only the gate metric has metrics"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_waiver_is_a_finding(old, new, rule, message):
    """A waiver names gate, version, reason, approver and an expiry, and all of them are checked."""
    assert old in WAIVER
    found = {f.rule: f for f in spec_of(f"waivers:\n  - {WAIVER.replace(old, new)}\n").findings}
    assert found[rule].message.startswith(message)
    assert set(found) <= {rule, "missing-key"}
    assert found[rule].line == MODEL_LINES + 2


def test_a_waiver_in_the_environment_s_file_is_no_key_of_it():
    """It is for one version of one model."""
    (found,) = spec_of(environment=f"{GATES}waivers: [{WAIVER}]\n").findings
    assert (found.rule, found.found) == ("unknown-key", "waivers")


def test_every_waivable_gate_exists():
    """A waiver is of a gate that a file can name."""
    assert set(WAIVABLE) <= set(BY_ID)
