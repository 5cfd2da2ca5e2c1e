"""Every section of a pull request's comment keeps to its share, and says of itself how much it leaves out."""

from __future__ import annotations

import re

import pytest
from mlrelease.model.finding import Finding
from mlrelease.render.comment import CheckedPull, annotation_text, comment_text
from mlrelease.render.report import LONGEST_CELL

GATE = ("production", "wine", "2", "metric", "failed", "rmse 90")


def checked(**more):
    return CheckedPull("fine", "a" * 40, "validate/online", **more)


def test_with_nothing_to_say_it_is_short():
    """No empty heading, no table, no next command, no link."""
    assert (
        comment_text(CheckedPull("nothing to check", "0123456789abcdef", "validate/online"))
        == """\
### validate/online: nothing to check

Commit `0123456789ab`

#### What merging would change

Nothing of what runs.

"""
    )


def test_baselines_stand_only_beside_gates():
    """Without a gate nothing was compared."""
    assert "compared" not in comment_text(checked(baselines=("wine: compared with 1",)))
    assert "- wine: compared with 1\n" in comment_text(checked(gates=(GATE,), baselines=("wine: compared with 1",)))


@pytest.mark.parametrize(
    ("kind", "count"), [("notes", 60), ("baselines", 60), ("notes", 3000)], ids=["notes", "baselines", "thousands of notes"]
)
def test_sentences_that_do_not_fit_are_counted(kind, count):
    """A fleet has more models than a comment has lines: the first stand there, and how many are not shown."""
    sentences = tuple(
        f"model number {number:04} is compared with version 1, which is recorded there" for number in range(count)
    )
    lines = comment_text(checked(gates=(GATE,), **{kind: sentences})).splitlines()
    shown = [line for line in lines if line.startswith("- model number")]
    assert shown == [f"- {sentence}" for sentence in sentences[: len(shown)]]
    assert 20 < len(shown) < count
    assert f"- … and {count - len(shown):,} more: the log has them." in lines


def test_sentences_that_fit_have_no_mark():
    """Thirty-four models of a fleet are all named."""
    sentences = tuple(f"m{number} in production: compared with nothing: a first deploy" for number in range(34))
    text = comment_text(checked(gates=(GATE,), baselines=sentences, notes=sentences))
    assert text.count("compared with nothing") == 68
    assert "more: the log has them" not in text


@pytest.mark.parametrize("sign", ["@", "<", "|", "_", "\x1b", "\n", "://", "ü"], ids=ascii)
def test_whatever_the_signs_all_sections_together_fit(sign):
    """Escaping makes some signs eight times as long: what is written is counted, in every section at once."""
    evil = sign * LONGEST_CELL
    text = comment_text(
        checked(
            findings=tuple(Finding(evil, n, 1, evil, evil, evil, evil, evil) for n in range(300)),
            moves=((evil,) * 6,) * 300,
            gates=((evil,) * 6,) * 300,
            baselines=(evil,) * 300,
            notes=(evil,) * 300,
            next=evil,
        )
    )
    assert len(text) < 65_000
    assert text.count("more: the check's annotations and the log have them.**") == 3
    assert text.count("more: the log has them.") == 2
    assert text.rstrip().splitlines()[-1].startswith("Next: ")


@pytest.mark.parametrize(("length", "shown"), [(240, "x" * 240), (241, "x" * 239 + "…")], ids=["fits", "one too long"])
def test_a_long_text_ends_in_a_mark(length, shown):
    """In a cell, a note and the next command alike."""
    long = "x" * length
    text = comment_text(checked(moves=((long, "", "", "", "", ""),), notes=(long,), next=long))
    assert f"| {shown} |" in text
    assert f"- {shown}\n" in text
    assert text.endswith(f"Next: `{shown}`\n")


def test_the_last_row_that_fits_is_not_followed_by_a_mark():
    """Rows are left out from the first that does not fit on, and none before."""
    rows = [(f"environment-{number:03}", "wine", "update", "a", "b", "c") for number in range(400)]
    sizes = {}
    for count in (10, 100, 400):
        text = comment_text(checked(moves=tuple(rows[:count])))
        numbers = [int(found) for found in re.findall(r"\| environment-(\d+)", text)]
        assert numbers == list(range(len(numbers)))
        left = re.search(r"… and ([\d,]+) more", text)
        assert count == len(numbers) + (int(left[1]) if left else 0)
        sizes[count] = len(numbers)
    assert sizes[10] == 10
    assert sizes[100] == 100
    assert sizes[400] < 400


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("p", 1, 1, "no-gates", "no gates"), "no gates\ndocs: docs/rules.md#no-gates"),
        (
            Finding("p", 1, 1, "pin-digest", "no digest", "zz", "64 hex digits", "mlrelease bump"),
            "no digest\nfound: zz\nexpected: 64 hex digits\ntry: mlrelease bump\ndocs: docs/rules.md#pin-digest",
        ),
        (
            Finding("p", 1, 1, "r", "a\r\nb", "c\nd", "\x9b31m", "\u202ee"),
            "a\\r\\nb\nfound: c\\nd\nexpected: \\x9b31m\ntry: \\u202ee\ndocs: docs/rules.md#r",
        ),
    ],
    ids=["as little as there is", "as much as there is", "a stranger's text"],
)
def test_an_annotation_is_a_line_for_each_thing_known(finding, text):
    """Ours are the line breaks between them; those inside are written out."""
    assert annotation_text(finding) == text
