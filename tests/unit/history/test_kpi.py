"""The figures of an environment, by hand and by property: each definition of docs/history.md has its cases here."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.history.deeds import UNDONE_WITHIN_S, Failure, deeds, waits
from mlrelease.history.figures import Share
from mlrelease.history.kpi import kpis
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import ServiceReceipt, Step
from support.core import ENVIRONMENT, START
from support.receipts import BACK, DAY, HOUR, NOWHERE, PASS, SWITCH, Branch, Ledger, of, steps

A = model_key("A")
PROVED = PASS - 10.0 - SWITCH
"""Seconds of a pass behind its switch."""


def figures(ledger, branch=None, *, since=0.0, until=math.inf):
    found = kpis(
        ledger.events,
        ENVIRONMENT,
        branch.landings if branch else NOWHERE,
        since=since,
        until=ledger.now + 1.0 if until == math.inf else until,
    )
    return found.total


def gate(name, status, skip=None, component="model:A"):
    return {"gate": name, "component": component, "status": status, "reason": "x", "evidence": {}, "skip_reason": skip}


def test_of_nothing_there_are_no_figures():
    """No percentage, no median, no frequency."""
    found = kpis([], ENVIRONMENT, NOWHERE, since=0.0, until=START)
    total = found.total
    assert (total.deployments, total.failures.rate, total.success.rate) == (0, None, None)
    assert {s.n for s in (total.authored, total.landed, total.restore, total.rollbacks, total.approval_wait)} == {0}
    assert found.services == {}


def test_creates_and_updates_are_deployments():
    """Rollbacks, repairs, settings and removals are counted apart."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    ledger.deploy(of("8"), kind=ChangeKind.SETTINGS)
    ledger.deploy(of("8"), kind=ChangeKind.REPAIR)
    ledger.wait(8 * DAY)
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    ledger.deploy(None)
    found = figures(ledger)
    assert (found.deployments, found.rollbacks.n, found.repairs, found.settings, found.removals) == (2, 1, 1, 1, 1)
    assert found.success == Share(6, 6)


def test_the_frequency_is_over_the_time_that_the_ledger_knows():
    """A ledger of two weeks is not divided by ninety days, and less than a day gives none."""
    ledger = Ledger()
    for _ in range(4):
        ledger.deploy(of("7"))
    assert figures(ledger, since=START - 90 * DAY, until=START + 14 * DAY).per_week == Decimal("2.00")
    assert figures(ledger, since=START - 90 * DAY, until=START + 0.9 * DAY).per_week is None


def test_the_window_has_its_beginning_and_not_its_end():
    """So that two windows side by side count everything once."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    proved = ledger.now
    assert figures(ledger, since=proved, until=proved + 1).deployments == 1
    assert figures(ledger, since=proved - 1, until=proved).deployments == 0


def test_lead_time_goes_from_the_commit_to_the_proof():
    """From when it landed, and from when it was written."""
    ledger, branch = Ledger(), Branch()
    revision = branch.pin(of("7"), START - HOUR, authored=START - 2 * HOUR)
    ledger.deploy(of("7"), revision=revision)
    found = figures(ledger, branch)
    assert found.landed.median == Decimal(repr(HOUR + PASS))
    assert found.authored.median == Decimal(repr(2 * HOUR + PASS))
    assert found.unplaced == 0


def test_of_several_components_the_oldest_commit_counts():
    """What waited longest, waited."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - 9 * HOUR))
    branch.pin(of("8"), START - 5 * HOUR)
    revision = branch.pin(of("8", tag="2"), START - HOUR)
    ledger.deploy(of("8", tag="2"), revision=revision)
    newest = figures(ledger, branch, since=ledger.now)
    assert newest.landed.median == Decimal(repr(5 * HOUR + 2 * PASS))


def test_a_first_deploy_counts_from_the_newest_commit_of_its_files():
    """A folder may have been prepared for weeks."""
    ledger, branch = Ledger(), Branch()
    branch.pin(of("6"), START - 30 * DAY)
    revision = branch.pin(of("7"), START - HOUR, only=f"environments/{ENVIRONMENT}/models/A.yaml")
    ledger.deploy(of("7"), revision=revision)
    assert figures(ledger, branch).landed.median == Decimal(repr(HOUR + PASS))


