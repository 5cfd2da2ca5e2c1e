"""Every situation with its action: one case of the world a row, and none missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from mlrelease.history.fold import History
from mlrelease.model.change import ChangeKind, Direction, Outcome, Sync
from mlrelease.model.event import ServiceReceipt
from mlrelease.model.live import Observation, Role
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec
from mlrelease.plan.classify import Situation, classify
from mlrelease.plan.table import ACTIONS, KEEPS_RECORDED
from support.core import Story, absent, bundle, environment, instance, live, service

SEVEN, EIGHT = service(), service(models={"A": "8"})


@dataclass(frozen=True, slots=True)
class Case:
    """What happened (`tell`), what the files say now, and what must come of it."""

    tell: Callable[[Story], object]
    files: EnvironmentSpec
    kind: ChangeKind
    sync: Sync
    blocked_by: str = ""
    impatient: bool = True
    observation: Observation | None = None
    source: History | None = None


def nothing(_: Story) -> None:
    """The ledger is empty."""


def seven(story: Story) -> None:
    story.apply(environment(SEVEN))


def seven_then_eight(story: Story) -> None:
    seven(story)
    story.apply(environment(EIGHT))


def eight_rolled_back(story: Story) -> None:
    seven(story)
    story.fail(environment(EIGHT))


def seven_held(story: Story) -> None:
    seven(story)
    story.hold("risk")


def eight_errored(story: Story) -> None:
    seven(story)
    story.err(environment(EIGHT))


def repair_errored(story: Story) -> None:
    seven(story)
    one = SEVEN.bundle
    story.finish({"risk": ServiceReceipt(Outcome.ERRORED, ChangeKind.REPAIR, Direction.NONE, "no memory", one, one)})


def at(spec: ServiceSpec) -> History:
    """The history of an environment in which this was deployed and proved."""
    story = Story()
    story.apply(environment(spec))
    return story.history


CASES = {
    Situation.INVALID: Case(seven, environment(invalid=["risk"]), ChangeKind.NOOP, Sync.OUT_OF_SYNC, "findings"),
    Situation.UNDECLARED: Case(seven, environment(), ChangeKind.NOOP, Sync.OUT_OF_SYNC, "undeclared"),
    Situation.GONE: Case(nothing, environment(absent()), ChangeKind.NOOP, Sync.IN_SYNC),
    Situation.UNWANTED: Case(seven, environment(absent()), ChangeKind.REMOVE, Sync.OUT_OF_SYNC),
    Situation.FIRST: Case(nothing, environment(SEVEN), ChangeKind.CREATE, Sync.OUT_OF_SYNC),
    Situation.FORWARD: Case(seven, environment(EIGHT), ChangeKind.UPDATE, Sync.OUT_OF_SYNC),
    Situation.BACK: Case(seven_then_eight, environment(SEVEN), ChangeKind.ROLLBACK, Sync.OUT_OF_SYNC),
    Situation.REJECTED: Case(eight_rolled_back, environment(EIGHT), ChangeKind.UPDATE, Sync.OUT_OF_SYNC, "rejected"),
    Situation.HELD: Case(seven_held, environment(EIGHT), ChangeKind.UPDATE, Sync.OUT_OF_SYNC, "hold"),
    Situation.UNREAD: Case(
        seven, environment(EIGHT, promotes_from="staging"), ChangeKind.UPDATE, Sync.OUT_OF_SYNC, "promotion:errored"
    ),
    Situation.UNPROMOTED: Case(
        seven,
        environment(EIGHT, promotes_from="staging"),
        ChangeKind.UPDATE,
        Sync.OUT_OF_SYNC,
        "promotion",
        source=at(SEVEN),
    ),
    Situation.SOAKING: Case(
        seven,
        environment(EIGHT, promotes_from="staging", soak_s=3600.0),
        ChangeKind.UPDATE,
        Sync.OUT_OF_SYNC,
        "soak",
        source=at(EIGHT),
    ),
    Situation.UNAPPROVED: Case(
        seven, environment(EIGHT, approval_required=True), ChangeKind.UPDATE, Sync.OUT_OF_SYNC, "approval"
    ),
    Situation.WAITING: Case(eight_errored, environment(EIGHT), ChangeKind.UPDATE, Sync.OUT_OF_SYNC, "waiting", impatient=False),
    Situation.UNMENDED: Case(
        repair_errored,
        environment(SEVEN),
        ChangeKind.REPAIR,
        Sync.DRIFTED,
        "waiting",
        impatient=False,
        observation=live(SEVEN.bundle, replicas=1),
    ),
    Situation.RESET: Case(seven, environment(service(replicas=3)), ChangeKind.SETTINGS, Sync.OUT_OF_SYNC),
    Situation.DRIFTED: Case(
        seven, environment(SEVEN), ChangeKind.REPAIR, Sync.DRIFTED, observation=live(SEVEN.bundle, replicas=1)
    ),
    Situation.IN_SYNC: Case(seven, environment(SEVEN), ChangeKind.NOOP, Sync.IN_SYNC),
}


def test_no_situation_is_without_action_or_test():
    """A situation added to the enum needs its row in the table and its case here."""
    assert set(ACTIONS) == set(CASES) == set(Situation)


@pytest.mark.parametrize("situation", Situation)
def test_each_situation_has_its_action(situation):
    """It is recognised, planned as the table says, blocked or not, with a reason and its sync."""
    case = CASES[situation]
    story = Story()
    case.tell(story)
    observation = case.observation or story.observe()
    history = story.history
    found = classify("risk", case.files, history, observation, now=story.now, impatient=case.impatient, source=case.source)
    plan = story.plan(case.files, observation=observation, impatient=case.impatient, source=case.source)
    (change,) = plan.changes
    assert found.situation is situation
    assert (change.kind, change.blocked_by) == (case.kind, case.blocked_by)
    assert change.acts is (not case.blocked_by and case.kind is not ChangeKind.NOOP)
    assert bool(change.blocked) is bool(case.blocked_by)
    assert change.reason == ACTIONS[situation].reason
    assert plan.sync == {"risk": case.sync}


def test_every_action_has_a_reason():
    """A noop too."""
    assert all(action.reason for action in ACTIONS.values())


def test_what_is_blocked_keeps_what_is_recorded():
    """The blocked situations are exactly those that keep it, and the one in which keeping it did not succeed."""
    blocked = {situation for situation, action in ACTIONS.items() if action.blocked_by}
    assert blocked == KEEPS_RECORDED | {Situation.UNMENDED}


@pytest.mark.parametrize("situation", sorted(KEEPS_RECORDED))
def test_the_recorded_bundle_is_mended_while_the_desired_may_not_run(situation):
    """Whatever blocks git, a dead instance of what serves is replaced."""
    case = CASES[situation]
    story = Story()
    case.tell(story)
    one_dead = live(SEVEN.bundle, replicas=1)
    (change,) = story.plan(case.files, observation=one_dead, impatient=case.impatient, source=case.source).changes
    assert (change.kind, change.before, change.after) == (ChangeKind.REPAIR, bundle(), bundle())
    assert change.acts
    assert change.drift == ("instances: 1 of 2 answer as they should",)
    assert ACTIONS[situation].reason in change.reason


@pytest.mark.parametrize("situation", sorted(set(Situation) - {Situation.DRIFTED, Situation.UNMENDED}))
def test_nothing_is_drifted_when_we_could_not_look(situation):
    """Without an observation the same situation is found, and sync is Unknown where it depends on looking."""
    case = CASES[situation]
    story = Story()
    case.tell(story)
    plan = story.plan(case.files, observation=None, impatient=case.impatient, source=case.source)
    (change,) = plan.changes
    assert (change.kind, change.blocked_by) == (case.kind, case.blocked_by)
    assert plan.sync["risk"] is (Sync.UNKNOWN if case.sync is Sync.IN_SYNC else case.sync)


@pytest.mark.parametrize(
    ("extra", "drift"),
    [
        pytest.param({}, "leftover {}: of bundle {}", id="an instance"),
        pytest.param({"role": Role.STRAY}, "stray {}", id="a stray"),
    ],
)
def test_what_runs_of_an_unknown_service_is_removed(extra, drift):
    """Not declared, never recorded, yet something of it runs."""
    found = instance(bundle("ghost"), **extra)
    (change,) = Story().plan(environment(), observation=Observation((found,))).changes
    assert (change.service, change.kind, change.before, change.after) == ("ghost", ChangeKind.REMOVE, None, None)
    assert change.drift == (drift.format(found.id, found.bundle),)


def test_a_warm_instance_of_a_removed_service_is_no_reason_to_act():
    """It is reaped when its time is over."""
    warm = instance(bundle("ghost"), role=Role.WARM)
    (change,) = Story().plan(environment(), observation=Observation((warm,))).changes
    assert change.kind is ChangeKind.NOOP
