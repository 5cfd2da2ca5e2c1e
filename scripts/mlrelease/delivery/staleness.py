"""Whether the tip is newer than what was applied: an old job or a branch that was moved back must not be (DESIGN §6 row 6)."""

from __future__ import annotations

from dataclasses import replace

from mlrelease.delivery.source import Tracked
from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.log import get
from mlrelease.model.change import ChangeKind, Plan

BLOCKED_BY = "order:errored"
"""What a Change is blocked by while nobody can tell the order."""

KNOWN_REWRITTEN = "mlrelease.rewritten"
"""Git configuration of a clone: the applied revision that a person knows to be gone from a branch that was rewritten."""


def refuse_stale(branch: Tracked, git: Git, revision: str, applied: str) -> None:
    """Raises `Error` when `revision` is a strict ancestor of what was applied. Both must be known here."""
    if applied != revision and git.is_ancestor(revision, applied):
        raise Error(
            f"{branch} is at {revision[:9]}, which is older than what was applied here: {applied[:9]}",
            hint="to go back, revert: git revert, or mlrelease rollback; the branch must not be moved back",
        )


def untold_order(branch: Tracked, git: Git, revision: str, applied: str, *, online: bool) -> str:
    """Why it cannot be told whether `revision` is older than `applied`; empty when it can be, and is not.

    An applied commit that is not in this clone (another host applied it, the clone is shallow, the branch was rewritten)
    is asked for at the git host. Raises `Error` for a revision that is older.
    """
    if not applied or applied == revision:
        return ""
    if git.resolve(applied) is None and not (online and _fetched(git, branch, applied)):
        if git.config(KNOWN_REWRITTEN) == applied:
            return ""
        way = (
            f"git config {KNOWN_REWRITTEN} {applied} in this clone, if the branch was rewritten on purpose"
            if online
            else "the git host does not answer; it goes on by itself when it does"
        )
        return (
            f"whether {revision[:9]} is newer than what was applied here cannot be told: {applied[:9]} is not in this clone "
            f"({way})"
        )
    refuse_stale(branch, git, revision, applied)
    return ""


def halted(plan: Plan, why: str, *, but: frozenset[str] = frozenset()) -> Plan:
    """The plan in which nothing moves, not even back, which is where an old tip leads. Repairs stay: they move nothing.

    `but` are services whose desired state comes from elsewhere than the tip.
    """
    return replace(
        plan,
        changes=tuple(
            replace(change, blocked=why, blocked_by=BLOCKED_BY)
            if change.acts and change.kind is not ChangeKind.REPAIR and change.service not in but
            else change
            for change in plan.changes
        ),
    )


def _fetched(git: Git, branch: Tracked, sha: str) -> bool:
    """Brings one commit here by its id. False where the host does not have it, or does not give it away."""
    if not branch.remote:
        return False
    try:
        git.fetch(branch.remote, sha)
    except Error as error:
        get("source").warning("what was applied could not be fetched", revision=sha, error=error.message)
        return False
    return git.resolve(sha) is not None
