"""The pair of environments of `pair.py` with its remote on the local GitHub: people, bots, and what stands there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlrelease.spec.edit import set_model_pin
from support.desk import Desk, desk
from support.github_server import Hub
from support.pair import Pair, Person
from support.world import World, git

BASE = "environments/production/models/wine.yaml"


@dataclass
class Hosted:
    """`name` is the repository on `hub`; `pair` has it as its remote."""

    pair: World
    hub: Hub
    name: str

    def person(self, login: str = "ada", *, token: str = "", folder: Path | None = None) -> Person | Desk:
        """A workspace that speaks to the hub, with a workflow's token unless another is given."""
        person = self.pair.person(login, folder=folder) if isinstance(self.pair, Pair) else desk(self.pair)
        return replace(person, variables={**person.variables, **self.hub.environment_variables(self.name, token=token)})

    @property
    def state(self):
        return self.hub.state(self.name)

    @property
    def open(self) -> list[dict]:
        """The open pull requests, oldest first."""
        return [pull for pull in self.state.pulls.values() if pull["state"] == "open"]

    @property
    def bare(self) -> Path:
        return self.hub.git_path(self.name)

    def at(self, branch: str) -> str:
        """The commit of a branch there; empty without one."""
        listed = git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed.strip()

    def file(self, branch: str, path: str = BASE) -> str:
        """A file on a branch there."""
        return git(self.bare, "show", f"{branch}:{path}")

    def changed(self, branch: str, base: str = "main") -> list[str]:
        """The files that a branch would change."""
        return git(self.bare, "diff", "--name-only", f"{base}...{branch}").splitlines()

    def subjects(self, branch: str, base: str = "main") -> list[str]:
        """The commits that a branch would bring, newest first."""
        return git(self.bare, "log", "--format=%s", f"{base}..{branch}").splitlines()

    def commit_on(self, branch: str, path: str, text: str, message: str = "By hand") -> str:
        """A person's commit on a branch there, on top of what it has."""
        folder = self.pair.root / "somebody"
        if not folder.exists():
            git(self.pair.root, "clone", "--quiet", str(self.bare), "somebody")
        git(folder, "fetch", "--quiet", "origin")
        git(folder, "checkout", "--quiet", "--detach", f"origin/{branch}")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "--quiet", "-m", message)
        git(folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return git(folder, "rev-parse", "HEAD")

    def pin_on_main(self, model: str, version: str, environment: str = "production") -> str:
        """A person's commit that pins a version on the tracked branch."""
        pin = self.pair.pin(model, version)
        path = f"environments/{environment}/models/{model}.yaml"
        text = set_model_pin(self.file("main", path).encode() + b"\n", pin.version, pin.digest).decode()
        return self.commit_on("main", path, text, f"Pin {model} {version} by hand")


def hosted(pair: World, hub: Hub, name: str) -> Hosted:
    """The pair with everything it has pushed to a new repository on the hub, which is its remote from here on."""
    hub.repository(name)
    bare = hub.git_path(name)
    git(pair.root / "origin.git", "push", "--quiet", "--mirror", str(bare))
    for folder in (pair.laptop, pair.root / "host"):
        git(folder, "remote", "set-url", "origin", str(bare))
    return Hosted(pair, hub, name)
