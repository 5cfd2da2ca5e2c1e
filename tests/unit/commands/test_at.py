"""`at`: what served at a moment, over real git and a real ledger; whole answers in `tests/golden/past/`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from mlrelease.commands.at import HEADERS, at
from mlrelease.commands.times import moment_of, span_of
from mlrelease.errors import UsageError
from mlrelease.model.event import DeployStarted, Owner
from mlrelease.model.when import iso
from mlrelease.render.report import markdown
from support.desk import told
from support.pair import identity
from support.past import DAY, HOUR, past, tagged
from support.repositories import git

GOLDEN = Path(__file__).parents[2] / "golden" / "past"
pytestmark = pytest.mark.xdist_group("past")


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    with identity():
        yield past(tmp_path_factory.mktemp("past") / "w")


def asked(story, moment, **more):
    time = iso(story.at[moment]) if moment in story.at else moment
    return at(story.pair.person(), "production", time, **more)


def row(report, number=0):
    return dict(zip(HEADERS, report.rows[number], strict=True))


@pytest.mark.parametrize("moment", ["before", "one", "two", "back", "now"])
def test_each_moment_reads_as_it_is_kept(story, moment, capsys, update_golden):
    """Before the ledger, the first deploy, the update, after the rollback, and now, after a try that failed."""
    text = told(asked(story, moment), story.pair, capsys)
    path = GOLDEN / f"at-{moment}.txt"
    if update_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_it_names_bundle_commit_pull_request_and_approver(story):
    """Everything about version 2, in its own time."""
    found = row(asked(story, "two"))
    assert found["served"].startswith("wine 2 (")
    assert (found["sure"], found["PR"], found["approved by"]) == ("recorded", "#12", "grace")
    assert story.commits["two"].startswith(found["commit"])


def test_json_has_stable_keys_and_whole_digests(story, capsys):
    """For programs: empty where there is none, never left out."""
    data = json.loads(told(asked(story, "two"), story.pair, capsys, output="json").rpartition("exit code")[0])
    service = data["services"]["wine"]
    assert set(service) == {
        "approval", "bundle", "certainty", "commits", "event", "mended", "others", "reason", "since", "until",
    }  # fmt: skip
    assert service["bundle"]["id"] == story.bundle("2")
    assert service["bundle"]["models"][0]["digest"].startswith("sha256:")
    commit = service["commits"]["model:wine"]
    assert (commit["sha"], commit["pull"], commit["message"]) == (story.commits["two"], 12, "Better on the new vintage.")
    assert service["approval"]["run_url"] == "https://ci.example.com/runs/7"
    assert service["approval"]["approver"] == "grace"
    now = asked(story, "now").data["services"]["wine"]
    assert (now["until"], now["approval"], now["mended"], now["others"]) == ("", None, None, [])


def test_a_try_that_failed_after_its_switch_is_a_doubt_of_seconds(story):
    """Both are named, with the pass that moved the traffic."""
    events = story.pair.site("production").ledger.read("production").events
    failed = events[-1]
    found = row(asked(story, iso((failed.started_at + failed.at) / 2)))
    assert found["sure"] == "switching"
    assert " or wine 3 (" in found["served"]
    assert failed.id in found["reason"]


def test_a_commit_means_when_it_was_made_and_says_when_it_came(story):
    """A commit is deployed later than it is made."""
    report = asked(story, story.commits["two"])
    assert row(report)["served"].startswith("wine 1 (")
    assert report.data["revision"] == story.commits["two"]
    assert any("the first receipt of production that has it" in note for note in report.notes)


def test_a_tag_is_a_moment_too(story):
    """The tagged commit's."""
    tagged(story.pair, "v1.2.0", story.commits["back"])
    assert asked(story, "v1.2.0").data["moment"] == asked(story, story.commits["back"]).data["moment"]


def test_a_commit_that_no_pass_had_is_said_so(story):
    """Made on the laptop, and not pushed."""
    story.pair.laptop.joinpath("note.txt").write_text("x")
    git(story.pair.laptop, "add", "--all")
    git(story.pair.laptop, "commit", "--quiet", "--message", "Not pushed", "--date", "@1800000000 +0000")
    sha = git(story.pair.laptop, "rev-parse", "HEAD")
    report = asked(story, sha)
    git(story.pair.laptop, "reset", "--quiet", "--hard", "HEAD~1")
    assert f"{sha[:9]} was made at this moment; no receipt of production has it" in report.notes


