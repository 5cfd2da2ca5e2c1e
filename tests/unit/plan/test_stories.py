"""Stories of one service: git moves, passes come out one way or another, and the next plan knows what to do."""

from __future__ import annotations

import pytest
from mlrelease.model.bundle import ABSENT, IMAGE, SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Direction, Health, Outcome, Sync
from mlrelease.model.spec import State
from support.core import Story, absent, bundle, environment, image, judged, model, service

A, B = model_key("A"), model_key("B")
F, K = Direction.FORWARD, Direction.BACK


def on(a="7", b=None, **other):
    """Files of one service with model A, and B where given."""
    return environment(service(models={"A": a} | ({"B": b} if b else {}), **other))


def told(*files) -> Story:
    """Everything applied, one after the other."""
    story = Story()
    for env in files:
        story.apply(env)
    return story


def moves(change):
    return {c.key: c.direction for c in change.components}


def rejected(story):
    return [dict(r.components) for r in story.history.rejections]


def eight():
    return {A: model("A", "8").digest}


def test_reverting_one_model_moves_that_one_only():
    """A1→A2, B1→B2, revert A: a rollback of A, and B stays where it is."""
    story = told(on("1", "1"), on("2", "1"), on("2", "2"))
    change = story.change(on("1", "2"))
    assert change.kind is ChangeKind.ROLLBACK
    assert moves(change) == {A: K}
    assert change.after == bundle(models={"A": "1", "B": "2"})
    assert judged(change) == ((model("A", "1"), True),)
    story.apply(on("1", "2"))
    assert rejected(story) == [{A: model("A", "2").digest}]
    assert story.history.bundle("risk").versions() == {"A": "1", "B": "2"}


def test_reverting_the_model_leaves_a_newer_image_alone():
    """Image and model move by themselves too; the bundle gone to was never here, its parts were."""
    story = told(on("1"), on("2"), on("2", tag="2"))
    change = story.change(on("1", tag="2"))
    assert change.kind is ChangeKind.ROLLBACK
    assert moves(change) == {A: K}


def test_reverting_the_image_leaves_a_newer_model_alone():
    """The other way round; no model pin is judged."""
    story = told(on("1"), on("1", tag="2"), on("2", tag="2"))
    change = story.change(on("2", tag="1"))
    assert change.kind is ChangeKind.ROLLBACK
    assert moves(change) == {IMAGE: K}
    assert judged(change) == ()


def test_both_reverted_at_once_is_a_rollback():
    """Every changed component goes back."""
    story = told(on("1"), on("2"), on("2", tag="2"))
    change = story.change(on("1"))
    assert (change.kind, moves(change)) == (ChangeKind.ROLLBACK, {A: K, IMAGE: K})
    story.apply(on("1"))
    assert rejected(story) == [{A: model("A", "2").digest, IMAGE: image("2").digest}]


def test_seven_eight_seven_eight_seven():
    """The second 8 is blocked until somebody lifts the rejection, then it is forward; the last 7 is back again."""
    story = told(on("7"), on("8"))
    assert story.apply(on("7")).changes[0].kind is ChangeKind.ROLLBACK
    assert rejected(story) == [eight()]

    again = story.change(on("8"))
    assert (again.kind, again.blocked_by, again.direction) == (ChangeKind.UPDATE, "rejected", F)
    assert again.blocked == "rejected by ada: git moved back to what was verified here before"
    assert not story.apply(on("8")).acting
    assert story.history.bundle("risk") == bundle(models={"A": "7"})

    story.unreject("risk", (A, model("A", "8").digest))
    assert rejected(story) == []
    lifted = story.apply(on("8")).changes[0]
    assert (lifted.kind, lifted.blocked, lifted.direction) == (ChangeKind.UPDATE, "", F)

    assert story.apply(on("7")).changes[0].kind is ChangeKind.ROLLBACK
    assert rejected(story) == [eight()]
    assert story.change(on("7")).kind is ChangeKind.NOOP


def test_seven_eight_nine_eight_seven():
    """Both steps down are rollbacks; each rejects what it left."""
    story = told(on("7"), on("8"), on("9"))
    assert [story.apply(on(version)).changes[0].kind for version in "87"] == [ChangeKind.ROLLBACK] * 2
    assert rejected(story) == [{A: model("A", "9").digest}, eight()]
    assert story.change(on("9")).blocked_by == "rejected"
    assert story.change(on("10")).blocked_by == ""


