"""`release LEVEL --pr`: the release commit on a branch of its own, in one pull request that is refreshed when run again.

It is made on the tip of the tracked branch, whatever is checked out. Merging it releases nothing yet: `release publish`
tags the commit that brought the record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlrelease.commands.github import github_of
from mlrelease.commands.output import say
from mlrelease.commands.release.cut import ReleaseOptions, quiet
from mlrelease.commands.release.draft import Asked, Draft, Step, draft
from mlrelease.commands.release.ground import brought, record_at, survey
from mlrelease.commands.release.told import made_data, refused
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error
from mlrelease.forge import branches
from mlrelease.forge.scratch import Scratch, copy_of
from mlrelease.model.release import BRANCH, Release
from mlrelease.model.when import from_iso
from mlrelease.render.changelog import shown, unmarked
from mlrelease.render.release_body import release_body
from mlrelease.render.report import Report

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is on the branch at the remote: its commit (empty: no branch) and when the record in it was made (0: none)."""

    commit: str = ""
    at: float = 0.0


def propose(workspace: Workspace, options: ReleaseOptions, *, step: Step = quiet) -> Report:
    """Opens or refreshes the pull request; refused with every reason at once, as the release itself would be.

    Raises `Error` without GitHub, before anything is pushed, and where somebody else's commit is on the branch.
    """
    github = github_of(workspace)
    git = workspace.git
    ground = survey(workspace, checkout=False)
    step("surveyed")
    standing = _standing(workspace, ground.tip)
    with copy_of(git, ground.tip) as copy:
        asked = Asked(options.level, options.environments)
        found = draft(workspace, ground, asked, copy, at=standing.at or workspace.now())
        step("drafted")
        if found.problems or found.record is None:
            return refused(found, options.level)
        commit, pushed = _pushed(workspace, standing, found, copy, step)
    return _told(workspace, github, found, found.record, commit, pushed=pushed, step=step)


def _standing(workspace: Workspace, tip: str) -> _Standing:
    """The moment of a record that was made on this very tip is kept, so that the same release is the same commit."""
    git, remote = workspace.git, workspace.branch.remote
    if not remote:
        raise Error("there is no remote to open a pull request at", hint="git remote add origin URL")
    there = branches.find(git, remote, BRANCH)
    if there is None:
        return _Standing()
    version = brought(git, there) if git.resolve(f"{there}^1") == tip else None
    record = record_at(git, there, version) if version else None
    return _Standing(there, from_iso(record.at) if record else 0.0)


def _pushed(workspace: Workspace, standing: _Standing, found: Draft, copy: Scratch, step: Step) -> tuple[str, bool]:
    """The commit on the branch, and whether it had to be pushed."""
    git, remote = workspace.git, workspace.branch.remote
    on_tip = standing.at and git.run("rev-parse", f"{standing.commit}^{{tree}}") == found.tree
    if on_tip:
        return standing.commit, False
    if standing.commit and not _may_replace(workspace, standing.commit):
        raise Error(
            f"somebody else's commit {standing.commit[:9]} is on {BRANCH}: it is not overwritten",
            hint=f"merge it, or give it up: git push {remote} --delete {BRANCH}",
            where=BRANCH,
        )
    tag = found.version.tag if found.version else ""
    commit = copy.commit(found.tree, f"Release {tag}\n\n{unmarked(found.section)}\n\n{branches.TRAILER}\n")
    step("committed")
    if not branches.put(git, remote, BRANCH, commit, expected=standing.commit or None):
        raise Error(f"somebody moved {BRANCH} meanwhile", hint="run it again", where=BRANCH)
    step("pushed")
    return commit, True


def _may_replace(workspace: Workspace, commit: str) -> bool:
    """Ours, or merged already."""
    git = workspace.git
    return branches.is_ours(git, commit) or git.is_ancestor(commit, git.resolve(workspace.branch.ref) or commit)


def _told(
    workspace: Workspace, github: GitHub, found: Draft, record: Release, commit: str, *, pushed: bool, step: Step
) -> Report:
    from mlrelease.forge.github import pulls  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay
    from mlrelease.forge.github.text import marker_line  # noqa: PLC0415 - the same

    tag = record.version.tag
    marker = marker_line(f"mlrelease:release:{'+'.join(sorted(record.environments))}:{tag}".replace("--", "-%2D"))
    body = f"{marker}\n{release_body(record, found.section)}"
    base = workspace.branch.branch
    pull, opened = pulls.open_or_refresh(github, head=BRANCH, base=base, title=f"Release {tag}", body=body)
    step("opened")
    did = "opened" if opened else "refreshed" if pushed else "proposed already in"
    say(f"{tag}: {did} #{pull.number}")
    report = Report(
        verdict=f"{tag}: {did} #{pull.number}; commit {commit[:9]} on {BRANCH}",
        data=made_data(found, commit, pushed=False),
        details=shown(found.section),
        next=f"review and merge {pull.html_url}, then: mlrelease release publish",
    )
    number = {"number": pull.number, "url": pull.html_url, "opened": opened, "commit": commit}
    return replace(report, data={**report.data, "pull_request": number})
