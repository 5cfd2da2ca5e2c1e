"""What a forward move waits for: the source's proof, the soak, an approval; what never waits; and in which order it is said."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.when import iso
from mlrelease.plan.policy import to_prove
from support.core import Story, absent, bundle, environment, image, live, model, service

A = model_key("A")
HOUR = 3600.0
STRICT = {"promotes_from": "staging", "soak_s": HOUR, "approval_required": True}


def on(version="8", tag="1", *, env=(), models=None, **policy):
    return environment(service(models={"A": version} | (models or {}), tag=tag, env=env), **policy)


def at(*versions, tag="1") -> Story:
    """An environment that went through these versions of A."""
    story = Story()
    for version in versions:
        story.apply(on(version, tag))
    return story


def blocked(story, files, staging=None, **other):
    change = story.change(files, source=staging.history if staging else None, **other)
    return change.blocked_by


class TestApproval:
    """`approval: required`."""

    def test_it_names_the_command_that_gives_it(self):
        """Whoever reads the plan knows what to do."""
        change = at("7").change(on("8", approval_required=True))
        assert (change.kind, change.blocked_by, change.waits_until) == (ChangeKind.UPDATE, "approval", 0.0)
        assert change.blocked == "waits for an approval: mlrelease approve production --service risk"

    def test_given_it_acts_until_it_expires(self):
        """The next pass goes on; one that comes too late waits again, and says why."""
        story, files = at("7"), on("8", approval_required=True)
        story.approve(story.change(files), for_s=HOUR)
        assert story.change(files, now=story.now + HOUR - 1).acts
        late = story.change(files, now=story.now + HOUR)
        assert late.blocked_by == "approval"
        assert late.blocked.endswith(f"--service risk (grace's expired at {iso(story.now + HOUR)})")

    def test_one_for_another_version_does_not_fit(self):
        """Git moved on after it was given."""
        story = at("7")
        story.approve(story.change(on("8", approval_required=True)))
        change = story.change(on("9", approval_required=True))
        assert change.blocked_by == "approval"
        assert change.blocked.endswith("(grace's is for another change)")

    @pytest.mark.parametrize(
        ("files", "needs"),
        [
            pytest.param(on("7"), False, id="nothing"),
            pytest.param(on("8"), True, id="a model"),
            pytest.param(on("7", tag="2"), True, id="an image"),
            pytest.param(on("7", env=(("MODE", "fast"),)), True, id="env, which changes answers"),
            pytest.param(on("7", models={"B": "1"}), True, id="a model more"),
            pytest.param(environment(service(models={"A": "7"}, replicas=5)), False, id="replicas, which change none"),
            pytest.param(environment(service(models={"A": "7"}, timeout_s=5.0)), False, id="a timeout, which changes none"),
            pytest.param(environment(absent()), True, id="the end of the service"),
        ],
    )
    def test_it_is_for_what_changes_answers(self, files, needs):
        """Settings updated in place are not asked: what answers stays the same bundle."""
        from dataclasses import replace

        strict = replace(files, approval_required=True)
        assert (blocked(at("7"), strict) == "approval") is needs

    def test_a_removal_is_no_way_around_it(self):
        """Taking a service away is not going back; what is recorded is kept as it should be until somebody says yes."""
        story, files = at("7"), environment(absent(), approval_required=True)
        (change,) = story.plan(files).changes
        assert (change.kind, change.reason, change.after) == (ChangeKind.REMOVE, "state: absent", None)
        mended = story.change(files, observation=live(bundle(models={"A": "7"}), replicas=1))
        assert (mended.kind, mended.after) == (ChangeKind.REPAIR, bundle(models={"A": "7"}))

    def test_two_removals_need_the_flag_as_well(self):
        """Each policy is asked by itself."""
        story = Story()
        story.apply(environment(service("churn"), service("risk")))
        files = environment(absent("churn"), absent("risk"), approval_required=True)
        assert {c.blocked_by for c in story.plan(files).changes} == {"removals"}
        assert {c.blocked_by for c in story.plan(files, removals_allowed=True).changes} == {"approval"}

    def test_approving_one_service_leaves_the_other_waiting(self):
        """Services are independent."""
        story = Story()
        files = environment(service("churn"), service("risk"), approval_required=True)
        churn, _ = story.plan(files).changes
        story.approve(churn)
        assert {c.service: c.blocked_by for c in story.plan(files).changes} == {"churn": "", "risk": "approval"}


class TestPromotion:
    """`promotes_from` and `soak`."""

    def test_what_the_source_never_verified_waits(self):
        """It is the ledger there that counts, not what git wants there."""
        staging = at("7")
        change = at("7").change(on("8", promotes_from="staging"), source=staging.history)
        assert (change.blocked_by, change.waits_until) == ("promotion", 0.0)
        assert change.blocked == "A 8 was never verified in staging under the image that it would run with here"
        staging.apply(on("8"))
        assert blocked(at("7"), on("8", promotes_from="staging"), staging) == ""

    def test_a_soak_says_when_it_is_served(self):
        """The moment is absolute, so the reason does not tick; from then on the Change acts by itself."""
        staging = at("7", "8")
        files = on("8", promotes_from="staging", soak_s=HOUR)
        story = at("7")
        served = staging.now + HOUR
        waiting = story.change(files, source=staging.history, now=served - 1)
        assert (waiting.blocked_by, waiting.waits_until) == ("soak", served)
        assert waiting.blocked == f"A 8: not before {iso(served)}, when its soak in staging is served"
        assert story.change(files, source=staging.history, now=served).acts

    def test_a_version_rejected_in_the_source_after_its_soak_does_not_pass(self):
        """However long it ran before."""
        staging = at("7", "8")
        staging.now += 2 * HOUR
        staging.apply(on("7"))
        story = at("7")
        change = story.change(on("8", promotes_from="staging", soak_s=HOUR), source=staging.history, now=staging.now)
        assert (change.blocked_by, change.blocked) == (
            "promotion",
            "A 8 was rejected by ada: git moved back to what was verified here before (in staging)",
        )

    def test_a_set_that_the_source_left_together_does_not_pass_together(self):
        """Each was proved there by itself; both at once are what was moved back from."""
        staging = Story()
        for a, b in (("7", "1"), ("8", "2"), ("7", "1"), ("8", "1"), ("9", "1"), ("9", "2")):
            staging.apply(on(a, models={"B": b}))
        story = Story()
        story.apply(on("7", models={"B": "1"}))

        def waits(a, b):
            return blocked(story, on(a, models={"B": b}, promotes_from="staging"), staging)

        assert (waits("8", "1"), waits("7", "2"), waits("8", "2")) == ("", "", "promotion")

    def test_a_source_that_cannot_be_read_fails_closed(self):
        """It is not known, and that is its own exit code."""
        change = at("7").change(on("8", promotes_from="staging"))
        assert (change.blocked_by, change.blocked) == (
            "promotion:errored",
            "the ledger of staging could not be read: mlrelease history staging",
        )

    def test_the_last_soak_of_several_decides(self):
        """All that moves goes at once."""
        staging = Story()
        staging.apply(on("8", models={"B": "1"}))
        staging.apply(on("8", models={"B": "2"}))
        story = Story()
        story.apply(on("7", models={"B": "1"}))
        files = on("8", models={"B": "2"}, promotes_from="staging", soak_s=HOUR)
        change = story.change(files, source=staging.history, now=staging.now)
        assert change.waits_until == staging.now + HOUR
        assert change.blocked.startswith("B 2: not before")
        assert change.blocked.endswith("(and 1 more)")

    @pytest.mark.parametrize(
        ("before", "after", "proved"),
        [
            pytest.param(("7", "1"), ("8", "1"), ["A"], id="a model forward: it alone"),
            pytest.param(("7", "1"), ("7", "2"), ["A", "B"], id="an image forward: all under it"),
            pytest.param(("7", "1"), ("8", "2"), ["A", "B"], id="both"),
        ],
    )
    def test_what_must_be_proved(self, before, after, proved):
        """Models that move forward, and all of them under an image that does."""
        story = Story()
        story.apply(on(*before, models={"B": "1"}))
        change = story.change(on(*after, models={"B": "1"}))
        assert [pin.name for pin in to_prove(change.components, change.after)] == proved

    def test_settings_of_their_own_are_no_matter_of_the_source(self):
        """`env` is of an environment; the models under it stay."""
        story = at("7")
        assert blocked(story, on("7", env=(("MODE", "fast"),), promotes_from="staging"), at("9")) == ""

    def test_an_image_forward_asks_for_the_models_that_stay(self):
        """A 7 ran here for a year, under another image."""
        story, staging = at("7"), at("8", tag="2")
        change = story.change(on("7", tag="2", promotes_from="staging"), source=staging.history)
        assert change.blocked == "A 7 was never verified in staging under the image that it would run with here"


@pytest.mark.parametrize(
    ("rejected", "held", "proved", "soaked", "approved"),
    list(product([True, False], repeat=5)),
    ids=lambda flag: "yes" if flag else "no",
)
def test_the_order_in_which_no_is_said(rejected, held, proved, soaked, approved):
    """Rejected, held, not promoted, soaking, unapproved: the first is named, and only with none of them it acts."""
    story, staging = at("7"), at("7", "8" if proved else "6")
    files = on("8", **STRICT)
    if approved:
        story.approve(story.change(files, source=staging.history), for_s=10 * HOUR)
    if held:
        story.hold("risk")
    if rejected:
        story.reject("risk", (A, model("A", "8").digest))
    now = staging.now + (HOUR if soaked else HOUR / 2)
    expected = (
        "rejected" if rejected
        else "hold" if held
        else "promotion" if not proved
        else "soak" if not soaked
        else "approval" if not approved
        else ""
    )  # fmt: skip
    assert blocked(story, files, staging, now=now) == expected


@pytest.mark.parametrize("impatient", [True, False], ids=["a person asks", "the agent looks"])
@pytest.mark.parametrize("source", [None, Story(), at("7")], ids=["source unread", "source empty", "source elsewhere"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "not held"])
def test_a_rollback_waits_for_none_of_it(source, held, impatient):
    """Neither approval nor soak nor source nor hold: what is gone back to passed them when it was live."""
    story = at("7", "8")
    if held:
        story.hold()
    change = story.change(on("7", **STRICT), source=source.history if source else None, impatient=impatient)
    assert (change.kind, change.direction, change.acts) == (ChangeKind.ROLLBACK, Direction.BACK, True)


def test_a_mixed_change_is_forward_and_waits():
    """The image goes back, the model forward."""
    story = Story()
    for tag in ("1", "2"):
        story.apply(on("7", tag))
    change = story.change(on("8", "1", approval_required=True))
    assert {c.direction for c in change.components} == {Direction.BACK, Direction.FORWARD}
    assert (change.direction, change.blocked_by) == (Direction.FORWARD, "approval")


def test_a_mixed_change_asks_the_source_for_what_moves_forward_only():
    """The model that goes back is proved here."""
    story = Story()
    for version, other in (("7", "1"), ("8", "1")):
        story.apply(on(version, models={"B": other}))
    change = story.change(on("7", models={"B": "2"}))
    assert [pin.name for pin in to_prove(change.components, change.after)] == ["B"]


def test_after_a_try_that_errored_the_agent_waits_first_and_the_approval_holds():
    """A retry is told with its moment; the yes that was given is for the retry too."""
    story, files = at("7"), on("8", approval_required=True)
    story.approve(story.change(files))
    story.err(files)
    waiting = story.change(files, impatient=False)
    assert (waiting.blocked_by, waiting.waits_until) == ("waiting", story.now + 5.0)
    assert story.change(files, impatient=False, now=story.now + 5.0).acts


@pytest.mark.parametrize(
    ("ends", "until"),
    [([3600.0], 3600.0), ([3600.0, 60.0], 3600.0), ([3600.0, 0.0], 0.0), ([0.0], 0.0)],
    ids=["one", "the longer of two", "one of two without end", "one without end"],
)
def test_a_hold_says_until_when(ends, until):
    """The last of them decides; no end is no moment."""
    story = at("7")
    began = []
    for end in ends:
        story.hold("risk", for_s=end)
        began.append(story.now)
    change = story.change(on("8"))
    moments = [at_ + end for at_, end in zip(began, ends, strict=True) if end]
    assert change.waits_until == (max(moments) if until else 0.0)
    ended = f" until {iso(began[-1] + ends[-1])}" if ends[-1] else ""
    assert change.blocked == f"held by ada{ended}: freeze"


wanted = st.fixed_dictionaries(
    {"a": st.sampled_from("123"), "b": st.sampled_from(["", "1", "2"]), "tag": st.sampled_from("12")}
)


class Approving(RuleBasedStateMachine):
    """An environment with `approval: required` in which anything happens in any order.

    `given` is the plainest book of approvals: each with its terms and its end, never taken out.
    """

    def __init__(self):
        super().__init__()
        self.story = Story()
        self.files = service()
        self.given: list[tuple] = []
        self.past = [self.files]

    @property
    def env(self):
        return environment(self.files, approval_required=True)

    def terms(self, change):
        return tuple(b.id if b else None for b in (change.before, change.after))

    @rule(to=wanted)
    def edit(self, to):
        """Somebody moves git."""
        self.files = service(models={"A": to["a"]} | ({"B": to["b"]} if to["b"] else {}), tag=to["tag"])
        self.past.append(self.files)

    @rule(data=st.data())
    def revert(self, data):
        """Somebody restores the file as it once was."""
        self.files = data.draw(st.sampled_from(self.past))

    @rule()
    def remove(self):
        """Somebody writes `state: absent`."""
        self.files = absent()

    @rule(minutes=st.integers(1, 9))
    def approve(self, minutes):
        """Somebody approves what waits now."""
        change = self.story.change(self.env)
        if change.blocked_by == "approval":
            self.story.approve(change, for_s=minutes * 60.0)
            self.given.append((*self.terms(change), self.story.now + minutes * 60.0))

    @rule()
    def approve_another(self):
        """Somebody approved a Change that is not the one that waits."""
        change = self.story.change(environment(service(models={"A": "99"})))
        self.story.approve(change)

    @rule()
    def deploy(self):
        """A pass, which comes out well."""
        self.story.apply(self.env)

    @rule(outcome=st.sampled_from([Outcome.ERRORED, Outcome.ABORTED]))
    def stumble(self, outcome):
        """A pass of which it cannot be told."""
        self.story.err(self.env, outcome)

    @rule()
    def fail(self):
        """A pass that verification refuses."""
        self.story.fail(self.env)

    @rule()
    def lift(self):
        """Somebody lifts whatever was rejected of what git wants."""
        if self.files.state == "present":
            self.story.unreject("risk", *self.files.bundle.components().items())

    @invariant()
    def nothing_moves_forward_without_an_approval_that_names_it(self):
        """Every acting Change that is not a move back has a yes, in force, of exactly its bundles."""
        for impatient in (True, False):
            for change in self.story.plan(self.env, impatient=impatient).acting:
                if change.kind in (ChangeKind.REPAIR, ChangeKind.SETTINGS, ChangeKind.ROLLBACK):
                    assert change.direction in (Direction.BACK, Direction.NONE)
                else:
                    terms = self.terms(change)
                    assert [g for g in self.given if g[:2] == terms and g[2] > self.story.now]

    @invariant()
    def nothing_that_goes_back_waits_for_one(self):
        """A rollback is blocked by a person's rejection or its own retry, never by a policy."""
        change = self.story.change(self.env)
        if change.components and change.direction is Direction.BACK:
            assert change.blocked_by in ("", "rejected", "waiting")


TestApproving = Approving.TestCase
TestApproving.settings = settings(
    max_examples=60,
    stateful_step_count=14,
    deadline=None,
    # A failing sequence can be read as it is; shrinking it takes minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


def test_the_image_is_named_in_full_where_the_source_must_have_run_it():
    """The proof is asked for under the digest that git wants here, not the one that runs here now."""
    story, staging = at("7", tag="1"), at("8", tag="2")
    assert blocked(story, on("8", tag="1", promotes_from="staging"), staging) == "promotion"
    assert blocked(story, on("8", tag="2", promotes_from="staging"), staging) == ""
    assert image("1").digest != image("2").digest
