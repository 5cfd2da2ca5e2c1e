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
        (b"!!python/object/apply:os.system [id]\n", "is not YAML"),
        (b"[" * 100_000, "is not YAML"),
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


def test_an_error_does_not_echo_the_file():
    """What stands there may be anything."""
    with pytest.raises(Error) as failed:
        load(PATH, TEXT.replace("actor: Ada", "actor: [hunter2]").encode())
    assert "hunter2" not in failed.value.message
