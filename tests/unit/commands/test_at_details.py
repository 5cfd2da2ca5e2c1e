"""The lines of `at` below its table: image and models of a bundle, commits that brought it, and a repair that came later."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from mlrelease.commands.at import NAMED, Then, _details, _row, _verdict
from mlrelease.commands.times import Moment
from mlrelease.history.landings import PinCommit
from mlrelease.history.moments import Certainty, Era, Mended, Stretch
from mlrelease.ledger.ledger import LedgerView
from support.core import START, bundle
from support.receipts import Ledger as Told

ONE = bundle("risk", "1", {"A": "7"})
ERA = Era(ONE, START, math.inf, "e2")
OLD = PinCommit("a" * 40, "Pin A 6", "ada", START - 100, START - 90, {})
NEW = PinCommit("b" * 40, "Pin A 7 (#12)", "bob", START - 50, START - 40, {})


def then(one=ONE, certainty=Certainty.RECORDED, *, others=(), reason="", mended=None, commits=(), era=ERA):
    stretch = Stretch(START, math.inf, one, certainty, "e2", others, reason)
    return Then(stretch, era, mended, tuple((SimpleNamespace(key=c.sha), c) for c in commits), None)


def test_a_bundle_has_its_image_and_every_model_with_its_digest():
    """In full: whoever proves what ran needs the digests."""
    (pin,) = ONE.models
    assert _details("risk", then()) == [f"risk: image {ONE.image.reference}", f"risk: A 7 {pin.digest}"]


@pytest.mark.parametrize(
    ("models", "last"),
    [(NAMED, "risk: m07 1 "), (NAMED + 1, "risk: and 1 more models: "), (1000, "risk: and 992 more models: ")],
)
def test_of_a_fleet_a_few_models_are_named_and_the_rest_counted(models, last):
    """With where all of them are."""
    lines = _details("risk", then(bundle("risk", "1", {f"m{number:02}": "1" for number in range(models)})))
    assert len(lines) == 1 + min(models, NAMED + 1)
    assert lines[-1].startswith(last)
    assert lines[-1].endswith("--output json has them all") is (models > NAMED)


def test_each_commit_that_brought_it_is_named_once():
    """One commit may bring several components; the newest of them is the row's."""
    found = then(commits=(OLD, NEW, OLD))
    assert _details("risk", found)[2:] == [
        "risk: aaaaaaaaa Pin A 6 (ada, 2023-11-14T22:11:50.000Z)",
        "risk: bbbbbbbbb Pin A 7 (#12) (bob, 2023-11-14T22:12:40.000Z)",
    ]
    assert found.commit is NEW
    assert _row("risk", found)[6] == "bbbbbbbbb"
    assert then().commit is None


def test_a_repair_that_came_later_is_no_certainty():
    """What ran may have been something else before it: since when, nobody wrote down."""
    line = _details("risk", then(mended=Mended(START + 60, "e9", "wine-1 is gone")))[-1]
    assert line == (
        "risk: a repair at 2023-11-14T22:14:20.000Z found that what ran was not what is recorded (wine-1 is gone); "
        "since when, the ledger does not know"
    )


def test_where_nothing_served_there_is_no_line():
    """Neither image nor models."""
    assert _details("risk", then(None)) == []
    assert _row("risk", then(None))[5:9] == ("–", "–", "–", "–")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (then(), "A 7 (bc82a37)"),
        (then(None), "nothing"),
        (then(None, Certainty.UNRECORDED), "not known"),
        (then(certainty=Certainty.UNRECORDED), "not known"),
        (then(certainty=Certainty.SWITCHING, others=(None,)), "A 7 (bc82a37) or nothing"),
    ],
    ids=["recorded", "nothing", "before the ledger", "not recorded", "one or the other"],
)
def test_what_served_is_named_as_surely_as_it_is_known(found, said):
    """Nothing is guessed."""
    assert _row("risk", found)[1] == said


def ledger(*services):
    told = Told()
    for name in services:
        told.deploy(bundle(name, "1", {"A": "7"}), service=name)
    return LedgerView(tuple(told.events), len(told.events))


EARLY = "production at 2023-11-14T22:13:19.000Z: the ledger begins later, at 2023-11-14T22:13:20.000Z"
WHEN = "production at 2023-11-14T23:13:20.000Z"


@pytest.mark.parametrize(
    ("view", "at", "found", "said"),
    [
        (LedgerView((), 0), START + 3600, {}, f"{WHEN}: the ledger has no event of it"),
        (ledger("risk"), START - 1, {}, EARLY),
        (ledger("risk"), START + 3600, {"risk": then()}, f"{WHEN}: A 7 (bc82a37) served"),
        (ledger("risk"), START + 3600, {"risk": then(None)}, f"{WHEN}: 0 of 1 services recorded as serving"),
        (
            ledger("risk"), START + 3600, {"risk": then(certainty=Certainty.SWITCHING)},
            f"{WHEN}: 0 of 1 services recorded as serving, 1 not sure",
        ),
        (
            ledger("risk", "fraud"), START + 3600, {"risk": then(), "fraud": then(None, Certainty.UNRECORDED)},
            f"{WHEN}: 1 of 2 services recorded as serving",
        ),
    ],
    ids=["no event", "before the ledger", "one that served", "none served", "not sure", "one of two"],
)  # fmt: skip
def test_the_verdict_says_no_more_than_is_known(view, at, found, said):
    """What was not recorded is not unsure: nobody knows of it."""
    assert _verdict("production", view, Moment(at), found) == said
