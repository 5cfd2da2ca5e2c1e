"""What is wrong with a value by its type, in the words of the format: what stands there, what should, and the way out."""

# ruff: noqa: E501 - a row of the table is one line
from __future__ import annotations

import pytest
from mlrelease.spec.check import MAX_DEFECTS, check
from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile, known_keys
from support.example import ENV, EXAMPLE, MOD, SVC

KINDS = {ENV: (EnvironmentFile, "production"), SVC: (ServiceFile, "wine"), MOD: (ModelFile, "wine")}


def defects(path, old="", new=""):
    text = EXAMPLE[path].decode()
    assert old in text
    kind, name = KINDS[path]
    found = check(kind, text.replace(old, new, 1).encode(), name).defects
    return [(d.rule, d.message, d.found, d.expected, d.fix) for d in found]


GATE_KEYS = "one of: gate, metric, min, max, max_regression, direction, min_samples, samples"
QUOTE, UNQUOTE = "put the value in quotes", "take the quotes away"
MAPPING, LIST = "a mapping (key: value lines)", "a list (lines that begin with -)"


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (SVC, "replicas: 2", 'replicas: "2"', ("wrong-type", "replicas is not a whole number", '"2"', "a whole number", UNQUOTE)),
        (SVC, "replicas: 2", "replicas: two", ("wrong-type", "replicas is not a whole number", "two", "a whole number", "")),
        (SVC, "replicas: 2", "replicas: 2.5", ("wrong-type", "replicas is not a whole number", "2.5", "a whole number", "")),
        (SVC, "replicas: 2", "replicas: [2]", ("wrong-type", "replicas is not a whole number", "a list", "a whole number", "")),
        (SVC, "replicas: 2", "replicas: {a: 2}", ("wrong-type", "replicas is not a whole number", "a mapping", "a whole number", "")),
        (SVC, "replicas: 2", "replicas: 65", ("bad-value", "replicas is out of range", "65", "a whole number from 1 to 64", "")),
        (SVC, "replicas: 2", "replicas: 0", ("bad-value", "replicas is out of range", "0", "a whole number from 1 to 64", "")),
        (SVC, "replicas: 2", "env: 7", ("wrong-type", f"env is not {MAPPING}", "a number", MAPPING, "")),
        (SVC, "replicas: 2", "env: 'x'", ("wrong-type", f"env is not {MAPPING}", "text", MAPPING, "")),
        (SVC, "replicas: 2", "env: [a]", ("wrong-type", f"env is not {MAPPING}", "a list", MAPPING, "")),
        (SVC, "replicas: 2", "env: {A: 1}", ("wrong-type", "A is not text", "a number", "text", QUOTE)),
        (SVC, "replicas: 2", "env: {A: yes}", ("wrong-type", "A is not text", "true or false", "text", QUOTE)),
        (SVC, "replicas: 2", "env: {A: 2026-01-01}", ("wrong-type", "A is not text", "a date", "text", QUOTE)),
        (SVC, "replicas: 2", "env: {A: [x]}", ("wrong-type", "A is not text", "a list", "text", "")),
        (SVC, "replicas: 2", "env: {A: {b: x}}", ("wrong-type", "A is not text", "a mapping", "text", "")),
        (SVC, "replicas: 2", "env: {A-B: hunter2}",
         ("bad-value", "not the name of a variable", "A-B", "letters, digits and _, no digit first", "")),
        (SVC, "replicas: 2", "env: {A: 'hunter2 ${'}",
         ("bad-value", "a ${ is not closed or names no variable", "", "${NAME} or ${NAME:-default}", "")),
        (SVC, "  strategy: blue_green", "  strategy: canary",
         ("bad-value", "strategy is not one of the values allowed", "canary", "one of: blue_green", "")),
        (SVC, "replicas: 2", "state: gone", ("bad-value", "state is not one of the values allowed", "gone", "one of: present, absent", "")),
        (SVC, "delivery:\n  strategy: blue_green", "delivery: fast", ("wrong-type", f"delivery is not {MAPPING}", "fast", MAPPING, "")),
        (SVC, "delivery:\n  strategy: blue_green", "delivery: [fast]", ("wrong-type", f"delivery is not {MAPPING}", "a list", MAPPING, "")),
        (SVC, "replicas: 2", "replica: 2", ("unknown-key", "the format has no such key", "replica",
         "one of: schema, service, image, replicas, delivery, runtime, env, state", "did you mean replicas?")),
        (SVC, "  strategy", "  strategi", ("unknown-key", "the format has no such key", "strategi", "one of: strategy, timeout",
         "did you mean strategy?")),
        (SVC, "replicas: 2", "zzz: 2", ("unknown-key", "the format has no such key", "zzz",
         "one of: schema, service, image, replicas, delivery, runtime, env, state", "")),
        (MOD, 'version: "1"', "version: 1", ("version-unquoted", "the version is not in quotes", "1", '"1"', 'write version: "1"')),
        (MOD, 'version: "1"', "version: 1.10", ("version-unquoted", "the version is not in quotes", "1.10", '"8"', "")),
        (MOD, 'version: "1"', "version: 010", ("version-unquoted", "the version is not in quotes", "010", '"8"', "")),
        (MOD, 'version: "1"', "version: [1]", ("wrong-type", "version is not text", "a list", "text", "")),
        (MOD, 'version: "1"', "version: {a: 1}", ("wrong-type", "version is not text", "a mapping", "text", "")),
        (MOD, "service: wine", "service: 7", ("wrong-type", "service is not text", "7", "text", QUOTE)),
        (MOD, "\n\nversion", "\ngolden: {rtol: 1}\n\nversion",
         ("bad-value", "rtol is out of range", "1", "a number from 0 to below 1, such as 1e-6", "")),
        (MOD, "\n\nversion", "\ngolden: {rtol: yes}\n\nversion", ("wrong-type", "rtol is not a number", "yes", "a number", "")),
        (MOD, "\n\nversion", "\ngates: x\n\nversion", ("wrong-type", f"gates is not {LIST}", "x", LIST, "")),
        (MOD, "\n\nversion", "\ngates: {gate: exists}\n\nversion", ("wrong-type", f"gates is not {LIST}", "a mapping", LIST, "")),
        (MOD, "\n\nversion", "\ngates: [[exists]]\n\nversion",
         ("wrong-type", f"entry 1 of the list is not {MAPPING}", "a list", MAPPING, "")),
        (MOD, "\n\nversion", "\ngates: [{gate: exists}, digest]\n\nversion",
         ("wrong-type", f"entry 2 of the list is not {MAPPING}", "digest", MAPPING, "")),
        (MOD, "\n\nversion", "\ngates: [{gate: smoke, max_seconds: 0}]\n\nversion",
         ("bad-value", "max_seconds is out of range", "0", "a number above 0, at most 3600", "")),
        (MOD, "\n\nversion", "\ngates: [{gate: smoke, max_seconds: 3601}]\n\nversion",
         ("bad-value", "max_seconds is out of range", "3601", "a number above 0, at most 3600", "")),
        (MOD, "\n\nversion", "\ngates: [{gate: size, max_mb: 0}]\n\nversion",
         ("bad-value", "max_mb is out of range", "0", "a number above 0", "")),
        (MOD, "\n\nversion", "\ngates: [{gate: size, max_growth: 0.5}]\n\nversion",
         ("wrong-type", "max_growth is not text", "0.5", "text", QUOTE)),
        (MOD, "\n\nversion", "\ngates: [{gate: size, max_growth: half}]\n\nversion",
         ("bad-value", "not a share", "half", "a percentage such as 50%", "")),
        (MOD, "\n\nversion", "\ngates: [{gate: metric, metric: m, max: 1, min_samples: 0, samples: n}]\n\nversion",
         ("bad-value", "min_samples is out of range", "0", "a whole number of 1 or more", "")),
        (MOD, "\n\nversion", "\ngates: [{gate: metric, metric: m, maxx: 1, max: 1}]\n\nversion",
         ("unknown-key", "the format has no such key", "maxx", GATE_KEYS, "did you mean max?")),
        (MOD, "\n\nversion", "\ngates: [{gate: signature, required: 1}]\n\nversion",
         ("wrong-type", "required is not true or false", "1", "true or false", "")),
        (MOD, "\n\nversion", "\ngates: [{gate: scan, allow: [os.system, '*']}]\n\nversion",
         ("bad-value", "not the name of something that loading can run", "*",
          "package.module.Name, package.module.*, loader:module, file:path or file:folder/*", "")),
        (MOD, "\n\nversion", "\nwaivers: [x]\n\nversion", ("wrong-type", f"entry 1 of the list is not {MAPPING}", "x", MAPPING, "")),
        (ENV, "  kind: local", "  kind: cloud", ("bad-value", "kind is not one of the values allowed", "cloud", "one of: local", "")),
        (ENV, "alias:", "approval: yes\nalias:",
         ("bad-value", "approval is not one of the values allowed", "yes", "one of: required, none", "")),
        (ENV, "  kind: local\n", "", ("missing-key", "kind is missing in target", "", "kind: …", "")),
        (ENV, "alias:", "soak: 1\nalias:", ("wrong-type", "soak is not text", "1", "text", QUOTE)),
        (ENV, "environment: production\n", "", ("missing-key", "environment is missing", "", "environment: …", "")),
    ],
    ids=lambda value: value.strip().replace("\n", "↵") if isinstance(value, str) else "",
)  # fmt: skip
def test_a_value_of_another_type_is_said_in_whole_words(path, old, new, expected):
    """One finding, and no word of the library that found it."""
    assert defects(path, old, new) == [expected]


