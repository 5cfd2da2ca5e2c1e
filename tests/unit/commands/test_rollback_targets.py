"""What `rollback` goes back to, read off the history; and what is said of a commit that waits in a pull request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.rollback import RollbackOptions, _service, _target, with_waiting
from mlrelease.commands.rollback_proposal import Waiting
from mlrelease.errors import Error, UsageError
from mlrelease.model.bundle import model_key
from mlrelease.render.report import Report
from support.core import Story, absent, bundle, environment, model, service


def on(**models: str):
    return environment(service(models=models))


def through(*states) -> Story:
    story = Story()
    for state in states:
        story.apply(state)
    return story


def target(story, wanted=None, **options):
    """The models, by version, of what is gone back to where git wants `wanted` (the newest that was applied)."""
    spec = wanted.services["risk"] if wanted else service(models=story.history.bundle("risk").versions())
    return _target(story.history, spec, RollbackOptions(**options)).bundle.versions()


# -- which service -----------------------------------------------------------------------------------------------------

TWO = environment(service("a", models={"A": "1"}), service("b", models={"B": "1"}))


@pytest.mark.parametrize(
    ("files", "options", "name"),
    [
        (environment(service("a")), {}, "a"),
        (TWO, {"service": "b"}, "b"),
        (TWO, {"model": "A"}, "a"),
        (TWO, {"model": "B", "service": "a"}, "b"),
    ],
    ids=["the only one", "the one that is named", "the one that has the model", "a model says more than a service"],
)
def test_the_service_is_found(files, options, name):
    """From what the command line says of it."""
    assert _service(files, RollbackOptions(**options)).name == name


@pytest.mark.parametrize(
    ("files", "options", "message", "hint"),
    [
        (TWO, {}, "which service?", "--service, one of a, b"),
        (TWO, {"service": "c"}, "production has no valid service 'c'", "services there: a, b"),
        (environment(), {"service": "c"}, "production has no valid service 'c'", "services there: none"),
    ],
    ids=["one of two", "one that is not there", "one where there is none"],
)
def test_a_service_that_is_not_clear_is_asked_for(files, options, message, hint):
    """With those that there are."""
    with pytest.raises(UsageError) as refused:
        _service(files, RollbackOptions(**options))
    assert (refused.value.message, refused.value.hint) == (message, hint)


# -- the last good -----------------------------------------------------------------------------------------------------


def test_it_is_what_was_verified_before():
    """Another bundle than the one that serves."""
    assert target(through(on(A="7"), on(A="8"))) == {"A": "7"}


def test_git_ahead_of_what_serves_goes_back_to_what_serves():
    """A pass put it back by itself: git is made true again, nothing else moves."""
    story = through(on(A="7"), on(A="8"))
    story.fail(on(A="9"))
    assert target(story, on(A="9")) == {"A": "8"}


def test_what_somebody_rejected_is_passed_over():
    """Further back, to one that nobody objects to."""
    story = through(on(A="6"), on(A="7"), on(A="8"))
    story.reject("risk", (model_key("A"), model("A", "7").digest))
    assert target(story) == {"A": "6"}


def test_a_removal_in_between_is_no_target():
    """Nothing cannot be gone back to by a rollback."""
    assert target(through(on(A="7"), environment(absent()), on(A="8"))) == {"A": "7"}


def test_it_says_where_it_was_verified():
    """The revision of the receipt: the files of that commit are restored."""
    story = Story()
    story.finish({"risk": story.succeeded(on(A="7"), story.change(on(A="7")))}, revision="one")
    story.finish({"risk": story.succeeded(on(A="8"), story.change(on(A="8")))}, revision="two")
    assert _target(story.history, service(models={"A": "8"}), RollbackOptions()).revision == "one"


@pytest.mark.parametrize(
    "story",
    [Story(), through(on(A="7")), through(on(A="7"), on(A="7"))],
    ids=["nothing was ever verified", "nothing else was", "only the same again"],
)
def test_where_there_is_nothing_else_it_is_said(story):
    """And where to look."""
    with pytest.raises(Error) as refused:
        _target(story.history, service(), RollbackOptions())
    assert refused.value.message == "nothing else was ever verified for risk in production"
    assert refused.value.hint == "mlrelease history production --service risk"


# -- to a version ------------------------------------------------------------------------------------------------------


def test_a_version_is_that_of_the_only_model():
    """Nobody has to name it."""
    assert target(through(on(A="6"), on(A="7"), on(A="8")), to="6") == {"A": "6"}


def test_without_a_model_all_that_was_verified_with_it_comes_back():
    """The bundle as it answered then, with the newest companion that it had."""
    story = through(on(A="7", B="1"), on(A="7", B="2"), on(A="8", B="3"))
    only_a = environment(service(models={"A": "8"}))
    assert target(story, only_a, to="7") == {"A": "7", "B": "2"}


def test_with_a_model_everything_else_stays_as_git_has_it():
    """B was at 2 then and is at 3 now: it stays; so do image and settings."""
    story = through(on(A="7", B="2"), on(A="8", B="3"))
    spec = service(models={"A": "8", "B": "3"}, tag="2", env=(("MODE", "fast"),))
    found = _target(story.history, spec, RollbackOptions(model="A", to="7")).bundle
    assert found == replace(bundle(tag="2", models={"A": "7", "B": "3"}, MODE="fast"))


def test_the_same_number_with_other_bytes_is_the_one_that_was_verified():
    """A version that was deleted and registered anew: the digest of then comes back, not that of the file."""
    story = through(on(A="7"), on(A="8"))
    spec = service(models={"A": model("A", "7", content="other")})
    assert _target(story.history, spec, RollbackOptions(model="A", to="7")).bundle.models == (model("A", "7"),)


def test_a_version_that_was_never_verified_names_those_that_were():
    """Oldest first, each once; going forward is another command."""
    with pytest.raises(Error) as refused:
        target(through(on(A="9"), on(A="10"), on(A="9"), on(B="2"), on(A="11")), to="8")
    assert refused.value.message == "A version 8 was never verified in production"
    assert refused.value.hint == "verified there: 9, 10, 11; to move forward: mlrelease bump"


def test_where_none_was_verified_it_says_none():
    """A first deploy that never succeeded."""
    with pytest.raises(Error) as refused:
        _target(Story().history, service(), RollbackOptions(to="7"))
    assert refused.value.hint == "verified there: none; to move forward: mlrelease bump"


def test_of_several_models_the_one_must_be_named():
    """A number alone is no one's."""
    with pytest.raises(UsageError) as refused:
        target(through(on(A="7", B="7"), on(A="8", B="8")), to="7")
    assert (refused.value.message, refused.value.hint) == ("which model goes back to that version?", "--model NAME")


