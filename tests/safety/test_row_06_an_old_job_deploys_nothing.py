"""A job that ran again deployed an old commit.

A pass applies the tip of the tracked branch, and refuses a strict ancestor of what was applied.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.passes import run_pass
from mlrelease.errors import Error
from support.world import git

ALSO = (
    "tests/unit/delivery/test_passes.py::test_stale_tip_is_refused",
    "tests/unit/delivery/test_staleness.py::test_an_unknown_applied_revision_moves_nothing_forward",
    "tests/unit/delivery/test_staleness.py::test_what_another_host_applied_is_fetched_and_compared",
)


def test_row_06_a_pass_takes_the_tip_not_the_commit_it_was_started_for(deployed):
    """Two bumps are pushed while a job waits: what it applies is the newest, once."""
    deployed.bump("wine", "2")
    old = deployed.desired()
    deployed.bump("wine", "3")
    assert deployed.desired().revision != old.revision
    deployed.run()
    assert deployed.live() == {"wine": "3"}


def test_row_06_a_job_that_kept_its_old_commit_is_refused(deployed):
    """Handed the desired state of yesterday, the pass stops before it touches anything, and says what to do."""
    deployed.bump("wine", "2")
    old = deployed.desired()
    site = deployed.site()
    deployed.bump("wine", "3")
    deployed.run()
    deployed.target.calls.clear()
    height = deployed.history().height
    with pytest.raises(Error, match="older than what was applied here") as refusal:
        run_pass(site, old, deployed.order())
    assert "git revert" in refusal.value.hint
    assert deployed.target.calls == []
    assert deployed.history().height == height
    assert deployed.live() == {"wine": "3"}


@pytest.mark.parametrize("back", [1, 2], ids=["by one commit", "by two"])
def test_row_06_a_branch_moved_back_by_force_is_no_rollback(deployed, back):
    """Rewriting the branch is refused; the way back is a commit."""
    deployed.bump("wine", "2")
    deployed.run()
    deployed.bump("wine", "3")
    deployed.run()
    git(deployed.laptop, "push", "--quiet", "--force", "origin", f"HEAD~{back}:main")
    with pytest.raises(Error, match="older than what was applied"):
        deployed.run()
    assert deployed.live() == {"wine": "3"}


def test_row_06_a_revert_is_newer_than_what_it_undoes(deployed):
    """Going back by a commit is no old commit: it is applied."""
    bump = deployed.bump("wine", "2")
    deployed.run()
    deployed.revert(bump)
    deployed.run()
    assert deployed.live() == {"wine": "1"}
