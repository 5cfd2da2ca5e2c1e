"""A repository on the local GitHub and a client of it, for tests of what is asked of GitHub."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from mlrelease.forge.github.auth import Token
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.place import Place
from support.github_server import Hub, State

_numbers = itertools.count(1)


@dataclass
class Desk:
    """One repository with one commit on `main`, and who speaks to it. Waits of the client take no time and are kept."""

    hub: Hub
    name: str
    github: GitHub
    waits: list[float]

    @property
    def state(self) -> State:
        """What GitHub remembers of the repository."""
        return self.hub.state(self.name)

    @property
    def main(self) -> str:
        """The tip of `main`."""
        return str(self.github.get("git/ref/heads/main")["object"]["sha"])

    def branch(self, name: str, files: dict[str, str | None] | None = None) -> str:
        """A commit on a branch; its id."""
        return self.hub.commit(self.name, name, files)

    def pull(self, branch: str = "change", **fields: str) -> int:
        """An open pull request of a person, from a new branch; its number."""
        self.branch(branch)
        return self.hub.open_pull(self.name, head=branch, **fields)

    def writes(self, method: str = "POST") -> list[str]:
        """The last part of each path that was written to in this repository, in order."""
        prefix = f"/repos/{self.name}/"
        return [c.path.removeprefix(prefix) for c in self.hub.calls if c.method == method and c.path.startswith(prefix)]


def desk(hub: Hub, *, token: str = "", api_url: str = "", now=None, **settings: object) -> Desk:
    """A fresh repository on the hub, asked with a workflow's own token unless another is given."""
    name = f"acme/models-{next(_numbers)}"
    hub.repository(name, started=True, **settings)
    waits: list[float] = []
    return Desk(hub, name, client(hub, name, token=token, api_url=api_url, now=now, waits=waits), waits)


def client(hub: Hub, name: str, *, token: str = "", api_url: str = "", now=None, waits: list[float] | None = None) -> GitHub:
    """A client of a repository."""
    owner, _, repo = name.partition("/")
    place = Place(api_url or hub.api_url, owner, repo, f"{hub.html_url}/{name}")
    kept = [] if waits is None else waits
    return GitHub(place, Token("GITHUB_TOKEN", token or hub.actions_token), now=now or hub.now, sleep=kept.append)