def test_image_back_and_model_forward_at_once_is_an_update():
    """Mixed: judged, and rejected if it fails, only for what moves forward; its failure is no failure of the old image."""
    story = told(on("7", tag="1"), on("7", tag="2"))
    mixed = on("8", tag="1")
    change = story.change(mixed)
    assert (change.kind, change.direction, moves(change)) == (ChangeKind.UPDATE, F, {A: F, IMAGE: K})
    assert judged(change) == ((model("A", "8"), False),)
    story.fail(mixed)
    assert rejected(story) == [eight()]
    assert story.change(mixed).blocked_by == "rejected"
    assert story.change(on("7", tag="1")).kind is ChangeKind.ROLLBACK


def test_one_model_back_and_one_forward_are_judged_each_its_own_way():
    """The one that goes back is judged as going back."""
    story = told(on("1", "1"), on("2", "1"))
    change = story.change(on("1", "2"))
    assert (change.kind, moves(change)) == (ChangeKind.UPDATE, {A: K, B: F})
    assert judged(change) == ((model("A", "1"), True), (model("B", "2"), False))


def test_a_mixed_move_is_blocked_for_its_rejected_forward_part():
    """What goes back beside it does not carry it through."""
    story = told(on("7", tag="1"), on("7", tag="2"))
    story.fail(on("8", tag="2"))
    assert story.change(on("8", tag="1")).blocked_by == "rejected"


def test_a_settings_only_edit_is_no_new_bundle():
    """Replicas change in place: nothing moves, nothing is judged, nothing is rejected on the way back."""
    story = told(on("7"))
    change = story.change(on("7", replicas=4))
    assert (change.kind, change.components, change.direction) == (ChangeKind.SETTINGS, (), Direction.NONE)
    assert change.before == change.after == bundle(models={"A": "7"})
    assert change.drift == ("replicas: 2 → 4",)
    assert judged(change) == ()
    story.apply(on("7", replicas=4))
    assert story.change(on("7", replicas=4)).kind is ChangeKind.NOOP
    assert story.apply(on("7")).changes[0].kind is ChangeKind.SETTINGS
    assert rejected(story) == []


def test_an_env_edit_moves_the_settings_component():
    """It can change answers, so it is a bundle of its own, and reverting it is a rollback."""
    tuned = on("7", env=(("THRESHOLD", "0.5"),))
    story = told(on("7"))
    change = story.apply(tuned).changes[0]
    assert (change.kind, moves(change)) == (ChangeKind.UPDATE, {SETTINGS: F})
    back = story.apply(on("7")).changes[0]
    assert (back.kind, moves(back)) == (ChangeKind.ROLLBACK, {SETTINGS: K})
    assert story.change(tuned).blocked_by == "rejected"


@pytest.mark.parametrize(
    "relabelled",
    [
        pytest.param(environment(service(models={"A": model("A", "70", content="7")})), id="a version number"),
        pytest.param(environment(service(tag=image("1.0", content="1"))), id="an image tag"),
    ],
)
def test_a_label_with_the_same_digest_is_a_settings_change(relabelled):
    """Other words for the same content: updated in place, recorded with the new label, and then in sync."""
    story = told(on("7"))
    change = story.apply(relabelled).changes[0]
    assert (change.kind, change.components) == (ChangeKind.SETTINGS, ())
    assert change.before.id == change.after.id
    assert story.history.bundle("risk") == relabelled.services["risk"].bundle
    assert story.change(relabelled).kind is ChangeKind.NOOP


def test_an_automatic_rollback_leaves_git_ahead():
    """The next plan is blocked as rejected and out of sync, what is recorded stays and stays healthy."""
    story = told(on("7"))
    story.fail(on("8"))
    plan = story.plan(on("8"), impatient=False)
    (change,) = plan.changes
    assert (change.kind, change.blocked_by) == (ChangeKind.UPDATE, "rejected")
    assert change.blocked == "rejected by ada: golden rows differ"
    assert (change.before, change.after) == (bundle(models={"A": "7"}), bundle(models={"A": "8"}))
    assert plan.acting == ()
    assert plan.sync == {"risk": Sync.OUT_OF_SYNC}
    assert plan.health == {"risk": Health.HEALTHY}
    assert story.change(on("7")).kind is ChangeKind.NOOP


