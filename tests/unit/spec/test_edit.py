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


VALIDATE, BY_HAND = "mlrelease validate", "edit the line by hand"
ONE_LINE, ADD, SINGLE = "write the value on one line", "add the line by hand once", "name the key of a single value"


@pytest.mark.parametrize(
    ("text", "keys", "message", "hint"),
    [
        (b"v: one\n", ("w",), "the file has no key w", ADD),
        (b"v: one\n", ("v", "w"), "the file has no key v.w", ADD),
        (b"t:\n  v: x\n", ("t", "w", "v"), "the file has no key t.w.v", ADD),
        (b"- v: one\n", ("v",), "the file has no key v", ADD),
        (b"v: {w: x}\n", ("v",), "v is not a single value", SINGLE),
        (b"t: {v: [x]}\n", ("t", "v"), "t.v is not a single value", SINGLE),
        (b"v: |\n  one\n", ("v",), "cannot edit v: its value spans several lines", ONE_LINE),
        (b"v: >-\n  one\n", ("v",), "cannot edit v: its value spans several lines", ONE_LINE),
        (b"v: one\n  two\n", ("v",), "cannot edit v: its value spans several lines", ONE_LINE),
        (b"v: 'one\n  two'\n", ("v",), "cannot edit v: its value spans several lines", ONE_LINE),
        (b"t: {v: one}\nv: two\nv: x\n", ("t", "v"), "cannot edit t.v: the key is given twice, first on line 2 (line 3)",
         VALIDATE),
        (b"v: [\n", ("v",), "cannot edit v: not YAML: did not find expected node content (line 2)", VALIDATE),
        (b"v: !!str one\n", ("v",), "cannot edit v: a tag changes the type of a value (line 1)", VALIDATE),
        (b"x: 1\nv: \xff", ("v",), "cannot edit v: the file is not UTF-8 (line 2)", VALIDATE),
        (b"v: " + b"x" * (1 << 20), ("v",), "cannot edit v: the file is too large", VALIDATE),
        (b"", ("v",), "cannot edit v: the file is empty", VALIDATE),
        (b"# v: one\n", ("v",), "cannot edit v: the file is empty", VALIDATE),
    ],
    ids=[
        "absent", "below a scalar", "in the middle of the way", "in a list", "a mapping", "a list", "a block",
        "a folded block", "two lines", "two lines in quotes", "another key twice", "no YAML", "tagged", "bytes", "too large",
        "empty", "a comment alone",
    ],
)  # fmt: skip
def test_what_cannot_be_edited_is_refused(text, keys, message, hint):
    """Nothing is guessed: the error says why, where, and what to do; nothing of the value is shown."""
    with pytest.raises(Error) as raised:
        set_scalar(text, keys, "hunter2")
    assert (raised.value.message, raised.value.hint) == (message, hint)


@pytest.mark.parametrize("text", ["v: one\n", "v: 'one'\n", 'v: "one"\n'])
def test_a_value_that_yaml_cannot_hold_is_refused(text):
    """The edited text is read back before it is handed out."""
    with pytest.raises(Error) as raised:
        set_scalar(text.encode(), ("v",), "\ud800")
    assert raised.value.message == "cannot edit v: the file cannot hold this value there"
    assert raised.value.hint == BY_HAND


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("v:\n", "v: two\n"),
        ("v:", "v: two"),
        ("v: \n", "v: two \n"),
        ("v:\t\n", "v: two\t\n"),
        ("v: # why\n", "v: two # why\n"),
        ("t:\n  v:\nw: x\n", "t:\n  v: two\nw: x\n"),
        ("{v: , w: x}\n", "{v: two, w: x}\n"),
        ("v: ~\n", "v: two\n"),
        ("v: ''\n", "v: 'two'\n"),
        ("? v\n: one\n", "? v\n: two\n"),
        ("'v': one\n", "'v': two\n"),
        ("v : one\n", "v : two\n"),
        ("w: v: one\n", None),
    ],
    ids=[
        "nothing", "nothing, nor a line end", "a blank", "a tab", "a comment only", "nothing, in a block", "nothing, in braces",
        "a null", "empty quotes", "a key on its own line", "a quoted key", "a blank before the colon", "no YAML",
    ],
)  # fmt: skip
def test_a_value_is_filled_in_where_there_is_none(before, after):
    """Wherever the colon stands: the file reads the same but for the value."""
    keys = ("t", "v") if before.startswith("t:") else ("v",)
    if after is None:
        with pytest.raises(Error, match=r"^cannot edit v: not YAML"):
            set_scalar(before.encode(), keys, "two")
    else:
        assert set_scalar(before.encode(), keys, "two").decode() == after


@pytest.mark.parametrize(
    "value",
    ["8", "1.10", "1e5", "0x1F", "1:30", "010", "1_000", ".5", "-", "yes", "No", "ON", "null", "~", "=", "<<", "2026-11-21",
     "a:", ":a", "#a", "'", '"', "\\", "a'b\"c", "*a", "&a", "!a", "%a", "@a", "`a", "[a", "{a}", "|", ">", "é", "${A}",
     "${", "$", "---", "...", "", " ", "a: b", "a #b", "a\tb", "a, b", "? a", "- a", "\u2028", "\ufeff", "\x85", "\x07",
     "\x00", "a\nb", "${A:-b c}"],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    ["v: one # c\nw: x\n", "v: 'one' # c\nw: x\n", 'v: "one" # c\nw: x\n', "{v: one, w: x}\n"],
    ids=["plain", "single", "double", "braces"],
)
def test_every_odd_value_reads_back_as_it_is(text, value):
    """Whatever YAML would take it for; twice is once, and nothing around it moves."""
    edited = set_scalar(text.encode(), ("v",), value)
    assert parse(edited).root.value == {"v": value, "w": "x"}
    head, tail = text.split("one")
    head, tail = head.rstrip("'\""), tail.lstrip("'\"")
    assert edited.decode().startswith(head)
    assert edited.decode().endswith(tail)
    assert set_scalar(edited, ("v",), value) == edited


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
