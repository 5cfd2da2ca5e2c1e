"""Blank lines around a pin: what is a block of its own, what is not, and what of the neighbours is shown."""

from __future__ import annotations

import pytest
from mlrelease.spec.layout import pin_defects
from mlrelease.spec.tree import parse

PINS = ("version", "digest")
BEFORE, AFTER, BOTH = (f"no blank line {side} the pin" for side in ("before", "after", "before and after"))
PARTED = "version and digest are not on adjacent lines"


def found(text, pins=PINS):
    root = parse(text.encode()).root
    return [(d.line, d.column, d.message, d.found) for d in pin_defects(text, root, pins)]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n\nversion: '8'\ndigest: x\n\nb: 2\n",
        "a: 1\n\nversion: '8'\ndigest: x\n",
        "a: 1\n\nversion: '8'\ndigest: x",
        "version: '8'\ndigest: x\n\nb: 2\n",
        "a: 1\n\n\n\nversion: '8'\ndigest: x\n\n\nb: 2\n",
        "a: 1\n\ndigest: x\nversion: '8'\n\nb: 2\n",
        "a: 1\n\nversion: '8'\n\nb: 2\n",
        "a: 1\n\n# why\n# and why\nversion: '8'\ndigest: x  # note\n# after\n\nb: 2\n",
        "# why\nversion: '8'\ndigest: x\n# the end",
        "a: 1\r\n\r\nversion: '8'\r\ndigest: x\r\n\r\nb: 2\r\n",
        "a: 1\n \t\nversion: '8'\ndigest: x\n  \nb: 2\n",
        "a: |\n  text\n\nversion: '8'\ndigest: x\n\nb: 2\n",
        "a: 1\n\nversion:\n  '8'\ndigest: x\n\nb: 2\n",
        "a: 1\n\nversion: |\n  8\ndigest: x\n\nb: 2\n",
        "a: 1\nb: 2\n",
        "a: {version: '8', digest: x}\nb: 1\n",
    ],
    ids=[
        "the usual", "at the end", "without a last newline", "at the beginning", "more blank lines", "the other way round",
        "one of the two", "comments of its own", "comments at both ends of the file", "Windows line ends",
        "lines of blanks", "behind a block", "a value on the next line", "a value that is a block", "no pin at all",
        "keys of that name in another mapping",
    ],
)  # fmt: skip
def test_a_pin_that_is_a_block_of_its_own_is_fine(text):
    """Whatever stands behind the blank lines."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nversion: '8'\ndigest: x\n\nb: 2\n", [(2, 1, BEFORE, "a:")]),
        ("a: 1\n\nversion: '8'\ndigest: x\nb: 2\n", [(3, 1, AFTER, "b:")]),
        ("a: 1\nversion: '8'\ndigest: x\nb: 2\n", [(2, 1, BOTH, "a:, b:")]),
        ("a: 1\n# why\nversion: '8'\ndigest: x\n\nb: 2\n", [(3, 1, BEFORE, "a:")]),
        ("a: 1\n\nversion: '8'\ndigest: x\n# note\nb: 2\n", [(3, 1, AFTER, "b:")]),
        ("a: 1\n\nversion: '8'\n\ndigest: x\n\nb: 2\n", [(5, 1, PARTED, "digest")]),
        ("a: 1\n\nversion: '8'\n# why\ndigest: x\n\nb: 2\n", [(5, 1, PARTED, "digest")]),
        ("a: 1\n\ndigest: x\n\nversion: '8'\n\nb: 2\n", [(5, 1, PARTED, "version")]),
        ("a: 1\n\nversion: '8'\nb: 2\ndigest: x\n", [(5, 1, PARTED, "digest"), (3, 1, BOTH, "b:, b:")]),
        ("version: '8'\nb: 2\ndigest: x\nc: 3\n", [(3, 1, PARTED, "digest"), (1, 1, BOTH, "b:, b:, c:")]),
        ("a: 1\r\nversion: '8'\r\ndigest: x\r\nb: 2\r\n", [(2, 1, BOTH, "a:, b:")]),
        ("a: |\n  hunter2: x\nversion: '8'\ndigest: x\n", [(3, 1, BEFORE, "hunter2:")]),
        ("a:\n  - hunter2\nversion: '8'\ndigest: x\n", [(3, 1, BEFORE, "a line")]),
        ("a: >\n  hunter2 hunter2\nversion: '8'\ndigest: x\n", [(3, 1, BEFORE, "a line")]),
        ("'a': hunter2\nversion: '8'\ndigest: x\n", [(2, 1, BEFORE, "a line")]),
        ("a : hunter2\nversion: '8'\ndigest: x\n", [(2, 1, BEFORE, "a:")]),
        ("---\nversion: '8'\ndigest: x\n", [(2, 1, BEFORE, "a line")]),
        ("version: '8'\ndigest: x\n...\n", [(1, 1, AFTER, "a line")]),
        ("{version: '8', digest: x}\n", [(1, 2, "the file is written in braces", "{")]),
        ("a: 1\n\nversion: '8'\ndigest: x\n\n" + "k" * 70 + ": 1\n", []),
        ("a: 1\n\nversion: '8'\ndigest: x\n" + "k" * 70 + ": 1\n", [(3, 1, AFTER, "a line")]),
    ],
    ids=[
        "a key before", "a key behind", "both", "only a comment between", "only a comment behind",
        "a blank line between the two", "a comment between the two", "the other way round and parted",
        "another key between the two", "another key between and one behind", "Windows line ends",
        "the end of a block, by its word", "an entry of a list", "folded text", "a quoted key", "a blank before the colon",
        "the mark of a document", "the end of a document", "in braces", "a long key, apart", "a long key",
    ],
)  # fmt: skip
def test_a_pin_that_is_none_is_said_with_its_neighbours_by_name(text, expected):
    """Nothing behind a colon is shown: it may be a secret."""
    assert found(text) == expected


def test_the_pin_of_a_service_is_one_line():
    """Nothing can part it; the message names what is expected."""
    (defect,) = pin_defects("a: 1\nimage: x\n", parse(b"a: 1\nimage: x\n").root, ("image",))
    assert (defect.rule, defect.line, defect.expected) == (
        "pin-adjacent",
        2,
        "the pin alone between blank lines, comments allowed",
    )
    assert found("a: 1\n\nimage: x\n", ("image",)) == []
    assert found("a: 1\nimage: x\n", ()) == []
