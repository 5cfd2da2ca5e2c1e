"""Reports as text: one line for what is one line, a summary for a job, tables at any width, and a workflow's branch."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.render.narrow import narrow_table, natural_width
from mlrelease.render.report import LONGEST_LINE, Report, cell, code, handed_on, inert, markdown, one_line, table
from mlrelease.render.workflow import quoted

# -- lines -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain → ü", "plain → ü"),
        ("two\nlines", "two\nlines"),
        ("a\rb\tc", "a\\rb\\tc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edcb\u200b", "abc\\u202edcb\\u200b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u2028", "\\u2028"),
        ("a\u00a0b", "a\\xa0b"),
        ("", ""),
    ],
    ids=[
        "plain",
        "a line break stays",
        "other breaks",
        "an escape",
        "an escape of one byte",
        "what turns or hides text",
        "half a character",
        "a tag",
        "a line separator",
        "a blank that is none",
        "nothing",
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text, shown):
    """Everything that has no shape, but for line breaks of ours."""
    assert inert(text) == shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x" * LONGEST_LINE, "x" * LONGEST_LINE),
        ("x" * (LONGEST_LINE + 1), "x" * LONGEST_LINE + "…"),
        ("a\nb", "a\\nb"),
        ("a\r\nb\x1b", "a\\r\\nb\\x1b"),
        ("\n" * 2000, "\\n" * LONGEST_LINE + "…"),
    ],
    ids=["as long as it may be", "one more", "a break", "breaks and an escape", "nothing but breaks"],
)
def test_an_error_is_one_line(text, line):
    """Cut by what came in, so that no escape is cut in two."""
    assert one_line(text) == line


# -- the summary of a job ----------------------------------------------------------------------------------------------


def test_a_summary_in_full():
    """Verdict, table, details, notes, the next command; each inert, each on its line."""
    report = Report(
        "production: 1 to update",
        {},
        headers=("service", "reason"),
        rows=[("risk", "a|b"), ("wine_2", "")],
        details=["risk: 7 → 8"],
        notes=["a\nnote"],
        next="mlrelease deploy production",
    )
    assert (
        markdown(report)
        == """\
### production: 1 to update

| service | reason |
| --- | --- |
| risk | a&#124;b |
| wine_2 |  |

- risk: 7 → 8
- a note

Next: `mlrelease deploy production`
"""
    )


def test_a_summary_of_a_verdict_alone():
    """No table, no list, no command."""
    assert markdown(Report("fine", {})) == "### fine\n\n"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("", "``"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        ("a``b`c", "```a``b`c```"),
        (" a ", "`  a  `"),
        ("a\nb\x1b", "`a b\\x1b`"),
    ],
    ids=["plain", "nothing", "a tick inside", "ticks at the ends", "runs of ticks", "blanks", "a break and an escape"],
)
def test_a_code_span_in_full(text, span):
    """The fence is one tick longer than any inside; ticks and blanks at the ends are kept by a blank."""
    assert code(text) == span


cells = st.text(alphabet="a|\\\n`<@_# ", max_size=8)


@given(st.lists(cells, min_size=1, max_size=4), st.data())
@settings(max_examples=50, deadline=None)
def test_a_table_has_as_many_columns_in_every_line(headers, data):
    """Nothing in a cell makes another cell, or another line."""
    rows = data.draw(st.lists(st.lists(cells, min_size=len(headers), max_size=len(headers)), max_size=3))
    lines = table(headers, rows)
    assert len(lines) == 2 + len(rows)
    assert {len(re.findall(r"\|", line)) for line in lines} == {len(headers) + 1}
    assert not any("\n" in line for line in lines)


@given(st.text(alphabet="ab_ ", max_size=12))
@settings(max_examples=50, deadline=None)
def test_no_underscore_begins_or_ends_emphasis(text):
    """Those inside of a word stay, so that `credit_risk` can be searched for."""
    found = cell(text)
    assert not re.search(r"(^|[^A-Za-z0-9])_|_([^A-Za-z0-9]|$)", found)
    assert found.replace("&#95;", "_") == text
    assert cell("credit_risk") == "credit_risk"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://x", "https:&#8203;//x"),
        ("ftp://x", "ftp:&#8203;//x"),
        ("WWW.x", "WWW&#8203;.x"),
        ("awww.x", "awww.x"),
        ("gh-7 GH-x", "gh-&#8203;7 GH-x"),
        ("a:b", "a:b"),
        ("a@b #1 &amp;", "a@&#8203;b #&#8203;1 &amp;amp;"),
    ],
    ids=["an address", "another scheme", "no scheme", "the end of a word", "an issue", "a colon", "people and entities"],
)
def test_what_github_would_link_is_broken_by_a_sign_that_nobody_sees(text, shown):
    """And nothing else."""
    assert cell(text) == shown


# -- JSON and what is handed on ----------------------------------------------------------------------------------------


def test_the_report_as_json_has_its_own_four_keys():
    """Beside those of the verb; a verb's key of the same name would win, so none has one."""
    report = Report("fine", {"environment": "production"}, next="mlrelease status", exit_code=3)
    assert report.to_json() == {
        "schema": 1,
        "verdict": "fine",
        "exit_code": 3,
        "next": "mlrelease status",
        "environment": "production",
    }