def test_one_service_can_be_asked_for_and_an_unknown_one_is_refused(story):
    """With the names that the ledger knows."""
    assert len(asked(story, "now", service="wine").rows) == 1
    with pytest.raises(UsageError, match="no service 'port'") as refused:
        asked(story, "now", service="port")
    assert "wine" in refused.value.hint


def test_an_environment_without_events_is_said_so_and_one_that_is_none_refused(story):
    """A slip of the pen is no empty answer."""
    with pytest.raises(UsageError, match="no environment 'prod'"):
        at(story.pair.person(), "prod", "now")


def test_the_summary_of_a_job_is_inert(story):
    """As Markdown."""
    text = markdown(asked(story, "two"))
    assert text.startswith("### production at 2027-01-16")
    assert "| wine | wine 2 (" in text


def test_a_pass_that_never_ended_is_a_doubt_until_the_next_receipt(story):
    """Who was at work is named."""
    pair = story.pair
    ledger = pair.site("production").ledger
    lost = DeployStarted(
        id=pair.ids(),
        environment="production",
        at=pair.clock,
        actor="Test",
        revision=story.commits["back"],
        trigger="agent",
        owner=Owner("host-7", 42, 1.0, "agent"),
        expires_at=pair.clock + 60.0,
        services=("wine",),
    )
    ledger.append([lost])
    pair.clock += HOUR
    found = asked(story, "1m ago")
    assert row(found)["sure"] == "unknown"
    assert "agent on host-7 (pid 42)" in row(found)["reason"]
    assert found.verdict.endswith("0 of 1 services recorded as serving, 1 not sure")
    assert row(asked(story, "back"))["sure"] == "recorded"


# -- moments as people write them ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", 0),
        ("90s ago", 90),
        ("10m ago", 600),
        ("2h ago", 7200),
        ("3 d ago", 3 * DAY),
        ("1.5h", 5400),
        ("2w ago", 14 * DAY),
    ],
)
def test_so_long_ago_is_counted_from_now(story, text, ago):
    """With or without the word."""
    person = story.pair.person()
    assert moment_of(person, text).at == person.now() - ago


@pytest.mark.parametrize(
    ("text", "moment", "note"),
    [
        ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00.000Z", ""),
        ("2027-01-15T09:00:00+01:00", "2027-01-15T08:00:00.000Z", ""),
        ("2027-01-15 08:00", "2027-01-15T08:00:00.000Z", "taken as UTC"),
        ("2027-01-15", "2027-01-15T00:00:00.000Z", "taken as UTC"),
        ("2027-01-15T08:00:00.125Z", "2027-01-15T08:00:00.125Z", ""),
    ],
)
def test_an_iso_time_is_a_moment(story, text, moment, note):
    """Without a zone it is UTC, as everything that is printed, and that is said."""
    found = moment_of(story.pair.person(), text)
    assert iso(found.at) == moment
    assert note in found.note
    assert bool(found.note) is bool(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2 parsecs ago",
        "2027-13-45",
        "2027-01-15T99:00",
        "--help",
        "-1h",
        "nan",
        "HEAD~999",
        "9" * 400,
        "v9.9.9",
    ],
)
def test_what_is_no_moment_is_refused(story, text):
    """With the forms that there are; nothing is handed to git as an option."""
    with pytest.raises(UsageError, match="neither a time nor a commit") as refused:
        moment_of(story.pair.person(), text)
    assert "2h ago" in refused.value.hint


def test_what_is_still_to_come_is_refused(story):
    """Nobody knows it."""
    with pytest.raises(UsageError, match="still to come"):
        moment_of(story.pair.person(), "2999-01-01")


def test_a_span_has_two_ends_in_order(story):
    """Open where none is named."""
    person = story.pair.person()
    assert span_of(person, "", "") == (0.0, math.inf)
    assert span_of(person, "2d", "1d") == (person.now() - 2 * DAY, person.now() - DAY)
    for since, until in (("1d", "2d"), ("1d", "1d")):
        with pytest.raises(UsageError, match="must lie before"):
            span_of(person, since, until)
