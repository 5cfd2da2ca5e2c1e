"""Checks of the repository itself: its default branch, and how a pull request becomes a commit."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, warn
from mlrelease.commands.doctor.github.asking import Asked, check, refused
from mlrelease.forge.github.errors import ForbiddenError

_WAYS = ("squash", "rebase", "merge")


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about the repository."""
    if (asked := patient.github) is not None:
        yield check(asked, "default-branch", lambda: default_branch(asked))
        yield check(asked, "merge-settings", lambda: merge_settings(asked))


def default_branch(asked: Asked) -> Found:
    """The tracked branch is the default branch, and the repository takes pushes."""
    said = asked.repository()
    default, visibility = str(said.get("default_branch", "")), _visibility(asked)
    if said.get("archived") is True:
        return bad(f"{asked.name} is archived: nothing can be pushed", f"gh repo unarchive {asked.name}")
    if said.get("disabled") is True:
        return bad(f"{asked.name} is disabled by GitHub", "its owner sees why in the settings")
    if default != asked.branch:
        return bad(
            f"the default branch is {default}, tracked is {asked.branch}",
            f"gh repo edit {asked.name} --default-branch {asked.branch}, or: git config mlrelease.branch {default}",
        )
    return ok(f"{default} is the default branch; the repository is {visibility}")


def merge_settings(asked: Asked) -> Found:
    """Pull requests come in by merge commits, or as single commits (squash, or rebase for one commit per pin): not both.

    What the settings allow and a ruleset forbids does not count.
    """
    said = asked.repository()
    allowed = {way: said.get(f"allow_{way}_{'commit' if way == 'merge' else 'merge'}") for way in _WAYS}
    if None in allowed.values():
        return refused("merge-settings", "GitHub does not show the merge settings to this token")
    kept = _kept_by_rules(asked)
    ways = [way for way in _WAYS if allowed[way] and (kept is None or way in kept)]
    words, edit = " or ".join(ways), f"gh repo edit {asked.name}"
    if not ways:
        return bad("settings and rules together leave no way to merge", f"{edit} --enable-squash-merge")
    if "merge" in ways and len(ways) > 1:
        return warn(
            f"{words}: reverts of merge commits are another command (git revert -m 1)", f"{edit} --enable-merge-commit=false"
        )
    if said.get("delete_branch_on_merge") is not True:
        return warn(
            f"{words}; merged branches stay: bump and promote use their names again", f"{edit} --delete-branch-on-merge"
        )
    return ok(f"{words}; merged branches are deleted")


def _kept_by_rules(asked: Asked) -> frozenset[str] | None:
    try:
        return asked.rules(asked.branch).merge_methods
    except ForbiddenError:  # rules that are not shown, or that the plan does not have; branch-reviews says so
        return None


def _visibility(asked: Asked) -> str:
    said = asked.repository()
    return str(said.get("visibility") or ("private" if said.get("private") else "public"))
