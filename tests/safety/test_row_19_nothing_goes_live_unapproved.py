"""A merged pin went live before anybody had approved it.

Forward Changes of an environment with `approval: required` wait for an Approval that names them by digest; a rollback waits for
none.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import ChangeKind
from support.pair import Pair, approved, identity, staged

pytestmark = pytest.mark.xdist_group("row-19")

ALSO = (
    "tests/integration/test_promotion.py::test_the_whole_way_of_a_version_to_production_and_back",
    "tests/unit/history/test_approvals.py::test_it_fits_nothing_else",
    "tests/unit/plan/test_policy.py::test_the_order_in_which_no_is_said",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 approved and serving; version 2 proved in staging, merged for production, unapproved."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("row19") / "p").create()
        pair.run("staging")
        assert exit_code(pair.run()) == 5  # the first deploy waits like any other
        approved(pair)
        assert exit_code(pair.run()) == 0
        staged(pair)
        pair.bump("wine", "2")
    return pair


@pytest.fixture
def merged(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


@pytest.mark.parametrize("impatient", [True, False], ids=["a person's deploy", "the agent's look"])
def test_row_19_a_merged_pin_waits_and_leaves_no_trace(merged, impatient):
    """Whoever asks, however often: nothing is started, nothing is written, the exit code says blocked."""
    merged.target.calls.clear()
    height = merged.history().height
    for _ in range(3):
        result = merged.run(impatient=impatient)
        assert (exit_code(result), result.plan.changes[0].blocked_by) == (5, "approval")
    assert (merged.live(), merged.history().height) == ({"wine": "1"}, height)
    assert [call for call in merged.target.calls if call[0] in ("start", "route", "stop")] == []


def test_row_19_the_approved_change_and_no_other_goes_live(merged):
    """The yes was for version 2: what was merged on top of it in the meantime waits for its own."""
    approved(merged)
    staged(merged, "3")
    merged.bump("wine", "3")
    assert exit_code(merged.agent_looks()) == 5
    assert merged.live() == {"wine": "1"}
    approved(merged)
    assert exit_code(merged.agent_looks()) == 0
    assert merged.live() == {"wine": "3"}


def test_row_19_an_expired_approval_is_none(merged):
    """A pass that comes after its end waits again."""
    approved(merged, expires_s=59.0)
    assert exit_code(merged.agent_looks()) == 5
    assert merged.live() == {"wine": "1"}


def test_row_19_a_rollback_waits_for_nobody_and_uses_the_approval_up(merged):
    """Back at once; forward again only with a new yes, even after the rejection was lifted."""
    commit = merged.desired().revision
    approved(merged)
    merged.run()
    merged.revert(commit)
    back = merged.agent_looks()
    assert back.receipts["wine"].change is ChangeKind.ROLLBACK
    assert merged.live() == {"wine": "1"}
    merged.bump("wine", "2")
    assert merged.agent_looks().plan.changes[0].blocked_by == "rejected"
    assert merged.live() == {"wine": "1"}