def test_a_rejected_version_bumped_again_stays_blocked():
    """Whoever proposes it, under whatever label, at once or later; another version passes."""
    story = told(on("7"))
    story.fail(on("8"))
    story.apply(on("7"))
    assert story.change(on("8"), now=story.now + 1e9, impatient=True).blocked_by == "rejected"
    relabelled = environment(service(models={"A": model("A", "80", content="8")}))
    assert story.change(relabelled).blocked_by == "rejected"
    assert story.change(on("8", tag="2")).blocked_by == "rejected"
    assert story.change(on("9")).blocked_by == ""


def test_a_first_deploy_that_fails_is_blocked():
    """Nothing is recorded, nothing is good to go back to, health is Missing; a corrected pin is a first deploy again."""
    story = Story()
    story.fail(on("7"), Outcome.FAILED)
    plan = story.plan(on("7"))
    (change,) = plan.changes
    assert (change.before, change.blocked_by) == (None, "rejected")
    assert plan.health == {"risk": Health.MISSING}
    assert "risk" not in story.history.recorded
    assert story.history.last_good("risk", before=None) is None
    corrected = story.change(on("8"))
    assert (corrected.kind, corrected.blocked) == (ChangeKind.CREATE, "")


def test_a_model_added_and_the_revert_of_that():
    """Adding is forward and judged; taking away again is back, and rejects what was added."""
    story = told(on("7"), on("8"))
    added = story.apply(on("8", "1")).changes[0]
    assert (added.kind, moves(added)) == (ChangeKind.UPDATE, {B: F})
    reverted = story.change(on("8"))
    assert (reverted.kind, moves(reverted), reverted.components[0].after) == (ChangeKind.ROLLBACK, {B: K}, ABSENT)
    assert judged(reverted) == ()
    story.apply(on("8"))
    assert rejected(story) == [{B: model("B", "1").digest}]


def test_a_model_removed_and_the_revert_of_that():
    """Removing is forward, for it was never without; bringing it back is a rollback that rejects no absence."""
    story = told(on("7", "1"))
    removed = story.apply(on("7")).changes[0]
    assert (removed.kind, moves(removed)) == (ChangeKind.UPDATE, {B: F})
    brought_back = story.apply(on("7", "1")).changes[0]
    assert (brought_back.kind, moves(brought_back)) == (ChangeKind.ROLLBACK, {B: K})
    assert rejected(story) == []


def test_a_failed_removal_of_a_model_rejects_nothing():
    """An absence is not a value to hold off: the next pass may try again."""
    story = told(on("7", "1"))
    story.fail(on("7"))
    assert rejected(story) == []
    assert story.change(on("7")).acts


def test_a_removed_service_comes_back_by_a_rollback():
    """`state: absent` removes; re-adding what was verified here is back."""
    story = told(on("7"))
    removal = story.apply(environment(absent())).changes[0]
    assert (removal.kind, removal.before, removal.after) == (ChangeKind.REMOVE, bundle(models={"A": "7"}), None)
    assert story.change(environment(absent())).kind is ChangeKind.NOOP
    again = story.change(on("7"))
    assert (again.kind, again.before, again.direction) == (ChangeKind.ROLLBACK, None, K)


def test_a_removed_service_comes_back_newer_as_a_first_deploy():
    """A version never seen here is forward, wherever the rest was."""
    story = told(on("7"), environment(absent()))
    change = story.change(on("8"))
    assert (change.kind, change.direction, moves(change)) == (ChangeKind.CREATE, F, {A: F, IMAGE: K, SETTINGS: K})


def test_an_absent_environment_removes_its_services():
    """`state: absent` of the environment is that of each service."""
    story = told(on("7"))
    assert story.change(environment(service(), state=State.ABSENT)).kind is ChangeKind.REMOVE


