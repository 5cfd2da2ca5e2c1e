"""Words of a person at their edges: a hold's end that no calendar has, and names that are looked up whole."""

from __future__ import annotations

import math

import pytest
from mlrelease.commands.words import Named, hold, reject, unhold
from mlrelease.errors import Error, UsageError
from mlrelease.model.event import Held, Rejected
from support.newcomer import IMAGE, newcomer
from support.pair import identity

pytestmark = pytest.mark.xdist_group("hold-ends")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The example in a repository without a remote: `wine` at 1."""
    with identity():
        yield newcomer(tmp_path_factory.mktemp("ends"))


def events(made, kind):
    return [event for event in made.ledger().read("production").events if isinstance(event, kind)]


@pytest.mark.parametrize(
    "until", [math.nan, math.inf, 1e15, -1e15], ids=["no number", "for ever", "the year 31 million", "before all years"]
)
def test_a_hold_that_ends_at_no_moment_is_a_misuse(made, until):
    """Said before anything is written: an event that nobody can read again would break the ledger."""
    with pytest.raises(UsageError) as misused:
        hold(made, "production", service="", reason="freeze", until=until)
    assert misused.value.message == "the end of the hold is no moment"
    assert misused.value.hint == "--hours 48, or nothing: until it is lifted"
    assert events(made, Held) == []


def test_a_hold_without_a_remote_is_written_here(made):
    """Nothing waits; the report names the event and what shows its effect. Lifted, it is over."""
    report = hold(made, "production", service="wine", reason="being watched", until=0.0)
    (event,) = events(made, Held)
    assert report.data == {"environment": "production", "event": "held", "id": event.id}
    assert (report.notes, report.next) == ([], "mlrelease plan production")
    assert unhold(made, "production", service="wine", reason="over").verdict == "production: wine may move forward again"
    with pytest.raises(Error) as again:
        unhold(made, "production", service="wine", reason="over")
    assert again.value.hint == "holds there: none"


def test_an_environment_that_is_none_is_not_held(made):
    """An event in the ledger of a name that is none would hold nobody."""
    with pytest.raises(UsageError, match="there is no environment 'prod'"):
        hold(made, "prod", service="", reason="why", until=0.0)
    assert "prod" not in made.ledger().environments()


def pinned(made):
    return made.worktree_spec().environments["production"].services["wine"].bundle


@pytest.mark.parametrize(
    "named",
    [
        Named(image="{tag}", service="beer"),
        Named(image="{repository}"),
        Named(image="{tag}@sha256:" + "0" * 64),
        Named(model="wine", version="1", service="beer"),
        Named(model="win", version="1"),
        Named(model="wine", version="01"),
        Named(image=IMAGE.partition("@")[0]),
    ],
    ids=["another service's image", "no tag", "another digest", "another service's model", "half a name", "a zero", "another"],
)
def test_what_is_named_must_be_what_is_pinned(made, named):
    """A slip rejects nothing."""
    tag = pinned(made).image.reference.partition("@")[0]
    image = named.image.format(tag=tag, repository=tag.rpartition(":")[0])
    with pytest.raises(Error) as refused:
        reject(made, "production", Named(named.service, named.model, named.version, image), reason="why")
    assert refused.value.message.endswith(" was never pinned in production")
    assert refused.value.hint == "mlrelease history production"
    assert events(made, Rejected) == []


def test_an_image_is_named_without_its_digest_in_the_verdict(made):
    """People know it by its tag; the ledger has the digest."""
    image = pinned(made).image
    report = reject(made, "production", Named(image=image.reference), reason="old libraries")
    tag = image.reference.partition("@")[0]
    assert report.verdict == f"production: {tag} of wine is rejected: old libraries"
    assert events(made, Rejected)[0].components == (("image", str(image.digest)),)
