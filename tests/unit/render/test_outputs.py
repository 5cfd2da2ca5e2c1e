"""What a report hands on to the later steps of a job: written for GitHub, one line each, and nowhere else."""

from __future__ import annotations

import pytest
from mlrelease.commands.output import emit
from mlrelease.render.report import Report


def handed_on(tmp_path, monkeypatch, report, *, actions="true", output="table"):
    """The text of the file that GitHub reads, None when it was not made."""
    place = tmp_path / "out"
    monkeypatch.setenv("GITHUB_ACTIONS", actions)
    monkeypatch.setenv("GITHUB_OUTPUT", str(place))
    emit(report, output=output)
    return place.read_text() if place.exists() else None


@pytest.mark.parametrize("output", ["table", "json"])
def test_each_output_is_one_line(tmp_path, monkeypatch, output, capsys):
    """Whichever form the report itself is printed in."""
    report = Report("v", {}, outputs={"approval": "required", "changes": "2"})
    assert handed_on(tmp_path, monkeypatch, report, output=output) == "approval=required\nchanges=2\n"


def test_a_line_break_makes_no_second_output(tmp_path, monkeypatch, capsys):
    """A value from outside cannot set another one's name."""
    report = Report("v", {}, outputs={"approval": "none\napproval=required\r\x1b[31m"})
    text = handed_on(tmp_path, monkeypatch, report)
    assert text.count("\n") == 1
    assert text.startswith("approval=none\\napproval=required\\r\\x1b")


@pytest.mark.parametrize(
    ("report", "actions"),
    [(Report("v", {}), "true"), (Report("v", {}, outputs={"a": "b"}), ""), (Report("v", {}, outputs={"a": "b"}), "false")],
    ids=["a report without any", "on a laptop", "where Actions are said to be off"],
)
def test_otherwise_nothing_is_written(tmp_path, monkeypatch, report, actions, capsys):
    """No file appears."""
    assert handed_on(tmp_path, monkeypatch, report, actions=actions) is None


def test_a_file_that_cannot_be_written_is_said_and_changes_nothing(tmp_path, monkeypatch, capsys):
    """What was done was done; the step that asks finds it missing."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "gone" / "out"))
    assert emit(Report("v", {}, outputs={"a": "b"}), output="table") == 0
    assert "the job's outputs cannot be written" in capsys.readouterr().err


def test_outputs_are_no_part_of_the_json(capsys):
    """They repeat what stands there already."""
    assert set(Report("v", {"x": 1}, outputs={"a": "b"}).to_json()) == {"schema", "verdict", "exit_code", "next", "x"}


@pytest.mark.parametrize(
    ("blocked_by", "word"),
    [("", "none"), ("approval", "required"), ("soak", "none"), ("gate:metric", "none"), ("rejected", "none")],
    ids=["nothing in the way", "an approval is missing", "a soak", "a gate", "a rejection"],
)
def test_a_plan_says_whether_an_approval_is_what_is_missing(blocked_by, word):
    """Only then a reviewer is asked: nobody can approve a gate away."""
    from mlrelease.model.change import Change, ChangeKind, Health, Plan, Sync
    from mlrelease.render.plan import plan_report
    from support.core import bundle

    change = Change("risk", ChangeKind.UPDATE, "x", None, bundle(), blocked=blocked_by, blocked_by=blocked_by)
    plan = Plan("production", "abc", 0, (change,), {"risk": Sync.OUT_OF_SYNC}, {"risk": Health.MISSING})
    report = plan_report(plan, next_command="")
    assert report.outputs == {"approval": word, "changes": "0" if blocked_by else "1"}


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        ({"pull_request": {"number": 7, "commit": "ab"}}, "[7]"),
        ({"models": [{"pull_request": {"number": n, "commit": "ab"}} for n in (9, 7)]}, "[7, 9]"),
        ({"pins": ({"pull_request": {"number": 7, "commit": "ab"}},) * 2}, "[7]"),
        ({"models": [{"pull_request": {"number": 7, "commit": ""}}]}, None),
        ({"models": [{"pull_request": {"number": 0, "commit": "ab"}}]}, None),
        ({"models": [{}], "pull_request": "7"}, None),
        ({}, None),
    ],
    ids=[
        "one",
        "one for each model",
        "one for two pins",
        "a person closed it, and nothing is proposed",
        "none was opened",
        "a word that is no pull request",
        "nothing",
    ],
)
def test_a_report_that_proposed_hands_on_the_numbers(data, numbers):
    """For the checks of pull requests whose token starts no workflow."""
    from mlrelease.render.report import handed_on

    assert handed_on(Report("v", data)).get("pull_requests") == numbers


def test_a_table_without_rows_is_no_table_in_the_summary():
    """Only headings would stand there."""
    from mlrelease.render.report import markdown

    assert "|" not in markdown(Report("1 finding", {}, headers=("model", "gate")))
    assert markdown(Report("v", {}, headers=("model",), rows=[("wine",)])).count("|") == 6