def test_settings_count_from_the_newest_commit_of_the_services_file():
    """They have no digest to look for."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - 9 * HOUR))
    revision = branch.pin(of("7", MODE="fast"), START - HOUR)
    ledger.deploy(of("7", MODE="fast"), revision=revision)
    assert figures(ledger, branch, since=ledger.now).landed.median == Decimal(repr(HOUR + 2 * PASS))


def test_a_commit_that_is_not_found_gives_no_lead_time_and_is_counted():
    """The n says so."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - HOUR))
    ledger.deploy(of("8"), revision="elsewhere")
    found = figures(ledger, branch)
    assert (found.deployments, found.landed.n, found.unplaced) == (2, 1, 1)


def test_a_host_whose_clock_is_behind_gives_no_negative_lead_time():
    """Zero at least."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START + DAY))
    assert figures(ledger, branch).landed.median == 0


def test_a_receipt_under_a_held_commit_has_no_commit_of_the_branch():
    """A rollback whose commit waits in a pull request; once the hold is over, the branch counts again."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - HOUR))
    ledger.deploy(of("8"), revision=branch.pin(of("8"), START))
    ledger.hold(pinned_to="c0ffee")
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK, revision="r2")
    assert figures(ledger, branch).rollbacks_landed.n == 0
    ledger.unhold()
    ledger.deploy(of("8"), revision="r2")
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK, revision=branch.pin(of("7"), ledger.now))
    assert figures(ledger, branch).rollbacks_landed.n == 1


@pytest.mark.parametrize(
    ("outcome", "failures", "kind"),
    [
        (Outcome.SUCCEEDED, Share(0, 2), None),
        (Outcome.ROLLED_BACK, Share(1, 2), Failure.ROLLED_BACK),
        (Outcome.FAILED, Share(1, 2), Failure.FAILED),
        (Outcome.ERRORED, Share(0, 1), None),
        (Outcome.ABORTED, Share(0, 1), None),
    ],
)
def test_what_failed_its_proof_is_a_failure_and_what_could_not_tell_is_not(outcome, failures, kind):
    """Errored and interrupted passes say nothing against the Change: they are in neither number."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), outcome)
    found = figures(ledger)
    assert found.failures == failures
    assert found.failed_by == ({kind: 1} if kind else {})
    assert found.success == Share(1 + (outcome is Outcome.SUCCEEDED), 2)


@pytest.mark.parametrize(
    ("later", "wait", "failures"),
    [
        (ChangeKind.ROLLBACK, HOUR, 1),
        (ChangeKind.ROLLBACK, UNDONE_WITHIN_S - 2 * PASS, 1),
        (ChangeKind.ROLLBACK, UNDONE_WITHIN_S + 1, 0),
        (ChangeKind.UPDATE, HOUR, 0),
        (ChangeKind.REMOVE, HOUR, 0),
        (ChangeKind.REPAIR, HOUR, 0),
    ],
    ids=["within the hour", "within the week", "after a week", "mended forward", "removed", "repaired"],
)
def test_a_change_that_a_person_rolls_back_within_a_week_has_failed(later, wait, failures):
    """Its next move decides; what is mended by a newer version was not rolled back."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.wait(UNDONE_WITHIN_S * 2)
    ledger.deploy(of("8"))
    ledger.wait(wait)
    after = {ChangeKind.ROLLBACK: of("7"), ChangeKind.UPDATE: of("9"), ChangeKind.REMOVE: None, ChangeKind.REPAIR: of("8")}
    ledger.deploy(after[later], kind=later)
    assert figures(ledger).failures.part == failures


def test_repairs_between_a_change_and_its_rollback_do_not_hide_it():
    """Nor do tries that failed."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    ledger.deploy(of("8"), kind=ChangeKind.REPAIR)
    ledger.deploy(of("7"), Outcome.ERRORED, kind=ChangeKind.ROLLBACK)
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    assert figures(ledger).failed_by == {Failure.UNDONE: 1}


def test_a_rollback_after_the_window_still_counts_for_the_change_within():
    """A Change is judged by all that is known, whichever time is looked at."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    middle = ledger.now + 1.0
    ledger.wait(DAY)
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    assert figures(ledger, until=middle).failures == Share(1, 2)
    assert figures(ledger, since=middle).failures == Share(0, 0)


