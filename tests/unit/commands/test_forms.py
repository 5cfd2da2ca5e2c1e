"""The text of new files: names and pins are changed, added where they are missing, and every other byte stays."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.forms import environment_text, model_text, service_text, set_number, set_or_add, state_of
from mlrelease.errors import Error
from mlrelease.model.bundle import Digest, ModelPin
from support.example import ENV, EXAMPLE, IMAGE, MOD, SVC

PIN = ModelPin("risk", "7", Digest("sha256:" + "ab" * 32))
BRACES = "target.listen cannot be added: the file is written in braces"
SMALL = b"schema: 1\nenvironment: production # the real one\ntarget:\n  kind: local\n"


# -- one key -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "keys", "after"),
    [
        (SMALL, ("environment",), b"schema: 1\nenvironment: x # the real one\ntarget:\n  kind: local\n"),
        (SMALL, ("alias",), b"schema: 1\nenvironment: production # the real one\nalias: x\ntarget:\n  kind: local\n"),
        (SMALL, ("target", "kind"), SMALL.replace(b"local", b"x")),
        (SMALL, ("target", "listen"), SMALL + b"  listen: x\n"),
        (b"a: 1\nb: 2\n", ("c",), b"a: 1\nc: x\nb: 2\n"),
        (b"a: 1", ("c",), b"a: 1\nc: x\n"),
        (b"environment: p\r\na: 1\r\n", ("c",), b"environment: p\r\nc: x\r\na: 1\r\n"),
        (b"t:\n      k: 1\n      l: 2\n", ("t", "m"), b"t:\n      k: 1\n      m: x\n      l: 2\n"),
    ],
    ids=[
        "a value that is there", "below the name", "within a block", "added to a block", "below the first key",
        "a last line without an end", "line ends of Windows", "another indent",
    ],
)  # fmt: skip
def test_a_value_is_set_or_its_line_added(before, keys, after):
    """Comments, order and line ends stay."""
    assert set_or_add(before, keys, "x") == after


@pytest.mark.parametrize(
    ("text", "keys", "message", "hint"),
    [
        (b"a: 1\n", ("target", "listen"), "the file has no target", "add it by hand once"),
        (b"target: {kind: local}\n", ("target", "listen"), BRACES, "add it by hand"),
        (b"target: {}\n", ("target", "listen"), BRACES, "add it by hand"),
        (b"a: [1\n", ("b",), "the file to copy cannot be read as YAML", "mlrelease validate --offline"),
        (b"a: 1\na: 2\n", ("b",), "the file to copy cannot be read as YAML", "mlrelease validate --offline"),
        (b"", ("b",), "the file to copy cannot be read as YAML", "mlrelease validate --offline"),
        (b"\xff\xfe", ("b",), "the file to copy cannot be read as YAML", "mlrelease validate --offline"),
    ],
    ids=["no such block", "braces", "empty braces", "half a list", "a key twice", "an empty file", "no text"],
)  # fmt: skip
def test_what_cannot_be_changed_safely_is_refused(text, keys, message, hint):
    """A guess would be written into somebody's repository."""
    with pytest.raises(Error) as refused:
        set_or_add(text, keys, "x")
    assert (refused.value.message, refused.value.hint) == (message, hint)


