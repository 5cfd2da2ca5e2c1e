"""What `deploy` and `reconcile` say of their passes: one environment, several, one by an agent; and the next command."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.deploy import guarded_pass, merged, pass_report, report_from_json, report_to_json
from mlrelease.commands.workspace import FindingsError
from mlrelease.delivery.passes import PassResult
from mlrelease.delivery.source import Tracked
from mlrelease.errors import Error, UsageError
from mlrelease.model.change import Outcome, Plan
from mlrelease.model.event import Step
from mlrelease.render.report import Report
from support.core import Story, absent, bundle, environment, live, receipt, service

SITE = SimpleNamespace(environment=SimpleNamespace(name="production"), branch=Tracked("origin", "main"))


def result(plan: Plan, story: Story, *, online: bool = True, spooled: int = 0, **outcomes: Outcome) -> PassResult:
    """A pass in which these services came out so, with one step of a second and a quarter each."""
    receipts = {
        change.service: replace(
            receipt(change, outcomes[change.service], f"{change.service} ended so"), steps=(Step("start", 1.25),)
        )
        for change in plan.changes
        if change.service in outcomes
    }
    return PassResult(plan, story.history, online, receipts, spooled=spooled)


def three() -> Plan:
    return Story().plan(environment(service("a"), service("b"), service("c")))


@pytest.mark.parametrize(
    ("outcomes", "command", "code"),
    [
        ({}, "mlrelease status production", 0),
        ({"a": Outcome.SUCCEEDED, "b": Outcome.SUCCEEDED}, "mlrelease status production", 0),
        ({"b": Outcome.ROLLED_BACK}, "mlrelease rollback production --service b --last-good", 6),
        ({"a": Outcome.SUCCEEDED, "c": Outcome.FAILED}, "mlrelease logs production c", 1),
        ({"a": Outcome.ERRORED}, "mlrelease deploy production", 1),
        ({"c": Outcome.ABORTED}, "mlrelease deploy production", 130),
        ({"b": Outcome.BLOCKED}, "mlrelease status production", 5),
        ({"b": Outcome.ROLLED_BACK, "c": Outcome.FAILED}, "mlrelease rollback production --service b --last-good", 1),
    ],
    ids=[
        "nothing was done",
        "all succeeded",
        "one was rolled back: its pins are made true again",
        "one failed: its logs say why",
        "one errored: another try",
        "one was interrupted: another try",
        "a gate blocked one in the pass",
        "two went wrong: the first by name, and the worse code",
    ],
)
def test_the_next_command_fits_how_it_ended(outcomes, command, code):
    """Read off the receipts, service by service in the order of their names."""
    plan = three()
    report = pass_report(SITE, result(plan, Story(), **outcomes))
    assert (report.next, report.exit_code) == (command, code)


@pytest.mark.parametrize(
    ("prepare", "files", "command", "code"),
    [
        (lambda s: s.hold("risk"), environment(service()), "mlrelease history production --service risk", 5),
        (
            lambda s: None,
            environment(service(), approval_required=True),
            "mlrelease approve production --service risk",
            5,
        ),
        (lambda s: None, environment(invalid=["risk"]), "mlrelease validate --offline", 4),
    ],
    ids=["a hold", "a missing approval", "findings"],
)
def test_what_was_blocked_before_the_pass_sends_to_what_helps(prepare, files, command, code):
    """Nothing was done, so the first blocked Change decides."""
    story = Story()
    prepare(story)
    report = pass_report(SITE, result(story.plan(files), story))
    assert (report.next, report.exit_code) == (command, code)


def test_a_receipt_that_went_wrong_is_said_before_what_is_blocked():
    """The service that was tried needs somebody more than the one that waits."""
    story = Story()
    story.hold("a")
    plan = story.plan(environment(service("a"), service("b")))
    report = pass_report(SITE, result(plan, story, b=Outcome.FAILED))
    assert (report.next, report.exit_code) == ("mlrelease logs production b", 1)


@pytest.mark.parametrize(
    ("online", "spooled", "notes"),
    [
        (True, 0, []),
        (False, 0, ["the git host did not answer: this is the last fetched tip of origin/main"]),
        (True, 3, ["3 ledger events wait on this host for the git host"]),
        (
            False,
            1,
            [
                "the git host did not answer: this is the last fetched tip of origin/main",
                "1 ledger events wait on this host for the git host",
            ],
        ),
    ],
    ids=["all is well", "offline", "events wait", "both"],
)
def test_what_the_git_host_did_not_hear_is_a_note(online, spooled, notes):
    """A pass goes on without it, and says so."""
    story = Story()
    story.apply(environment(service()))
    plan = story.plan(environment(service()))
    assert list(pass_report(SITE, result(plan, story, online=online, spooled=spooled)).notes) == notes


def test_who_loses_the_root_path_is_told_first():
    """Clients of `/` notice: it stands before what the git host did not hear."""
    story = Story()
    story.apply(environment(service("a")))
    plan = story.plan(environment(service("a"), service("b")))
    report = pass_report(SITE, result(plan, story, online=False, b=Outcome.SUCCEEDED))
    assert list(report.notes) == [
        "/ no longer answers for a then: with 2 services each has its own prefix, /a/, /b/",
        "the git host did not answer: this is the last fetched tip of origin/main",
    ]


def test_a_pass_is_a_row_for_each_service():
    """The seconds of its steps, what it came to, and why the untouched ones were left alone."""
    story = Story()
    story.apply(environment(service("a"), service("b")))
    files = environment(service("a", models={"A": "8"}), service("b"), absent("gone"))
    report = pass_report(SITE, result(story.plan(files), story, a=Outcome.SUCCEEDED))
    ids = {version: bundle("a", models={"A": version}).id[:7] for version in "78"}
    b = bundle("b").id[:7]
    assert [tuple(row) for row in report.rows] == [
        ("a", "update: succeeded", f"A 7 ({ids['7']})", f"A 8 ({ids['8']})", "1.25", "a ended so"),
        ("b", "noop", f"A 7 ({b})", f"A 7 ({b})", "", "in sync"),
        ("gone", "noop", "nothing", "nothing", "", "not wanted and not there"),
    ]


# -- several environments ----------------------------------------------------------------------------------------------


def said(name: str, code: int = 0, **other) -> Report:
    fields = {"headers": ("service", "change"), "rows": [("risk", name)], "next": f"next of {name}"} | other
    return Report(f"{name}: done", {"environment": name}, exit_code=code, **fields)


def test_several_environments_are_one_report_in_their_order():
    """Each row says whose it is; details and notes follow one another."""
    one = said("staging", details=["detail s"], notes=["note s"])
    other = said("production", rows=[("a", "x"), ("b", "y")], details=["detail p"], notes=["note p"])
    report = merged(["staging", "production"], [one, other])
    assert report == Report(
        verdict="2 environments: staging: done; production: done",
        data={"environments": {"staging": {"environment": "staging"}, "production": {"environment": "production"}}},
        headers=("environment", "service", "change"),
        rows=[("staging", "risk", "staging"), ("production", "a", "x"), ("production", "b", "y")],
        notes=["note s", "note p"],
        next="next of staging",
        exit_code=0,
        details=["detail s", "detail p"],
    )


@pytest.mark.parametrize(
    ("codes", "worst"),
    [((0, 0), 0), ((3, 0), 3), ((3, 4), 4), ((4, 5), 5), ((5, 6), 6), ((6, 1), 1), ((1, 6, 5, 4, 3, 0), 1)],
    ids=["all well", "changes", "findings", "blocked", "rolled back", "errored", "everything at once"],
)
def test_the_worst_of_them_decides_and_the_first_that_is_not_well_says_what_next(codes, worst):
    """1 before 6 before 5 before 4 before 3 before 0, in whatever order they come."""
    names = [f"e{number}" for number in range(len(codes))]
    for order in (codes, codes[::-1]):
        report = merged(names, [said(name, code) for name, code in zip(names, order, strict=True)])
        assert report.exit_code == worst
        first = next((name for name, code in zip(names, order, strict=True) if code), names[0])
        assert report.next == f"next of {first}"


def test_the_columns_are_those_of_the_first_that_has_a_table():
    """An environment that could not be worked on has none."""
    broken = Report("staging: no", {"environment": "staging"}, exit_code=1)
    report = merged(["staging", "production"], [broken, said("production")])
    assert report.headers == ("environment", "service", "change")
    assert [tuple(row) for row in report.rows] == [("production", "risk", "production")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            Error("MLflow did not answer", hint="try again"),
            Report("staging: MLflow did not answer", {"environment": "staging", "error": "MLflow did not answer"}, exit_code=1),
        ),
        (
            UsageError("no such service", hint="try again"),
            Report("staging: no such service", {"environment": "staging", "error": "no such service"}, exit_code=1),
        ),
        (
            FindingsError("staging has 1 finding", ()),
            Report(
                "staging: staging has 1 finding",
                {"environment": "staging", "error": "staging has 1 finding"},
                next="mlrelease validate --offline",
                exit_code=4,
            ),
        ),
    ],
    ids=["an error", "a slip of the pen", "findings in its files"],
)
def test_one_that_cannot_be_worked_on_is_a_line_of_its_own(error, expected):
    """The others go on; the way out of the error is a note."""

    def run(_name):
        raise error

    assert guarded_pass("staging", run) == replace(expected, notes=[error.hint])


def test_an_error_without_a_way_out_adds_no_note():
    """An empty line helps nobody."""

    def run(_name):
        raise Error("no", hint="")

    assert guarded_pass("staging", run).notes == []


def test_an_interruption_is_not_taken_for_a_bad_environment():
    """Ctrl-C ends all of it."""

    def run(_name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded_pass("staging", run)


# -- from one process to another ---------------------------------------------------------------------------------------

TEXT = st.text(max_size=8)
REPORTS = st.builds(
    Report,
    verdict=TEXT,
    data=st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2), max_size=3),
    headers=st.lists(TEXT, max_size=3).map(tuple),
    rows=st.lists(st.lists(TEXT, max_size=3), max_size=3),
    notes=st.lists(TEXT, max_size=2),
    next=TEXT,
    details=st.lists(TEXT, max_size=2),
    exit_code=st.sampled_from([0, 1, 3, 4, 5, 6, 130]),
)


@settings(max_examples=50, deadline=None)
@given(REPORTS)
def test_a_report_that_an_agent_hands_back_is_the_one_that_it_wrote(report):
    """Through JSON, whatever is in it; the exit code goes beside it."""
    assert report_from_json(json.loads(json.dumps(report_to_json(report))), report.exit_code) == report


def test_a_pass_that_an_agent_made_prints_like_ones_own():
    """Tables of tuples and lists of either kind come out as the same cells."""
    story = Story()
    plan = story.plan(environment(service()), observation=live(bundle()))
    own = pass_report(SITE, result(plan, story, risk=Outcome.SUCCEEDED))
    handed = report_from_json(json.loads(json.dumps(report_to_json(own))), own.exit_code)
    assert handed.to_json() == own.to_json()
    assert [list(row) for row in handed.rows] == [list(row) for row in own.rows]
    assert (handed.headers, handed.notes, handed.details) == (own.headers, list(own.notes), list(own.details))