def test_restoring_after_an_automatic_rollback_is_the_time_that_the_candidate_had_the_traffic():
    """From its switch to the switch back."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    assert figures(ledger).restore.median == Decimal(repr(SWITCH + 5.0 + BACK))


def test_a_candidate_that_never_had_the_traffic_has_nothing_to_restore():
    """It failed, and nobody saw it."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.ROLLED_BACK, taken=steps(until="golden"))
    found = figures(ledger)
    assert (found.failures.part, found.restore.n, found.unrestored) == (1, 0, 0)


def test_restoring_after_a_rollback_by_a_person_is_the_time_that_the_bad_one_served():
    """From its switch to the proof of the rollback."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    ledger.wait(HOUR)
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK)
    assert figures(ledger).restore.longest == Decimal(repr(PROVED + HOUR + PASS))


def test_a_failure_is_open_until_something_is_proved():
    """And then it took so long."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.FAILED)
    assert (figures(ledger).restore.n, figures(ledger).unrestored) == (0, 1)
    ledger.wait(HOUR)
    ledger.deploy(of("7"), kind=ChangeKind.REPAIR)
    found = figures(ledger)
    assert (found.restore.n, found.unrestored) == (1, 0)
    assert found.restore.median == Decimal(repr(5.0 + HOUR + PASS))


def test_rollbacks_have_their_own_seconds():
    """The pass's steps; and from the commit, where it is known."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - DAY))
    ledger.deploy(of("8"), revision=branch.pin(of("8"), START))
    ledger.deploy(of("7"), kind=ChangeKind.ROLLBACK, revision=branch.pin(of("7"), ledger.now - 60.0))
    found = figures(ledger, branch)
    assert found.rollbacks.median == Decimal(repr(PASS))
    assert found.rollbacks_landed.median == Decimal(repr(60.0 + PASS))


def test_gates_that_shut_are_counted_once_a_receipt():
    """By gate; a skip with a reason opened, one without did not; what acted was not shut out."""
    ledger = Ledger()
    ledger.deploy(of("7"), gates=[gate("metric", "passed")])
    shut = [
        gate("metric", "failed"),
        gate("metric", "failed", component="model:B"),
        gate("digest", "passed"),
        gate("scan", "skipped", skip="waived"),
        gate("smoke", "skipped"),
    ]
    ledger.deploy(of("8"), Outcome.BLOCKED, taken=(), gates=shut)
    ledger.deploy(of("8"), Outcome.ERRORED, taken=(), gates=[gate("exists", "errored")])
    ledger.deploy(of("8"), Outcome.ERRORED, gates=[gate("size", "inconclusive")])
    found = figures(ledger)
    assert found.blocks == {"metric": 1, "smoke": 1, "exists": 1}
    assert found.success == Share(1, 2)
    assert found.outcomes == {Outcome.SUCCEEDED: 1, Outcome.ERRORED: 1}


def test_an_approval_waited_since_the_commit_that_it_is_about():
    """The newest of them: before it there was nothing to approve."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - DAY))
    branch.pin(of("8"), ledger.now)
    branch.pin(of("8", tag="2"), ledger.now + HOUR)
    ledger.wait(3 * HOUR)
    ledger.approve(of("7"), of("8", tag="2"))
    assert figures(ledger, branch).approval_wait.median == Decimal(repr(2 * HOUR))


@pytest.mark.parametrize(
    ("before", "after"),
    [(of("7"), of("9")), (of("7"), None), (of("7"), of("7"))],
    ids=["its commit is not on the branch", "a removal", "nothing moves"],
)
def test_an_approval_without_a_commit_has_no_wait(before, after):
    """It is counted all the same."""
    ledger, branch = Ledger(), Branch()
    ledger.deploy(of("7"), revision=branch.pin(of("7"), START - DAY))
    ledger.approve(before, after)
    found = figures(ledger, branch)
    assert (found.approvals, found.approval_wait.n) == (1, 0)


