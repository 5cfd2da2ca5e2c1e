"""A person's word: `hold`, `unhold`, `reject`, `unreject`; what is written, what is refused, and what it then does."""

from __future__ import annotations

import pytest
from mlrelease.commands.words import Named, hold, reject, unhold, unreject
from mlrelease.errors import Error, UsageError
from mlrelease.model.bundle import IMAGE, model_key
from mlrelease.model.event import Held, Rejected, Unheld, Unrejected
from support.desk import desk
from support.pair import identity
from support.world import World

pytestmark = pytest.mark.xdist_group("words")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Services a and b at version 1, deployed; version 2 of both pinned."""
    with identity():
        world = World(tmp_path_factory.mktemp("made") / "w", services=("a", "b")).create()
        world.run()
        for name in "ab":
            world.bump(name, "2")
    return world


@pytest.fixture
def pair(made, tmp_path):
    """A copy of them to be changed."""
    return made.copy(tmp_path / "w")


def events(world, kind):
    return [event for event in world.site().ledger.read("production").events if isinstance(event, kind)]


def blocked(world):
    return {c.service: c.blocked_by for c in world.run().plan.changes}


def test_a_hold_of_the_environment_holds_every_service(pair):
    """Nothing moves forward; the event names who, why and until when."""
    report = hold(desk(pair), "production", service="", reason="quarter's end", until=pair.clock + 7200)
    (event,) = events(pair, Held)
    assert (event.actor, event.reason, event.service, event.until) == (
        "Ada <ada@example.com>", "quarter's end", "", pair.clock + 7200,
    )  # fmt: skip
    assert report.verdict == "production: every service is held until 2027-01-15T10:01:00.000Z: quarter's end"
    assert blocked(pair) == {"a": "hold", "b": "hold"}


def test_a_hold_of_one_service_holds_that_one(pair):
    """The other moves."""
    report = hold(desk(pair), "production", service="a", reason="being watched", until=0.0)
    assert report.verdict == "production: a is held until it is lifted: being watched"
    assert blocked(pair) == {"a": "hold", "b": ""}
    assert pair.live() == {"a": "1", "b": "2"}


def test_a_hold_ends_by_itself(pair):
    """After `until` the change that waited goes through without anybody's doing."""
    hold(desk(pair), "production", service="", reason="lunch", until=pair.clock + 90)
    assert blocked(pair) == {"a": "hold", "b": "hold"}  # a minute later
    assert blocked(pair) == {"a": "", "b": ""}  # two minutes later
    assert pair.live() == {"a": "2", "b": "2"}


def test_a_rollback_passes_a_hold(pair):
    """Going back is always allowed."""
    pair.run()
    hold(desk(pair), "production", service="", reason="freeze", until=0.0)
    pair.revert("HEAD")  # of b's bump
    assert blocked(pair) == {"a": "", "b": ""}
    assert pair.live() == {"a": "2", "b": "1"}


def test_a_repair_passes_a_hold(pair):
    """What is recorded is kept up."""
    hold(desk(pair), "production", service="", reason="freeze", until=0.0)
    pair.target.instances.pop("a-1")
    pair.run()
    assert len(pair.target.instances) == 4
    assert pair.live() == {"a": "1", "b": "1"}


def test_lifting_a_hold_lets_the_change_through(pair):
    """One event with its own reason."""
    hold(desk(pair), "production", service="", reason="freeze", until=0.0)
    report = unhold(desk(pair), "production", service="", reason="over")
    assert report.verdict == "production: every service may move forward again"
    assert [e.reason for e in events(pair, Unheld)] == ["over"]
    assert blocked(pair) == {"a": "", "b": ""}


def test_lifting_what_is_not_held_is_an_error_that_names_what_is(pair):
    """A hold of the environment is not lifted by naming a service of it, nor the other way round."""
    hold(desk(pair), "production", service="a", reason="freeze", until=0.0)
    with pytest.raises(Error) as refusal:
        unhold(desk(pair), "production", service="b", reason="over")
    assert (refusal.value.message, refusal.value.hint) == ("b is not held in production", "holds there: a")
    with pytest.raises(Error, match="the environment is not held in production"):
        unhold(desk(pair), "production", service="", reason="over")
    assert events(pair, Unheld) == []


def test_a_hold_that_is_over_cannot_be_lifted(pair):
    """It is not in force any more."""
    hold(desk(pair), "production", service="", reason="lunch", until=pair.clock + 30)
    pair.clock += 31
    with pytest.raises(Error, match="is not held"):
        unhold(desk(pair), "production", service="", reason="over")


def test_a_hold_that_is_over_is_not_named_as_one(pair):
    """What could be lifted is what is in force."""
    for name, until in (("a", pair.clock + 30), ("", 0.0)):
        hold(desk(pair), "production", service=name, reason="lunch", until=until)
    pair.clock += 31
    with pytest.raises(Error) as refusal:
        unhold(desk(pair), "production", service="a", reason="over")
    assert refusal.value.hint == "holds there: every service"


def test_an_image_that_several_services_have_needs_its_service(pair):
    """One of them would be chosen by chance, and the others go on with it."""
    shared = Named(image="ghcr.io/acme/serve:0.1.0")
    for verb in (reject, unreject):
        with pytest.raises(UsageError) as misuse:
            verb(desk(pair), "production", shared, reason="old libraries")
        assert misuse.value.message == "several services have had ghcr.io/acme/serve:0.1.0"
        assert misuse.value.hint == "--service, one of a, b"
    assert events(pair, Rejected) == []


