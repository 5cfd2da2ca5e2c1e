"""A service whose recorded bundle is the one that git wants: settings that changed, tries that failed, what is left over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.model.change import ChangeKind, Direction, Outcome, Sync
from mlrelease.model.event import ServiceReceipt
from mlrelease.model.live import Observation, Role
from mlrelease.model.spec import State
from support.core import START, Story, absent, bundle, environment, image, instance, live, route, service

SEVEN = environment(service())
THREE = environment(service(replicas=3))
FIRST_WAIT_S = 5.0


def at_seven() -> Story:
    story = Story()
    story.apply(SEVEN)
    return story


def tried(story: Story, outcome=Outcome.ERRORED, reason="no memory", kind=ChangeKind.SETTINGS) -> Story:
    """An in-place update of the recorded bundle that did not succeed."""
    story.finish({"risk": ServiceReceipt(outcome, kind, Direction.NONE, reason, bundle(), bundle())})
    return story


class TestSettingsThatCouldNotBeTaken:
    """`replicas` went from 2 to 3, and the pass could not start the third."""

    def test_an_agent_waits_before_it_tries_again_and_says_until_when(self):
        """Nothing that runs is wrong: that the settings differ is reason enough to wait."""
        story = tried(at_seven())
        change = story.change(THREE, impatient=False, now=story.now + FIRST_WAIT_S - 0.1)
        assert (change.kind, change.blocked_by, change.acts) == (ChangeKind.REPAIR, "waiting", False)
        assert change.drift == ("replicas: 2 → 3",)
        assert change.waits_until == story.now + FIRST_WAIT_S

    def test_after_the_wait_they_are_settings_again(self):
        """And not a repair: nothing is broken."""
        story = tried(at_seven())
        change = story.change(THREE, impatient=False, now=story.now + FIRST_WAIT_S)
        assert (change.kind, change.acts, change.drift) == (ChangeKind.SETTINGS, True, ("replicas: 2 → 3",))

    def test_a_person_does_not_wait_for_it(self):
        """Somebody asked: now."""
        assert tried(at_seven()).change(THREE).kind is ChangeKind.SETTINGS

    def test_git_back_at_the_old_settings_leaves_nothing_to_wait_for(self):
        """What runs is what git wants: the failed try is nobody's concern, and no wait is shown."""
        story = tried(at_seven())
        plan = story.plan(SEVEN, impatient=False)
        (change,) = plan.changes
        assert (change.kind, change.blocked, change.waits_until) == (ChangeKind.NOOP, "", 0.0)
        assert plan.sync == {"risk": Sync.IN_SYNC}

    def test_settings_are_named_before_drift(self):
        """Giving the new settings mends a dead instance as well: one Change, and it says what git asked for."""
        change = at_seven().change(THREE, observation=live(bundle(), replicas=1))
        assert (change.kind, change.drift) == (ChangeKind.SETTINGS, ("replicas: 2 → 3",))

    def test_settings_are_out_of_sync_and_a_wait_for_them_is_drift(self):
        """Git and the ledger differ in the first; in the second the ledger knows of the try."""
        story = at_seven()
        assert story.plan(THREE).sync == {"risk": Sync.OUT_OF_SYNC}
        assert tried(story).plan(THREE, impatient=False).sync == {"risk": Sync.DRIFTED}


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "errored: no memory; tried once"),
        (2, "errored: no memory; tried 2 times"),
        (12, "errored: no memory; tried 12 times"),
    ],
    ids=["once", "twice", "a dozen times"],
)
def test_a_wait_says_how_often_it_was_tried(count, said):
    """The newest reason, and the count of tries in a row."""
    story = at_seven()
    tried(story, reason="an older reason, which is not shown")
    for _ in range(count - 1):
        tried(story)
    if count == 1:
        said = said.replace("no memory", "an older reason, which is not shown")
    assert story.change(THREE, impatient=False).blocked == said


def test_a_success_begins_the_count_anew():
    """Three tries, a success, one more: that is tried once."""
    story = at_seven()
    for _ in range(3):
        tried(story)
    story.apply(THREE)
    tried(story)
    assert story.change(SEVEN, impatient=False).blocked == "errored: no memory; tried once"


class TestWithoutLooking:
    """No observation: nobody could look, or the target is on another host."""

    def test_what_is_drifted_is_not_known_but_settings_are(self):
        """They are read off the ledger."""
        change = at_seven().change(THREE, observation=None)
        assert (change.kind, change.drift) == (ChangeKind.SETTINGS, ("replicas: 2 → 3",))

    def test_nothing_of_an_absent_service_is_removed(self):
        """It may run or not: without a look there is nothing to take away, and no drift is claimed."""
        plan = Story().plan(environment(absent()), observation=None)
        (change,) = plan.changes
        assert (change.kind, change.drift, plan.sync) == (ChangeKind.NOOP, (), {"risk": Sync.UNKNOWN})

    def test_a_blocked_move_keeps_nothing_that_was_not_seen(self):
        """A hold, and an observation that is missing: no repair is made up."""
        story = at_seven()
        story.hold("risk")
        change = story.change(environment(service(models={"A": "8"})), observation=None)
        assert (change.kind, change.blocked_by, change.drift) == (ChangeKind.UPDATE, "hold", ())


