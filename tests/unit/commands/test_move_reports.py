"""What `bump` and `promote` say of the pins that they moved, refused or could not move: verdict, rows, next command, code."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mlrelease.commands.bump import _Move, _one, _several
from mlrelease.commands.promote import PromoteOptions, _report
from mlrelease.commands.promotion_pins import Line
from mlrelease.commands.proposals import Proposed
from mlrelease.delivery.source import Tracked
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.plan.promote import Candidate
from support.core import environment, image, model, service

ENV = environment()
GOLDEN = "golden predictions kept"
OPENED = Proposed("opened #7", "c0ffee", 7, "https://github.com/a/b/pull/7", opened=True)
DECLINED = Proposed("not proposed again: #7 was closed by a person", number=7, url=OPENED.url)


# -- bump --------------------------------------------------------------------------------------------------------------


def moved(name="A", **other):
    spec = service(models={name: "7"})
    fields = {"what": "committed as c0ffee123", "note": GOLDEN, "next": f"next of {name}"} | other
    return _Move(spec, spec.models[0], fields.pop("after", model(name, "8")), **fields)


def test_one_pin_is_told_in_a_sentence():
    """What moved where, what became of it, what is to be known of it."""
    report = _one(ENV, moved())
    assert report.verdict == "production: A 7 → 8: committed as c0ffee123"
    assert (list(report.notes), report.next, report.exit_code) == ([GOLDEN], "next of A", 0)
    assert report.data == {
        "environment": "production",
        "model": "A",
        "before": {"version": "7", "digest": model("A", "7").digest},
        "after": {"version": "8", "digest": model("A", "8").digest},
    }


def test_the_same_version_with_other_bytes_is_said_as_such():
    """`7 → 7` would look like nothing."""
    assert _one(ENV, moved(after=model("A", "7", content="other"))).verdict == (
        "production: A 7 (its digest): committed as c0ffee123"
    )


def test_one_that_is_pinned_already_is_told_as_it_stands():
    """Both sides, though they are the same."""
    report = _one(ENV, moved(after=model("A", "7"), what="already pinned: nothing to do", note=""))
    assert report.verdict == "production: A 7 → 7: already pinned: nothing to do"
    assert list(report.notes) == []


REFUSED = {"what": "rejected here", "note": "", "code": 5}
ERRORED = {"what": "it does not load", "note": "", "code": 1}
PINNED = {"what": "already pinned: nothing to do", "note": ""}


@pytest.mark.parametrize(
    ("moves", "verdict", "command", "code"),
    [
        ([{}, {}], "production: 2 of 2 pins moved", "next of A0", 0),
        ([PINNED, {}], "production: 1 of 2 pins moved", "next of A1", 0),
        ([PINNED, PINNED], "production: 0 of 2 pins moved", "next of A0", 0),
        ([{}, REFUSED, REFUSED], "production: 1 of 3 pins moved, 2 refused", "next of A1", 5),
        ([REFUSED, {}, ERRORED], "production: 1 of 3 pins moved, 1 refused, 1 errored", "next of A2", 1),
        ([ERRORED, ERRORED | {"next": ""}], "production: 0 of 2 pins moved, 2 errored", "next of A0", 1),
        ([{"pull": OPENED}, PINNED], "production: 1 of 2 pins proposed", "next of A0", 0),
    ],
    ids=[
        "all moved",
        "one was there already: the one that moved says what next",
        "all were there already",
        "some are refused",
        "an error is worse than a no",
        "none moved",
        "in pull requests",
    ],
)
def test_several_pins_are_counted_and_the_worst_decides(moves, verdict, command, code):
    """Of those with the worst code the first says what next."""
    report = _several(ENV, [moved(f"A{number}", **({"next": f"next of A{number}"} | one)) for number, one in enumerate(moves)])
    assert (report.verdict, report.next, report.exit_code) == (verdict, command, code)


def test_what_is_to_be_known_of_many_is_said_once():
    """With how many it is true of; of those that did not move nothing is to be known."""
    other = "this version has no input example: its probe is skipped"
    moves = [moved("A"), moved("B", note=other), moved("C"), moved("D", **REFUSED), moved("E", **ERRORED | {"note": "x"})]
    assert list(_several(ENV, moves).notes) == [f"2 × {GOLDEN}", f"1 × {other}"]


def test_each_of_several_is_a_row_and_a_key():
    """The pull request among them, where there is one."""
    report = _several(ENV, [moved("A", pull=OPENED, what="opened #7"), moved("B", **REFUSED)])
    assert report.headers == ("model", "move", "result")
    assert report.rows == [("A", "7 → 8", "opened #7"), ("B", "7 → 8", "rejected here")]
    first, second = report.data["models"]
    assert first["pull_request"] == OPENED.to_json()
    assert "pull_request" not in second
    assert [(one["model"], one["result"], one["exit_code"]) for one in (first, second)] == [
        ("A", "opened #7", 0),
        ("B", "rejected here", 5),
    ]


# -- promote -----------------------------------------------------------------------------------------------------------


def line(name="A", code=0, *, pull=None, result="committed as c0ffee123", reason=""):
    """A pin that moves from 7 to 8, or an image from 1 to 2."""
    if name == "image":
        one = Candidate("risk", IMAGE, image("1"), image("2"), image("2").reference)
    else:
        one = Candidate("risk", model_key(name), model(name, "7"), model(name, "8"), image("1").reference)
    return Line(one, one.after, result, reason, code, pull=pull)


def said(*lines, missing=(), remote="origin", branch="work", approval=False, **options):
    workspace = SimpleNamespace(branch=Tracked(remote, "main"), git=SimpleNamespace(branch=lambda: branch))
    dest = environment(approval_required=approval)
    return _report(dest, "staging", lines, missing, PromoteOptions(**options), workspace)


NO = {"code": 5, "result": "refused", "reason": "rejected by ada"}


@pytest.mark.parametrize(
    ("lines", "options", "verdict", "code"),
    [
        ([], {}, "production: nothing to promote: its files say what staging verified", 0),
        ([line()], {}, "production: 1 pin promoted from staging", 0),
        ([line("image"), line()], {}, "production: 2 pins promoted from staging", 0),
        ([line(), line("B", **NO)], {}, "production: 1 pin promoted from staging, 1 refused", 5),
        ([line(**NO)], {}, "production: 1 refused", 5),
        ([line(pull=OPENED)], {"pr": True}, "production: 1 pin proposed from staging", 0),
    ],
    ids=["nothing differs", "one", "two", "one of two", "none", "in a pull request"],
)
def test_the_verdict_counts_what_moved_and_what_was_refused(lines, options, verdict, code):
    """A refused pin is exit 5, whatever moved beside it."""
    report = said(*lines, **options)
    assert (report.verdict, report.exit_code) == (verdict, code)


@pytest.mark.parametrize(
    ("lines", "options", "command"),
    [
        ([], {}, "mlrelease status production"),
        ([line(**NO)], {}, "mlrelease history production"),
        ([line()], {"commit": False}, "git commit environments"),
        ([line()], {}, "git push origin work"),
        ([line()], {"push": True}, "mlrelease deploy production"),
        ([line()], {"push": True, "approval": True}, "mlrelease approve production"),
        ([line()], {"remote": ""}, "mlrelease deploy production"),
        ([line(pull=OPENED)], {"pr": True}, "review and merge https://github.com/a/b/pull/7"),
        ([line(pull=DECLINED), line("B", pull=OPENED)], {"pr": True}, f"review and merge {OPENED.url}"),
        ([line(pull=DECLINED)], {"pr": True}, "mlrelease promote … production --pr --reopen"),
    ],
    ids=[
        "nothing differs",
        "all refused: the past says why",
        "edited only",
        "committed, not pushed",
        "pushed",
        "pushed where somebody must say yes",
        "without a remote",
        "proposed",
        "one declined, one proposed",
        "declined: only a person asks again",
    ],
)
def test_the_next_command_follows_what_was_done(lines, options, command):
    """One step on from where it stands."""
    assert said(*lines, **options).next == command


def test_every_pin_is_a_row_with_its_reason():
    """An image by its tag, a model by its version."""
    report = said(line("image"), line("B", **NO))
    assert report.headers == ("service", "pin", "from", "to", "result", "reason")
    assert report.rows == [
        ("risk", "image", "ghcr.io/acme/serve:1", "ghcr.io/acme/serve:2", "committed as c0ffee123", ""),
        ("risk", "B", "7", "8", "refused", "rejected by ada"),
    ]
    assert report.data["pins"][1] == {
        "service": "risk",
        "component": "model:B",
        "before": {"label": "7", "digest": model("B", "7").digest},
        "after": {"label": "8", "digest": model("B", "8").digest},
        "result": "refused",
        "reason": "rejected by ada",
        "exit_code": 5,
    }


def test_what_has_no_file_there_is_named_with_the_command_that_makes_one():
    """It is no reason to fail: somebody decides where it belongs."""
    report = said(missing=[("risk", "B")])
    assert list(report.notes) == [
        "staging serves B, and production has no file for it: mlrelease new model production B --service risk"
    ]
    assert (report.data["missing"], report.exit_code) == ([{"service": "risk", "model": "B"}], 0)
