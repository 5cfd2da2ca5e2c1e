"""Real git repositories for tests, and events to put into their ledger."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mlrelease.forge.git import Git
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.event import DeployStarted, Held, Owner

NOW = 1_790_000_000.0


def git(path: Path, *arguments: str) -> str:
    """The output of a git command that must succeed."""
    done = subprocess.run(["git", *arguments], cwd=path, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def repository(path: Path, files: dict[str, str] | None = None) -> Path:
    """A repository with one commit of these files."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    for name, text in (files or {"README.md": "hello\n"}).items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message=start")
    return path


def bare_with_clones(folder: Path, *names: str) -> tuple[Path, ...]:
    """A bare remote with one commit on `main`, and clones of it."""
    seed = repository(folder / "seed")
    bare = folder / "remote.git"
    git(folder, "clone", "--quiet", "--bare", str(seed), str(bare))
    for name in names:
        git(folder, "clone", "--quiet", str(bare), str(folder / name))
    return bare, *(folder / name for name in names)


def ledger(path: Path, *, remote: str | None = "origin", now: float = NOW, spool: Path | None = None) -> Ledger:
    """The ledger of a clone, its spool beside the clone."""
    return Ledger(Git(path), remote=remote, spool=spool or path.with_name(f"{path.name}-spool"), now=lambda: now)


def held(number: int | str, environment: str = "staging") -> Held:
    """A small event."""
    return Held(id=f"E{number}", environment=environment, at=NOW, actor="ann", reason=f"number {number}")


def started(
    number: int | str, *, expires_at: float = NOW + 60, supersedes: str = "", owner: Owner | None = None
) -> DeployStarted:
    """A start, which is a lock."""
    return DeployStarted(
        id=f"S{number}",
        environment="staging",
        at=NOW,
        actor="ann",
        revision="0" * 40,
        trigger="deploy",
        owner=owner or Owner("elsewhere", 1, 1.0),
        expires_at=expires_at,
        supersedes=supersedes,
    )
