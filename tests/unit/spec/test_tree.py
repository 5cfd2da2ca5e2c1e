"""YAML text → tree: types as written, places, and bounds that hold whatever comes."""

from __future__ import annotations

import pytest
import yaml
from mlrelease.spec.check import MAX_DEFECTS, check
from mlrelease.spec.documents import ServiceFile
from mlrelease.spec.tree import MAX_DEPTH, MAX_NODES, MAX_SCALAR, Lines, Opaque, parse


@pytest.mark.parametrize(
    "text",
    ["a", "'1'", '"1"', "1", "-1", "+1", "0", "010", "0x1F", "0b11", "1_000", "1:30", "1.5", ".5", "1.", "-.inf", ".nan",
     "1e5", "1.5e+3",
     "true", "yes", "Off", "y", "null", "~", "", "1a", "2026-11-21x", "1.2.3", "v8", "<", "0o17", "1e-6x"],
)  # fmt: skip
def test_a_scalar_is_what_pyyaml_makes_of_it(text):
    """The types of YAML 1.1, but for exponents without a point, which are numbers to everybody else."""
    ours = parse(f"v: {text}\n".encode()).root.value["v"]
    theirs = yaml.load(f"v: {text}\n", yaml.CSafeLoader)["v"]
    assert repr(ours) == repr(theirs) or (text == "1e5" and ours == 1e5)


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21 10:00:00", "0b_", "0x_"])
def test_what_the_format_has_no_type_for_is_opaque(text):
    """Dates, and what only looks like a number."""
    assert isinstance(parse(f"v: {text}\n".encode()).root.value["v"], Opaque)


def test_nested_values_are_plain_python():
    """Mappings and lists as written, in order."""
    text = b"a: {b: [1, {c: d}], e: 'f'}\ng:\n  - h\n  - i: j\n"
    assert parse(text).root.value == yaml.load(text, yaml.CSafeLoader)


def test_places_count_characters_from_one():
    """Only a newline ends a line, whatever else libyaml takes for one; a letter is a column, however many bytes."""
    root = parse("# é 😀\r\na: 1\r\nb:\r\n  é: 'x'\r\n".encode()).root
    assert [(k.line, k.column, v.line, v.column) for k, v in root.entries.values()] == [(2, 1, 2, 4), (3, 1, 4, 3)]
    inner = root.get("b").get("é")
    assert (inner.line, inner.column, inner.raw, inner.style) == (4, 6, "x", "'")


@pytest.mark.parametrize("text", ["", "\n", "a", "a\n", "\n\nab\n", "é\n😀"])
def test_lines_and_splitting_agree(text):
    """Each character's line is the number of newlines before it."""
    lines = Lines(text)
    for index in range(len(text) + 1):
        before = text[:index]
        assert lines.place(index) == (before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


@pytest.mark.parametrize(
    ("text", "rule", "is_read"),
    [
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None, True),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "too-deep", False),
        ("[" + "a," * (MAX_NODES - 1) + "]", None, True),
        ("[" + "a," * MAX_NODES + "]", "too-large", False),
        ("v: " + "x" * MAX_SCALAR, None, True),
        ("v: " + "x" * (MAX_SCALAR + 1), "too-large", True),
        ("? " + "x" * (MAX_SCALAR + 1) + "\n: v", "too-large", True),
        ("v: x".ljust(1 << 20), None, True),
        ("v: x".ljust((1 << 20) + 1), "too-large", False),
        ("%YAML 1.1\n---\nv: x\n", "yaml-feature", False),
        ("v: x\n...\n%TAG ! tag:x,1:\n---\nw: x\n", "yaml-feature", False),
        ("v: 100% # %\n", None, True),
    ],
    ids=[
        "as deep as it may be", "one deeper", "as many values as it may have", "one more", "as long as it may be",
        "one longer",
        "a key too long", "as large as it may be", "one byte more", "a directive", "a directive further down",
        "a per cent sign",
    ],
)  # fmt: skip
def test_the_bounds_are_where_they_are_said_to_be(text, rule, is_read):
    """What is within is read, what is beyond is one defect."""
    parsed = parse(text.encode())
    assert [defect.rule for defect in parsed.defects] == ([rule] if rule else [])
    assert (parsed.root is not None) is is_read


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    ["[" * 500_000, "{" * 500_000, "? " * 300_000, "- " * 300_000, "a: " * 300_000, "&a " * 300_000, "*a " * 300_000,
     "!!x " * 200_000,
     "'" * 900_000, '"' * 900_000, '"\\' * 400_000, "|\n" * 400_000, "#" * 900_000, "\n" * 900_000, "\t" * 900_000,
     "---\n" * 200_000,
     "%TAG ! !\n" * 90_000, "v: 1" + ":59" * 300_000, "v: 0b" + "1" * 900_000, "v: " + "9" * 900_000, "v: " + "1_" * 400_000,
     "v: //" + ":" * 900_000, "v: " + "${" * 400_000, "v: " + "<a" * 400_000, "\r" * 900_000, "\x85" * 400_000,
     "".join(f"replica{n}: 1\n" for n in range(60_000)),
     ",[" * 400_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_a_megabyte_of_anything_ends(text):
    """Bounded by construction: none of these takes the square of its length, nor the stack, nor fills a screen."""
    assert len(check(ServiceFile, text.encode(), "wine").defects) <= MAX_DEFECTS + 1


def test_a_missing_end_is_found_where_it_is_missed():
    """After a syntax error nothing of the file is used."""
    parsed = parse(b"a: 'b\nc: d\n")
    assert parsed.root is None
    assert [(d.rule, d.line) for d in parsed.defects] == [("yaml-syntax", 3)]
