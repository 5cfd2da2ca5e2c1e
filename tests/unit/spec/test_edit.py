"""Edits change one token and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.spec.edit import set_image, set_model_pin, set_scalar
from mlrelease.spec.tree import parse

ROOT = Path(__file__).parents[3] / "environments" / "production"
MODEL = (ROOT / "models" / "wine.yaml").read_bytes()
SERVICE = (ROOT / "services" / "wine.yaml").read_bytes()
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ('v: "1"\n', "2", 'v: "2"\n'),
        ("v: '1'\n", "2", "v: '2'\n"),
        ("v: one\n", "two", "v: two\n"),
        ("v: 1\n", "2", 'v: "2"\n'),
        ("v: one\n", "yes", 'v: "yes"\n'),
        ("v: one\n", "1e-6", 'v: "1e-6"\n'),
        ("v: one\n", "a: b", 'v: "a: b"\n'),
        ("v: one\n", "a #b", 'v: "a #b"\n'),
        ("v: one\n", "", 'v: ""\n'),
        ("v: one", "two", "v: two"),
        ("v: one   # why\r\nw: x\r\n", "two", "v: two   # why\r\nw: x\r\n"),
        ("# é 😀\nv: one # 😀\n", "två", '# é 😀\nv: "två" # 😀\n'),
        ("v: 'one'\n", "it's", "v: 'it''s'\n"),
        ("v: 'one'\n", "a\nb", 'v: "a\\U0000000ab"\n'),
        ('v: "one"\n', 'say "\\"', 'v: "say \\"\\\\\\""\n'),
        ("v:\n", "two", "v: two\n"),
        ("v:   \nw: x\n", "two", "v: two   \nw: x\n"),
        ("{v: one, w: x}\n", "two", "{v: two, w: x}\n"),
        ("v:\n  one\n", "two", "v:\n  two\n"),
        ("v: one\n", "r.io/a:1@" + DIGEST, "v: r.io/a:1@" + DIGEST + "\n"),
        ("v: ${A} # why\n", "${B:-http://h:1}", "v: ${B:-http://h:1} # why\n"),
        ("{v: one, w: x}\n", "${B}", '{v: "${B}", w: x}\n'),
        ("v: one\n", "${B: x}", 'v: "${B: x}"\n'),
    ],
    ids=[
        "double quotes stay", "single quotes stay", "plain stays plain", "a number gets quotes", "a truth gets quotes",
        "an exponent gets quotes", "a colon gets quotes", "a comment sign gets quotes", "the empty string gets quotes",
        "no newline at the end stays so", "crlf and comments stay", "characters are not bytes", "a quote in quotes is doubled",
        "a line break is escaped", "double quotes are escaped", "an empty value is filled", "an empty value before blanks",
        "in braces", "on the next line", "an image stays plain", "a reference stays plain",
        "a reference in braces gets quotes", "what is no reference gets quotes",
    ],
)  # fmt: skip
def test_one_token_changes(before, value, after):
    """The token is replaced, its quoting kept where that still means the same."""
    assert set_scalar(before.encode(), ("v",), value).decode() == after


def test_nested_keys_are_found():
    """A path of keys names the value, not the first of that name."""
    assert set_scalar(b"v: a\nt:\n  v: b # c\n", ("t", "v"), "d") == b"v: a\nt:\n  v: d # c\n"


@pytest.mark.parametrize(
    ("text", "keys", "says"),
    [
        (b"v: one\n", ("w",), "no key w"),
        (b"v: one\n", ("v", "w"), "no key v.w"),
        (b"v: {w: x}\n", ("v",), "not a single value"),
        (b"v: |\n  one\n", ("v",), "several lines"),
        (b"v: one\n  two\n", ("v",), "several lines"),
        (b"v: one\nv: two\n", ("v",), "given twice"),
        (b"v: [\n", ("v",), "not YAML"),
        (b"v: !!str one\n", ("v",), "a tag"),
        (b"\xff", ("v",), "not UTF-8"),
        (b"", ("v",), "empty"),
    ],
    ids=["absent", "below a scalar", "a mapping", "a block", "two lines", "twice", "no YAML", "tagged", "bytes", "empty"],
)
def test_what_cannot_be_edited_is_refused(text, keys, says):
    """Nothing is guessed: the error says why."""
    with pytest.raises(Error, match=says):
        set_scalar(text, keys, "x")


def test_a_value_that_yaml_cannot_hold_is_refused():
    """The edited text is read back before it is handed out."""
    with pytest.raises(Error, match="cannot hold this value"):
        set_scalar(b"v: one\n", ("v",), "\ud800")


def test_model_pin_changes_its_two_tokens():
    """A bump touches version and digest and no other byte."""
    old = MODEL.split(b"digest: ")[1].split(b"\n")[0]
    assert set_model_pin(MODEL, "2", DIGEST) == MODEL.replace(b'"1"', b'"2"').replace(old, DIGEST.encode())


def test_image_changes_its_token():
    """A new image touches the reference and no other byte."""
    old = SERVICE.split(b"image: ")[1].split(b"\n")[0]
    assert set_image(SERVICE, f"r.io/a:2@{DIGEST}") == SERVICE.replace(old, f"r.io/a:2@{DIGEST}".encode())


@given(
    before=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20),
    value=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    style=st.sampled_from(["x", '"x"', "'x'"]),
    end=st.sampled_from(["", "\n", "\r\n", " # é\n"]),
)
def test_every_other_byte_stays(before, value, style, end):
    """Whatever the value, it reads back, and what stands around it is byte for byte as before."""
    head, tail = f"# {before}\nv: ".encode(), end.encode()
    edited = set_scalar(head + style.encode() + tail, ("v",), value)
    assert edited.startswith(head)
    assert edited.endswith(tail)
    root = parse(edited).root
    assert root is not None
    assert root.value == {"v": value}
