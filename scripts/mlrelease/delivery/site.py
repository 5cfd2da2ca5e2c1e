"""One environment's place on this host: its state folder and the adapters that work there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlrelease.delivery.source import Tracked
from mlrelease.forge.git import Git
from mlrelease.ledger.fence import Fence
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.bundle import sha256_digest
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.interface import ModelRegistry
from mlrelease.targets.interface import Target

KEEP_BUNDLES = 5
"""So many verified bundles per service stay in the artifact cache: the rollback targets that need no registry."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a pass over one environment works with. `registry` is made on first use: a rollback may not need it.

    `runs_here`: a pass has claimed the target on this host. A state folder alone says nothing: looking at a plan fills
    the artifact cache in it.
    """

    environment: EnvironmentSpec
    state_dir: Path
    git: Git
    branch: Tracked
    ledger: Ledger
    cache: ArtifactCache
    target: Target
    registry: Callable[[], ModelRegistry]
    variables: Mapping[str, str]
    now: Callable[[], float]
    runs_here: bool


def repository_key(git: Git, branch: Tracked) -> str:
    """A short name of the repository that is the same for every clone of one remote on this host."""
    address = (git.remote_url(branch.remote) if branch.remote else None) or str(git.root())
    if "://" not in address and "@" not in address:
        address = str((git.root() / address).resolve())
    name = address.rstrip("/").removesuffix(".git").rpartition("/")[2] or "repository"
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name.lower())[:24]
    return f"{safe}-{sha256_digest(address.encode())[7:15]}"


def state_folder(environment: EnvironmentSpec, git: Git, branch: Tracked, variables: Mapping[str, str]) -> Path:
    """Where the environment keeps its state on this host: `target.state_dir` as written, or the default."""
    from mlrelease.spec.expand import expand  # noqa: PLC0415 - imported with the spec, not by `--help`
    from mlrelease.targets.local.state import default_state_dir  # noqa: PLC0415

    written = environment.target.state_dir
    if written:
        path = Path(expand(written, variables, where=environment.path)).expanduser()
        return path if path.is_absolute() else git.root() / path
    return default_state_dir(environment.name, repository_key(git, branch))


def open_ledger(git: Git, branch: Tracked, spool: Path, now: Callable[[], float]) -> Ledger:
    """The ledger of the repository, with its spool on this host."""
    return Ledger(git, remote=branch.remote or None, spool=spool, now=now)


def open_site(
    environment: EnvironmentSpec,
    git: Git,
    branch: Tracked,
    *,
    now: Callable[[], float],
    run_id: str = "",
    variables: Mapping[str, str] | None = None,
) -> Site:
    """The site of an environment on this host. Touches nothing yet."""
    from mlrelease.registries.connect import connect  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.spec.expand import expand  # noqa: PLC0415
    from mlrelease.targets.local.target import LocalTarget  # noqa: PLC0415

    values = dict(os.environ) if variables is None else variables
    folder = state_folder(environment, git, branch, values)
    return Site(
        environment=environment,
        state_dir=folder,
        git=git,
        branch=branch,
        ledger=open_ledger(git, branch, folder / "spool", now),
        cache=ArtifactCache(folder / "cache"),
        target=LocalTarget(environment.name, environment.target.listen, folder, now=now, run_id=run_id),
        registry=lambda: connect(expand(environment.tracking_uri, values, where=environment.path), values, base=git.root),
        variables=values,
        now=now,
        runs_here=Fence(folder).was_claimed(),
    )
