"""The tool's own branches at the remote: their names, where they stand, and moving them by compare-and-swap.

Nobody checks them out here. A person may push to one: `is_ours` tells that, and then it is left alone.
"""

from __future__ import annotations

import re

from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.command import PushRefusedError, failure
from mlrelease.forge.git import Git

PREFIX = "mlrelease"
TRAILER = "Proposed-by: mlrelease"
"""The last line of every commit on such a branch."""


TRIES = 5
_NOT_THERE = ("find remote ref", "not our ref", "unadvertised object")


def branch_name(verb: str, environment: str, subject: str) -> str:
    """`mlrelease/<verb>/<environment>/<subject>`, another one for every subject.

    Dots that git refuses in a branch (git-check-ref-format(1): `..`, a last one, `.lock` at the end) become `%2E`.
    """
    safe = re.sub(r"\.(?=\.|$|lock$)", "%2E", subject.replace("%", "%25"))
    return f"{PREFIX}/{verb}/{environment}/{safe}"


def find(git: Git, remote: str, branch: str) -> str | None:
    """The commit that the branch stands at in the remote, brought here; None when there is no such branch.

    Raises `UnavailableError` when the remote cannot be asked.
    """
    ref = f"refs/heads/{branch}"
    for _ in range(TRIES):
        sha = listed(git, remote, ref).get(ref)
        if sha is None or git.resolve(sha) is not None:
            return sha
        bring(git, remote, ref)
        if git.resolve(sha) is not None:
            return sha
    raise UnavailableError(f"{branch} at {remote} moves under every look", hint="try again", where=remote)


def listed(git: Git, remote: str, pattern: str) -> dict[str, str]:
    """The commits of the remote's refs that match, by ref. Raises `UnavailableError` when the remote cannot be asked."""
    done = git.call("ls-remote", "--", remote, pattern, remote=remote)
    if done.code:
        raise failure(done, doing=f"read {remote}", cwd=git.path, remote=remote)
    rows = (line.split("\t") for line in done.text.splitlines())
    return {row[1]: row[0] for row in rows if len(row) == 2}


def bring(git: Git, remote: str, *wanted: str) -> None:
    """Fetches the commits of these refs, or these commits, and writes no ref here: a person works in this clone.

    Raises `UnavailableError` when the remote is not reached; what it does not have is looked for by the caller.
    """
    flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
    done = git.call("fetch", *flags, "--", remote, *wanted, remote=remote)
    if done.code and not any(text in done.messages for text in _NOT_THERE):
        raise failure(done, doing=f"fetch from {remote}", cwd=git.path, remote=remote)


def put(git: Git, remote: str, branch: str, sha: str, *, expected: str | None) -> bool:
    """Makes the branch stand at `sha`, if it stands at `expected` (None: nowhere); False when somebody moved it meanwhile.

    Raises `PushRefusedError` when the remote's rules say no, `UnavailableError` when it is not reached.
    """
    ref = f"refs/heads/{branch}"
    lease = f"--force-with-lease={ref}:{expected or ''}"
    # A hook of the user before pushing is about the user's own branches.
    done = git.call("push", "--quiet", "--porcelain", "--no-verify", lease, "--", remote, f"{sha}:{ref}", remote=remote)
    if done.code == 0:
        return True
    problem = failure(done, doing=f"push to {remote}", cwd=git.path, remote=remote)
    if isinstance(problem, PushRefusedError) and problem.stale:
        return False
    raise problem


def is_ours(git: Git, sha: str) -> bool:
    """Whether the newest commit of the branch that is no merge was made by this tool.

    A merge of the tracked branch (GitHub's button "Update branch") leaves it ours.
    """
    done = git.call("log", "--first-parent", "--no-merges", "--max-count=1", "--format=%B", sha)
    if done.code:
        raise Error(f"commit {sha[:9]} cannot be read: {done.messages}", hint="git fsck")
    return TRAILER in done.text.splitlines()
