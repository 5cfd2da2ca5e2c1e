"""How the story looks."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from mlrelease.demo.load import Answered, summarize
from mlrelease.demo.tell import INDENT, LONGEST, Teller, ending, tame, typed


def test_a_short_command_is_one_line():
    """A command that fits is printed as it is typed, behind its folder."""
    assert list(typed("laptop", ["mlrelease", "bump", "production", "wine", "--to", "2"], 80)) == [
        "laptop$ mlrelease bump production wine --to 2"
    ]


def test_a_long_command_is_broken_so_that_it_can_be_pasted():
    """Lines end with a backslash, keep within the width, and leave an option beside its value."""
    argv = ["mlrelease", "init", "laptop", "--remote", "../origin.git", "--listen", "127.0.0.1:8080", "--state-dir", "/tmp/a"]
    lines = list(typed("demo", argv, 51))
    assert lines == [
        "demo$ mlrelease init laptop \\",
        "       --remote ../origin.git \\",
        "       --listen 127.0.0.1:8080 --state-dir /tmp/a",
    ]
    assert all(len(line) <= 51 for line in lines)


def test_words_are_quoted_as_a_shell_needs_it():
    """What is printed means what was run."""
    assert list(typed("laptop", ["git", "commit", "-m", "two words; rm"], 80)) == ["laptop$ git commit -m 'two words; rm'"]


@pytest.mark.parametrize(
    ("line", "styled", "shown"),
    [
        ("plain\r\n", False, "plain"),
        ("  indented  ", False, "  indented"),
        ("10 %\r50 %\rdone", False, "done"),
        ("\x1b[1mbold\x1b[0m", False, "bold"),
        ("\x1b[1mbold\x1b[0m", True, "\x1b[1mbold\x1b[0m"),
        ("\x1b[2J\x1b[Hgone", True, "gone"),
        ("\x1b]0;title\x07text", True, "text"),
        ("bell\x07", True, "bell\\x07"),
        ("→ ü", False, "→ ü"),
    ],
    ids=["line end", "indent", "progress", "bold off", "bold on", "clearing", "window title", "bell", "not ASCII"],
)
def test_output_is_tamed(line, styled, shown):
    """Nothing that a command writes moves the cursor or clears the screen; bold stays where a terminal shows it."""
    assert tame(line, styled=styled) == shown


def test_narration_keeps_within_the_width(capsys):
    """Paragraphs are wrapped, with a blank line before them; output is indented."""
    teller = Teller(40, styled=False)
    teller.say("A sentence that is longer than forty columns are wide.")
    teller.command("host", ["git", "push"])
    teller.output("done")
    assert capsys.readouterr().out.splitlines() == [
        "",
        "A sentence that is longer than forty",
        "columns are wide.",
        "host$ git push",
        "    done",
    ]


def test_the_ending_says_who_answered_when():
    """Sent, failed with the bound, and a row for each stay of a version."""
    given = ((100.0, "1", "wine"), (105.0, "1", "wine"), (106.0, "4", "port"), (107.5, "2", "wine"))
    answers = [Answered(s, s, s + 0.01, 200, version=v, name=n) for s, v, n in given]
    summary = summarize(json.dumps(asdict(a)) + "\n" for a in answers)
    assert ending(summary, {("wine", "2"): "better", ("port", "2"): "another's"}) == [
        "4 requests in 7.5 s, 0 failed (so with 95 % confidence fewer than 75 % do)",
        "",
        "    asked  version  answered from   until  requests",
        "    wine         1         0.00 s  5.01 s         2",
        "    wine         2         7.50 s  7.51 s         1  better",
        "    port         4         6.00 s  6.01 s         1",
    ]


def test_the_ending_names_no_bound_after_a_failure():
    """With a failure the rule of three does not hold."""
    summary = summarize([json.dumps(asdict(Answered(1.0, 1.0, 1.5, 0, "refused"))) + "\n"])
    assert ending(summary, {})[0] == "1 requests in 0.5 s, 1 failed"


LONG = "    error: " + " ".join(f"word{i:02}" for i in range(40))


@pytest.mark.parametrize(
    ("line", "lines"),
    [("short", 1), ("x" * LONGEST, 1), (LONG, 4), ("y" * 400, 5)],
    ids=["a short line", "as long as a line may be", "a long one", "one without a blank"],
)
def test_a_long_line_is_folded_and_nothing_is_left_out(line, lines, capsys):
    """What a command wrote stands there in full, beneath itself."""
    Teller(100, styled=False).output(line)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == lines
    assert "".join("".join(shown).split()) == "".join(line.split())
    assert all(len(part) <= max(100, LONGEST + len(INDENT)) for part in shown)