class TestLeftOver:
    """Instances of services that should not be there."""

    def test_each_unwanted_service_names_its_own(self):
        """A stray of one is not listed with the other."""
        one, other = (instance(bundle(name), role=Role.STRAY) for name in ("ghost", "phantom"))
        plan = Story().plan(environment(), observation=Observation((one, other)), removals_allowed=True)
        assert {change.service: change.drift for change in plan.changes} == {
            "ghost": (f"stray {one.id}",),
            "phantom": (f"stray {other.id}",),
        }

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param(environment(absent()), id="a service that is absent"),
            pytest.param(environment(service(), state=State.ABSENT), id="an environment that is absent"),
            pytest.param(environment(), id="a service without a file"),
        ],
    )
    def test_a_service_that_never_was_recorded_is_taken_away_by_its_instances(self, files):
        """A pass was killed before it wrote that it had succeeded, and git gave the service up."""
        found = instance(bundle())
        (change,) = Story().plan(files, observation=Observation((found,))).changes
        assert (change.kind, change.reason) == (ChangeKind.REMOVE, "not wanted, but something of it runs")
        assert change.drift == (f"leftover {found.id}: of bundle {found.bundle}",)

    def test_a_removal_that_is_recorded_is_not_repeated(self):
        """Nothing of it runs: a noop that says why."""
        story = at_seven()
        story.apply(environment(absent()))
        change = story.change(environment(absent()))
        assert (change.kind, change.reason) == (ChangeKind.NOOP, "not wanted and not there")

    def test_an_instance_without_a_service_is_nobodys_change(self):
        """The target found a process that says of nothing whose it is."""
        lost = replace(instance(bundle()), service="", role=Role.STRAY)
        assert Story().plan(environment(), observation=Observation((lost,))).changes == ()


class TestReceiptsWithoutSettings:
    """A receipt of an older version, which recorded no settings."""

    def kept(self, replicas: int, running: int) -> tuple[str, ...]:
        """The drift of what is recorded while a hold keeps git's next version away."""
        story = Story()
        story.finish({"risk": ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "", None, bundle())})
        story.hold("risk")
        wanted = environment(service(models={"A": "8"}, replicas=replicas))
        return story.change(wanted, observation=live(bundle(), replicas=running)).drift

    def test_the_file_says_how_many_there_should_be(self):
        """One of three is too few, three are enough."""
        assert self.kept(3, running=1) == ("instances: 1 of 3 answer as they should",)
        assert self.kept(3, running=3) == ()

    def test_without_a_file_one_is_enough(self):
        """Its file is gone: what runs is kept, and one instance of it must answer."""
        story = Story()
        story.finish({"risk": ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "", None, bundle())})
        one, none = live(bundle(), replicas=1), Observation((), {"risk": route(bundle())})
        assert story.change(environment(), observation=one).kind is ChangeKind.NOOP
        gone = story.change(environment(), observation=none)
        assert (gone.kind, gone.drift) == (ChangeKind.REPAIR, ("instances: 0 of 1 answer as they should",))


def test_the_longest_hold_says_until_when_and_the_newest_says_why():
    """Two holds with ends: both must be over before the move may go on."""
    story = at_seven()
    story.hold(for_s=7200.0)
    long = story.now + 7200.0
    story.hold("risk", for_s=60.0)
    change = story.change(environment(service(models={"A": "8"})), now=story.now)
    assert (change.blocked_by, change.waits_until) == ("hold", long)
    assert change.blocked.startswith("held by ada until ")
    assert change.blocked.endswith(": freeze")


FILES = st.builds(
    lambda version, tag, replicas: environment(service(models={"A": version}, tag=image(tag), replicas=replicas)),
    st.sampled_from("789"),
    st.sampled_from("12"),
    st.integers(1, 3),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(FILES, min_size=1, max_size=5))
def test_what_was_applied_is_in_sync_and_stays_so(path):
    """After each pass the same files ask for nothing more, whatever was there before; asking twice says the same."""
    story = Story()
    for files in path:
        story.apply(files)
        again = story.plan(files)
        assert story.plan(files) == again
        if again.changes[0].blocked_by != "rejected":
            assert [change.reason for change in again.changes] == ["in sync"]
            assert set(again.sync.values()) == {Sync.IN_SYNC}
        else:
            # A move back rejects what it left: git asked for that again.
            assert again.sync == {"risk": Sync.OUT_OF_SYNC}


@settings(max_examples=15, deadline=None)
@given(st.permutations(["churn", "fraud", "risk", "wine"]), st.floats(0, 1e6))
def test_the_order_of_files_and_instances_does_not_matter(order, later):
    """The plan is the same to the letter."""
    files = {name: service(name) for name in order}
    story = Story()
    story.apply(environment(*(files[name] for name in sorted(order))))
    wanted = [replace(files[name], replicas=1 + number) for number, name in enumerate(sorted(order))]
    shuffled = environment(*(next(s for s in wanted if s.name == name) for name in order))
    seen = live(*(bundle(name) for name in order))
    plain = story.plan(environment(*wanted), observation=live(*(bundle(name) for name in sorted(order))), now=START + later)
    assert story.plan(shuffled, observation=seen, now=START + later) == plain
    assert [change.service for change in plain.changes] == sorted(order)
