"""What reports, steps and errors look like, on a terminal and off it, and what becomes of a stream that is gone or full."""

from __future__ import annotations

import json
import os
import re
import sys
import termios

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.output import emit, say, say_error, step_line
from mlrelease.delivery.steps import StepMark
from mlrelease.errors import Error
from mlrelease.render.report import LONGEST_LINE, Report

WHOLE = Report(
    verdict="production: 1 to update",
    data={"b": 1, "a": [2]},
    headers=("service", "reason"),
    rows=[("wine", "new version"), ("credit-risk", "up to date")],
    notes=["a note"],
    details=["a detail"],
    next="mlrelease deploy production",
)

TABLE = """\
production: 1 to update
service      reason
wine         new version
credit-risk  up to date
  a detail
  a note
next: mlrelease deploy production
"""


def printed(report, capsys, *, output="table"):
    """Exit code and text."""
    code = emit(report, output=output)
    return code, capsys.readouterr().out


class Terminal:
    """A pseudo-terminal of a width, with standard output on it."""

    def __init__(self, patch, columns):
        self.ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (50, columns))
        self.stream = os.fdopen(theirs, "w")
        patch.setattr(sys, "stdout", self.stream)
        for name, value in (("TERM", "xterm-256color"), ("COLUMNS", str(columns))):
            patch.setenv(name, value)

    def shown(self):
        """Everything that was written, its line ends as files have them."""
        self.stream.close()
        found = b""
        try:
            while piece := os.read(self.ours, 65536):
                found += piece
        except OSError:  # Linux says so when nobody has the other end any more
            pass
        os.close(self.ours)
        return found.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(monkeypatch):
    return lambda columns: Terminal(monkeypatch, columns)


# -- the forms ---------------------------------------------------------------------------------------------------------


def test_a_report_reads_verdict_table_details_notes_and_what_is_next(capsys):
    """In this order, without a blank at the end of a line."""
    assert printed(WHOLE, capsys) == (0, TABLE)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (Report("done", {}), "done\n"),
        (Report("done", {}, headers=("a", "b")), "done\n"),
        (Report("done", {}, next="more"), "done\nnext: more\n"),
        (Report("done", {}, ("a",), [("",)]), "done\na\n\n"),
    ],
    ids=["a verdict alone", "headers without a row", "no table", "an empty cell"],
)
def test_what_is_not_there_leaves_no_line(report, text, capsys):
    """Nothing is printed for an empty part."""
    assert printed(report, capsys) == (0, text)


def test_json_is_one_sorted_document(capsys):
    """With the keys of every report beside the verb's own; the table's parts are not in it."""
    code, out = printed(Report("v", {"b": 1, "a": [2]}, ("h",), [("r",)], ["n"], "next", 5), capsys, output="json")
    assert code == 5
    assert out == (
        '{\n  "a": [\n    2\n  ],\n  "b": 1,\n  "exit_code": 5,\n  "next": "next",\n  "schema": 1,\n  "verdict": "v"\n}\n'
    )


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 6])
def test_the_exit_code_is_the_reports_in_every_form(code, output, capsys):
    """A program that reads JSON gets the same."""
    assert printed(Report("v", {}, exit_code=code), capsys, output=output)[0] == code


def test_nothing_of_a_report_drives_a_terminal(capsys):
    """Escapes in verdict, header cells, rows, notes, details and the next command are shown, not sent."""
    evil = "a\x1b[31m\x07b"
    _, out = printed(Report(evil, {}, ("h",), [(evil,)], [evil], evil, details=[evil]), capsys)
    assert out.count("a\\x1b[31m\\x07b") == 5
    assert "\x1b" not in out
    assert "\x07" not in out


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=12), min_size=1, max_size=4))
def test_a_row_is_one_line_whatever_is_in_its_cells(cells):
    """Names and answers of others stand there: `[red]` is no markup, and a control character no line."""
    with pytest.MonkeyPatch.context() as patch:
        ours, theirs = os.pipe()
        patch.setattr(sys, "stdout", os.fdopen(theirs, "w", encoding="utf-8"))
        emit(Report("v", {}, tuple("abcd"[: len(cells)]), [cells], next="n"), output="table")
        sys.stdout.close()
        with os.fdopen(ours, encoding="utf-8", newline="\n") as file:
            lines = file.read().split("\n")
    assert (lines[0], lines[3:]) == ("v", ["next: n", ""])
    for cell in cells:
        if cell.isprintable():
            assert cell.strip() in lines[2]


# -- a terminal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "colour"), [(0, 32), (3, 33), (5, 33), (1, 31), (4, 31), (6, 31)], ids=str)
def test_on_a_terminal_the_verdict_has_the_colour_of_its_exit_code(terminal, code, colour):
    """Green is well, yellow waits for somebody, red failed."""
    screen = terminal(80)
    assert emit(Report("verdict", {}, exit_code=code), output="table") == code
    assert screen.shown() == f"\x1b[1;{colour}mverdict\x1b[0m\n"


def test_no_color_is_heeded(terminal, monkeypatch):
    """https://no-color.org: bold may stay, no colour does."""
    monkeypatch.setenv("NO_COLOR", "1")
    screen = terminal(80)
    emit(WHOLE, output="table")
    shown = screen.shown()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert [line.rstrip() for line in plain.splitlines()] == TABLE.splitlines()


