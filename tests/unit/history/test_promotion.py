"""What staging proves of a model under an image: verified, for how long, by whom rejected."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.gates.interface import Promotion
from mlrelease.history.promotion import objection, promotion_of, proof_of, soak_word
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import ServiceReceipt
from support.core import START, Story, absent, bundle, environment, image, live, model, service

A = model_key("A")
EIGHT = model("A", "8")
MINUTE = 60.0
HOUR = 3600.0


def on(a="8", b=None, tag="1", name="risk", **other):
    return environment(service(name, {"A": a} | ({"B": b} if b else {}), tag, **other))


def told(*files) -> Story:
    """Everything applied, one after the other, a minute each."""
    story = Story()
    for env in files:
        story.apply(env)
    return story


def asked(story, pin=EIGHT, tag="1", soak_s=0.0, beside=None) -> Promotion:
    return promotion_of(story.history, "risk", pin, image(tag).reference, soak_s=soak_s, environment="staging", beside=beside)


def test_what_was_never_there_is_not_verified():
    """An empty ledger proves nothing."""
    assert asked(Story()) == Promotion("staging")
    assert objection(asked(Story()), EIGHT, target="local") == (
        "A 8 was never verified in staging under the image that it would run with here"
    )


def test_the_first_verification_counts_and_the_soak_from_then():
    """Repairs, other settings and other models leave the stretch whole."""
    story = told(on("7", "1"), on("8", "1"), on("8", "2"), on("8", "2", replicas=3))
    story.apply(on("8", "2", replicas=3), observation=live(bundle(models={"A": "8", "B": "2"}), replicas=1))
    found = asked(story, soak_s=HOUR)
    assert found == Promotion("staging", verified_at=START + 2 * MINUTE, not_before=START + 2 * MINUTE + HOUR)
    assert soak_word(found) == "not before 2023-11-14T23:15:20.000Z, when its soak in staging is served"


@pytest.mark.parametrize(
    ("files", "tag", "verified"),
    [
        pytest.param([on("8", tag="1")], "2", False, id="the model under another image"),
        pytest.param([on("7", tag="2")], "2", False, id="another model under the image"),
        pytest.param([on("8", tag="1"), on("8", tag="2")], "2", True, id="both together, the model first"),
        pytest.param([on("7", tag="2"), on("8", tag="2")], "2", True, id="both together, the image first"),
        pytest.param([on("8", tag="2", name="scores")], "2", True, id="both together in a service of another name"),
    ],
)
def test_model_and_image_must_have_been_verified_together(files, tag, verified):
    """By digest, in any service of the source that serves the model."""
    assert bool(asked(told(*files), tag=tag).verified_at) is verified


def test_a_digest_alone_names_the_image():
    """A reference and its digest are the same question."""
    history = told(on()).history
    whole, alone = image("1").reference, str(image("1").digest)
    answers = [promotion_of(history, "risk", EIGHT, i, soak_s=0.0, environment="staging") for i in (whole, alone)]
    assert answers[0] == answers[1]
    assert answers[0].verified_at


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(outcome, outcome is Outcome.SUCCEEDED) for outcome in Outcome],
    ids=str,
)
def test_only_a_success_verifies(outcome, expected):
    """Whatever else became of a try, nothing was proved."""
    story = Story()
    story.finish({"risk": ServiceReceipt(outcome, ChangeKind.CREATE, Direction.FORWARD, "", None, bundle(models={"A": "8"}))})
    assert bool(asked(story).verified_at) is expected


def test_what_ran_is_what_was_exercised():
    """Taken from the receipts of the stretch."""
    story = Story()
    eight = bundle(models={"A": "8"})
    for parts in (("model",), ("model", "image")):
        receipt = ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.UPDATE, Direction.FORWARD, "", None, eight, exercised=parts)
        story.finish({"risk": receipt})
    assert asked(story).exercised == ("model", "image")


@pytest.mark.parametrize(
    ("target", "exercised", "opens"),
    [
        pytest.param("local", ("model",), True, id="to local, where no image runs"),
        pytest.param("local", ("model", "image"), True, id="to local, from where one ran"),
        pytest.param("kubernetes", ("model",), False, id="to where an image runs, from where none did"),
        pytest.param("kubernetes", (), False, id="to where an image runs, from where nothing is known"),
        pytest.param("kubernetes", ("model", "image"), True, id="to where an image runs, from where it ran"),
    ],
)
def test_an_image_that_will_run_must_have_run(target, exercised, opens):
    """Only `local` stands in for the image, and only for `local` does that count."""
    found = objection(Promotion("staging", verified_at=START, exercised=exercised, not_before=START), EIGHT, target=target)
    said = f"A 8 was verified in staging without its image: exercised there: {', '.join(exercised) or 'nothing'}"
    assert found == ("" if opens else said)


class TestSoak:
    """It is served by one unbroken stretch."""

    def test_it_is_served_after_it_is_replaced(self):
        """What ran long enough has soaked, whatever came after."""
        story = told(on("8"))
        story.now += HOUR
        story.apply(on("9"))
        assert asked(story, soak_s=HOUR).not_before == START + MINUTE + HOUR
        assert objection(asked(story, soak_s=HOUR), EIGHT, target="local") == ""

    def test_one_that_was_replaced_before_has_not_soaked(self):
        """The newer one took its time."""
        story = told(on("8"), on("9"))
        found = asked(story, soak_s=HOUR)
        assert (found.verified_at, found.not_before) == (START + MINUTE, math.inf)
        assert objection(found, EIGHT, target="local") == "A 8 was replaced in staging before its soak was served"
        assert objection(asked(story), EIGHT, target="local") == ""

    def test_an_image_that_moves_under_it_begins_it_anew(self):
        """The pair is what soaks."""
        story = told(on("8", tag="1"), on("8", tag="2"))
        assert asked(story, tag="1", soak_s=HOUR).not_before == math.inf
        assert asked(story, tag="2", soak_s=HOUR).not_before == START + 2 * MINUTE + HOUR

    def test_a_removed_service_soaks_no_more(self):
        """Nothing ran any more."""
        assert asked(told(on("8"), environment(absent())), soak_s=HOUR).not_before == math.inf

    def test_any_service_may_serve_it(self):
        """The one that serves it first decides."""
        story = told(on("8"))
        both = environment(service("risk", {"A": "8"}), service("scores", {"A": "8"}))
        story.apply(both)
        story.apply(environment(service("risk", {"A": "9"}), service("scores", {"A": "8"})))
        assert asked(story, soak_s=HOUR).not_before == START + 2 * MINUTE + HOUR
        assert asked(story, soak_s=MINUTE).not_before == START + 2 * MINUTE

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("789"), st.integers(0, 5)), max_size=8), st.integers(0, 10))
    def test_it_never_ends_before_it_was_served_whole(self, path, soak):
        """Whatever staging went through, the moment named is one soak after a verification, and within one stretch of it."""
        story, times = Story(), []
        for version, minutes in path:
            story.unreject("risk", (A, model("A", version).digest))
            story.now += minutes * MINUTE
            before = story.history.bundle("risk")
            if before is None or before.versions()["A"] != version:
                story.apply(on(version))
                times.append((story.now, version))
        found = asked(story, soak_s=soak * MINUTE)
        if found.rejection or not found.verified_at:
            return
        assert bool(found.not_before) is bool(soak)
        ends = [*(at for at, _ in times[1:]), math.inf]
        stretches = [(begin, end) for (begin, version), end in zip(times, ends, strict=True) if version == "8"]
        assert any(begin <= found.verified_at < end for begin, end in stretches)
        if soak and not math.isinf(found.not_before):
            served_from = found.not_before - soak * MINUTE
            assert any(begin <= served_from and found.not_before <= end for begin, end in stretches)


class TestRejected:
    """What staging found wanting goes nowhere, however long it ran before."""

    def moved_back(self) -> Story:
        story = told(on("7"), on("8"))
        story.now += HOUR
        story.apply(on("7"))
        return story

    def test_one_that_was_moved_back_from_after_its_soak(self):
        """The soak was served; the rejection stands."""
        found = asked(self.moved_back(), soak_s=MINUTE)
        assert found.rejection == "rejected by ada: git moved back to what was verified here before"
        assert objection(found, EIGHT, target="local") == (
            "A 8 was rejected by ada: git moved back to what was verified here before (in staging)"
        )

    def test_one_that_failed_its_verification(self):
        """Never verified, and rejected: the rejection is named."""
        story = told(on("7"))
        story.fail(on("8"))
        assert asked(story).rejection == "rejected by ada: golden rows differ"

    def test_one_that_a_person_rejected_while_it_ran(self):
        """In whatever service it was said."""
        story = told(on("8"))
        story.reject("scores", (A, EIGHT.digest))
        assert asked(story).rejection == "rejected by ada: biased"

    def test_a_lifted_rejection_of_what_runs_begins_the_soak_anew(self):
        """From the moment at which it was lifted."""
        story = told(on("8"))
        story.reject("risk", (A, EIGHT.digest))
        story.now += HOUR
        story.unreject("risk", (A, EIGHT.digest))
        lifted = story.now
        found = asked(story, soak_s=MINUTE)
        assert (found.rejection, found.verified_at, found.not_before) == ("", lifted, lifted + MINUTE)

    def test_a_lifted_rejection_of_what_was_left_needs_a_new_verification(self):
        """It proved nothing since."""
        story = self.moved_back()
        story.unreject("risk", (A, EIGHT.digest))
        assert asked(story) == Promotion("staging")
        story.apply(on("8"))
        assert asked(story).verified_at == story.now

    def test_a_rejected_image_voids_what_ran_under_it_there(self):
        """In its service; where it serves well elsewhere, that counts."""
        story = told(on("7", tag="1"), on("7", tag="2"), on("8", tag="2"))
        story.reject("risk", (IMAGE, image("2").digest))
        assert asked(story, tag="2").rejection == "rejected by ada: biased"
        story.apply(environment(service("risk", {"A": "8"}, "2"), service("scores", {"A": "8"}, "2")))
        assert (asked(story, tag="2").rejection, bool(asked(story, tag="2").verified_at)) == ("", True)

    def test_a_set_counts_where_it_would_run_whole(self):
        """Two models moved back from together: neither alone is named, both together are."""
        story = told(on("7", "1"), on("8", "2"), on("7", "1"))
        story.apply(on("8", "1"))
        assert asked(story).rejection == ""
        whole = bundle(models={"A": "8", "B": "2"})
        assert asked(story, beside=whole).rejection.startswith("rejected by ada: git moved back")
        assert asked(story, beside=bundle(models={"A": "8", "B": "3"})).rejection == ""

    @pytest.mark.parametrize("pin", [model("A", "9"), model("B", "8")], ids=["another version", "another model"])
    def test_a_rejection_of_something_else_has_no_say(self, pin):
        """Digest by digest."""
        story = told(on("8"))
        story.reject("risk", (model_key(pin.name), pin.digest))
        assert asked(story).rejection == ""


def test_the_proof_is_the_change_that_first_verified_it():
    """Its event and revision go into the commit that promotes."""
    story = told(on("7"), on("8"), on("8", replicas=3))
    proof = proof_of(story.history, EIGHT, image("1").reference)
    assert (proof.event, proof.at, proof.revision) == ("e2", START + 2 * MINUTE, "abc")
    assert proof_of(story.history, model("A", "9"), image("1").reference) is None
