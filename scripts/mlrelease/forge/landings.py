"""The commits of a branch that touched a folder, with each file as it left them, in a few commands however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlrelease.errors import Error
from mlrelease.forge.files import LARGE_BYTES, safe_prefix
from mlrelease.forge.git import Git

_FIELDS = ("%H", "%P", "%an", "%at", "%ct", "%s", "%b")


@dataclass(frozen=True, slots=True)
class Landed:
    """One commit. `blobs` are the objects of the files that it touched, by path from the root; empty for a removed one.

    `authored_at` and `landed_at` are git's author and committer dates, in seconds since 1970; `author` has no address.
    """

    sha: str
    parents: tuple[str, ...]
    author: str
    authored_at: float
    landed_at: float
    subject: str
    body: str
    blobs: Mapping[str, str]


def landed(git: Git, revision: str, prefix: str) -> tuple[Landed, ...]:
    """The commits of the branch's own line up to `revision` that changed files below `prefix`, newest first.

    A merge stands for all that it brought. Raises `Error` when the revision is not here.
    """
    return _log(git, "-m", "--first-parent", revision, prefix=prefix)


def written(git: Git, revision: str, prefix: str) -> tuple[Landed, ...]:
    """The commits in which the changes below `prefix` were written, on whatever branch, newest first; no merges."""
    return _log(git, "--no-merges", revision, prefix=prefix)


def line(git: Git, revision: str) -> tuple[str, ...]:
    """Every commit of the branch's own line up to `revision`, oldest first."""
    return tuple(reversed(git.run("rev-list", "--first-parent", revision, "--").split()))


def descendants(git: Git, revision: str, tip: str) -> frozenset[str]:
    """The revision and every commit up to `tip` that contains it."""
    found = git.run("rev-list", "--ancestry-path", f"{revision}..{tip}", "--").split()
    return frozenset((revision, *found))


def texts(git: Git, commits: tuple[Landed, ...]) -> dict[str, bytes]:
    """The bytes of all files of these commits by object, those of no size of a pin file left out; one command."""
    wanted = sorted({blob for commit in commits for blob in commit.blobs.values() if blob})
    found = zip(wanted, git.blobs(wanted), strict=True)
    return {blob: data for blob, data in found if data is not None and len(data) <= LARGE_BYTES}


def _log(git: Git, *arguments: str, prefix: str) -> tuple[Landed, ...]:
    done = git.call(
        "-c",
        "i18n.logOutputEncoding=UTF-8",
        "-c",
        "log.showSignature=false",
        "log",
        "--raw",
        "-z",
        "--no-abbrev",
        "--no-renames",
        f"--format={'%x00'.join(_FIELDS)}",
        *arguments,
        "--",
        f":(top,literal){safe_prefix(prefix)}",
    )
    if done.code:
        raise Error(
            f"the commits of {prefix} cannot be read: {done.messages}", hint="git fetch --unshallow, in a shallow clone"
        )
    return tuple(_commits(done.out))


def _commits(output: bytes) -> Iterator[Landed]:
    """NUL alone separates: a message may hold anything else, also lines that look like git's own."""
    tokens = output.decode(errors="backslashreplace").split("\0")
    at = 0
    while at + len(_FIELDS) <= len(tokens):
        sha, parents, author, authored, committed, subject, body = tokens[at : at + len(_FIELDS)]
        at += len(_FIELDS)
        blobs: dict[str, str] = {}
        while at + 1 < len(tokens) and tokens[at].lstrip("\n").startswith(":"):
            blob = tokens[at].split()[3]
            blobs[tokens[at + 1]] = blob if blob.strip("0") else ""  # as many zeros as an id has digits: removed
            at += 2
        yield Landed(sha, tuple(parents.split()), author, float(authored), float(committed), subject, body.rstrip("\n"), blobs)
