"""`release publish`: the tag on the commit that brought a record, and GitHub's release: draft, assets, published.

Each step looks first whether it is done, so that a half-made release is completed by running this again. The draft is
published last: where releases are immutable, nothing can be added afterwards.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlrelease.commands.github import github_or_none
from mlrelease.commands.output import say
from mlrelease.commands.release.cut import quiet
from mlrelease.commands.release.draft import Step
from mlrelease.commands.release.ground import Ground, record_at, survey
from mlrelease.commands.release.proofs import Status, of_pins
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.forge import tags
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from mlrelease.model.release import FOLDER, Release, Version, released_by
from mlrelease.render.changelog import PATH as CHANGELOG
from mlrelease.render.changelog import section_of, unmarked
from mlrelease.render.release_body import page
from mlrelease.render.report import Report

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub


def publish(workspace: Workspace, tag: str, *, step: Step = quiet) -> Report:
    """Tags and publishes the release; without GitHub it ends with the tag. 0 also when all of it is done already.

    Raises `Error` where there is no record, or the pins of the commit that brought it are not the record's.
    """
    git, branch = workspace.git, workspace.branch
    ground = survey(workspace, checkout=False)
    if not ground.online:
        raise UnavailableError(f"{branch.remote} did not answer: nothing was published", hint=f"git fetch {branch.remote}")
    version = _version(git, ground, tag)
    step("surveyed")
    commit, tagged = _tagged(workspace, ground, version, step)
    record = record_at(git, commit, version)
    if record is None:
        raise Error(
            f"{version.tag} has no {version.path}: it was not made by mlrelease release", hint=f"git show {version.tag}"
        )
    github = github_or_none(workspace)
    url, did = ("", "") if github is None else _on_github(workspace, github, record, commit, step)
    parts = [f"tag {'made' if tagged else 'was there'} on {commit[:9]}", did or "no GitHub here, or no token: the tag is all"]
    return Report(
        verdict=f"{version.tag}: {'; '.join(parts)}",
        data={"release": version.tag, "commit": commit, "tagged": tagged, "url": url, "published": bool(url)},
        details=[url] if url else [],
        next=f"mlrelease release verify {version.tag}",
    )


def _version(git: Git, ground: Ground, tag: str) -> Version:
    """The version asked for, else that of the newest record on the branch."""
    asked = Version.parse(tag)
    if tag and asked is None:
        raise UsageError(f"{tag!r} is no release", hint="name its tag, such as v1.2.0")
    names = git.run("ls-tree", "--name-only", ground.tip, f"{FOLDER}/").splitlines()
    known = sorted(version for name in names if (version := released_by(name)) is not None)
    if asked is not None and asked in known:
        return asked
    if asked is not None or not known:
        raise Error(
            f"there is no {asked.path if asked else 'release record'} on the branch",
            hint="cut one: mlrelease release minor, or with --pr, and merge it",
        )
    return known[-1]


def _tagged(workspace: Workspace, ground: Ground, version: Version, step: Step) -> tuple[str, bool]:
    """The commit of the tag, and whether it was made now: on the commit that brought the record, if their pins agree."""
    git, branch = workspace.git, workspace.branch
    there = ground.tag(version) if not branch.remote else ground.there.get(version.tag)
    if there is not None:
        if version.tag not in ground.here:
            tags.fetch(git, branch.remote, version.tag)
        return there.commit, False
    commit = _brought_by(git, ground.tip, version)
    record = record_at(git, commit, version)
    if record is None:
        raise Error(f"{version.path} is not in {commit[:9]}", hint="please report this")
    wrong = [line for line in of_pins(workspace, record, commit) if line.status is not Status.PASSED]
    if wrong:
        raise Error(
            f"{version.path} does not fit {commit[:9]}, which brought it: {wrong[0].what}: {wrong[0].reason}",
            hint=f"pins moved before it was merged: git revert {commit[:9]}, push, and propose the release again",
        )
    here = ground.here.get(version.tag)
    if here is not None and here.commit != commit:
        raise Error(f"the tag {version.tag} here is on another commit", hint=f"git tag -d {version.tag}")
    text = (git.blobs([f"{commit}:{CHANGELOG}"])[0] or b"").decode(errors="replace")
    target = (
        here.target if here else tags.make(git, version.tag, commit, f"{version.tag}\n\n{unmarked(section_of(text, version))}")
    )
    step("tagged")
    if branch.remote:
        target = _push(git, branch.remote, version, commit, target)
        step("pushed")
    if here is None:
        tags.keep(git, version.tag, target) if not branch.remote else _keep(git, branch.remote, version, target)
    step("kept")
    return commit, True


def _push(git: Git, remote: str, version: Version, commit: str, target: str) -> str:
    """The tag object that the remote has now. Somebody else's on the same commit is as good as ours."""
    try:
        tags.push(git, remote, {f"refs/tags/{version.tag}": target})
    except (PushRefusedError, UnavailableError):
        there = tags.at_remote(git, remote).get(version.tag)
        if there is None or there.commit != commit:
            raise
        return there.target
    return target


def _keep(git: Git, remote: str, version: Version, target: str) -> None:
    """The remote's tag here too: another's, made in the same moment, has to be fetched."""
    if git.call("cat-file", "-e", target).code == 0:
        tags.keep(git, version.tag, target)
    else:
        tags.fetch(git, remote, version.tag)


def _brought_by(git: Git, tip: str, version: Version) -> str:
    """The newest commit of the branch itself that added the record: the merge, where it was merged."""
    found = git.run(
        "log",
        "-m",
        "--first-parent",
        "--no-renames",
        "--diff-filter=A",
        "--max-count=1",
        "--format=%H",
        tip,
        "--",
        version.path,
    )
    if not found:
        raise Error(f"no commit that brought {version.path} is in this clone", hint="git fetch --unshallow")
    return found


def _on_github(workspace: Workspace, github: GitHub, record: Release, commit: str, step: Step) -> tuple[str, str]:
    """The address of the release, and what was done to it."""
    from mlrelease.forge.github import releases  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay
    from mlrelease.forge.github.text import cut  # noqa: PLC0415 - the same

    version, git = record.version, workspace.git
    data, changelog = (blob or b"" for blob in git.blobs([f"{commit}:{version.path}", f"{commit}:{CHANGELOG}"]))
    name = f"{version.tag}.yaml"
    digest = f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()
    assets = {name: (data, "application/yaml"), f"{name}.sha256": (digest, "text/plain")}
    found = releases.find(github, version.tag)
    if found is not None and not found.draft and set(assets) <= {asset.name for asset in found.assets}:
        return found.html_url, "was published already"
    body = cut(page(record, section_of(changelog.decode(errors="replace"), version)))
    found = releases.draft(github, tag=version.tag, name=version.tag, body=body, target=commit)
    step("drafted")
    for asset, (content, kind) in assets.items():
        say(f"{version.tag}: {asset}")
        releases.upload(github, found, asset, content, kind)
        step(f"uploaded {asset}")
    done = releases.publish(github, found.id)
    step("published")
    return done.html_url, "published on GitHub"