def test_an_approval_counts_to_its_own_service():
    """Also where nothing of that service was deployed in that time."""
    ledger, branch = Ledger(), Branch()
    branch.pin(of("7", service="other"), START - HOUR)
    ledger.approve(None, of("7", service="other"), service="other")
    found = kpis(ledger.events, ENVIRONMENT, branch.landings, since=0.0, until=START + 1)
    assert list(found.services) == ["other"]
    assert found.services["other"].approvals == 1


def test_steps_are_those_of_proved_passes_in_their_order():
    """Done twice in one pass, they count together."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"), Outcome.ROLLED_BACK)
    ledger.deploy(of("9"), taken=(*steps(), Step("drain", 1.0)))
    found = figures(ledger)
    assert list(found.steps) == ["artifacts", "start", "ready", "golden", "switch", "proof", "drain", "retire"]
    assert (found.steps["switch"].n, found.steps["drain"].longest) == (2, Decimal(3))


def test_an_interrupted_pass_and_a_running_one():
    """The one is a try without success, the other is none yet."""
    ledger = Ledger()
    ledger.deploy(of("7"), Outcome.ABORTED, taken=())
    ledger.deploy(of("7"), Outcome.RUNNING, taken=())
    assert figures(ledger).success == Share(0, 1)


def test_several_services_in_one_receipt_are_counted_each():
    """One pass, two transactions."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    first = ledger.events[-1]
    receipt = first.services["risk"]
    other = ServiceReceipt(receipt.outcome, receipt.change, receipt.direction, "x", None, of("3", service="other"))
    object.__setattr__(first, "services", {"risk": receipt, "other": other})
    found = kpis(ledger.events, ENVIRONMENT, NOWHERE, since=0.0, until=ledger.now + 1)
    assert {name: one.deployments for name, one in found.services.items()} == {"other": 1, "risk": 1}
    assert found.total.deployments == 2


# -- properties ------------------------------------------------------------------------------------------------------

TRIES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *[(Outcome.SUCCEEDED, ChangeKind.UPDATE)] * 4,
                (Outcome.SUCCEEDED, ChangeKind.ROLLBACK),
                (Outcome.SUCCEEDED, ChangeKind.REPAIR),
                (Outcome.SUCCEEDED, ChangeKind.SETTINGS),
                (Outcome.ROLLED_BACK, ChangeKind.UPDATE),
                (Outcome.FAILED, ChangeKind.UPDATE),
                (Outcome.FAILED, ChangeKind.ROLLBACK),
                (Outcome.ERRORED, ChangeKind.UPDATE),
                (Outcome.BLOCKED, ChangeKind.UPDATE),
                (Outcome.ABORTED, ChangeKind.UPDATE),
            ]
        ),
        st.sampled_from(["risk", "other", "third"]),
        st.sampled_from("6789"),
        st.floats(0, 3 * DAY),
        st.booleans(),
    ),
    max_size=25,
)


def played(tries):
    ledger, branch = Ledger(), Branch()
    for (outcome, kind), service, number, wait, is_approved in tries:
        ledger.wait(wait)
        after = of(number, service=service)
        revision = branch.pin(after, ledger.now - wait / 2)
        if is_approved:
            ledger.approve(ledger.recorded.get(service), after, service=service)
        shut = [gate("metric", "failed")] if outcome is Outcome.BLOCKED else []
        taken = () if outcome is Outcome.BLOCKED else None
        ledger.deploy(after, outcome, kind=kind, service=service, revision=revision, gates=shut, taken=taken)
    return ledger, branch


def counts(one):
    """Everything in the figures that is a number of something."""
    return Counter(
        {
            "deployments": one.deployments,
            "lead": one.landed.n,
            "unplaced": one.unplaced,
            "failed": one.failures.part,
            "judged": one.failures.whole,
            "restored": one.restore.n,
            "open": one.unrestored,
            "rollbacks": one.rollbacks.n,
            "approvals": one.approvals,
            "waits": one.approval_wait.n,
            "acted": one.success.whole,
            "proved": one.success.part,
            "repairs": one.repairs,
            "settings": one.settings,
        }
        | {f"gate {name}": n for name, n in one.blocks.items()}
        | {f"outcome {name}": n for name, n in one.outcomes.items()}
        | {f"step {name}": spread.n for name, spread in one.steps.items()}
        | {f"failed by {name}": n for name, n in one.failed_by.items()}
    )


