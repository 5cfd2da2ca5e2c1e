"""The tracked branch's commits as `history/landings.py` wants them: read in a few git commands, whatever their number."""

from __future__ import annotations

from collections.abc import Mapping

from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.errors import Error
from mlrelease.forge import landings as forge
from mlrelease.forge.landings import Landed
from mlrelease.history.landings import Landings, PinCommit, digests_in

NO_COMMITS = Landings((), ())


def read_landings(workspace: Workspace, environment: str) -> tuple[Landings, str]:
    """The commits of an environment's files up to the last known tip, and why there are none (empty: there are)."""
    tip = workspace.git.resolve(workspace.branch.ref)
    if tip is None:
        return NO_COMMITS, f"there is no commit on {workspace.branch}"
    folder = f"{ENVIRONMENTS}/{environment}"
    try:
        landed = forge.landed(workspace.git, tip, folder)
        merges = any(len(commit.parents) > 1 for commit in landed)
        written = forge.written(workspace.git, tip, folder) if merges else ()
        texts = forge.texts(workspace.git, landed)
        line = forge.line(workspace.git, tip)
    except Error as error:
        return NO_COMMITS, error.message
    digests = {blob: digests_in(data) for blob, data in texts.items()}
    authors: dict[tuple[str, str], list[Landed]] = {}
    for commit in written:
        for item in commit.blobs.items():
            authors.setdefault(item, []).append(commit)
    return Landings([_pin_commit(commit, digests, authors) for commit in reversed(landed)], line), ""


def _pin_commit(
    commit: Landed, digests: Mapping[str, frozenset[str]], authors: Mapping[tuple[str, str], list[Landed]]
) -> PinCommit:
    """A merge is dated by the commits that it brought: those that wrote its files as it left them."""
    wrote = []
    if len(commit.parents) > 1:
        for item in commit.blobs.items():
            # Newest first; a revert writes again what another commit wrote long ago.
            wrote += [one for one in authors.get(item, []) if one.authored_at <= commit.landed_at][:1]
    newest = max(wrote, key=lambda one: one.authored_at, default=commit)
    return PinCommit(
        sha=commit.sha,
        subject=commit.subject,
        author=newest.author,
        authored_at=newest.authored_at,
        landed_at=commit.landed_at,
        digests={path: digests.get(blob, frozenset()) for path, blob in commit.blobs.items()},
        body=commit.body,
        written=newest.sha if newest is not commit else "",
    )