def test_a_version_is_rejected_by_its_digest(pair):
    """The event names the component, not the number; the change that waits for it is blocked with the person's reason."""
    report = reject(desk(pair), "production", Named(model="a", version="2"), reason="wrong year")
    (event,) = events(pair, Rejected)
    assert event.components == ((model_key("a"), str(pair.pin("a", "2").digest)),)
    assert report.verdict == "production: a 2 of a is rejected: wrong year"
    result = pair.run()
    change = next(c for c in result.plan.changes if c.service == "a")
    assert (change.blocked_by, change.blocked) == ("rejected", "rejected by Ada <ada@example.com>: wrong year")
    assert pair.live() == {"a": "1", "b": "2"}


@pytest.mark.parametrize("reference", ["ghcr.io/acme/serve:0.1.0", "ghcr.io/acme/serve:0.1.0@sha256:" + "ab12" * 16])
def test_an_image_is_rejected_by_tag_or_whole(pair, reference):
    """Both name the same digest."""
    reject(desk(pair), "production", Named(service="a", image=reference), reason="old libraries")
    (event,) = events(pair, Rejected)
    assert (event.service, event.components) == ("a", ((IMAGE, "sha256:" + "ab12" * 16),))


def test_a_lifted_rejection_lets_the_version_through(pair):
    """The report repeats what it had been rejected for."""
    reject(desk(pair), "production", Named(model="a", version="2"), reason="wrong year")
    report = unreject(desk(pair), "production", Named(model="a", version="2"), reason="it was the right one")
    assert report.verdict == "production: a 2 of a may move forward again; it was: wrong year"
    assert [e.reason for e in events(pair, Unrejected)] == ["it was the right one"]
    assert blocked(pair) == {"a": "", "b": ""}


def test_a_version_pinned_in_git_only_in_this_checkout_can_be_rejected(pair):
    """Before it ever was deployed, and before it is pushed: the work tree knows its digest."""
    pin = pair.pin("a", "7")
    path = pair.model_file("a")
    path.write_text(path.read_text().replace(pair.pin("a", "2").digest, pin.digest).replace('"2"', '"7"'))
    reject(desk(pair), "production", Named(model="a", version="7"), reason="never")
    assert events(pair, Rejected)[0].components == ((model_key("a"), str(pin.digest)),)


UNSAID = {
    "no version": (Named(model="a"), "which version?"),
    "no model": (Named(version="2"), "which version?"),
    "nothing at all": (Named(), "which version?"),
}


@pytest.mark.parametrize(("named", "message"), UNSAID.values(), ids=UNSAID)
@pytest.mark.parametrize("verb", [reject, unreject], ids=lambda verb: verb.__name__)
def test_what_is_meant_must_be_said(pair, verb, named, message):
    """A misuse, not an error of the world: exit 2."""
    with pytest.raises(UsageError) as misuse:
        verb(desk(pair), "production", named, reason="why")
    assert misuse.value.message == message


@pytest.mark.parametrize(
    "named", [Named(model="a", version="9"), Named(image="ghcr.io/acme/other:1")], ids=["version", "image"]
)
@pytest.mark.parametrize("verb", [reject, unreject], ids=lambda verb: verb.__name__)
def test_what_was_never_pinned_cannot_be_named(pair, verb, named):
    """Nobody knows its digest."""
    with pytest.raises(Error, match="was never pinned in production"):
        verb(desk(pair), "production", named, reason="why")


def test_lifting_what_is_not_rejected_is_an_error(pair):
    """Nothing is written."""
    with pytest.raises(Error, match="a 2 of a is not rejected in production"):
        unreject(desk(pair), "production", Named(model="a", version="2"), reason="why")
    assert events(pair, Unrejected) == []


@pytest.mark.parametrize("reason", ["", "   ", "\n"], ids=["empty", "blank", "a line break"])
@pytest.mark.parametrize(
    "word",
    [
        lambda at, why: hold(at, "production", service="", reason=why, until=0.0),
        lambda at, why: unhold(at, "production", service="", reason=why),
        lambda at, why: reject(at, "production", Named(model="a", version="2"), reason=why),
        lambda at, why: unreject(at, "production", Named(model="a", version="2"), reason=why),
    ],
    ids=["hold", "unhold", "reject", "unreject"],
)
def test_no_word_without_a_reason(pair, word, reason):
    """Whoever reads the ledger in a year wants to know why."""
    height = len(events(pair, object))
    with pytest.raises(UsageError, match=r"why\?"):
        word(desk(pair), reason)
    assert len(events(pair, object)) == height


@pytest.mark.parametrize("service", ["beer", "A", "../a"], ids=["another", "another case", "a path"])
def test_a_hold_of_a_service_that_is_not_there_is_a_slip(pair, service):
    """It names those that are."""
    with pytest.raises(UsageError) as misuse:
        hold(desk(pair), "production", service=service, reason="why", until=0.0)
    assert misuse.value.hint == "services there: a, b"


def test_a_service_with_findings_can_be_held(pair):
    """Just when its files are broken somebody may want to hold it."""
    path = pair.model_file("a")
    path.write_text(path.read_text().replace('version: "2"', "version: 2"))
    pair.commit("Break a")
    hold(desk(pair), "production", service="a", reason="first mend it", until=0.0)
    assert events(pair, Held)[0].service == "a"
