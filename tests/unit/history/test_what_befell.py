"""What a component met, piece by piece; and the words of a question about a bundle that nobody can answer."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UsageError
from mlrelease.history.answered import Answered
from mlrelease.history.lineage import FateKind, fates, first_proof, origins
from mlrelease.history.moments import timelines
from mlrelease.history.subjects import of_bundle, serving
from mlrelease.model.bundle import IMAGE, SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Outcome
from support.core import bundle
from support.receipts import DAY, Ledger, of, steps

A, B = model_key("A"), model_key("B")


def both(a, b, tag="1"):
    return bundle("risk", tag, {"A": a, "B": b})


def parts(one, *keys):
    return [(key, one.components()[key]) for key in keys]


def told(ledger, wanted, since, service="risk"):
    return [(fate.kind, fate.key) for fate in fates(ledger.events, service, wanted, since)]


# -- fates -------------------------------------------------------------------------------------------------------------


def test_several_parts_that_went_at_once_are_told_in_the_order_of_their_keys():
    """One receipt took image and both models away."""
    ledger = Ledger()
    first = ledger.deploy(both("7", "1"))
    ledger.deploy(both("8", "2", "2"))
    wanted = parts(both("7", "1"), B, IMAGE, A)
    assert told(ledger, wanted, first) == [(FateKind.REPLACED, key) for key in (IMAGE, A, B)]


def test_only_what_was_there_can_go():
    """Version 9 was asked about; it was neither left nor rejected by what happened to 7."""
    ledger = Ledger()
    first = ledger.deploy(both("7", "1"))
    ledger.deploy(both("8", "1"))
    assert told(ledger, parts(both("9", "1"), A, B), first) == []


def test_a_removal_replaces_everything():
    """And a service that begins had nothing to leave."""
    ledger = Ledger()
    first = ledger.deploy(both("7", "1"))
    ledger.deploy(None)
    assert told(ledger, parts(both("7", "1"), A, IMAGE), first) == [(FateKind.REPLACED, IMAGE), (FateKind.REPLACED, A)]
    assert told(ledger, parts(both("7", "1"), A), "nowhere") == []


def test_a_failed_removal_leaves_everything():
    """Nothing was tried in its place, and nothing is said against it."""
    ledger = Ledger()
    first = ledger.deploy(both("7", "1"))
    ledger.deploy(None, Outcome.FAILED, taken=())
    assert told(ledger, parts(both("7", "1"), A), first) == []


def test_a_failed_proof_is_told_of_the_parts_that_it_rejected():
    """A 8 and B 2 were tried together, and both are asked about; the image beside them was not at fault."""
    ledger = Ledger()
    first = ledger.deploy(both("7", "1"))
    tried = both("8", "2")
    ledger.deploy(tried, Outcome.ROLLED_BACK, rejects=parts(tried, A, B))
    assert told(ledger, parts(tried, A, IMAGE), first) == [(FateKind.ROLLED_BACK, A)]


def test_only_what_came_after_the_event_counts():
    """The receipt itself is not its own fate: it took version 7 away."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    second = ledger.deploy(of("8"))
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    ledger.deploy(of("8"))
    assert told(ledger, parts(of("7"), A), second) == [(FateKind.REPLACED, A)]


