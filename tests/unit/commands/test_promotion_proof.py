"""The evidence in a promotion's commit message and pull request: where it was proved, by which receipt, for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.promotion_proof import SourceProof, promotion_message
from mlrelease.history.fold import fold
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import ServiceReceipt
from mlrelease.model.when import iso
from mlrelease.plan.promote import Chosen, candidates
from support.core import START, Story, bundle, digest, environment, image, service

GATES = (
    {"gate": "exists", "component": "model:A", "status": "passed"},
    {"gate": "digest", "component": "model:B", "status": "passed"},
    {"gate": "metric", "component": "model:A", "status": "skipped"},
)


def source(*bundles, gates=GATES) -> SourceProof:
    """What staging verified, one a minute from the start on."""
    story = Story()
    for one in bundles:
        before = story.history.bundle(one.service)
        receipt = ServiceReceipt(
            Outcome.SUCCEEDED, ChangeKind.UPDATE, Direction.FORWARD, "", before, one, gate_results=gates, exercised=("model",)
        )
        story.finish({one.service: receipt}, revision="c0ffee1")
    return SourceProof(fold("staging", story.events), tuple(story.events))


def message(proof, dest, key, *, waits="", origin="", pin=None):
    (candidate,) = [
        c
        for c in candidates(proof.history, dest, Story().history, Chosen(), now=START + 1e6)
        if c.key == (IMAGE if key == "image" else model_key(key))
    ]
    return promotion_message(dest, candidate, pin or candidate.after, proof, waits=waits, origin=origin)


VERIFIED = f"Verified {iso(START + 60.0)} at revision c0ffee1 (receipt e1)"


def test_a_model_with_everything_that_is_known():
    """The whole message: move, digest, receipt, gates of that model, soak and origin."""
    proof = source(bundle(models={"A": "8", "B": "1"}))
    dest = environment(service(models={"A": "7", "B": "1"}), promotes_from="staging", soak_s=3600.0)
    assert message(proof, dest, "A", origin="run r1, logged model m1") == (
        "Promote A 8 to production\n"
        "\n"
        "7 → 8, as verified in staging\n"
        "\n"
        f"Digest {digest('A 8')}\n"
        f"{VERIFIED}\n"
        "Gates in staging: exists passed, metric skipped\n"
        "Soak in staging: 3600 s, served\n"
        "MLflow run r1, logged model m1\n"
    )


def test_a_model_of_which_little_is_known():
    """No soak, no gates, no origin: what is not there takes no line."""
    proof = source(bundle(models={"A": "8"}), gates=())
    dest = environment(service(), promotes_from="staging")
    assert message(proof, dest, "A") == (
        "Promote A 8 to production\n"
        "\n"
        "7 → 8, as verified in staging\n"
        "\n"
        f"Digest {digest('A 8')}\n"
        f"{VERIFIED}\n"
        "Soak in staging: none asked for\n"
    )


def test_a_soak_that_is_still_to_be_served_is_said():
    """The commit may be merged before; whoever reviews it knows from when on it moves."""
    proof = source(bundle(models={"A": "8"}), gates=())
    dest = environment(service(), promotes_from="staging", soak_s=90.5)
    assert "Soak in staging: 90.5 s, not before noon\n" in message(proof, dest, "A", waits="not before noon")


def test_the_number_that_another_server_gave_it_is_named():
    """Its bytes have version 3 here and are version 8 in staging."""
    proof = source(bundle(models={"A": "8"}), gates=())
    dest = environment(service(), promotes_from="staging")
    said = message(proof, dest, "A", pin=replace(bundle(models={"A": "8"}).models[0], version="3"))
    assert said.splitlines()[0] == "Promote A 3 to production"
    assert said.splitlines()[2] == "7 → 3, as verified in staging (8 there)"


def test_an_image_is_proved_by_a_model_that_ran_under_it():
    """The first of the service that was verified with it; its tag is what people read."""
    proof = source(bundle(tag="2", models={"A": "7", "B": "1"}))
    dest = environment(service(models={"A": "7", "B": "1"}), promotes_from="staging")
    assert message(proof, dest, "image") == (
        "Promote the image of risk to production\n"
        "\n"
        f"{image('1').short} → {image('2').short}, as verified in staging\n"
        "\n"
        f"Digest {image('2').digest}\n"
        f"{VERIFIED}\n"
        "Soak in staging: none asked for\n"
    )


def test_the_gates_are_those_of_the_pass_that_proved_it():
    """A later pass judged it again, and a hold stands between: neither is quoted."""
    eight = bundle(models={"A": "8"})
    story = Story()
    for status in ("passed", "skipped"):
        gates = ({"gate": "exists", "component": "model:A", "status": status},)
        made = ServiceReceipt(Outcome.SUCCEEDED, ChangeKind.UPDATE, Direction.FORWARD, "", None, eight, gate_results=gates)
        story.finish({"risk": made}, revision="c0ffee1")
        story.hold()
    proof = SourceProof(fold("staging", story.events), tuple(story.events))
    said = message(proof, environment(service(), promotes_from="staging"), "A")
    assert "Gates in staging: exists passed\n" in said


def test_an_image_is_proved_by_any_model_of_the_service_that_ran_under_it():
    """A is at 7 here and was at 8 there; B ran under the image in the version that is here."""
    proof = source(bundle(tag="2", models={"A": "8", "B": "1"}))
    dest = environment(service(models={"A": "7", "B": "1"}), promotes_from="staging")
    assert VERIFIED in message(proof, dest, "image")


def test_what_was_never_proved_has_no_line_of_proof():
    """An edited file may ask for a sentence about anything."""
    proof = source(bundle(models={"A": "8"}))
    assert proof.lines(None, model_key("A")) == []


def test_the_first_proof_counts_and_not_the_newest():
    """A repair proved it again: since when it has been good is what people ask."""
    eight = bundle(models={"A": "8"})
    proof = source(eight, eight, gates=())
    dest = environment(service(), promotes_from="staging")
    assert VERIFIED in message(proof, dest, "A")


class TestSentences:
    """The same for a pull request: every model of the service that differs, each named."""

    def said(self, before, after, *, soak_s=0.0):
        proof = source(*(() if after is None else (after.bundle,)))
        dest = environment(*([before] if before else []), soak_s=soak_s, promotes_from="staging")
        return proof.sentences(dest, after)

    def test_a_model_that_moves_is_told_and_one_that_stays_is_not(self):
        """With the gates of its own component."""
        before, after = (service(models={"A": version, "B": "1"}) for version in "78")
        assert self.said(before, after, soak_s=60.0) == (
            f"A 8: {VERIFIED}",
            "A 8: Gates in staging: exists passed, metric skipped",
            "Soak in staging: 60 s",
        )

    def test_under_another_image_every_model_is_told(self):
        """Each must have run under it."""
        before, after = (service(models={"A": "7", "B": "1"}, tag=tag) for tag in "12")
        assert self.said(before, after) == (
            f"A 7: {VERIFIED}",
            "A 7: Gates in staging: exists passed, metric skipped",
            f"B 1: {VERIFIED}",
            "B 1: Gates in staging: digest passed",
            "Soak in staging: none asked for",
        )

    def test_a_service_that_is_new_there_is_told_whole(self):
        """The destination has nothing to compare it with."""
        assert self.said(None, service())[0] == f"A 7: {VERIFIED}"

    @pytest.mark.parametrize("after", [None, service()], ids=["a service that cannot be read", "one where nothing moves"])
    def test_without_a_move_the_soak_alone_is_said(self, after):
        """Nothing is claimed of what is not there."""
        assert self.said(service(), after) == ("Soak in staging: none asked for",)
