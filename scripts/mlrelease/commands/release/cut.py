"""`release LEVEL`: one commit and one annotated tag on the tip of the tracked branch, pushed together or not at all.

Everything is made in a copy and as objects that nothing points at. The one step that others can see is the push, and it
moves branch and tag together; where there is no remote, it is the move of the branch here. Whatever fails before leaves
the repository as it was; what is missing after (this clone behind, the tag not here) the next run makes up for.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.commands.output import say
from mlrelease.commands.release.draft import PRODUCTION, Asked, Draft, Step, draft
from mlrelease.commands.release.ground import Ground, brought, record_at, survey
from mlrelease.commands.release.told import dry, lines, made, refused, unfinished
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import tags
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from mlrelease.forge.scratch import copy_of
from mlrelease.model.release import Level, Version
from mlrelease.render.changelog import PATH as CHANGELOG
from mlrelease.render.changelog import section_of, unmarked
from mlrelease.render.report import Report

STEPS = ("surveyed", "drafted", "committed", "tagged", "pushed", "followed", "kept")
"""The steps in their order; without a push there is no `pushed`."""


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """What the command line says. `environments` count: their pins are released, and they must be in sync."""

    level: Level = Level.AUTO
    environments: tuple[str, ...] = (PRODUCTION,)
    dry_run: bool = False
    push: bool = True


def quiet(_step: str) -> None:
    """Listens to steps and says nothing."""


def release(workspace: Workspace, options: ReleaseOptions, *, step: Step = quiet) -> Report:
    """Cuts a release, or finishes one that was cut and not ended. Refused with every reason at once: exit code 5, 4 or 1.

    Raises `PushRefusedError` when the remote took neither branch nor tag, `UnavailableError` when it is not known whether
    it did: the next run looks first.
    """
    git = workspace.git
    # (1): what was begun is ended first.
    ground = survey(workspace)
    step("surveyed")
    if not options.dry_run and (report := _ended(workspace, ground, options)) is not None:
        return report

    # (2): all checks, and the release in a copy.
    with copy_of(git, ground.head) as copy:
        found = draft(workspace, ground, Asked(options.level, options.environments), copy, at=workspace.now())
        step("drafted")
        if found.problems:
            return refused(found, options.level)
        if options.dry_run:
            return dry(found, copy.changed(found.tree), options.level)
        version = _version(found)
        say(f"{version.tag}: {lines(found)}, record of {', '.join(options.environments)}")

        # (3): commit and tag as objects.
        commit = copy.commit(found.tree, f"Release {version.tag}\n\n{unmarked(found.section)}\n")
    step("committed")
    tag = tags.make(git, version.tag, commit, f"{version.tag}\n\n{unmarked(found.section)}")
    step("tagged")

    # (4): seen by others, together.
    _publish(workspace, version, commit, tag, push=options.push, step=step)
    return made(workspace, found, commit, pushed=options.push and bool(workspace.branch.remote))


def _publish(workspace: Workspace, version: Version, commit: str, tag: str, *, push: bool, step: Step) -> None:
    git, branch = workspace.git, workspace.branch
    if push and branch.remote:
        push_together(workspace, version, commit, tag)
        step("pushed")
    if not git.follow(branch.branch, commit):
        if not (push and branch.remote):
            raise Error(f"{branch.branch} moved while the release was made: nothing was released", hint="run it again")
        say(f"{branch.branch} here was not moved on: git pull --ff-only")
    step("followed")
    tags.keep(git, version.tag, tag)
    step("kept")


def push_together(workspace: Workspace, version: Version, commit: str, tag: str) -> None:
    """Branch and tag, both or neither. An answer that got lost is looked up."""
    git, branch = workspace.git, workspace.branch
    try:
        tags.push(git, branch.remote, {f"refs/heads/{branch.branch}": commit, f"refs/tags/{version.tag}": tag})
    except PushRefusedError as error:
        hint = "somebody pushed meanwhile: git pull --ff-only, and run it again" if error.stale else "release with --pr instead"
        raise PushRefusedError(
            f"{error.message}; neither branch nor tag was taken", hint=hint, where=error.where, stale=error.stale
        ) from error
    except UnavailableError as error:
        if not _arrived(git, branch.remote, version, tag):
            raise UnavailableError(
                error.message, hint=f"{error.hint}; nothing changed here: run it again", where=error.where
            ) from error
    # What the remote has is noted, as a push of a person notes it.
    git.run("update-ref", branch.ref, commit)


def _arrived(git: Git, remote: str, version: Version, tag: str) -> bool:
    try:
        found = tags.at_remote(git, remote).get(version.tag)
    except Error:
        return False
    return found is not None and found.target == tag


def _ended(workspace: Workspace, ground: Ground, options: ReleaseOptions) -> Report | None:
    """The report of a release that was begun before and is whole now; None where there is none to end."""
    git, branch = workspace.git, workspace.branch
    if git.dirty_paths() or git.branch() != branch.branch or not ground.online:
        return None
    if ground.head != ground.tip and git.is_ancestor(ground.head, ground.tip):
        return _caught_up(workspace, ground)
    version = brought(git, ground.head)
    if version is None:
        return None
    there, here = ground.there.get(version.tag), ground.here.get(version.tag)
    if ground.head == ground.tip and branch.remote:
        # The remote has it whole, and its tag was fetched with the survey; or it is a merged proposal that waits for its tag.
        return unfinished(workspace, version, ground.head, pushed=True) if there and ground.fetched else None
    if branch.remote and git.resolve(f"{ground.head}^1") != ground.tip:
        return None
    if here is not None and (there is not None or not branch.remote):
        return None
    tag = here.target if here else _tag(workspace, version, ground.head)
    if branch.remote and options.push:
        push_together(workspace, version, ground.head, tag)
    if here is None:
        tags.keep(git, version.tag, tag)
    return unfinished(workspace, version, ground.head, pushed=bool(branch.remote) and options.push)


def _caught_up(workspace: Workspace, ground: Ground) -> Report | None:
    """The report where this clone is behind by exactly one release, which the remote has whole."""
    git, branch = workspace.git, workspace.branch
    version = brought(git, ground.tip)
    tag = ground.there.get(version.tag) if version else None
    if version is None or tag is None or tag.commit != ground.tip or git.resolve(f"{ground.tip}^1") != ground.head:
        return None
    if not git.follow(branch.branch, ground.tip):
        return None
    if version.tag not in ground.here:
        tags.fetch(git, branch.remote, version.tag)
    return unfinished(workspace, version, ground.tip, pushed=True)


def _tag(workspace: Workspace, version: Version, commit: str) -> str:
    """The tag of a record that is committed already; the record must be readable and say this version."""
    record_at(workspace.git, commit, version)
    text = (workspace.git.blobs([f"{commit}:{CHANGELOG}"])[0] or b"").decode(errors="replace")
    return tags.make(workspace.git, version.tag, commit, f"{version.tag}\n\n{unmarked(section_of(text, version))}")


def _version(found: Draft) -> Version:
    if found.version is None:
        raise Error("the release has no version", hint="please report this")
    return found.version
