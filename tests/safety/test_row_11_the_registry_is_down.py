"""The registry was down, so deploys tore things down.

What runs keeps running; what could not be judged is errored and tried again with a bounded, growing wait.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import Outcome
from mlrelease.model.gate import GateStatus

ALSO = ("tests/integration/test_outages.py::test_forward_change_is_errored_and_serving_goes_on",)


@pytest.fixture
def forward(deployed):
    """Version 2 is pinned, and MLflow does not answer."""
    deployed.bump("wine", "2")
    deployed.registry.down = True
    deployed.target.calls.clear()
    return deployed


def test_row_11_nothing_is_touched_and_nothing_is_called_bad(forward):
    """The gates are errored, not failed; exit 1; no rejection; the target is left alone."""
    result = forward.run()
    assert {g.status for g in result.plan.changes[0].gate_results if not g.opens} == {GateStatus.ERRORED}
    assert (result.receipts["wine"].outcome, exit_code(result)) == (Outcome.ERRORED, 1)
    assert forward.history().rejections == ()
    assert forward.target.calls == []
    assert forward.live() == {"wine": "1"}


def test_row_11_an_agent_waits_longer_each_time_and_never_gives_up(forward):
    """The wait doubles from 5 s to 10 min and stays there: just before its end nothing is tried, just after it is."""
    began = forward.clock
    wait, tried_at = 5.0, None
    for _ in range(9):
        if tried_at is not None:
            forward.clock = tried_at + wait - 61.0  # run() moves it on by 60
            assert forward.run(impatient=False).finished is None
            forward.clock = tried_at + wait - 60.0
            wait = min(2 * wait, 600.0)
        assert forward.run(impatient=False).receipts["wine"].outcome is Outcome.ERRORED
        tried_at = forward.clock
    assert wait == 600.0
    assert forward.clock - began < 3600


def test_row_11_when_it_is_back_the_change_goes_through(forward):
    """Nobody has to do anything: the next try succeeds."""
    forward.run()
    forward.registry.down = False
    assert forward.run().receipts["wine"].outcome is Outcome.SUCCEEDED
    assert forward.live() == {"wine": "2"}


def test_row_11_a_repair_needs_no_registry(forward):
    """While the forward change waits for its next try, an instance that died is replaced from the cache, as recorded."""
    forward.run()
    forward.target.instances.pop("wine-2")
    forward.clock -= 59.0  # the agent's next look, a second later
    result = forward.run(impatient=False)
    assert result.receipts["wine"].outcome is Outcome.SUCCEEDED
    assert forward.live() == {"wine": "1"}
    assert len(forward.target.instances) == 2
