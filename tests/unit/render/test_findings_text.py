"""Findings in full, in all three forms: as many as a screen holds, one more, and with whatever stands in the files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.model.finding import Finding
from mlrelease.render import findings

BARE = Finding("environments", 0, 0, "no-environments", "there is no environment")


def many(count, **more):
    return [Finding("a.yaml", line, 1, "bad-value", "no", **more) for line in range(1, count + 1)]


@pytest.mark.parametrize(
    ("given_findings", "line"),
    [
        ([*many(2), BARE], "3 findings in 2 files: 2 bad-value, 1 no-environments\n"),
        ([BARE, *many(1)], "2 findings in 2 files: 1 bad-value, 1 no-environments\n"),
        (many(12_345), "12,345 findings in 1 file: 12,345 bad-value\n"),
    ],
    ids=["the more frequent first", "as frequent: by name", "thousands"],
)
def test_the_line_that_counts(given_findings, line):
    """How many, in how many files, of which rules."""
    assert findings.summary(given_findings) == line


@pytest.mark.parametrize(("count", "counted"), [(20, False), (21, True)], ids=["a screen", "more than a screen"])
def test_when_they_are_counted_first(count, counted):
    """None is left out in either case, and they keep their order."""
    text = findings.text(iter(many(count)))
    assert text.startswith(f"{count} findings in 1 file") is counted
    assert [line for line in text.splitlines() if line.startswith("a.yaml")] == [
        f"a.yaml:{line}:1: error[bad-value]: no" for line in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("finding", "block"),
    [
        (
            Finding("a.yaml", 3, 0, "r", "m", found="f"),
            "a.yaml:3:0: error[r]: m\n  found     f\n  docs      docs/rules.md#r\n",
        ),
        (
            Finding("a.yaml", 0, 7, "r", "m", fix="mend it"),
            "a.yaml: error[r]: m\n  try       mend it\n  docs      docs/rules.md#r\n",
        ),
        (
            Finding("a\nb\x1b.yaml", 1, 2, "r", "m"),
            "a\\nb\\x1b.yaml:1:2: error[r]: m\n  docs      docs/rules.md#r\n",
        ),
        (
            Finding("x" * 500, 1, 2, "r", "m"),
            f"{'x' * 399}…: error[r]: m\n  docs      docs/rules.md#r\n",
        ),
    ],
    ids=["what stands there", "the file as a whole", "a hostile name", "an endless name"],
)
def test_a_block_in_full(finding, block):
    """Only the rows of which something is known; the place on one line."""
    assert findings.text([finding]) == block


@pytest.mark.parametrize(
    ("finding", "command"),
    [
        (
            Finding("a.yaml", 3, 4, "r", "m", "f", "e", "t"),
            "::error file=a.yaml,line=3,col=4,title=r::m%0Afound: f%0Aexpected: e%0Atry: t%0Adocs/rules.md#r\n",
        ),
        (Finding("a.yaml", 0, 4, "r", "m"), "::error file=a.yaml,title=r::m%0Adocs/rules.md#r\n"),
        (
            Finding("a\x1b\n::set.yaml", 1, 1, "r", "m\x1b[2J"),
            "::error file=a\\x1b%0A%3A%3Aset.yaml,line=1,col=1,title=r::m\\x1b[2J%0Adocs/rules.md#r\n",
        ),
    ],
    ids=["all that may be known", "the file as a whole", "a name that would be another command"],
)
def test_an_annotation_in_full(finding, command):
    """One command; the place only where there is one."""
    assert findings.github([finding]) == command


def unescaped(text):
    """What the runner reads back out of a command's data or property."""
    for sign, code in (("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C"), ("%", "%25")):
        text = text.replace(code, sign)
    return text


printable = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")) | st.sampled_from(" %:,\n")
)


@given(printable.filter(bool), printable, printable)
@settings(max_examples=80, deadline=None)
def test_a_runner_reads_back_what_was_meant(path, message, found):
    """Whatever stands in a file: one command a finding, with the path, the rule and the text as they were."""
    written = findings.github([Finding(path, 2, 3, "bad-value", message, found)])
    assert written.count("\n") == 1
    head, _, data = written.removeprefix("::error ").rstrip("\n").partition("::")
    properties = dict(pair.split("=", 1) for pair in head.split(","))
    assert {name: unescaped(value) for name, value in properties.items()} == {
        "file": path,
        "line": "2",
        "col": "3",
        "title": "bad-value",
    }
    rows = [message, *([f"found: {found}"] if found else []), "docs/rules.md#bad-value"]
    assert unescaped(data) == "\n".join(rows)


def test_json_in_full():
    """Every key in its order, with what it blocks."""
    (one,) = findings.as_json([Finding("a.yaml", 3, 4, "r", "m", "f", "e", "t", "production", "wine")])
    assert list(one.items()) == [
        ("path", "a.yaml"),
        ("line", 3),
        ("column", 4),
        ("rule", "r"),
        ("message", "m"),
        ("found", "f"),
        ("expected", "e"),
        ("fix", "t"),
        ("docs", "docs/rules.md#r"),
        ("environment", "production"),
        ("service", "wine"),
    ]


def test_no_finding_is_no_text():
    """In any form."""
    assert (findings.text(()), findings.github(()), findings.as_json(())) == ("", "", [])
