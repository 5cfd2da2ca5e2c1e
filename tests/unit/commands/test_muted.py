"""In GitHub Actions nothing that is printed is obeyed by the runner, but for the tool's own annotations."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.commands.output import emit, muted, say
from mlrelease.render.report import Report

COMMANDS = {
    "at the start": "::error::x",
    "behind blanks": "   ::set-output name=a::b",
    "behind a tab": "\t::add-mask::x",
    "on a later line": "one\n::stop-commands::t",
    "of the older form": "see ##[error]x",
    "of the older form, twice": "##[debug]##[group]x",
}


def obeyed(text):
    """Whether the runner would act on any line (actions/runner, ActionCommand.cs: trimmed start, or `##[` anywhere)."""
    return any(line.lstrip().startswith("::") or re.search(r"##\[[^]]*\]", line) for line in text.splitlines())


@pytest.fixture
def actions(monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")


@pytest.mark.parametrize("text", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_none_any_more(actions, text):
    """And reads the same: only a zero-width space has come."""
    assert obeyed(text)
    assert not obeyed(muted(text))
    assert muted(text).replace("\u200b", "") == text


@pytest.mark.parametrize("text", COMMANDS.values(), ids=COMMANDS)
def test_elsewhere_a_text_is_as_it_is(text):
    """On a laptop nobody obeys it."""
    assert muted(text) == text


@given(st.text(alphabet="a:#[] \n\t", max_size=40))
def test_no_text_is_obeyed(text):
    """Whatever comes out of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_ACTIONS", "true")
        assert not obeyed(muted(text))


def test_a_scope_operator_in_a_line_stays(actions):
    """Only at the start does it mean anything."""
    assert muted("std::vector is no command") == "std::vector is no command"


def test_a_report_is_muted_throughout(actions, capsys):
    """Verdict, cells, details, notes and the next command, in a table."""
    evil = "::error::x ##[error]y"
    report = Report(evil, {"k": evil}, ("a", "b"), [(evil, evil)], [evil], evil, details=[evil])
    emit(report, output="table")
    say(evil)
    out, err = capsys.readouterr()
    assert out.count("error") >= 12
    assert not obeyed(out)
    assert not obeyed(err)


def test_json_is_muted_and_means_the_same(actions, capsys):
    """The sign is written as an escape within its string."""
    report = Report("##[error]x", {"k": "##[group]"})
    emit(report, output="json")
    out = capsys.readouterr().out
    assert not obeyed(out)
    assert json.loads(out)["k"] == "##[group]"