# -- the pull request --------------------------------------------------------------------------------------------------

PLAIN = Report("production: back", {"environment": "production"}, notes=["a note"], next="mlrelease deploy production")
OPENED = Waiting("c0ffee", "opened #7", "https://github.com/a/b/pull/7", 7, ("another note",))


def test_without_one_the_report_is_as_it_was():
    """A push was taken."""
    assert with_waiting(PLAIN, None, asked=True) is PLAIN


def test_an_open_one_is_to_be_merged():
    """It is data, a note and the next command."""
    assert with_waiting(PLAIN, OPENED, asked=True) == replace(
        PLAIN,
        notes=["a note", "another note"],
        data={
            "environment": "production",
            "pull_request": {"number": 7, "url": "https://github.com/a/b/pull/7", "commit": "c0ffee"},
        },
        next="review and merge https://github.com/a/b/pull/7",
    )


@pytest.mark.parametrize(
    ("report", "waiting", "asked", "applied", "code", "command"),
    [
        (PLAIN, replace(OPENED, number=0, url=""), True, False, 1, PLAIN.next),
        (PLAIN, replace(OPENED, number=0, url=""), False, False, 0, PLAIN.next),
        (PLAIN, replace(OPENED, spooled=True), False, False, 1, "review and merge https://github.com/a/b/pull/7"),
        (PLAIN, replace(OPENED, spooled=True), False, True, 0, "review and merge https://github.com/a/b/pull/7"),
        (replace(PLAIN, exit_code=6), OPENED, True, True, 6, PLAIN.next),
        (replace(PLAIN, exit_code=6), replace(OPENED, number=0, url="", spooled=True), True, False, 6, PLAIN.next),
    ],
    ids=[
        "one that was asked for and is not there is an error",
        "one that nobody asked for may be missing",
        "a hold that nobody else knows of is an error",
        "a hold that a pass here obeyed is none",
        "what was not proved keeps its code and its next command",
        "nothing makes a bad end better",
    ],
)
def test_what_is_missing_decides_the_exit_code(report, waiting, asked, applied, code, command):
    """The rollback counts once its hold is in the ledger; the pull request only makes git agree."""
    found = with_waiting(report, waiting, asked=asked, applied=applied)
    assert (found.exit_code, found.next) == (code, command)
