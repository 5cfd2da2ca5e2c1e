"""Which bundle and which receipt a question is about: what serves, an id, the headers of an answer."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UsageError
from mlrelease.history.answered import Answered
from mlrelease.history.moments import timelines
from mlrelease.history.subjects import of_bundle, serving
from mlrelease.model.change import ChangeKind, Outcome
from support.receipts import DAY, HOUR, Ledger, of, steps


def two_services():
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("3", service="other"), service="other")
    return ledger


def serves(ledger, **asked):
    return serving(ledger.events, timelines(ledger.events), "production", **asked)


def found(ledgers, asked, **more):
    events = {name: ledger.events for name, ledger in ledgers.items()}
    return of_bundle(events, {name: timelines(one) for name, one in events.items()}, asked, **more)


def named(subjects):
    return [(subject.environment, subject.service, subject.event.id) for subject in subjects]


def test_the_only_service_needs_no_name():
    """It is explained by the receipt that began its time."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    event = ledger.deploy(of("8"))
    ledger.deploy(of("8"), kind=ChangeKind.REPAIR)
    subject = serves(ledger)
    assert (subject.service, subject.bundle, subject.event.id) == ("risk", of("8"), event)


def test_of_several_one_is_named():
    """By its own name, or by a model that only it has."""
    ledger = two_services()
    assert serves(ledger, service="other").service == "other"
    ledger.deploy(of("7"), kind=ChangeKind.REMOVE)
    assert serves(ledger, service="risk", model="A").bundle == of("7")


@pytest.mark.parametrize(
    ("asked", "said", "hint"),
    [
        ({}, "several services", "other, risk"),
        ({"model": "A"}, "several services", "other, risk"),
        ({"model": "B"}, "serves nothing of that name", "other, risk"),
        ({"service": "third"}, "serves nothing of that name", "other, risk"),
    ],
    ids=["nothing named", "a model that both have", "a model that none has", "a service that is none"],
)
def test_what_is_not_one_is_asked_back(asked, said, hint):
    """With the names that there are."""
    with pytest.raises(UsageError, match=said) as refused:
        serves(two_services(), **asked)
    assert hint in refused.value.hint


def test_a_removed_service_serves_nothing():
    """Its bundles are found by their id."""
    ledger = Ledger()
    event = ledger.deploy(of("7"))
    ledger.deploy(None)
    with pytest.raises(UsageError, match="serves nothing"):
        serves(ledger)
    assert named(found({"production": ledger}, of("7").id)) == [("production", "risk", event)]


def test_a_bundle_is_found_wherever_it_ran_oldest_first():
    """The id is the same everywhere."""
    production, staging = Ledger(), Ledger()
    staged = staging.deploy(of("8"))
    production.wait(DAY)
    production.deploy(of("7"))
    event = production.deploy(of("8"))
    both = {"production": production, "staging": staging}
    assert named(found(both, of("8").id)) == [("staging", "risk", staged), ("production", "risk", event)]
    assert named(found(both, of("8").id[:5], environment="production")) == [("production", "risk", event)]
    assert named(found(both, of("8").id, service="risk", environment="staging")) == [("staging", "risk", staged)]


def test_the_newest_time_of_a_bundle_is_explained():
    """Unless the date of the answer lies in an older one."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    then = ledger.now + 1.0
    ledger.wait(HOUR)
    ledger.deploy(of("8"))
    back = ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    ledger.deploy(of("7"), kind=ChangeKind.REPAIR)
    here = {"production": ledger}
    assert named(found(here, of("7").id))[0][2] == back
    assert named(found(here, of("7").id, said=Answered(of("7").id, at=then)))[0][2] == first
    assert named(found(here, of("7").id, said=Answered(of("7").id, at=ledger.now + 1)))[0][2] == back
    assert named(found(here, of("7").id, said=Answered(of("7").id, at=then - DAY)))[0][2] == back


def test_a_revision_says_which_environment_answered():
    """One that no receipt has narrows nothing."""
    production, staging = Ledger(revision="aaaaaaa1"), Ledger(revision="bbbbbbb1")
    for ledger in (staging, production):
        ledger.deploy(of("8"))
        ledger.wait(DAY)
    both = {"production": production, "staging": staging}
    headers = Answered(of("8").id, revision="bbbbbbb1")
    assert [subject.environment for subject in found(both, of("8").id, said=headers)] == ["staging"]
    elsewhere = Answered(of("8").id, revision="ccccccc1")
    assert len(found(both, of("8").id, said=elsewhere)) == 2


def test_a_candidate_that_was_never_proved_is_found_too():
    """It may have answered for seconds: that is what somebody asks about."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    event = ledger.deploy(of("8"), Outcome.ROLLED_BACK, taken=steps(until="proof", back=True))
    subject = found({"production": ledger}, of("8").id)[0]
    assert (subject.event.id, subject.bundle) == (event, of("8"))


def test_one_that_was_proved_after_failed_tries_is_explained_by_its_proof():
    """Whatever came after it."""
    ledger = Ledger()
    ledger.deploy(of("8"), Outcome.ERRORED, taken=())
    event = ledger.deploy(of("8"))
    ledger.deploy(of("9"))
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    assert named(found({"production": ledger}, of("8").id))[0][2] == event


@pytest.mark.parametrize("asked", ["", "371", of("7").id[:3]])
def test_a_short_id_is_refused(asked):
    """It would fit by chance."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    with pytest.raises(UsageError, match="too short"):
        found({"production": ledger}, asked)


def test_an_id_that_fits_several_is_refused_with_their_names(monkeypatch):
    """More of it decides."""
    ids = {}
    for number in range(2000):
        bundle = of(str(number))
        ids.setdefault(bundle.id[:4], []).append(bundle)
    one, other = next(bundles for bundles in ids.values() if len(bundles) > 1)[:2]
    ledger = Ledger()
    ledger.deploy(one)
    ledger.deploy(other)
    with pytest.raises(UsageError, match="several bundles") as refused:
        found({"production": ledger}, one.id[:4])
    assert one.id in refused.value.message
    assert other.id in refused.value.message
    assert found({"production": ledger}, one.id)[0].bundle == one


@pytest.mark.parametrize(
    ("environment", "said"), [("", "production, staging"), ("staging", "staging")], ids=["anywhere", "in one environment"]
)
def test_an_id_that_no_receipt_has_is_an_error(environment, said):
    """Naming where it was looked for."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    with pytest.raises(Error, match="no receipt in") as missing:
        found({"production": ledger, "staging": Ledger()}, "000000000000", environment=environment)
    assert said in missing.value.message