@settings(max_examples=60, deadline=None)
@given(
    value=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=15),
    key=st.sampled_from([("environment",), ("alias",), ("target", "kind"), ("target", "listen")]),
)
def test_what_was_set_reads_back_as_that_text_and_nothing_else_moves(value, key):
    """Whatever YAML would take it for: a number, a boolean, a comment, an alias."""
    found, expected = yaml.safe_load(set_or_add(SMALL, key, value)), yaml.safe_load(SMALL)
    place = expected
    for name in key[:-1]:
        place = place[name]
    place[key[-1]] = value
    assert found == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a: 1\nreplicas: 2 # two\nb: 3\n", b"a: 1\nreplicas: 5 # two\nb: 3\n"),
        (b"a: 1\n", b"a: 1\n\nreplicas: 5\n"),
        (b"a: 1", b"a: 1\n\nreplicas: 5\n"),
        (b"a: 1\r\nb: 2", b"a: 1\r\nb: 2\r\n\r\nreplicas: 5\r\n"),
    ],
    ids=["there already", "not there", "no line end", "line ends of Windows"],
)
def test_a_number_is_set_or_added_at_the_end(before, after):
    """As a plain number: quoted it would be a text."""
    assert set_number(before, "replicas", 5) == after


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (b"state: absent\n", "absent"),
        (b"state: present\n", "present"),
        (b"state: null\n", "None"),
        (b"a: 1\n", ""),
        (b"", ""),
        (b"state: [\n", ""),
        (b"- state\n", ""),
        (b"\xff", ""),
    ],
    ids=["absent", "present", "null", "not said", "an empty file", "half a file", "a list", "no text"],
)
def test_the_state_of_a_file(text, state):
    """Empty where it says nothing or cannot be read."""
    assert state_of(text) == state


# -- whole files -------------------------------------------------------------------------------------------------------


def test_the_example_with_other_names_is_the_example():
    """The same names give the very bytes that the package brings along."""
    image = {"production": EXAMPLE[ENV]}["production"]
    values = yaml.safe_load(image)
    text = environment_text("production", {"target.listen": values["target"]["listen"], "promotes_from": ""}, like=image)
    assert text == image
    assert service_text("wine", image=IMAGE, like=EXAMPLE[SVC]) == EXAMPLE[SVC]


def test_a_service_keeps_what_it_is_not_told():
    """Image and replicas are the copied file's unless named."""
    copied = yaml.safe_load(EXAMPLE[SVC])
    assert yaml.safe_load(service_text("beer", like=EXAMPLE[SVC])) == copied | {"service": "beer"}
    other = IMAGE.replace("@sha256:", "-2@sha256:")
    found = yaml.safe_load(service_text("beer", image=other, replicas=9, like=EXAMPLE[SVC]))
    assert found == copied | {"service": "beer", "image": other, "replicas": 9}


def test_a_new_model_file_does_not_call_itself_the_example():
    """Its first line is about every key; a copied file keeps its own comments."""
    made = model_text("wine", PIN)
    assert made.startswith(b"# One model pin. Every key: docs/files.md\n")
    assert yaml.safe_load(made) == yaml.safe_load(EXAMPLE[MOD]) | {
        "service": "wine", "model": "risk", "version": "7", "digest": PIN.digest,
    }  # fmt: skip
    copied = model_text("wine", PIN, like=b"# ours\n" + EXAMPLE[MOD])
    assert copied.startswith(b"# ours\n")
    assert yaml.safe_load(copied) == yaml.safe_load(made)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/var/lib/production", "/var/lib/staging"),
        ("/production/production", "/staging/staging"),
        ("/var/lib/production-1", "/var/lib/production-1-staging"),
        ("/var/lib/ml/", "/var/lib/ml-staging"),
        ("state/production", "state/staging"),
        ("${HOME}/production", "${HOME}/staging"),
    ],
    ids=["a part of its own", "each part", "part of a part", "not in it", "relative", "behind a variable"],
)
def test_a_copied_state_folder_becomes_another_one(folder, expected):
    """Two environments in one would end each other; one that is named is taken as it is."""
    like = SMALL + f"  state_dir: {folder}\n".encode()
    assert yaml.safe_load(environment_text("staging", {}, like=like))["target"]["state_dir"] == expected
    named = environment_text("staging", {"target.state_dir": "/mine"}, like=like)
    assert yaml.safe_load(named)["target"]["state_dir"] == "/mine"


def test_values_that_are_empty_are_left_as_they_are():
    """And those that are not there are not added."""
    assert environment_text("production", {"alias": "", "target.listen": ""}, like=SMALL) == SMALL
