"""What the lines of a load add up to, and how it is shown: nothing is counted twice, and what is pasted is what was run."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.demo.load import OVERLAP_S, Answered, Asked, _line, main, read_requests, summarize
from mlrelease.demo.proof import Proved, objections
from mlrelease.demo.tell import INDENT, Teller, ending, folded, table, tame, typed

answers = st.lists(
    st.builds(
        lambda start, seconds, status, version, name: Answered(
            start, start, start + seconds, status, version=version, name=name, request_id=f"{start:g}"
        ),
        st.integers(0, 20).map(float),
        st.sampled_from([0.01, 0.5, 3.0]),
        st.sampled_from([200, 200, 200, 204, 503, 0]),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=12,
)


def summed(given_answers):
    return summarize([_line(one) for one in given_answers])


@given(answers)
@settings(max_examples=60, deadline=None)
def test_every_answer_is_in_exactly_one_span(given_answers):
    """Of all, and of each name; failures are in none."""
    for summary in (summed(given_answers), summed(given_answers).of("a"), summed(given_answers).of("b")):
        assert sum(span.answers for span in summary.spans) == summary.sent - summary.failed
        assert len(summary.failures) == summary.failed
        assert all(span.first < span.last for span in summary.spans)
        assert [span.first for span in summary.spans] == sorted(span.first for span in summary.spans)
    parts = [summed(given_answers).of(name) for name in ("a", "b")]
    assert sum(part.sent for part in parts) == len(given_answers)


@given(answers, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_lines_is_nothing(given_answers, random):
    """Threads write when they are done: the sums are by the start of each request."""
    distinct = [replace(one, start=one.start + n / 100) for n, one in enumerate(given_answers)]
    turned = list(distinct)
    random.shuffle(turned)
    assert summed(turned) == summed(distinct)


@given(answers)
@settings(max_examples=40, deadline=None)
def test_a_line_is_read_back_as_it_was_written(given_answers):
    """To the microsecond, with every field."""
    assert sorted(map(repr, summed(given_answers).answers)) == sorted(map(repr, given_answers))
    assert all(set(json.loads(_line(one))) == set(asdict(one)) for one in given_answers)


@pytest.mark.parametrize(
    ("pause", "stays"), [(OVERLAP_S, 1), (OVERLAP_S + 0.01, 2)], ids=["as long as an overlap", "a little longer"]
)
def test_when_a_version_that_answers_again_has_come_back(pause, stays):
    """Counted from the end of its last answer to the beginning of the next, another having answered since."""
    lines = [Answered(1, 1.0, 1.5, 200, version="1"), Answered(1, 1.2, 1.3, 200, version="2")]
    again = Answered(1, 1.5 + pause, 9.0, 200, version="1")
    assert [span.version for span in summed([*lines, again]).spans].count("1") == stays


@pytest.mark.parametrize(
    ("since", "until", "counted"),
    [(1.0, 2.0, 1), (1.01, 2.0, 0), (1.0, 1.99, 0), (0.0, float("inf"), 1)],
    ids=["just inside", "sent before", "over after", "any time"],
)
def test_a_request_belongs_to_a_time_that_holds_all_of_it(since, until, counted):
    """Both ends are inside."""
    assert sum(summed([Answered(1, 1.0, 2.0, 200, version="1")]).versions(since, until).values()) == counted


def test_objections_in_full():
    """Failures first, then what answered that should not have, then silence; in the order of the passes."""
    seen = summed(
        [
            Answered(1, 1.0, 1.1, 503, "status 503", request_id="r1"),
            Answered(2, 2.0, 2.1, 200, version=""),
            Answered(2, 2.2, 2.3, 200, version="3"),
            Answered(2, 2.4, 2.5, 200, version="3"),
        ]
    )
    assert objections(seen, [Proved("1", "r", "update", 2.0, 5.0), Proved("2", "r", "update", 6.0, float("inf"))]) == [
        "request r1 failed: status 503",
        "version (unnamed) gave 1 answers while 1 was proved to serve",
        "version 3 gave 2 answers while 1 was proved to serve",
        "nobody was answered while version 1 was proved to serve: nothing is shown by that",
        "nobody was answered while version 2 was proved to serve: nothing is shown by that",
    ]
    assert objections(seen, [])[1:] == []


def test_requests_are_read_back_as_they_were_written(tmp_path):
    """Name, address and body, in their order; what else stands there is passed over."""
    path = tmp_path / "requests.json"
    first = {"name": 1, "url": "http://h:1/a", "payload": {"ü": [1]}, "more": 2}
    path.write_text(json.dumps([first, {"name": "b", "url": "http://h/b", "payload": None}]))
    assert read_requests(path) == (Asked("1", "http://h:1/a", b'{"\\u00fc": [1]}'), Asked("b", "http://h/b", b"null"))
    assert [asked.server for asked in read_requests(path)] == ["h:1", "h"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "at least one request, each to a url that begins with http://"),
        ("3", "not a list of requests with name, url and payload"),
    ],
    ids=["nothing to ask", "no list"],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, capsys, content, said):
    """With the file, and exit code 1; nothing is written."""
    path = tmp_path / "requests.json"
    path.write_text(content)
    assert main(["--requests", str(path), "--out", str(tmp_path / "out"), "--seconds", "0.01"]) == 1
    assert capsys.readouterr().err == f"load: {path}: {said}\n"
    assert not (tmp_path / "out").exists()


# -- how it is shown ---------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)


@given(
    st.lists(words | st.sampled_from(["--to", "--reason", "-m", "two words", "$HOME", "a'b"]), min_size=1, max_size=12),
    st.integers(20, 90),
)
@settings(max_examples=80, deadline=None)
def test_what_is_shown_can_be_pasted(argv, width):
    """A shell reads back just the words that were run, however the line was broken."""
    lines = list(typed("laptop", argv, width))
    assert lines[0].startswith("laptop$")
    assert all(line.endswith(" \\") for line in lines[:-1])
    pasted = "\n".join(lines).removeprefix("laptop$").replace(" \\\n", " ")
    assert shlex.split(pasted) == argv


@given(st.text(max_size=60), st.booleans())
@settings(max_examples=80, deadline=None)
def test_no_output_moves_the_cursor(line, styled):
    """Whatever a command writes: what is left are printable signs, and bold or colours where they are shown."""
    found = tame(line, styled=styled)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", found) if styled else found
    assert bare.replace("\n", "").isprintable()
    assert tame(found, styled=styled) == found


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31mred\x1b[0m \x1b[2Kgone", "\x1b[31mred\x1b[0m gone"),
        ("\x1b[1;31mboth\x1b[m", "\x1b[1;31mboth\x1b[m"),
        ("a\rb\x1b[0m", "b\x1b[0m"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1bMup", "up"),
        ("  done \t ", "  done \\t"),
    ],
    ids=["clearing between colours", "two styles at once", "a line written over", "a link", "a move", "blanks at its end"],
)
def test_styles_stay_and_moves_go(line, shown):
    """On a terminal that shows them."""
    assert tame(line, styled=True) == shown


def test_a_folded_line_in_full():
    """Beneath itself by two more blanks; a hyphen is no place to break at."""
    assert folded("  try  mlrelease unhold production --reason over-and-done", 30) == [
        "  try  mlrelease unhold",
        "    production --reason",
        "    over-and-done",
    ]


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([("name", "n", "")], ["name  n"]),
        ([("name", "n"), ("wine", "12"), ("a", "7")], ["name   n", "wine  12", "a      7"]),
        ([("name", "n"), ("wine", "–"), ("a", "7")], ["name  n", "wine  –", "a     7"]),
    ],
    ids=["headings alone", "numbers are flush right", "a column with a word is not"],
)
def test_a_table_in_full(rows, lines):
    """As wide as its cells, indented."""
    assert table(rows) == [f"{INDENT}{line}" for line in lines]


def test_nothing_asked_is_said():
    """Without a bound: of nothing there is none."""
    assert ending(summarize(()), {}) == [
        "0 requests in 0.0 s, 0 failed",
        "",
        "    asked  version  answered from  until  requests",
    ]


def test_commands_are_bold_on_a_terminal_alone(capsys):
    """Every line of a broken one."""
    for styled in (True, False):
        Teller(30, styled=styled).command("host", ["git", "log", "--oneline", "--all", "HEAD"])
    shown = capsys.readouterr().out.splitlines()
    plain = shown[len(shown) // 2 :]
    assert shown[: len(shown) // 2] == [f"\x1b[1m{line}\x1b[0m" for line in plain]
    assert plain == ["host$ git log --oneline \\", "       --all HEAD"]


def test_an_empty_line_of_output_has_no_trailing_blanks(capsys):
    """Logs and golden files stay clean."""
    Teller(40, styled=False).output("\r\n")
    assert capsys.readouterr().out == "\n"
    assert Teller(40, styled=False).room == 36
