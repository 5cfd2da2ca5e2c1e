"""Which commit of the tracked branch brought a digest into a file, looked up in commits that were read before. Pure.

The commit that *landed* a pin is the one of the branch's own line: a squash, a merge, or a plain commit. A file may be
touched again without its pin moving, so what counts is the commit from which on the digest stands in the file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlrelease.model.bundle import IMAGE, SETTINGS, ComponentKey

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_SQUASHED = re.compile(r"\(#(\d{1,9})\)\s*$")
_MERGED = re.compile(r"Merge pull request #(\d{1,9}) from ")


@dataclass(frozen=True, slots=True)
class PinCommit:
    """One commit of the tracked branch that touched the environment's files.

    `digests` are those in each file that it touched, as it left them (a removed file has none). `author` and
    `authored_at` are of the change itself: for a merge, of the newest commit that it brought and that wrote one of its
    files as they are now, which `written` names. `landed_at` is when the commit of the branch was made.
    """

    sha: str
    subject: str
    author: str
    authored_at: float
    landed_at: float
    digests: Mapping[str, frozenset[str]]
    body: str = ""
    written: str = ""

    @property
    def pull(self) -> int | None:
        """The number of its pull request, where its subject says so, as GitHub writes it."""
        found = _MERGED.match(self.subject) or _SQUASHED.search(self.subject)
        return int(found[1]) if found else None


class Landings:
    """The commits of one environment's files on the tracked branch, oldest first; `line` is every commit of the branch."""

    def __init__(self, commits: Sequence[PinCommit], line: Sequence[str]) -> None:
        self._commits = tuple(commits)
        self._place = {sha: number for number, sha in enumerate(line)}
        self._brought: dict[tuple[str, str], list[int]] = {}
        self._touched: dict[str, list[int]] = {}
        before: dict[str, frozenset[str]] = {}
        for index, commit in enumerate(self._commits):
            for path, digests in commit.digests.items():
                self._touched.setdefault(path, []).append(index)
                for digest in digests - before.get(path, frozenset()):
                    self._brought.setdefault((path, digest), []).append(index)
                before[path] = digests
        self._places = [self._place.get(commit.sha, -1) for commit in self._commits]

    def of(self, environment: str, service: str, key: ComponentKey, value: str, revision: str) -> PinCommit | None:
        """The commit behind a component's value at `revision`; of settings, which have no digest, the newest in their file."""
        path = file_of(environment, service, key)
        return self.touching(path, revision) if key == SETTINGS else self.bringing(path, value, revision)

    def bringing(self, path: str, digest: str, revision: str) -> PinCommit | None:
        """The commit by which, at `revision`, the digest stood in the file.

        None when the revision is not on the branch that was read, or the digest never came into the file by then.
        """
        return self._newest(self._brought.get((path, digest), []), revision)

    def touching(self, path: str, revision: str) -> PinCommit | None:
        """The newest commit up to `revision` that touched the file; None as above."""
        return self._newest(self._touched.get(path, []), revision)

    def bringing_before(self, path: str, digest: str, moment: float) -> PinCommit | None:
        """The newest commit made by that moment that brought the digest into the file; None when there is none."""
        found = [self._commits[i] for i in self._brought.get((path, digest), []) if self._commits[i].landed_at <= moment]
        return found[-1] if found else None

    def _newest(self, indices: Sequence[int], revision: str) -> PinCommit | None:
        place = self._place.get(revision)
        if place is None:
            return None
        at = bisect_right(indices, place, key=lambda index: self._places[index])
        return self._commits[indices[at - 1]] if at else None


def digests_in(text: bytes) -> frozenset[str]:
    """Every digest that stands in a file."""
    return frozenset(found.decode() for found in _DIGEST.findall(text))


def file_of(environment: str, service: str, key: ComponentKey) -> str:
    """The file that pins a component: a service's for its image and settings, a model's own (DESIGN §3)."""
    if key in (IMAGE, SETTINGS):
        return f"environments/{environment}/services/{service}.yaml"
    return f"environments/{environment}/models/{key.removeprefix('model:')}.yaml"
