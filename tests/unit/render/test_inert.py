"""Text from outside in Markdown: shown as it is, and doing nothing."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.render.report import Report, cell, code, markdown

ZERO_WIDTH = "\u200b"


def shown(text: str) -> str:
    """What a reader sees of Markdown that holds no formatting: entities read, zero-width spaces not seen."""
    return html.unescape(text).replace(ZERO_WIDTH, "")


HOSTILE = {
    "a mention": "@acme/admins please",
    "a mention as an entity": "&#64;acme and &commat;acme",
    "an issue": "fixes #12, GH-12 and acme/models#7",
    "an address": "see https://evil.example/x and www.evil.example",
    "a link": "[click](https://evil.example)",
    "an image": "![x](https://evil.example/pixel.png)",
    "HTML": "<img src=x onerror=alert(1)><!-- mlrelease:bump:production:wine -->",
    "the end of a comment": "--> <b>",
    "a table": "a | b |\n| --- |",
    "a fence": "``` `x` ~~~",
    "emphasis": "**bold** __bold__ _it_ ~~gone~~",
    "a backslash": "\\@acme \\<b>",
    "ANSI": "\x1b[31mred\x1b[0m \x07",
    "a workflow command": "::set-output name=x::y\n##[error]z",
    "a bidirectional override": "abc\u202edcb",
    "a line break": "one\ntwo\r\nthree",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_cell_holds_nothing_that_acts(text):
    """No raw sign that Markdown, HTML or GitHub's own filters act on, before or after entities are read."""
    found = cell(text)
    read = html.unescape(found)
    assert not re.search(r"[<>|`\[\]\\*~\n\r\x1b\u202e]", found)
    assert not re.search(r"@\w", read)
    assert not re.search(r"#\d", read)
    assert not re.search(r"(?i)https?://|\bwww\.|\bgh-\d", read)
    assert not re.search(r"(?<![A-Za-z0-9])_\w|\w_(?![A-Za-z0-9])", found)


@pytest.mark.parametrize("text", ["credit_risk 8", "a & b", "0.85 ≥ 0.80", "wine 1 → 2", "x: 5%", "a-b.c/d"])
def test_plain_text_is_shown_as_it_is(text):
    """What people call things stays readable."""
    assert shown(cell(text)) == text


@given(st.text(max_size=60))
def test_any_text_is_one_inert_line_that_shows_it(text):
    """Whatever it is: one line, no raw sign, and what is read is what stood there (control characters written out)."""
    from mlrelease.render.report import inert

    found = cell(text)
    assert "\n" not in found
    assert not set(found) & set("<>|`[]\\*~")
    assert shown(found) == inert(text).replace("\n", " ").replace(ZERO_WIDTH, "")


@given(st.text(alphabet="a` |<@\n", max_size=30))
def test_a_code_span_ends_where_it_should(text):
    """The fence is longer than any in the text: CommonMark reads back just the text."""
    found = code(text)
    fence = re.match("`+", found)[0]
    inner = found[len(fence) : -len(fence)]
    assert found.endswith(fence)
    assert fence not in re.findall("`+", inner)
    assert inner.strip(" ") == text.replace("\n", " ").strip(" ")


def test_a_report_as_markdown_is_inert_throughout():
    """Verdict, cells, notes; the next command as code, unchanged."""
    report = Report(
        verdict="@a <b>",
        data={},
        headers=("x|y",),
        rows=[("`z`",)],
        notes=["[n](u)"],
        next='mlrelease unhold production --reason "…" && git push',
    )
    text = markdown(report)
    assert text == (
        "### @&#8203;a &#60;b&#62;\n\n| x&#124;y |\n| --- |\n| &#96;z&#96; |\n\n- &#91;n&#93;(u)\n\n"
        'Next: `mlrelease unhold production --reason "…" && git push`\n'
    )
