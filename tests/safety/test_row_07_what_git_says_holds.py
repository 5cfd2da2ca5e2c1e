"""Something was rolled back outside git, and the next sync brought the bad version back.

Every rollback asked for by a person is a commit; an automatic one holds its bundle off until git changes.
"""

from __future__ import annotations

from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.change import Sync
from support.world import git

ALSO = ("tests/unit/plan/test_stories.py::test_an_automatic_rollback_leaves_git_ahead",)


def test_row_07_an_automatic_rollback_is_not_undone_by_the_next_syncs(deployed):
    """Ten agent polls later the old version still serves; git is ahead, and status says OutOfSync."""
    deployed.bump("wine", "2")
    deployed.target.wrong_through_proxy.add(deployed.desired().spec.environments["production"].services["wine"].bundle.id)
    assert exit_code(deployed.run()) == 6
    deployed.target.wrong_through_proxy.clear()
    starts = len([call for call in deployed.target.calls if call[0] == "start"])
    for _ in range(10):
        result = deployed.run(impatient=False)
        assert result.plan.sync["wine"] is Sync.OUT_OF_SYNC
    assert len([call for call in deployed.target.calls if call[0] == "start"]) == starts
    assert deployed.live() == {"wine": "1"}


def test_row_07_a_persons_rollback_is_a_commit_and_stays(deployed):
    """After the revert git and what runs agree, so that no later sync has anything to bring back."""
    bump = deployed.bump("wine", "2")
    deployed.run()
    deployed.revert(bump)
    deployed.run()
    for _ in range(5):
        result = deployed.run(impatient=False)
        assert result.plan.sync["wine"] is Sync.IN_SYNC
        assert result.finished is None
    assert git(deployed.laptop, "log", "-1", "--format=%s").startswith("Revert")
    assert deployed.live() == {"wine": "1"}


def test_row_07_traffic_moved_by_hand_is_drift_and_goes_back_to_what_is_recorded(deployed):
    """Somebody routes to the warm bundle behind git's back: the next pass mends it, and nothing is rejected by that."""
    deployed.bump("wine", "2")
    deployed.run()
    warm = next(i for i in deployed.target.instances.values() if i.role.value == "warm")
    deployed.target.route("wine", {warm.bundle: 100}, instances=[warm.id], prefix="/wine/", revision="by hand", timeout_s=60.0)
    assert deployed.live() == {"wine": "1"}
    result = deployed.run()
    assert (result.plan.changes[0].kind.value, exit_code(result)) == ("repair", 0)
    assert deployed.live() == {"wine": "2"}
    assert deployed.history().rejections == ()
