"""A proof of promotion at its edges: soaks to the second, lifted rejections, several services, models that come and go."""

from __future__ import annotations

import math

import pytest
from mlrelease.gates.interface import Promotion
from mlrelease.history.promotion import objection, promotion_of, proof_of
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import ServiceReceipt
from support.core import START, Story, bundle, environment, image, model, service

A, B = model_key("A"), model_key("B")
EIGHT = model("A", "8")
MINUTE = 60.0


def on(name="risk", tag="1", **models):
    return service(name, models, tag)


def told(*files):
    """Each state a minute after the one before."""
    story = Story()
    for services in files:
        story.apply(environment(*(services if isinstance(services, list) else [services])))
    return story


def asked(story, pin=EIGHT, *, soak_s=0.0, tag="1", beside=None, here="risk"):
    return promotion_of(story.history, here, pin, image(tag).reference, soak_s=soak_s, environment="staging", beside=beside)


def value(pin):
    return model_key(pin.name), str(pin.digest)


@pytest.mark.parametrize(("soak_s", "served"), [(MINUTE, True), (MINUTE + 1, False)], ids=["to the second", "a second short"])
def test_a_soak_is_served_by_the_time_until_it_was_replaced(soak_s, served):
    """It ran for a minute."""
    found = asked(told(on(A="8"), on(A="9")), soak_s=soak_s)
    assert math.isinf(found.not_before) is not served
    assert (objection(found, EIGHT, target="local") == "") is served


def test_several_stretches_are_not_added_up():
    """Twice a minute is not two minutes; it was first verified in the first of them."""
    found = asked(told(on(A="8"), on(A="9"), on(A="8"), on(A="10")), soak_s=2 * MINUTE)
    assert (found.verified_at, math.isinf(found.not_before)) == (START + MINUTE, True)
    story = told(on(A="9"), on(A="8"))
    assert proof_of(story.history, EIGHT, image("1").reference).at == START + 2 * MINUTE


def test_the_first_proof_is_the_oldest_whichever_service_has_it():
    """`zeta` had it first, `alpha` later."""
    story = told(on("zeta", A="8"), [on("zeta", A="8"), on("alpha", A="8")])
    assert proof_of(story.history, EIGHT, image("1").reference).at == START + MINUTE
    assert asked(story).verified_at == START + MINUTE


def test_where_two_services_prove_it_in_one_pass_its_own_word_counts():
    """What `risk` exercised there, and not what `alpha` did."""
    story = Story()
    receipts = {
        name: ServiceReceipt(
            Outcome.SUCCEEDED, ChangeKind.CREATE, Direction.FORWARD, "", None, on(name, A="8").bundle, exercised=(name,)
        )
        for name in ("alpha", "risk")
    }
    story.finish(receipts)
    assert asked(story).exercised == ("risk",)
    assert asked(story, here="elsewhere").exercised == ("alpha",)


def test_a_model_that_left_its_service_has_no_proof_from_then_on():
    """Also where no model of a later name is left in the bundle."""
    story = told(on(A="1", Z="8"), on(A="1"))
    found = asked(story, model("Z", "8"), soak_s=2 * MINUTE)
    assert (found.verified_at, math.isinf(found.not_before)) == (START + MINUTE, True)


def test_other_bytes_of_its_name_and_its_bytes_under_another_name_prove_nothing():
    """It is this digest under this name."""
    same = model("B", "1")
    twin = type(same)("A", "1", same.digest)
    assert asked(told(on(A="7", B="1")), twin) == Promotion("staging")
    assert asked(told(on(A="7")), EIGHT) == Promotion("staging")


def test_what_was_exercised_is_named_where_the_image_was_not():
    """All of it, in the order in which it was."""
    promotion = Promotion("staging", verified_at=1.0, exercised=("model", "golden"))
    assert objection(promotion, EIGHT, target="kubernetes") == (
        "A 8 was verified in staging without its image: exercised there: model, golden"
    )
    nothing = Promotion("staging", verified_at=1.0)
    assert objection(nothing, EIGHT, target="kubernetes").endswith("exercised there: nothing")
    assert objection(nothing, EIGHT, target="local") == ""


class TestLiftedRejections:
    """A person took one back: the soak begins anew from then."""

    def story(self, *components, name="risk", times=1):
        story = told([on(A="8"), on("wine", B="1")])
        for _ in range(times):
            story.reject(name, *components)
            story.unreject(name, *components)
        return story

    def began(self, story):
        return asked(story, soak_s=100.0).not_before - 100.0

    def test_it_begins_when_the_last_of_them_was_lifted(self):
        """Rejected twice, lifted twice."""
        story = self.story(value(EIGHT), times=2)
        assert self.began(story) == story.now

    @pytest.mark.parametrize(
        ("components", "name"),
        [
            ([value(model("A", "9"))], "risk"),
            ([value(EIGHT)], "wine"),
            ([value(EIGHT), value(model("B", "2"))], "risk"),
        ],
        ids=["of another version", "in another service", "of a set that is not all here"],
    )
    def test_one_that_was_about_something_else_changes_nothing(self, components, name):
        """The soak goes on from the first verification."""
        assert self.began(self.story(*components, name=name)) == START + MINUTE

    def test_a_stretch_that_ended_as_it_was_lifted_counts_no_more(self):
        """What ran before the word ran under a no."""
        story = told(on(A="8"))
        story.reject("risk", value(EIGHT))
        story.apply(environment(on(A="9")))
        story.unreject("risk", value(EIGHT))
        assert asked(story) == Promotion("staging")


class TestStandingRejections:
    """They stand in the way of what they name, and of whole sets."""

    def test_the_one_that_names_the_model_is_said(self):
        """The image's came later, and is not about the model."""
        story = told(on(A="8"))
        story.reject("risk", value(EIGHT))
        story.reject("risk", (IMAGE, str(image("1").digest)))
        assert asked(story).rejection == "rejected by ada: biased"

    def test_a_pair_of_exactly_model_and_image_stands(self):
        """Both are asked for together."""
        story = told(on(A="8"))
        story.reject("risk", value(EIGHT), (IMAGE, str(image("1").digest)))
        assert asked(story).rejection == "rejected by ada: biased"
        assert asked(story, tag="2").rejection == ""

    def test_a_set_stands_where_the_bundle_has_all_of_it(self):
        """Even if it is the whole bundle."""
        story = told(on(A="8", B="1"))
        wanted = on(A="8", B="1").bundle
        story.reject("risk", *wanted.components().items())
        assert asked(story, beside=wanted).rejection == "rejected by ada: biased"
        assert asked(story, beside=bundle(models={"A": "8", "B": "2"})).rejection == ""
        assert asked(story).rejection == ""

    def test_one_in_another_service_leaves_this_ones_proof(self):
        """`wine` rejected the image that both have; `risk` proved the model under it."""
        story = told([on(A="8"), on("wine", B="1")])
        story.reject("wine", (IMAGE, str(image("1").digest)))
        found = asked(story)
        assert (found.rejection, found.verified_at) == ("", START + MINUTE)