@pytest.mark.parametrize(
    ("schema", "message", "found", "expected"),
    [
        ("schema: 0", "schema is not 1", "0", "1"),
        ("schema: -1", "schema is not 1", "-1", "1"),
        ('schema: "1"', "schema is not 1", "1", "1"),
        ("schema: 1.0", "schema is not 1", "1.0", "1"),
        ("schema: true", "schema is not 1", "true", "1"),
        ("schema: [1]", "schema is not 1", "a list", "1"),
        ("schema:", "schema is not 1", "", "1"),
        ("", "schema is missing", "", "schema: 1"),
    ],
)
def test_a_schema_that_is_not_one_is_said_once(schema, message, found, expected):
    """Whatever else its value is: blank, of another type."""
    assert defects(SVC, "schema: 1\n", f"{schema}\n" if schema else "") == [("schema-version", message, found, expected, "")]


def test_a_file_from_the_future_is_not_judged_further():
    """Its keys may all be new; the way out names what it needs."""
    assert defects(SVC, "schema: 1\n", "schema: 3\nnew: [1]\nreplicas: many\n") == [
        ("duplicate-key", "the key is given twice, first on line 5", "replicas", "each key once", ""),
        (
            "schema-version",
            "the file is from the future: its format is newer than this mlrelease",
            "3",
            "schema: 1, the only format that this version reads",
            "pip install --upgrade mlrelease    # schema 3 needs a newer one than mlrelease --version shows",
        ),
    ]


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("plain", "plain"),
        ("a b.c-d", "a b.c-d"),
        ("k" * 60, "k" * 60),
        ("k" * 61, "the key"),
        ("'a: b'", "the key"),
        ("é", "the key"),
    ],
)
def test_a_key_stands_in_a_message_only_where_it_can_be_printed(key, label):
    """It is the file's own word, and may be anything."""
    found = [message for rule, message, *_ in defects(SVC, "replicas: 2", f"{key}:") if rule == "null-value"]
    assert found == [f"{label} has no value"]


