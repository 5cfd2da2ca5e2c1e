"""The record's file: what is written is read again, and nothing else is taken for a record."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.model.bundle import Digest, ImagePin, ModelPin
from mlrelease.model.release import ApprovedBy, Release, ReleasedEnvironment, ReleasedModel, ReleasedService, Version
from mlrelease.spec.release_file import HEADER, MAX_BYTES, dump, load
from mlrelease.spec.schemas import schemas

ROOT = Path(__file__).parents[3]
PATH = "releases/v1.2.0.yaml"
AT = "2027-01-15T08:00:00.000Z"

hexes = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda h: Digest(f"sha256:{h}"))
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
names = st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,10}\Z")
models = st.builds(
    ReleasedModel,
    pin=st.builds(ModelPin, names, st.integers(1, 999).map(str), hexes),
    run_id=words,
    model_id=words,
    registered_at=st.sampled_from(["", AT]),
    gates=st.dictionaries(words.filter(bool), words.filter(bool), max_size=3),
    metrics=st.dictionaries(words.filter(bool), st.floats(allow_nan=False), max_size=3),
)
services = st.builds(
    ReleasedService,
    name=st.just("wine"),
    bundle=st.text("0123456789abcdef", min_size=12, max_size=12),
    image=hexes.map(lambda digest: ImagePin(f"ghcr.io/acme/serve:0.1.0@{digest}")),
    models=st.lists(models, max_size=3).map(tuple),
    receipt=words.filter(bool),
    verified_at=st.just(AT),
    revision=words.filter(bool),
    settings=st.lists(words.filter(bool), max_size=2).map(tuple),
    exercised=st.lists(words.filter(bool), max_size=2).map(tuple),
    approvals=st.lists(st.builds(ApprovedBy, words.filter(bool), words.filter(bool), st.just(AT), words), max_size=2).map(
        tuple
    ),
)


def release(service):
    environment = ReleasedEnvironment("production", "observed", 7, Digest(f"sha256:{'e' * 64}"), {"wine": service})
    return Release(Version(1, 2, 0), "v1.1.0", AT, "Ada", "2" * 40, {"production": environment})


PIN = ModelPin("wine", "8", Digest(f"sha256:{'c' * 64}"))
SERVICE = ReleasedService(
    "wine", "0" * 12, ImagePin(f"ghcr.io/acme/serve:0.1.0@sha256:{'ab' * 32}"), (ReleasedModel(PIN),), "R1", AT, "1" * 40
)
RECORD = release(SERVICE)


@given(services)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(service):
    """Identity: parse ∘ render, whatever names, runs and approvers are called."""
    assert load(PATH, dump(release(service))) == release(service)


@given(services)
@settings(max_examples=25, deadline=None)
def test_every_record_is_valid_under_the_published_schema(service):
    """An editor says the same as the program."""
    data = yaml.safe_load(dump(release(service)))
    jsonschema.Draft202012Validator(json.loads(schemas()["release.v1.json"])).validate(data)


def test_the_committed_schema_is_current():
    """Else: python -m mlrelease.spec.schemas templates/schemas."""
    committed = (ROOT / "templates/schemas/release.v1.json").read_text(encoding="utf-8")
    assert committed == schemas()["release.v1.json"]
    jsonschema.Draft202012Validator.check_schema(json.loads(committed))


def test_the_first_lines_are_for_editors_and_people():
    """The schema by a path that exists from there, and who writes this."""
    assert dump(RECORD).decode().startswith(HEADER)
    relative = HEADER.splitlines()[0].partition("$schema=")[2]
    assert (ROOT / "releases" / relative).resolve() == ROOT / "templates/schemas/release.v1.json"


def test_equal_records_are_equal_bytes():
    """Order of keys, services and environments is fixed: the same release is the same commit."""
    other = replace(SERVICE, name="a")
    environment = RECORD.environments["production"]
    one = replace(RECORD, environments={"production": replace(environment, services={"wine": SERVICE, "a": other})})
    two = replace(RECORD, environments={"production": replace(environment, services={"a": other, "wine": SERVICE})})
    assert dump(one) == dump(two)


def test_numbers_that_are_none_survive():
    """A metric may be NaN or infinite; it is evidence, not a judgement."""
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf}
    found = load(PATH, dump(release(replace(SERVICE, models=(ReleasedModel(PIN, metrics=metrics),)))))
    said = found.environments["production"].services["wine"].models[0].metrics
    assert math.isnan(said["a"])
    assert (said["b"], said["c"]) == (math.inf, -math.inf)


def test_a_fleet_is_read_in_time():
    """A thousand models, about a megabyte, where the tree with positions would refuse."""
    many = tuple(
        ReleasedModel(replace(PIN, name=f"m{n}"), "r" * 32, "m" * 32, AT, {"exists": "passed"}, {"rmse": n})
        for n in range(1000)
    )
    data = dump(release(replace(SERVICE, models=many)))
    began = time.monotonic()
    assert len(load(PATH, data).environments["production"].services["wine"].models) == 1000
    assert time.monotonic() - began < 30


TEXT = dump(RECORD).decode()
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "is not YAML in UTF-8"),
        (b"a: [", "is not YAML in UTF-8"),
        (b"", "is no release record"),
        (b"- 1\n", "is no release record"),
        (TEXT.replace("schema: 1", "schema: 2").encode(), "schema"),
        (TEXT.replace("release: v1.2.0", "release: v1.2.1").encode(), "says that it is v1.2.1"),
        (TEXT.replace("release: v1.2.0", "release: latest").encode(), "release"),
        (TEXT.replace("actor: Ada\n", "").encode(), "actor"),
        (TEXT.replace("actor: Ada", "actor: 5").encode(), "actor"),
        ((TEXT + "novelty: 1\n").encode(), "novelty"),
        (TEXT.replace("version: '8'", "version: 8").encode(), "version"),
        (TEXT.replace("version: '8'", "version: latest").encode(), "version"),
        (TEXT.replace("c" * 64, "c" * 63).encode(), "digest"),
        (TEXT.replace("@sha256:" + "ab" * 32, "").encode(), "image"),
        (TEXT.replace("height: 7", "height: -1").encode(), "height"),
        (TEXT.replace("checked: observed", "checked: believed").encode(), "checked"),
        (re.sub("revision: '?2+'?", "revision: main", TEXT).encode(), "revision"),
        (BOMB.encode(), "uses an anchor or alias"),
        (b"!!python/object/apply:os.system [id]\n", "uses a tag"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"x" * (MAX_BYTES + 1), "is larger than"),
    ],
    ids=[
        "no text",
        "no YAML",
        "empty",
        "a list",
        "another schema",
        "another version than its name",
        "no version",
        "a key is missing",
        "a key of another type",
        "an unknown key",
        "an unquoted version",
        "an alias as a version",
        "half a digest",
        "an image by tag",
        "a height below zero",
        "an unknown way of looking",
        "a branch as revision",
        "aliases that grow",
        "a tag that runs something",
        "nested without end",
        "megabytes",
    ],
)
def test_nothing_else_is_a_record(data, said):
    """One line with the file's name; nothing is run, nothing takes for ever."""
    with pytest.raises(Error) as failed:
        load(PATH, data)
    assert failed.value.message.startswith(PATH)
    assert said in failed.value.message
    assert failed.value.hint == f"git log -p -- {PATH} shows who changed it"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (TEXT.replace("actor: Ada", "actor: 2027-13-45"), "is not YAML in UTF-8"),
        (TEXT.replace("actor: Ada", "actor: 2027-01-15T08:00:00+99:99"), "is not YAML in UTF-8"),
        (TEXT.replace("height: 7", "height: 0b_"), "is not YAML in UTF-8"),
        (TEXT.replace("height: 7", "height: " + "7" * 5000), "is not YAML in UTF-8"),
        (TEXT.replace("actor: Ada", "actor: !!str Ada"), "uses a tag"),
        (TEXT.replace("height: 7", "height: !!int seven"), "uses a tag"),
        (TEXT.replace("checked: observed", "checked: !!bool maybe"), "uses a tag"),
        (TEXT.replace("services:", "services: !!omap"), "uses a tag"),
        (TEXT.replace("actor: Ada\n", "actor: Ada\nactor: Eve\n"), "gives a key twice"),
        (TEXT.replace("height: 7", "height: 7\n      height: 9"), "gives a key twice"),
        (TEXT.replace("        models:", "        bundle: 'ffffffffffff'\n        models:"), "gives a key twice"),
        (TEXT + "<<: {}\n", "gives a key twice"),
        (f"{TEXT}---\n{TEXT}", "is not YAML in UTF-8"),
        (TEXT + "? [a]\n: b\n", "is not YAML in UTF-8"),
        (f"{TEXT}x: {'[' * 19}{']' * 19}\n", "is no release record: x: Extra inputs are not permitted"),
        (f"{TEXT}x: {'[' * 20}{']' * 20}\n", "is nested too deeply"),
        (f"{TEXT}x: {'{a: ' * 20}{'}' * 20}\n", "is nested too deeply"),
    ],
    ids=[
        "a day that is none", "an offset that is none", "a number that is none", "a number without end",
        "a tag that means nothing", "a tag that is not met", "a truth that is none", "a tag on a mapping", "the actor twice",
        "a height twice", "a bundle twice", "a merge key", "two documents", "a key that is a list", "as deep as may be",
        "one deeper", "mappings, too",
    ],
)  # fmt: skip
def test_what_yaml_would_let_through_or_stumble_over_is_refused_in_one_line(data, why):
    """A record is what a person reads in it: no second value, no other type, and never a traceback."""
    assert data != TEXT
    with pytest.raises(Error) as failed:
        load(PATH, data.encode())
    assert failed.value.message == f"{PATH} {why}"
    assert (failed.value.hint, failed.value.where) == (f"git log -p -- {PATH} shows who changed it", PATH)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ('"a\\nb\\e[2J"', "a\\nb\\x1b[2J"),
        ("ghp_" + "a" * 36, "***"),
        ("k" * 300, "k" * 199 + "…"),
        ("é", "é"),
    ],
    ids=["control characters", "a secret", "a long one", "a letter"],
)
def test_a_key_of_the_file_is_shown_so_that_it_can_be_printed(key, shown):
    """Whoever wrote the file named it."""
    with pytest.raises(Error) as failed:
        load(PATH, f"{TEXT}{key}: 1\n".encode())
    assert failed.value.message == f"{PATH} is no release record: {shown}: Extra inputs are not permitted"


