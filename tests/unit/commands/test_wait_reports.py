"""How a wait ends, in words: each way with its rows, its exit code and its next command; and what was said on the way."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from mlrelease.commands.wait import Seen, WaitOptions, _late, _receipts_of, _report, _superseded, _Watch
from mlrelease.delivery.source import Desired, Tracked
from mlrelease.delivery.waiting import standing
from mlrelease.history.dealings import dealings
from mlrelease.model.beat import SILENT_S, Beat, Blocked
from mlrelease.model.change import Direction, Outcome
from mlrelease.model.event import ServiceReceipt
from mlrelease.model.spec import Spec
from mlrelease.model.when import iso
from support.core import Story, bundle, environment, service

TIP = "b" * 40
OLD = "a" * 40
SEVEN, EIGHT = (environment(service(models={"A": version})) for version in "78")
ID = {version: bundle(models={"A": version}).id[:7] for version in "78"}
COMMITS = ["0" * 40, OLD, TIP]


class History:
    """A straight line of commits."""

    def resolve(self, name):
        return name if name in COMMITS else None

    def is_ancestor(self, one, other):
        return COMMITS.index(one) <= COMMITS.index(other)


class Recorder:
    """Who would write it down on GitHub."""

    def __init__(self):
        self.told = []

    def seen(self, revision, *, working):
        self.told.append((revision, working))


def watch(story, site=None):
    workspace = SimpleNamespace(git=History(), branch=Tracked("origin", "main"), now=lambda: story.now)
    return _Watch(workspace, "production", Recorder(), site=site)


def seen(story, files, *, beat=None, online=True, revision=TIP):
    plan = story.plan(files, observation=None, revision=revision, impatient=False)
    dealt = dealings(story.events, revision)
    found = standing(plan, story.history, dealt, beat)
    return Seen(Desired(revision, Spec({}), online), story.history, tuple(story.events), dealt, found, beat, online)


def at_seven() -> Story:
    story = Story()
    story.apply(SEVEN)
    return story


def dealt(story, outcome, files=EIGHT, revision=TIP, reason="golden rows differ"):
    (change,) = story.plan(files).changes
    receipt = ServiceReceipt(outcome, change.kind, Direction.FORWARD, reason, change.before, change.after)
    story.finish({"risk": receipt}, revision=revision)
    return story


def beat(story, **other):
    fields = {"height": story.history.height, "exit_code": 0, "sync": {"risk": "InSync"}} | other
    return Beat(story.now, fields.pop("revision", TIP), **fields)


def ended(story, files=EIGHT, site=None, **look):
    one = seen(story, files, **look)
    return _report(watch(story, site), one, one.standing.code)


# -- the end of a wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "code", "command"),
    [
        (Outcome.SUCCEEDED, 0, "mlrelease status production"),
        (Outcome.ROLLED_BACK, 6, "mlrelease rollback production --service risk --last-good"),
        (Outcome.FAILED, 1, "mlrelease plan production"),
        (Outcome.ERRORED, 1, "mlrelease plan production"),
    ],
)
def test_a_receipt_ends_it_with_its_own_code(outcome, code, command):
    """Verdict, row and next command are read off the receipt."""
    report = ended(dealt(at_seven(), outcome))
    assert (report.exit_code, report.next) == (code, command)
    assert report.verdict == f"production at bbbbbbbbb: risk {outcome}"
    row = ("risk", f"update: {outcome}", f"A 7 ({ID['7']})", f"A 8 ({ID['8']})", "golden rows differ")
    assert report.rows == [row]
    assert report.data == {
        "environment": "production",
        "revision": TIP,
        "superseded": [],
        "services": {
            "risk": {
                "came_to": outcome.value,
                "reason": "golden rows differ",
                "exit_code": code,
                "blocked_by": "" if outcome is Outcome.SUCCEEDED else "waiting",
                "receipt": "e2",
            }
        },
        "agent": None,
        "online": True,
    }


def test_what_is_blocked_ends_it_with_why():
    """Somebody has to speak; the way out is the command that does."""
    story = at_seven()
    story.hold("risk")
    report = ended(story, site=SimpleNamespace(environment=environment(promotes_from="staging")))
    assert report.headers == ("service", "came to", "from", "to", "reason")
    assert list(report.notes) == ["no agent ever reported"]
    assert report.rows == [("risk", "blocked", f"A 7 ({ID['7']})", f"A 8 ({ID['8']})", "held by ada: freeze")]
    assert (report.exit_code, report.next) == (5, "mlrelease history production --service risk")
    assert report.data["services"]["risk"] == {
        "came_to": "blocked",
        "reason": "held by ada: freeze",
        "exit_code": 5,
        "blocked_by": "hold",
        "receipt": "",
    }


def test_what_was_never_proved_upstream_is_waited_for_there():
    """By the name of the environment that this one promotes from."""
    story, files = at_seven(), environment(service(models={"A": "8"}), promotes_from="staging")
    one = seen(story, files)
    plan = story.plan(files, observation=None, revision=TIP, source=replace(Story().history, environment="staging"))
    found = replace(one, standing=standing(plan, story.history, one.dealings, None))
    report = _report(watch(story, SimpleNamespace(environment=files)), found, 5)
    assert report.next == "mlrelease wait staging"


def test_of_several_services_the_first_with_the_worst_code_says_what_next():
    """`a` is held, `b` was rolled back: that is worse."""
    story = Story()
    story.apply(environment(service("a"), service("b")))
    files = environment(*(service(name, models={"A": "8"}) for name in "ab"))
    story.hold("a")
    b = next(c for c in story.plan(files).changes if c.service == "b")
    receipt = ServiceReceipt(Outcome.ROLLED_BACK, b.kind, Direction.FORWARD, "", b.before, b.after)
    story.finish({"b": receipt}, revision=TIP)
    report = ended(story, files)
    assert (report.exit_code, report.next) == (6, "mlrelease rollback production --service b --last-good")
    assert report.verdict == "production at bbbbbbbbb: a blocked, b rolled_back"


@pytest.mark.parametrize(
    ("said", "why", "command"),
    [
        (
            {"sync": {}, "exit_code": 1, "verdict": "no space left"},
            "no space left",
            "mlrelease history production --service risk",
        ),
        (
            {"exit_code": 5, "blocked": {"risk": Blocked("stale", "the branch was moved back")}},
            "the branch was moved back",
            "mlrelease history production --service risk",
        ),
    ],
    ids=["its pass ended in an error", "it sees what nobody else does"],
)
def test_the_agents_word_ends_it_where_there_is_no_receipt(said, why, command):
    """With its code, and where to read on."""
    story = at_seven()
    report = ended(story, SEVEN, beat=beat(story, **said))
    assert (report.exit_code, report.next) == (said["exit_code"], command)
    assert report.rows[0][-1] == why


def test_an_environment_without_services_has_ended():
    """There is nothing to wait for."""
    report = ended(Story(), environment())
    assert (report.verdict, report.exit_code) == ("production at bbbbbbbbb: it has no services", 0)


# -- nobody came in time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "online", "command", "notes"),
    [
        (None, True, "mlrelease agent production", ["no agent ever reported"]),
        (SILENT_S, True, "mlrelease wait production", ["the agent reported 5 min ago (at bbbbbbbbb)"]),
        (
            SILENT_S + 1,
            True,
            "mlrelease agent production",
            ["the agent has been silent for 5 min; its last word (at bbbbbbbbb)"],
        ),
        (
            1.0,
            False,
            "mlrelease wait production",
            ["the agent reported 1 s ago (at bbbbbbbbb)", "the git host did not answer: this is what was last fetched"],
        ),
    ],
    ids=["no agent was ever there", "one that lives", "one that is silent", "the git host does not answer"],
)
def test_too_late_says_whether_anybody_is_there(age_s, online, command, notes):
    """Exit 1; an agent that is gone is to be started, one that lives is to be waited for."""
    story = at_seven()
    word = None if age_s is None else replace(beat(story), at=story.now - age_s)
    report = _late(watch(story), seen(story, EIGHT, beat=word, online=online), WaitOptions(timeout_s=90.0))
    assert report.verdict == (
        "production at bbbbbbbbb: not dealt with within 90 s; "
        "last seen: risk waits for its update: the agent has not come to it"
    )
    assert (report.exit_code, report.next, list(report.notes)) == (1, command, notes)
    assert (report.data["online"], report.data["agent"] is None) == (online, word is None)


# -- superseded --------------------------------------------------------------------------------------------------------


def old(story, asked=OLD, files=EIGHT):
    one = seen(story, files)
    return _superseded(watch(story).workspace, "production", asked, one)


def test_an_old_commit_ends_with_its_own_receipts():
    """It was dealt with before a newer one was applied: its own outcome is what its job is about."""
    story = dealt(at_seven(), Outcome.ROLLED_BACK, revision=OLD)
    story = dealt(story, Outcome.SUCCEEDED, environment(service(models={"A": "9"})), reason="fine")
    report = old(story, files=environment(service(models={"A": "9"})))
    assert report.verdict == "production: aaaaaaaaa was already dealt with, and superseded by bbbbbbbbb"
    assert report.rows[0][1] == "update: rolled_back"
    assert list(report.notes) == ["these are the receipts of aaaaaaaaa; nothing was started"]
    assert (report.exit_code, report.next) == (6, "mlrelease status production")


def test_an_old_commit_whose_pass_was_interrupted_takes_the_newer_ones_word():
    """The next pass went on with what it began; the job was not interrupted."""
    story = dealt(at_seven(), Outcome.ABORTED, revision=OLD)
    story = dealt(story, Outcome.SUCCEEDED, environment(service(models={"A": "9"})), reason="fine")
    report = old(story, files=environment(service(models={"A": "9"})))
    assert report.verdict == "production: aaaaaaaaa was superseded by bbbbbbbbb"
    assert report.rows[0][1] == "update: succeeded"
    assert list(report.notes) == ["these are the receipts of bbbbbbbbb; nothing was started"]
    assert report.exit_code == 0


def test_an_old_commit_lists_its_services_by_name():
    """However the receipt had them."""
    story = Story()
    files = environment(service("b"), service("a"))
    changes = {c.service: c for c in story.plan(files).changes}
    story.finish({name: story.succeeded(files, changes[name]) for name in ("b", "a")}, revision=OLD)
    story.finish({"a": story.succeeded(files, changes["a"])}, revision=TIP)
    report = old(story, files=files)
    assert report.headers == ("service", "came to", "from", "to", "reason")
    assert [row[0] for row in report.rows] == ["a", "b"]


def test_an_old_commit_that_nobody_dealt_with_ends_with_those_of_the_newer():
    """Several pushes, one pass."""
    report = old(dealt(at_seven(), Outcome.SUCCEEDED, reason="fine"))
    assert report.verdict == "production: aaaaaaaaa was superseded by bbbbbbbbb"
    assert list(report.notes) == ["these are the receipts of bbbbbbbbb; nothing was started"]
    assert report.data == {
        "environment": "production",
        "revision": OLD,
        "superseded_by": TIP,
        "services": {"risk": {"came_to": "succeeded", "reason": "fine"}},
    }


@pytest.mark.parametrize(
    ("asked", "story"),
    [
        ("", dealt(at_seven(), Outcome.SUCCEEDED)),
        (TIP, dealt(at_seven(), Outcome.SUCCEEDED)),
        (OLD, dealt(Story(), Outcome.FAILED)),
        (OLD, dealt(Story(), Outcome.SUCCEEDED, revision="f" * 40)),
        (OLD, dealt(Story(), Outcome.SUCCEEDED, revision=OLD)),
        (OLD, dealt(Story(), Outcome.SUCCEEDED, revision="0" * 40)),
    ],
    ids=[
        "no commit was asked for",
        "it is the tip",
        "nothing was ever applied",
        "what was applied is not in this clone",
        "it is what was applied",
        "what was applied is older",
    ],
)
def test_otherwise_it_is_worth_waiting(asked, story):
    """Nothing newer than the commit was applied."""
    assert old(story, asked) is None


def test_of_two_passes_over_a_revision_the_newer_receipt_counts():
    """Service by service."""
    story = dealt(at_seven(), Outcome.ERRORED)
    dealt(story, Outcome.SUCCEEDED, reason="fine")
    found = _receipts_of(seen(story, EIGHT), TIP)
    assert {name: receipt.reason for name, receipt in found.items()} == {"risk": "fine"}
    assert _receipts_of(seen(story, EIGHT), OLD) == {}


# -- the story on the way ----------------------------------------------------------------------------------------------


def test_each_state_is_said_once(capsys):
    """A wait of an hour is a few lines, and a job's log shows when each of them came."""
    story = at_seven()
    one = watch(story)
    one.tell(seen(story, EIGHT))
    one.tell(seen(story, EIGHT))
    one.tell(seen(story, EIGHT, online=False))
    line = "production at bbbbbbbbb: risk waits for its update: the agent has not come to it"
    at = iso(story.now)
    assert capsys.readouterr().err.splitlines() == [
        f"{at} {line}",
        f"{at} {line} (the git host does not answer: this is what was last fetched)",
    ]
    assert one.record.told == [(TIP, False)] * 3


def test_a_tip_that_moves_on_is_said_and_kept(capsys):
    """The report names the commits that were waited for before."""
    story = at_seven()
    one = watch(story)
    one.tell(seen(story, EIGHT, revision=OLD))
    story.start()
    one.tell(seen(story, EIGHT))
    first, moved, now = capsys.readouterr().err.splitlines()
    assert first.endswith("production at aaaaaaaaa: risk waits for its update: the agent has not come to it")
    assert moved.endswith("origin/main moved on from aaaaaaaaa to bbbbbbbbb: that is waited for now")
    assert now.endswith("production at bbbbbbbbb: risk waits for its update: the agent has not come to it")
    assert one.superseded == [OLD]
