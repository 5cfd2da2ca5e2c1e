"""What the ledger says of one revision: the newest receipt of each service, who is at work, and which words make it old."""

from __future__ import annotations

import pytest
from mlrelease.history.dealings import dealings
from mlrelease.model.bundle import model_key
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import DeployFinished, DeployStarted, Owner, ServiceReceipt, UnknownEvent
from support.core import Story, bundle, environment, service

OLD, NEW = "a" * 40, "b" * 40


def receipt(outcome=Outcome.SUCCEEDED, reason="because", name="risk"):
    return ServiceReceipt(outcome, ChangeKind.UPDATE, Direction.FORWARD, reason, None, bundle(name))


def finished(story, revision, started="", **services):
    story.tell(DeployFinished, revision=revision, trigger="test", started=started, started_at=story.now, services=services)


def started(story, revision, supersedes=""):
    owner = Owner("host", 1, 1.0)
    story.tell(
        DeployStarted,
        revision=revision,
        trigger="test",
        owner=owner,
        expires_at=story.now + 900.0,
        supersedes=supersedes,
    )
    return story.events[-1].id


@pytest.fixture
def story():
    return Story()


def outcomes(found):
    return {name: (dealt.receipt.outcome.value, dealt.outdated) for name, dealt in found.services.items()}


def test_nothing_was_said_of_a_revision_that_nobody_dealt_with(story):
    """Receipts of other revisions are not its own."""
    finished(story, OLD, risk=receipt())
    found = dealings(story.events, NEW)
    assert (found.revision, found.services, found.at_work) == (NEW, {}, None)
    assert outcomes(dealings(story.events, OLD)) == {"risk": ("succeeded", False)}


def test_the_newest_receipt_of_each_service_counts(story):
    """Two passes over one revision: the second one's word, and the first one's where the second was silent."""
    finished(story, NEW, risk=receipt(Outcome.ERRORED), fraud=receipt(name="fraud"))
    finished(story, NEW, risk=receipt())
    found = dealings(story.events, NEW)
    assert outcomes(found) == {"risk": ("succeeded", False), "fraud": ("succeeded", False)}
    assert found.services["risk"].event.id == "e2"
    assert found.services["fraud"].event.id == "e1"


def test_a_start_at_the_revision_is_somebody_at_work(story):
    """Until it finishes."""
    first = started(story, NEW)
    assert dealings(story.events, NEW).at_work.id == first
    assert dealings(story.events, OLD).at_work is None
    finished(story, NEW, first, risk=receipt())
    assert dealings(story.events, NEW).at_work is None


def test_a_start_that_another_took_over_is_over(story):
    """The newest start is who works."""
    started(story, OLD)
    second = started(story, NEW, supersedes="e1")
    assert dealings(story.events, NEW).at_work.id == second
    assert dealings(story.events, OLD).at_work is None


@pytest.mark.parametrize(
    ("word", "outdated"),
    [
        (lambda s: s.unreject("risk", (model_key("A"), "sha256:1")), True),
        (lambda s: s.unhold("risk"), True),
        (lambda s: s.unhold(), True),
        (lambda s: s.approve(s.change(environment(service()))), True),
        (lambda s: s.unhold("fraud"), False),
        (lambda s: s.hold("risk"), False),
        (lambda s: s.reject("risk", (model_key("A"), "sha256:1")), False),
    ],
    ids=[
        "a rejection was lifted",
        "its hold was lifted",
        "the environment's hold was lifted",
        "it was approved",
        "another service's hold was lifted",
        "it was held",
        "it was rejected",
    ],
)
def test_a_word_that_opens_something_makes_a_refusal_old(story, word, outdated):
    """What was blocked then may go on now; a word that shuts opens nothing."""
    finished(story, NEW, risk=receipt(Outcome.BLOCKED))
    word(story)
    assert outcomes(dealings(story.events, NEW)) == {"risk": ("blocked", outdated)}


def test_a_success_stays_one_whatever_is_said_later(story):
    """What was proved was proved."""
    finished(story, NEW, risk=receipt())
    story.unhold("risk")
    assert outcomes(dealings(story.events, NEW)) == {"risk": ("succeeded", False)}


def test_a_receipt_after_the_word_is_the_answer_to_it(story):
    """Only words that came after count."""
    story.unhold("risk")
    finished(story, NEW, risk=receipt(Outcome.ROLLED_BACK))
    assert outcomes(dealings(story.events, NEW)) == {"risk": ("rolled_back", False)}


def test_an_event_of_a_newer_version_is_passed_over(story):
    """It may mean anything; it takes nothing away."""
    finished(story, NEW, risk=receipt())
    story.events.append(UnknownEvent("canary_judged", "e9", "production", story.now, "ada"))
    assert outcomes(dealings(story.events, NEW)) == {"risk": ("succeeded", False)}


def test_the_receipt_of_another_pass_does_not_end_the_one_at_work(story):
    """It was taken over and came back late; who took over is at work still."""
    first = started(story, NEW)
    second = started(story, NEW, supersedes=first)
    finished(story, NEW, first, risk=receipt(Outcome.ABORTED))
    assert dealings(story.events, NEW).at_work.id == second
