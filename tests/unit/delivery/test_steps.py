"""Steps of a pass: what is timed, what is told to whom, and what a listener may and may not do."""

from __future__ import annotations

import pytest
from mlrelease.delivery.steps import StepMark, Steps
from mlrelease.model.event import Step


class Clock:
    """A second passes at each look."""

    now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def told():
    """The marks that a listener heard."""
    return []


@pytest.fixture
def steps(told):
    """Steps of the service `wine`."""
    return Steps("wine", told.append, clock=Clock())


def test_a_step_is_timed_kept_and_told(steps, told):
    """Its details are one text; listener and receipt get the same."""
    with steps.step("start") as detail:
        detail.append("2 instances")
        detail.append("1 taken over")
    assert told == [StepMark("wine", "start", 1.0, "2 instances; 1 taken over", failed=False)]
    assert steps.done == [Step("start", 1.0, "2 instances; 1 taken over")]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)], ids=["error", "Ctrl-C", "exit"])
def test_a_step_that_fails_is_kept_as_failed_and_its_error_goes_on(steps, told, error):
    """With what was known of it by then."""

    def work():
        with steps.step("start") as detail:
            detail.append("1 instance")
            raise error

    with pytest.raises(type(error)):
        work()
    assert told == [StepMark("wine", "start", 1.0, "1 instance", failed=True)]
    assert steps.done == [Step("start", 1.0, "failed: 1 instance")]


def test_a_listener_that_fails_ends_the_pass_after_a_step_that_was_done():
    """The step itself is kept as done: it was."""

    def ends(mark):
        raise RuntimeError(mark.name)

    steps = Steps("wine", ends, clock=Clock())
    with pytest.raises(RuntimeError, match="start"), steps.step("start"):
        pass
    assert steps.done == [Step("start", 1.0, "")]


def test_a_listener_that_fails_does_not_hide_the_error_of_the_step():
    """What went wrong first is what is said; that the listener failed stands in the receipt."""

    def ends(mark):
        raise RuntimeError(mark.name)

    steps = Steps("wine", ends, clock=Clock())
    with pytest.raises(ValueError, match="the real one"), steps.step("start"):
        raise ValueError("the real one")
    assert steps.done == [Step("start", 1.0, "failed: "), Step("start:listener", 0.0, "RuntimeError")]


def test_a_listener_that_interrupts_is_not_kept_quiet():
    """Ctrl-C while a failed step is told ends the pass as Ctrl-C does anywhere."""

    def ends(mark):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Steps("wine", ends, clock=Clock()).step("start"):
        raise ValueError("the real one")


def test_a_step_inside_a_step_ends_first(steps):
    """Each with its own time."""
    with steps.step("outer"), steps.step("inner"):
        pass
    assert [(step.name, step.seconds) for step in steps.done] == [("inner", 1.0), ("outer", 3.0)]
