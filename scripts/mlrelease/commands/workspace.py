"""What every verb starts from: the repository, who asks, the clock, ids, and the environments of the work tree or of git."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlrelease.delivery import source
from mlrelease.delivery.site import Site, open_ledger, open_site
from mlrelease.delivery.source import ENVIRONMENTS, Desired, Tracked
from mlrelease.errors import Error, UsageError
from mlrelease.forge.git import Git
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.finding import Finding
from mlrelease.model.spec import EnvironmentSpec, Spec
from mlrelease.registries.interface import ModelRegistry


class FindingsError(Error):
    """The files of an environment (or of the repository) have findings that stop the work; `cli.py` exits with 4."""

    def __init__(self, message: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(message, hint="see them all: mlrelease validate --offline")
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Workspace:
    """The repository at hand and what the outside world is to this process."""

    git: Git
    branch: Tracked
    actor: str
    run_id: str
    variables: Mapping[str, str]

    @property
    def now(self) -> Callable[[], float]:
        """The clock."""
        return time.time

    def new_id(self) -> str:
        """A ULID."""
        return new_ulid()

    def ledger(self) -> Ledger:
        """The ledger, with a spool inside the git folder: for verbs that have no site."""
        spool = self.git.root() / self.git.run("rev-parse", "--git-path", "mlrelease/spool").strip()
        return open_ledger(self.git, self.branch, spool, self.now)

    def worktree_spec(self) -> Spec:
        """The spec of the files as they lie in the work tree."""
        from mlrelease.spec.load import load  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay

        return load(self.git.worktree(ENVIRONMENTS))

    def desired(self) -> Desired:
        """The tip of the tracked branch, fetched just now where its host answers."""
        online = source.fetch(self.git, self.branch)
        return source.desired(self.git, self.branch, online=online)

    def site(self, environment: EnvironmentSpec) -> Site:
        """The environment's place on this host."""
        return open_site(environment, self.git, self.branch, now=self.now, run_id=self.run_id, variables=self.variables)

    def registry(self, environment: EnvironmentSpec) -> ModelRegistry:
        """The environment's MLflow. Asks nothing yet; raises `Error` for an address that cannot be used."""
        from mlrelease.registries.connect import connect  # noqa: PLC0415 - requests costs 0.1 s
        from mlrelease.spec.expand import expand  # noqa: PLC0415 - imported with the spec, not by `--help`

        address = expand(environment.tracking_uri, self.variables, where=environment.path)
        return connect(address, self.variables, base=self.git.root)


def new_ulid() -> str:
    """A ULID of now."""
    from ulid import ULID  # noqa: PLC0415

    return str(ULID())


def open_workspace(directory: str, *, run_id: str, branch: str = "") -> Workspace:
    """The workspace of the repository around `directory`. Raises `Error` where there is none."""
    path = Path(directory)
    if not path.is_dir():
        raise UsageError(f"{directory}: no such folder", hint="-C names a folder inside a clone")
    # Absolute, so that "not a git repository" names the folder and not just a dot.
    git = Git(path.absolute())
    git = Git(git.root())
    return Workspace(git, source.tracked(git, branch=branch), _actor(git), run_id, dict(os.environ))


def environment_of(spec: Spec, name: str) -> EnvironmentSpec:
    """The environment of that name. Raises `FindingsError` when its file cannot be used, `UsageError` when there is none."""
    blocking = spec.blocking(name)
    if name in spec.environments and not blocking:
        return spec.environments[name]
    if blocking:
        places = "; ".join(f"{f.place}: {f.message}" for f in blocking[:3])
        raise FindingsError(f"{name} cannot be read: {places}", blocking)
    known = ", ".join(sorted(spec.environments)) or "none"
    raise UsageError(f"there is no environment {name!r}", hint=f"environments here: {known}")


def names_of(workspace: Workspace, spec: Spec, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The environments asked for, each once; of none all, sorted, those too whose files cannot be read. Raises `Error`."""
    names = tuple(dict.fromkeys(asked)) or tuple(sorted(set(spec.environments) | {f.environment for f in spec.findings} - {""}))
    if not names:
        raise Error(f"there is no environment at {workspace.branch}", hint="mlrelease validate --offline")
    return names


def cache_folder(variables: Mapping[str, str]) -> Path:
    """Where verbs that are not the host's keep artifacts: the user's cache folder."""
    base = variables.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mlrelease" / "artifacts"


def _actor(git: Git) -> str:
    """Who asks: GitHub's actor in a workflow, whom git would name in a commit, or the login name."""
    if os.environ.get("GITHUB_ACTIONS") == "true" and os.environ.get("GITHUB_ACTOR"):
        return os.environ["GITHUB_ACTOR"]
    name, mail = git.config_user() or (git.config("user.name"), "")
    if name:
        return f"{name} <{mail}>" if mail else name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else sys.platform