def test_outputs_and_pull_requests_are_handed_on_together():
    """Numbers sorted as numbers, each once, however deep they lie."""
    pulls = [{"pull_request": {"number": number, "commit": "ab"}} for number in (10, 9, 9)]
    report = Report("v", {"a": {"b": pulls}, "pull_request": {"number": "2", "commit": "cd"}}, outputs={"changes": "1"})
    assert handed_on(report) == {"changes": "1", "pull_requests": "[2, 9, 10]"}
    assert handed_on(Report("v", {"pull_request": {"number": 7, "commit": None}}, outputs={"a": "b"})) == {"a": "b"}


# -- narrow terminals --------------------------------------------------------------------------------------------------

HEADERS = ("service", "change", "reason")
ROWS = (("risk", "update", "git moved forward"), ("churn", "noop", ""))


BELOW = "service\nrisk\n    change:\n    update;\n    reason:\n    git{}moved\n    forward\nchurn\n    change:\n    noop"


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (34, "service  change  reason\nrisk     update  git moved forward\nchurn    noop"),
        (33, "service  change\nrisk     update\n    reason: git moved forward\nchurn    noop"),
        (15, "service  change\nrisk     update\n    reason: git\n    moved\n    forward\nchurn    noop"),
        (14, BELOW.format(" ")),
        (1, BELOW.format("\n    ")),
    ],
    ids=["it fits", "a column less", "two columns and no more", "a column beside nothing", "no terminal is so narrow"],
)
def test_a_table_at_every_width(width, lines):
    """The last columns go below first; words are never cut."""
    assert "\n".join(narrow_table(HEADERS, ROWS, width)) == lines


def test_the_natural_width_is_that_of_the_widest_cells():
    """With two blanks between columns; a table without rows is as wide as its headings."""
    assert natural_width(HEADERS, ROWS) == 7 + 2 + 6 + 2 + 17
    assert natural_width(HEADERS, ()) == 7 + 2 + 6 + 2 + 6
    assert natural_width(("a",), ()) == 1
    assert narrow_table(("a", "b"), (), 1) == ["a"]


words = st.text(alphabet="ab-", min_size=1, max_size=6)


@given(st.lists(st.tuples(words, words, words), max_size=4), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_no_line_is_wider_than_it_must_be(rows, width):
    """Wider than the terminal is only what is one word, or the first column."""
    headers = ("aa", "bb", "cc")
    first = max(len(row[0]) for row in (headers, *rows))
    for line in narrow_table(headers, rows, width):
        longest = max(map(len, line.split()), default=0)
        assert len(line) <= max(width, first, 4 + longest)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_at_its_natural_width_nothing_goes_below(rows):
    """And at one column less something does."""
    headers = ("aa", "bb", "cc")
    width = natural_width(headers, rows)
    assert len(narrow_table(headers, rows, width)) == 1 + len(rows)
    assert max(len(line) for line in narrow_table(headers, rows, width)) == width
    assert len(narrow_table(headers, rows, width - 1)) > 1 + len(rows)


# -- a branch in YAML --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("branch", "written"),
    [
        ("main", "main"),
        ("release-2_x", "release-2_x"),
        ("release/2.x", '"release/2.x"'),
        ("Yes", '"Yes"'),
        ("n", '"n"'),
        ("2x", '"2x"'),
        ("-x", '"-x"'),
        ("größe", '"größe"'),
        ("🚀", '"🚀"'),
        ("a\u2028b", '"a\\u2028b"'),
        ("\U000e0041", '"\\U000e0041"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("---", '"---"'),
        ("", '""'),
    ],
    ids=ascii,
)
def test_a_branch_is_plain_only_beyond_doubt(branch, written):
    """Else it is quoted, and read back as it was."""
    assert quoted(branch) == written
    assert yaml.safe_load(quoted(branch)) == branch


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=12))
@settings(max_examples=80, deadline=None)
def test_any_branch_is_read_back_as_itself(branch):
    """Whatever letters git takes, inside of a list as in the workflow."""
    assert yaml.safe_load(f"branches: [{quoted(branch)}]") == {"branches": [branch]}