def test_the_place_of_what_is_wrong_is_named():
    """Down to the entry of a list."""
    with pytest.raises(Error) as failed:
        load(PATH, TEXT.replace("digest: sha256:c", "digest: sha256:C").encode())
    place = "environments.production.services.wine.models.0.digest"
    assert failed.value.message == f"{PATH} is no release record: {place}: Value error, digest is not in lower case"


@pytest.mark.parametrize("path", ["releases/v1.2.1.yaml", "releases/V1.2.0.yaml", "v1.2.0.yaml", "releases/v01.2.0.yaml"])
def test_a_record_under_another_name_is_none(path):
    """A copy of an old record must not pass for a new one."""
    with pytest.raises(Error) as failed:
        load(path, TEXT.encode())
    assert failed.value.message == f"{path} says that it is v1.2.0"


def test_the_largest_record_is_one_byte_below_the_limit_that_is_refused():
    """Filled up with a comment."""
    full = TEXT.encode() + b"#" * (MAX_BYTES - len(TEXT.encode()))
    assert load(PATH, full) == RECORD
    with pytest.raises(Error) as failed:
        load(PATH, full + b"#")
    assert failed.value.message == f"{PATH} is larger than 16 MiB"


def test_the_text_of_a_record_is_as_people_write_it():
    """Keys in the order of the schema, empty ones left out, lists below their key, numbers as numbers, no anchors."""
    approval = ApprovedBy("E1", "Ann", AT, "")
    model = ReleasedModel(PIN, run_id="r1", gates={"smoke": "passed", "exists": "passed"}, metrics={"rmse": 2, "auc": 0.5})
    service = replace(SERVICE, models=(model,), approvals=(approval,), settings=("LEVEL",))
    text = dump(replace(release(service), previous="")).decode().removeprefix(HEADER)
    assert (
        text
        == f"""\
schema: 1
release: v1.2.0
previous: ''
at: '{AT}'
actor: Ada
revision: '{"2" * 40}'
environments:
  production:
    checked: observed
    ledger:
      height: 7
      head: sha256:{"e" * 64}
    services:
      wine:
        bundle: '000000000000'
        image: ghcr.io/acme/serve:0.1.0@sha256:{"ab" * 32}
        settings:
          - LEVEL
        receipt: R1
        verified_at: '{AT}'
        revision: '{"1" * 40}'
        approvals:
          - event: E1
            approver: Ann
            at: '{AT}'
        models:
          - model: wine
            version: '8'
            digest: sha256:{"c" * 64}
            run_id: r1
            gates:
              exists: passed
              smoke: passed
            metrics:
              auc: 0.5
              rmse: 2.0
"""
    )


def test_an_error_does_not_echo_the_file():
    """What stands there may be anything."""
    with pytest.raises(Error) as failed:
        load(PATH, TEXT.replace("actor: Ada", "actor: [hunter2]").encode())
    assert "hunter2" not in failed.value.message
