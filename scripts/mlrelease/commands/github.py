"""The repository's GitHub for verbs that speak to it: found once, said clearly where it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlrelease.errors import Error

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.forge.github.client import GitHub

CREDENTIALS_HINT = (
    "set GITHUB_TOKEN, MLRELEASE_GITHUB_TOKEN, or MLRELEASE_APP_ID with MLRELEASE_APP_KEY; docs/github.md says with what rights"
)


def github_of(workspace: Workspace) -> GitHub:
    """The GitHub of the repository at hand. Asks nothing yet.

    Raises `Error` with what to set where the repository is not on GitHub, or there are no credentials.
    """
    from mlrelease.forge.github.auth import credentials_of  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay
    from mlrelease.forge.github.client import GitHub  # noqa: PLC0415 - the same
    from mlrelease.forge.github.place import place_of  # noqa: PLC0415 - the same

    place = place_of(workspace.variables, remote_url(workspace))
    if place is None:
        raise Error(
            "this repository is not on GitHub, as far as its remote says",
            hint="set MLRELEASE_GITHUB_REPOSITORY=owner/name, and MLRELEASE_GITHUB_API for an Enterprise server",
        )
    credentials = credentials_of(workspace.variables)
    if credentials is None:
        raise Error(f"there is no token for GitHub ({place.name})", hint=CREDENTIALS_HINT)
    return GitHub(place, credentials, now=workspace.now)


def github_or_none(workspace: Workspace) -> GitHub | None:
    """The GitHub of the repository at hand; None where it is not on GitHub, or there are no credentials.

    Raises `Error` only for settings that contradict each other: half an App, a repository that is no `owner/name`.
    """
    from mlrelease.forge.github.auth import credentials_of  # noqa: PLC0415 - as above
    from mlrelease.forge.github.client import GitHub  # noqa: PLC0415 - as above
    from mlrelease.forge.github.place import place_of  # noqa: PLC0415 - as above

    place = place_of(workspace.variables, remote_url(workspace))
    credentials = credentials_of(workspace.variables)
    return GitHub(place, credentials, now=workspace.now) if place is not None and credentials is not None else None


def remote_url(workspace: Workspace) -> str:
    """The address that the tracked remote is fetched from, as configured; empty without one. It may hold credentials."""
    remote = workspace.branch.remote
    return workspace.git.config(f"remote.{remote}.url") if remote else ""