def test_a_table_too_wide_for_the_terminal_puts_its_last_columns_below(terminal):
    """No cell is cut: a digest has to be read in full."""
    screen = terminal(23)
    emit(WHOLE, output="table")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.shown())
    assert shown == (
        "production: 1 to update\n"
        "service\n"
        "wine\n"
        "    reason: new version\n"
        "credit-risk\n"
        "    reason: up to date\n"
        "  a detail\n"
        "  a note\n"
        "next: mlrelease deploy production\n"
    )


def test_json_on_a_terminal_has_no_colour(terminal):
    """It is copied from there into files."""
    screen = terminal(40)
    emit(WHOLE, output="json")
    assert json.loads(screen.shown())["verdict"] == WHOLE.verdict


# -- streams that are gone ---------------------------------------------------------------------------------------------


@pytest.fixture
def nobody(monkeypatch):
    """A pipe whose reader has gone, in place of a stream."""

    def take(name):
        ours, theirs = os.pipe()
        os.close(ours)
        stream = os.fdopen(theirs, "w")
        monkeypatch.setattr(sys, name, stream)
        return stream

    return take


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_reader_that_has_gone_is_no_error(nobody, capsys, output):
    """`| head -1`: the exit code is the work's, nothing is complained of, now or when Python closes the stream."""
    stream = nobody("stdout")
    assert emit(Report("v" * 100_000, {}, exit_code=3), output=output) == 3
    stream.write("more")
    stream.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(("code", "ends_with"), [(0, 1), (5, 5)], ids=["a work that went well", "one that says so anyway"])
def test_a_full_disk_under_the_result_is_an_error(monkeypatch, capsys, output, code, ends_with):
    """What was done was done, but nobody got the answer: 0 would be a lie."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert emit(Report("v", {}, exit_code=code), output=output) == ends_with
    assert capsys.readouterr().err == "error: the result cannot be written: No space left on device\n"


def test_the_story_never_raises(nobody):
    """A rollout must not end halfway because nobody reads it any more; the next line does not raise either."""
    stream = nobody("stderr")
    say("first")
    say("second")
    stream.close()


def test_the_story_goes_to_stderr_alone(capsys):
    """Standard output is the result."""
    say("a step")
    assert capsys.readouterr() == ("", "a step\n")


# -- the job's summary -------------------------------------------------------------------------------------------------


@pytest.fixture
def summary(tmp_path, monkeypatch):
    """GitHub's file, in which another step has written before."""
    place = tmp_path / "summary.md"
    place.write_text("# before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    return place


@pytest.mark.parametrize("output", ["table", "json"])
def test_the_summary_is_added_to(summary, output, capsys):
    """In both forms the same Markdown, behind what is there."""
    emit(WHOLE, output=output)
    assert summary.read_text() == (
        "# before\n"
        "### production: 1 to update\n\n"
        "| service | reason |\n| --- | --- |\n| wine | new version |\n| credit-risk | up to date |\n\n"
        "- a detail\n- a note\n\n"
        "Next: `mlrelease deploy production`\n"
    )


@pytest.mark.parametrize("actions", ["", "false", "TRUE"])
def test_elsewhere_there_is_no_summary(summary, monkeypatch, actions, capsys):
    """A variable that somebody exported on a laptop writes nothing."""
    monkeypatch.setenv("GITHUB_ACTIONS", actions)
    emit(WHOLE, output="table")
    assert summary.read_text() == "# before\n"


def test_a_summary_that_cannot_be_written_changes_no_exit_code(summary, capsys):
    """It is said, in one line."""
    summary.unlink()
    summary.mkdir()
    assert emit(Report("v", {}), output="table") == 0
    assert capsys.readouterr().err == "the job summary cannot be written: Is a directory\n"


def test_the_summary_is_written_though_nobody_reads_the_result(summary, nobody):
    """Whoever cut the output short still finds it there."""
    nobody("stdout")
    emit(Report("kept", {}), output="json")
    assert summary.read_text() == "# before\n### kept\n\n"


# -- steps and errors --------------------------------------------------------------------------------------------------


def mark(name, seconds, detail="", *, service="wine", failed=False):
    return StepMark(service, name, seconds, detail, failed)


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (mark("start", 1.234), "  wine: start done in 1.23 s\n"),
        (mark("switch", 0.0, "2 instances"), "  wine: switch done in 0.00 s  2 instances\n"),
        (mark("golden", 12.0, "3 of 4", failed=True), "  wine: golden failed in 12.00 s  3 of 4\n"),
        (mark("lock", 0.1), ""),
        (mark("prepare", 0.1), ""),
        (mark("record", 0.1), ""),
        (mark("start", 1.0, service="wine\x1b[2J"), "  wine\\x1b[2J: start done in 1.00 s\n"),
    ],
    ids=["a step", "with a detail", "one that failed", "the lock", "the preparation", "the record", "a hostile name"],
)
def test_a_step_is_one_line_and_the_bookkeeping_none(step, line, capsys):
    """What a rollout is made of, not how it is kept."""
    step_line(step)
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Error("it broke", hint="mend it"), "error: it broke\n  try  mend it\n"),
        (Error("it broke"), "error: it broke\n"),
        (Error("a\nerror: b", hint="c\n  try  d"), "error: a\\nerror: b\n  try  c\\n  try  d\n"),
        (Error("x" * (LONGEST_LINE + 1)), f"error: {'x' * LONGEST_LINE}…\n"),
    ],
    ids=["with a way out", "without", "line breaks in it", "longer than a screen"],
)
def test_an_error_is_two_lines_at_most(error, text, capsys):
    """Names and answers of others stand in it: none begins a line of its own."""
    say_error(error)
    assert capsys.readouterr() == ("", text)
