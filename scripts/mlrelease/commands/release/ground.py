"""What git says before a release: where this clone stands to the tracked branch, which tags there are, what came last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mlrelease.commands.workspace import Workspace
from mlrelease.delivery import source
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import tags
from mlrelease.forge.git import Git
from mlrelease.forge.tags import Tag
from mlrelease.model.release import Problem, Release, Version, released_by

SHOWN = 3
"""So many paths are named where a list of them would be longer."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`head` is what is released: checked out, or (without `checkout`) the `tip` of the tracked branch itself.

    `last` is the newest version tag that `head` contains, `record` what it recorded (None for a tag of another program).
    `fetched`: its tag was not in this clone until now. `untagged` are the versions whose record has no tag anywhere.
    """

    head: str
    tip: str
    online: bool
    here: Mapping[str, Tag] = field(default_factory=dict)
    there: Mapping[str, Tag] = field(default_factory=dict)
    last: Version | None = None
    record: Release | None = None
    fetched: bool = False
    untagged: tuple[Version, ...] = ()
    checkout: bool = True

    @property
    def last_commit(self) -> str:
        """The commit of the last tag; empty without one."""
        tag = self.tag(self.last) if self.last else None
        return tag.commit if tag else ""

    def tag(self, version: Version) -> Tag | None:
        """The tag of a version: the remote's, else this clone's."""
        return self.there.get(version.tag) or self.here.get(version.tag)


def survey(workspace: Workspace, *, checkout: bool = True) -> Ground:
    """Fetches the tracked branch and reads all tags. Without `checkout`, what lies here does not matter: the tip is released.

    Raises `Error` where there is no commit.
    """
    git, branch = workspace.git, workspace.branch
    before = tags.here(git)  # a fetch brings the tags of what it brings along
    online = source.fetch(git, branch)
    tip = git.resolve(branch.ref)
    head = git.head() if checkout else tip
    if head is None or tip is None:
        raise Error(f"there is no commit on {branch}", hint="git push, then release")
    there: dict[str, Tag] = {}
    if branch.remote and online:
        try:
            there = tags.at_remote(git, branch.remote)
        except UnavailableError:
            online = False
    here = tags.here(git)
    last = _last(git, branch.remote, head, here, there)
    fetched = last is not None and last.tag not in before
    here = tags.here(git) if fetched else here
    names = git.run("ls-tree", "--name-only", head, "releases/").splitlines()
    records = [version for name in names if (version := released_by(name)) is not None]
    untagged = tuple(sorted(v for v in records if v.tag not in here and v.tag not in there))
    ground = Ground(head, tip, online, here, there, last, None, fetched, untagged, checkout)
    return replace(ground, record=record_at(git, ground.last_commit, last) if last else None)


def objections(workspace: Workspace, ground: Ground) -> Iterator[Problem]:
    """Why this clone is no place to release from, every reason."""
    git, branch = workspace.git, workspace.branch
    if ground.checkout:
        yield from _of_checkout(workspace)
    if not ground.online:
        yield Problem(f"{branch.remote} does not answer: whether this is its tip is not known", "try again when it does", 1)
    elif ground.head != ground.tip:
        yield _apart(git, workspace, ground)
    for version in ground.untagged:
        yield Problem(f"{version.path} is committed and has no tag", "mlrelease release publish tags what was merged")
    if git.config_user() is None:
        yield Problem("git does not know who commits", "git config --global user.name and user.email")
    if git.run("rev-parse", "--is-shallow-repository") == "true":
        yield Problem("this clone is shallow: the last release cannot be seen", "git fetch --unshallow --tags", 1)
    for name in sorted(set(ground.here) & set(ground.there)):
        if Version.parse(name) and ground.here[name].target != ground.there[name].target:
            yield Problem(
                f"the tag {name} here is another than at {branch.remote}",
                f"git tag -d {name} && git fetch {branch.remote} tag {name}",
            )


def _of_checkout(workspace: Workspace) -> Iterator[Problem]:
    git, branch = workspace.git, workspace.branch
    dirty = git.dirty_paths()
    if dirty:
        more = f" and {len(dirty) - SHOWN} more" if len(dirty) > SHOWN else ""
        yield Problem(
            f"the work tree has changes that are not committed: {', '.join(dirty[:SHOWN])}{more}",
            "git commit them, git stash -u, or git clean: what is released is what is committed",
        )
    current = git.branch()
    if current is None:
        yield Problem("the checkout is detached: it belongs to no branch", f"git switch {branch.branch}")
    elif current != branch.branch:
        yield Problem(f"the branch here is {current}: releases are cut on {branch.branch}", f"git switch {branch.branch}")


def taken(workspace: Workspace, ground: Ground, version: Version) -> Iterator[Problem]:
    """Why a version cannot be released any more: its tag or its record is there."""
    if version.tag in ground.there:
        yield Problem(f"the tag {version.tag} is at {workspace.branch.remote} already", "choose another level")
    elif version.tag in ground.here:
        yield Problem(
            f"the tag {version.tag} is in this clone already",
            f"git tag -d {version.tag} if it was never pushed, or choose another",
        )


def brought(git: Git, commit: str) -> Version | None:
    """The version whose record this commit added (against its first parent); None where it added none."""
    if git.resolve(f"{commit}^1") is None:
        return None
    out = git.run("diff-tree", "-r", "--no-renames", "--diff-filter=A", "--name-only", f"{commit}^1", commit, "--", "releases")
    return next((version for path in out.splitlines() if (version := released_by(path)) is not None), None)


def record_at(git: Git, commit: str, version: Version) -> Release | None:
    """The record of a version at a commit; None where there is none. Raises `Error` for one that cannot be read."""
    data = git.blobs([f"{commit}:{version.path}"])[0]
    if data is None:
        return None
    from mlrelease.spec.release_file import load  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay

    return load(version.path, data)


def _last(git: Git, remote: str, head: str, here: Mapping[str, Tag], there: Mapping[str, Tag]) -> Version | None:
    """The newest version tag that `head` contains; fetched, where only the remote has it."""
    known = dict(there) if there else dict(here)
    versions = {version: name for name in known if name.startswith("v") and (version := Version.parse(name))}
    for version in sorted(versions, reverse=True):
        tag = known[versions[version]]
        if git.resolve(tag.commit) is None or not git.is_ancestor(tag.commit, head):
            continue
        if tag.name not in here:
            tags.fetch(git, remote, tag.name)
        return version
    return None


def _apart(git: Git, workspace: Workspace, ground: Ground) -> Problem:
    branch = workspace.branch
    if git.is_ancestor(ground.head, ground.tip):
        return Problem(f"this clone is behind {branch}", f"git pull --ff-only {branch.remote} {branch.branch}")
    if git.is_ancestor(ground.tip, ground.head):
        return Problem(
            f"this clone is ahead of {branch}: what is released is pushed first", f"git push {branch.remote} {branch.branch}"
        )
    return Problem(f"this clone and {branch} have parted", f"git pull --rebase {branch.remote} {branch.branch}")
