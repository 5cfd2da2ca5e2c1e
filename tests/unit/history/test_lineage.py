"""Where the values of a service came from, who approved them, and what became of them since."""

from __future__ import annotations

import pytest
from mlrelease.history.lineage import (
    FateKind,
    approval_of,
    fates,
    first_proof,
    history_before,
    origins,
    receipts_of,
    runs,
)
from mlrelease.history.moments import timelines
from mlrelease.model.bundle import IMAGE, SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Outcome
from support.receipts import DAY, HOUR, Ledger, of

A = model_key("A")


def origin_events(ledger, event):
    return {origin.key: origin.event.id for origin in origins(ledger.events, "risk", event)}


def component(version):
    return A, of(version).components()[A]


def test_each_component_has_the_receipt_that_moved_it():
    """The image of the first deploy, the model of the last."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    second = ledger.deploy(of("8"))
    assert origin_events(ledger, second) == {A: second, IMAGE: first, SETTINGS: first}
    assert origin_events(ledger, first) == {A: first, IMAGE: first, SETTINGS: first}


def test_what_came_back_has_the_receipt_that_brought_it_back():
    """The unbroken row counts; the first proof is another question."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    back = ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    assert origin_events(ledger, back) == {A: back, IMAGE: first, SETTINGS: first}
    assert first_proof(ledger.events, "risk", component("7")).id == first
    assert first_proof(ledger.events, "risk", component("9")) is None


def test_tries_and_repairs_move_nothing():
    """Only a succeeded Change with another value does."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    repair = ledger.deploy(of("7"), kind=ChangeKind.REPAIR)
    assert set(origin_events(ledger, repair).values()) == {first}
    assert first_proof(ledger.events, "risk", component("8")) is None


def test_after_a_removal_everything_is_new():
    """A service that was taken away begins again."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    removal = ledger.deploy(None)
    again = ledger.deploy(of("7"))
    assert origins(ledger.events, "risk", removal) == ()
    assert set(origin_events(ledger, again).values()) == {again}


@pytest.mark.parametrize("event", ["e99", "e1", ""])
def test_an_event_that_proved_nothing_has_no_origins(event):
    """A start, or one of another ledger."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    assert origins(ledger.events, "risk", event) == ()


def test_the_receipts_of_a_service_are_its_own():
    """In order."""
    ledger = Ledger()
    first = ledger.deploy(of("7"))
    ledger.deploy(of("7", service="other"), service="other")
    second = ledger.deploy(of("8"))
    assert [event.id for event, _ in receipts_of(ledger.events, "risk")] == [first, second]


def finished(ledger):
    return ledger.events[-1]


def approval(ledger, event):
    found = approval_of(history_before(ledger.events, event), event, "risk")
    return found.id if found else None


def test_the_approval_is_the_one_that_the_pass_had():
    """Of exactly this Change; a later one was not asked."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    given = ledger.approve(of("7"), of("8"))
    ledger.wait(HOUR)
    ledger.deploy(of("8"))
    event = finished(ledger)
    ledger.approve(of("7"), of("8"))
    assert approval(ledger, event) == given


@pytest.mark.parametrize(
    "tell",
    [
        lambda ledger: ledger.approve(of("7"), of("9")),
        lambda ledger: ledger.approve(of("6"), of("8")),
        lambda ledger: ledger.approve(of("7"), of("8"), for_s=60.0),
        lambda ledger: ledger.approve(of("7"), of("8"), service="other"),
        lambda ledger: (ledger.approve(of("7"), of("8")), ledger.reject(component("8"))),
    ],
    ids=["to something else", "from something else", "expired", "for another service", "used up by a rejection"],
)
def test_no_other_approval_is_taken_for_it(tell):
    """None is named then."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    tell(ledger)
    ledger.wait(HOUR)
    ledger.deploy(of("8"))
    assert approval(ledger, finished(ledger)) is None


def told(ledger, version, since):
    found = fates(ledger.events, "risk", (component(version),), since)
    return [(fate.kind, fate.event, fate.reason) for fate in found]


def test_a_version_that_serves_has_met_nothing():
    """Nor does what came before it count."""
    ledger = Ledger()
    ledger.deploy(of("6"))
    ledger.reject(component("7"))
    ledger.unreject(component("7"))
    event = ledger.deploy(of("7"))
    assert told(ledger, "7", event) == []


def test_a_rollback_and_a_persons_word_are_told_in_order():
    """With who and why."""
    ledger = Ledger()
    ledger.deploy(of("6"))
    event = ledger.deploy(of("7"))
    back = ledger.deploy(of("6"), kind=ChangeKind.ROLLBACK, reason="git moved back")
    ledger.reject(component("7"))
    ledger.unreject(component("7"))
    assert told(ledger, "7", event) == [
        (FateKind.ROLLED_BACK, back, "git moved back"),
        (FateKind.REJECTED, ledger.events[-2].id, "biased"),
        (FateKind.UNREJECTED, ledger.events[-1].id, "it was the data"),
    ]
    assert {fate.actor for fate in fates(ledger.events, "risk", (component("7"),), event)} == {"ada <a@b>"}


def test_a_move_on_is_a_replacement():
    """It is said, but it is no rollback."""
    ledger = Ledger()
    event = ledger.deploy(of("7"))
    later = ledger.deploy(of("8"))
    assert told(ledger, "7", event) == [(FateKind.REPLACED, later, "update succeeded")]


def test_a_failed_second_try_counts_against_it():
    """What the pass rejected was put back."""
    ledger = Ledger()
    ledger.deploy(of("6"))
    event = ledger.deploy(of("7"))
    ledger.deploy(of("6"))
    failed = ledger.deploy(of("7"), Outcome.ROLLED_BACK, reason="golden rows differ", rejects=[component("7")])
    assert told(ledger, "7", event)[-1] == (FateKind.ROLLED_BACK, failed, "golden rows differ")


def test_what_befell_another_version_or_service_is_not_told():
    """The digest counts."""
    ledger = Ledger()
    event = ledger.deploy(of("7"))
    ledger.reject(component("8"))
    ledger.reject(component("7"), service="other")
    ledger.deploy(of("7", service="other"), service="other")
    assert told(ledger, "7", event) == []


def test_a_bundles_runs_are_found_in_every_environment():
    """Oldest first, each unbroken time once."""
    production, staging = Ledger(), Ledger()
    staging.deploy(of("8"))
    production.wait(DAY)
    production.deploy(of("7"))
    production.deploy(of("8"))
    production.deploy(of("7"))
    production.deploy(of("8"))
    found = runs({"production": timelines(production.events), "staging": timelines(staging.events)}, of("8").id)
    assert [(run.environment, run.service) for run in found] == [("staging", "risk"), *[("production", "risk")] * 2]
    assert found[1].era.ended <= found[2].era.began
    assert runs({"staging": timelines(staging.events)}, of("5").id) == ()