@pytest.mark.parametrize(
    ("document", "loc", "known"),
    [
        (EnvironmentFile, (), "schema environment promotes_from soak approval tracking_uri alias target keep_warm gates state"),
        (EnvironmentFile, ("target",), "kind listen state_dir"),
        (ServiceFile, ("delivery",), "strategy timeout"),
        (ServiceFile, ("runtime",), "python"),
        (ModelFile, (), "schema service model version digest gates waivers golden state"),
        (ModelFile, ("golden",), "rtol"),
        (ModelFile, ("waivers", 0), "gate metric version reason approver expires"),
        (ModelFile, ("gates", 3, "scan"), "gate allow"),
        (EnvironmentFile, ("gates", 0, "size"), "gate max_growth max_mb"),
    ],
)
def test_the_keys_of_a_place_are_those_of_the_format(document, loc, known):
    """As a file writes them, in the order of the documents."""
    assert known_keys(document, loc) == tuple(known.split())


@pytest.mark.parametrize("extra", [-1, 0, 1, 7])
def test_a_file_with_too_many_defects_ends_its_list(extra):
    """Those first in the file are kept, whoever found them, and the last line counts the rest."""
    lines = [f"replicas{n}: 2" for n in range(MAX_DEFECTS + extra - 1)]
    text = EXAMPLE[SVC].decode().replace("schema: 1\n", "schema: 2.0\n").replace("replicas: 2", "\n".join(lines))
    checked = check(ServiceFile, text.encode(), "wine")
    assert len(checked.defects) == MAX_DEFECTS + min(extra, 1)
    if extra > 0:
        last = checked.defects[-1]
        assert (last.rule, last.message, last.found) == ("too-many", "the file has too many findings to list", f"{extra} more")
        assert (last.expected, last.line, last.column) == ("fewer than 100 findings in one file", 0, 0)
        assert checked.defects[0].rule == "schema-version"
        assert [d.line for d in checked.defects[1:-1]] == list(range(8, 8 + MAX_DEFECTS - 1))


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ((), (3, 1)),
        (("schema",), (3, 9)),
        (("delivery", "strategy"), (10, 13)),
        (("delivery", "nothing"), (10, 3)),
        (("nothing", "strategy"), (3, 1)),
    ],
)
def test_a_place_is_that_of_the_deepest_value_that_exists(keys, place):
    """Findings between files point at it."""
    assert check(ServiceFile, EXAMPLE[SVC], "wine").place(*keys) == place
    assert check(ServiceFile, b"[", "wine").place(*keys) == (1, 1)
