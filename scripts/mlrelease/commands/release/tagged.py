"""A release as it was tagged: found by its name, with the record that its commit holds."""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.commands.release.ground import record_at
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery import source
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.forge import tags
from mlrelease.forge.tags import Tag
from mlrelease.model.release import Release, Version


@dataclass(frozen=True, slots=True)
class Tagged:
    """`tag` is the remote's where there is one, else this clone's; `here` this clone's. `tip` is the tracked branch's."""

    tag: Tag
    here: Tag | None
    online: bool
    tip: str
    record: Release


def find_tagged(workspace: Workspace, name: str) -> Tagged:
    """The release of that tag, fetched where only the remote has it.

    Raises `UsageError` for a name that is none of a release, `Error` where there is no such tag, or no record in it.
    """
    version = Version.parse(name)
    if version is None:
        raise UsageError(f"{name!r} is no release", hint="name its tag, such as v1.2.0")
    git, branch = workspace.git, workspace.branch
    online = source.fetch(git, branch)
    here = tags.here(git).get(version.tag)
    there = None
    if branch.remote and online:
        try:
            there = tags.at_remote(git, branch.remote).get(version.tag)
        except UnavailableError:
            online = False
    if there is not None and git.resolve(there.commit) is None:
        if here is None:
            tags.fetch(git, branch.remote, version.tag)
            here = tags.here(git).get(version.tag)
        else:
            git.fetch(branch.remote, f"refs/tags/{version.tag}:refs/mlrelease/remote/tags/{version.tag}")
    tag = there or here
    if tag is None:
        known = [one for one in sorted(tags.here(git)) if Version.parse(one)]
        raise Error(f"there is no tag {version.tag}", hint=f"tags here: {', '.join(known[-5:]) or 'none'}")
    record = record_at(git, tag.commit, version)
    if record is None:
        raise Error(
            f"{version.tag} has no {version.path}: it was not made by mlrelease release", hint=f"git show {version.tag}"
        )
    return Tagged(tag, here, online, git.resolve(branch.ref) or tag.commit, record)