@settings(max_examples=60, deadline=None)
@given(TRIES, st.lists(st.floats(0, 1), max_size=4))
def test_a_time_counts_what_its_parts_count(tries, cuts):
    """However it is cut into windows."""
    ledger, branch = played(tries)
    end = ledger.now + 1.0
    edges = sorted({START, end, *(START + cut * (end - START) for cut in cuts)})
    whole = counts(figures(ledger, branch, since=START, until=end))
    parts = [counts(figures(ledger, branch, since=since, until=until)) for since, until in itertools.pairwise(edges)]
    assert sum(parts, Counter()) == +whole


@settings(max_examples=60, deadline=None)
@given(TRIES)
def test_all_is_the_sum_of_the_services(tries):
    """And every receipt is counted once, as something."""
    ledger, branch = played(tries)
    found = kpis(ledger.events, ENVIRONMENT, branch.landings, since=0.0, until=ledger.now + 1.0)
    assert sum((counts(one) for one in found.services.values()), Counter()) == +counts(found.total)
    shut = sum(outcome is Outcome.BLOCKED for (outcome, _), *_ in tries)
    assert found.total.success.whole + shut == len(tries)
    assert found.total.approvals == sum(is_approved for *_, is_approved in tries)


@settings(max_examples=60, deadline=None)
@given(TRIES)
def test_the_figures_keep_to_their_bounds(tries):
    """Parts are no more than wholes; times are not negative; what is open is not restored."""
    ledger, branch = played(tries)
    one = figures(ledger, branch)
    assert 0 <= one.failures.part <= one.failures.whole
    assert one.restore.n + one.unrestored <= one.failures.part
    assert one.landed.n + one.unplaced == one.deployments
    assert sum(one.failed_by.values()) == one.failures.part
    for spread in (one.authored, one.landed, one.restore, one.rollbacks, one.approval_wait, *one.steps.values()):
        assert (spread.median is None) == (spread.n == 0)
        assert spread.n == 0 or 0 <= spread.median <= spread.longest


def test_deeds_and_waits_come_in_order():
    """By service, then as they happened."""
    ledger = Ledger()
    for name in ("risk", "other", "risk"):
        ledger.deploy(of("7", service=name), service=name)
        ledger.approve(None, of("7", service=name), service=name)
    found = deeds(ledger.events, ENVIRONMENT, NOWHERE)
    assert [deed.service for deed in found] == ["other", "risk", "risk"]
    assert found[1].at < found[2].at
    assert [wait.service for wait in waits(ledger.events, ENVIRONMENT, NOWHERE)] == ["risk", "other", "risk"]


def test_a_day_to_the_second_is_enough_for_a_frequency():
    """A second less is not; the window begins where the ledger does."""
    ledger = Ledger()
    ledger.deploy(of("7"))
    ledger.deploy(of("8"))
    began = ledger.events[0].at
    assert figures(ledger, until=began + DAY).per_week == Decimal("14.00")
    assert figures(ledger, until=began + DAY - 1.0).per_week is None


def test_approvals_are_in_the_window_as_deployments_are():
    """Its beginning belongs to it, its end does not."""
    ledger = Ledger()
    ledger.approve(None, of("7"))
    at = ledger.now
    assert figures(ledger, since=at, until=at + 1.0).approvals == 1
    assert figures(ledger, since=at - 1.0, until=at).approvals == 0


def test_services_are_listed_by_name():
    """One that was only approved stands among them."""
    ledger = Ledger()
    for name in ("wine", "ale"):
        ledger.deploy(of("7", service=name), service=name)
    ledger.approve(None, of("7", service="mead"), service="mead")
    found = kpis(ledger.events, ENVIRONMENT, NOWHERE, since=0.0, until=ledger.now + 1.0)
    assert list(found.services) == ["ale", "mead", "wine"]
    assert (found.services["mead"].approvals, found.services["mead"].deployments) == (1, 0)