def test_a_hold_and_an_approval_befall_nothing():
    """They move no component; what comes after them is told all the same."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.hold()
    ledger.approve(of("7"), of("8"))
    ledger.deploy(of("8"))
    assert told(ledger, parts(of("7"), A), first) == [(FateKind.REPLACED, A)]


def test_a_removal_proves_nothing_and_has_no_origins():
    """The first proof of 7 is the one before it."""
    ledger = Ledger()
    ledger.deploy(of("8"))
    ledger.deploy(None)
    event = ledger.deploy(both("7", "1"))
    assert first_proof(ledger.events, "risk", parts(of("7"), A)[0]).id == event
    assert [origin.key for origin in origins(ledger.events, "risk", event)] == [IMAGE, A, B, SETTINGS]


# -- questions without an answer ---------------------------------------------------------------------------------------


def serves(ledger, **asked):
    return serving(ledger.events, timelines(ledger.events), "production", **asked)


def found(ledgers, asked, **more):
    events = {name: ledger.events for name, ledger in ledgers.items()}
    return of_bundle(events, {name: timelines(one) for name, one in events.items()}, asked, **more)


def shop():
    """`wine` and `ale` serve, `mead` was removed."""
    ledger = Ledger()
    for name in ("wine", "mead", "ale"):
        ledger.deploy(of("7", service=name), service=name)
    ledger.deploy(None, service="mead")
    return ledger


@pytest.mark.parametrize(
    ("ledger", "asked", "said", "hint"),
    [
        (shop(), {}, "production has several services", "--service, one of: ale, wine"),
        (shop(), {"model": "A"}, "production has several services", "--service, one of: ale, wine"),
        (
            shop(),
            {"service": "mead"},
            "production serves nothing of that name, as far as its ledger knows",
            "--service, one of: ale, mead, wine",
        ),
        (Ledger(), {}, "production serves nothing of that name, as far as its ledger knows", "--service, one of: none"),
    ],
    ids=["several serve", "several serve the model", "it was removed", "nothing ever served"],
)
def test_who_asks_for_none_or_several_is_told_which_there_are(ledger, asked, said, hint):
    """The whole text, as a person reads it."""
    with pytest.raises(UsageError) as refused:
        serves(ledger, **asked)
    assert (refused.value.message, refused.value.hint) == (said, hint)


def test_an_id_that_is_too_short_says_how_long_it_should_be():
    """It would fit by chance."""
    with pytest.raises(UsageError) as refused:
        found({"production": shop()}, "abc")
    assert refused.value.message == "'abc' is too short for the id of a bundle"
    assert refused.value.hint == "4 to 12 hex digits, as X-Bundle has them"


@pytest.mark.parametrize(
    ("ledgers", "asked", "where"),
    [
        ({"production": shop(), "staging": Ledger()}, {}, "the ledgers of production, staging"),
        ({"production": shop(), "staging": Ledger()}, {"environment": "staging"}, "the ledger of staging"),
        ({}, {}, "the ledgers of no environment"),
    ],
    ids=["everywhere", "in one environment", "where there is none"],
)
def test_a_bundle_that_nobody_had_says_where_was_looked(ledgers, asked, where):
    """And why it may be missing."""
    with pytest.raises(Error) as missing:
        found(ledgers, "000000000000", **asked)
    assert missing.value.message == f"no receipt in {where} has bundle 000000000000"
    assert missing.value.hint == "another repository, or a receipt that still waits on its host: mlrelease doctor"


def test_an_id_that_fits_several_names_them_in_order():
    """Of two services of one ledger, whichever came first."""
    ids: dict[str, list] = {}
    for number in range(2000):
        one = of(str(number))
        ids.setdefault(one.id[:4], []).append(one)
    short, pair = next((short, few[:2]) for short, few in ids.items() if len(few) > 1)
    high, low = sorted(pair, key=lambda one: one.id, reverse=True)
    ledger = Ledger()
    ledger.deploy(high)
    ledger.deploy(low)
    with pytest.raises(UsageError) as refused:
        found({"production": ledger}, short)
    assert refused.value.message == f"several bundles begin with {short}: {low.id}, {high.id}"
    assert refused.value.hint == "say more of its id"


def test_a_service_narrows_the_search():
    """The same bytes in two services are two bundles; here one model moved from one service to the other."""
    ledger = shop()
    assert [s.service for s in found({"production": ledger}, of("7", service="ale").id, service="ale")] == ["ale"]
    with pytest.raises(Error):
        found({"production": ledger}, of("7", service="ale").id, service="wine")


def test_the_date_of_an_answer_counts_only_where_the_ledger_is_sure():
    """In the seconds of a switch it may have been either: then the newest proof explains the bundle."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    served = ledger.now + 1.0
    ledger.wait(DAY)
    began = ledger.now
    ledger.deploy(of("8"))
    back = ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK, taken=steps())
    here = {"production": ledger}

    def explained(at):
        (subject,) = found(here, of("7").id, said=Answered(of("7").id, at=at))
        return subject.event.id

    assert explained(served) == first
    assert explained(began + 10.2) == back
    assert explained(began + 15.0) == back