def test_two_removals_at_once_are_blocked():
    """Unless somebody said so; one alone passes, and other services are not concerned."""
    both = environment(service("churn"), service("risk"), service("young"))
    story = told(both)
    emptied = environment(absent("churn"), absent("risk"), service("young", {"A": "8"}))
    plan = story.plan(emptied)
    assert [(c.service, c.blocked_by) for c in plan.changes] == [("churn", "removals"), ("risk", "removals"), ("young", "")]
    assert plan.changes[0].blocked == "2 services would be removed at once: say --allow-remove"
    allowed = story.plan(emptied, removals_allowed=True)
    assert [c.service for c in allowed.acting] == ["churn", "risk", "young"]
    one = story.plan(environment(absent("churn"), service("risk"), service("young")))
    assert [c.kind for c in one.acting] == [ChangeKind.REMOVE]


def test_a_missing_file_is_not_a_removal():
    """What was recorded and has no file any more is undeclared: blocked, kept, and out of sync."""
    story = told(on("7"))
    plan = story.plan(environment())
    (change,) = plan.changes
    assert (change.kind, change.blocked_by) == (ChangeKind.NOOP, "undeclared")
    assert change.before == change.after == bundle(models={"A": "7"})
    assert plan.sync == {"risk": Sync.OUT_OF_SYNC}
    assert plan.health == {"risk": Health.HEALTHY}


def test_an_emptied_folder_removes_nothing():
    """However many services were there."""
    story = told(environment(service("churn"), service("risk")))
    plan = story.plan(environment(), removals_allowed=True)
    assert plan.acting == ()
    assert [c.blocked_by for c in plan.changes] == ["undeclared"] * 2


def test_invalid_files_keep_what_is_recorded():
    """Findings block their own service; the one beside it goes on."""
    story = told(environment(service("churn"), service("risk")))
    plan = story.plan(environment(service("risk", {"A": "8"}), invalid=["churn"]))
    churn, risk = plan.changes
    assert (churn.blocked_by, churn.before, churn.after) == ("findings", bundle("churn"), bundle("churn"))
    assert (risk.kind, risk.blocked) == (ChangeKind.UPDATE, "")


def test_an_invalid_new_service_has_nothing_to_keep():
    """It is named, and nothing happens."""
    (change,) = Story().plan(environment(invalid=["risk"])).changes
    assert (change.kind, change.blocked_by, change.before, change.after) == (ChangeKind.NOOP, "findings", None, None)


def test_services_are_independent():
    """Each has its own Change, kind and history; a rejection in one is none in the other."""
    story = told(environment(service("churn"), service("risk")))
    story.fail(environment(service("churn", {"A": "8"}), service("risk")))
    plan = story.plan(environment(service("churn", {"A": "8"}), service("risk", {"A": "8"})))
    assert [(c.service, c.kind, c.blocked_by) for c in plan.changes] == [
        ("churn", ChangeKind.UPDATE, "rejected"),
        ("risk", ChangeKind.UPDATE, ""),
    ]


def test_a_plan_can_be_narrowed_to_some_services():
    """The others are not in it, not even as noops."""
    story = told(environment(service("churn"), service("risk")))
    plan = story.plan(environment(service("churn", {"A": "8"}), service("risk", {"A": "8"})), only=frozenset({"risk"}))
    assert [c.service for c in plan.changes] == ["risk"]
    assert set(plan.sync) == set(plan.health) == {"risk"}


def test_a_plan_says_what_it_was_made_from():
    """The environment, the revision and the height of the ledger; Changes sorted by service."""
    story = told(environment(service("b"), service("a")))
    plan = story.plan(environment(service("b"), service("a")), revision="r1")
    assert (plan.environment, plan.revision, plan.height) == ("production", "r1", 1)
    assert [c.service for c in plan.changes] == ["a", "b"]


def test_a_persons_rejection_blocks_the_way_back():
    """A rollback to what somebody rejected is refused; to what was merely left, it is not."""
    story = told(on("6"), on("7"), on("8"))
    story.reject("risk", (A, model("A", "7").digest))
    assert story.change(on("7")).blocked == "rejected by ada: biased"
    assert story.change(on("6")).kind is ChangeKind.ROLLBACK
    assert story.change(on("6")).acts


def test_a_standing_rejected_value_does_not_block_others():
    """What already runs is not judged again when something else moves."""
    story = told(on("7", "1"))
    story.reject("risk", (A, model("A", "7").digest))
    assert story.change(on("7", "1")).kind is ChangeKind.NOOP
    assert story.change(on("7", "2")).acts
