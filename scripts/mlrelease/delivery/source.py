"""Where desired state comes from: the tip of the tracked branch, read from git without touching the work tree."""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.git import Git
from mlrelease.log import get
from mlrelease.model.spec import Spec

ENVIRONMENTS = "environments"


@dataclass(frozen=True, slots=True)
class Tracked:
    """The branch that says what should run; `remote` is empty for a repository without one."""

    remote: str
    branch: str

    @property
    def ref(self) -> str:
        """The ref that holds its last known tip."""
        return f"refs/remotes/{self.remote}/{self.branch}" if self.remote else f"refs/heads/{self.branch}"

    def __str__(self) -> str:
        return f"{self.remote}/{self.branch}" if self.remote else self.branch


@dataclass(frozen=True, slots=True)
class Desired:
    """What git wants: the revision, its files as a spec, and whether the git host answered just now."""

    revision: str
    spec: Spec
    online: bool


def tracked(git: Git, *, branch: str = "") -> Tracked:
    """The tracked branch: as asked, as configured (`mlrelease.branch`), the remote's default, or the current one."""
    remotes = git.run("remote").splitlines()
    remote = "origin" if "origin" in remotes else (remotes[0] if remotes else "")
    name = branch or git.config("mlrelease.branch")
    if not name and remote:
        head = git.run("symbolic-ref", "--quiet", "--short", f"refs/remotes/{remote}/HEAD", check=False).strip()
        name = head.removeprefix(f"{remote}/")
    name = name or git.branch() or ""
    if not name:
        raise Error("no branch to track: the checkout is detached", hint="name one: git config mlrelease.branch main")
    return Tracked(remote, name)


def fetch(git: Git, branch: Tracked) -> bool:
    """Brings the tip here. False when the git host did not answer: the last fetched tip holds."""
    if not branch.remote:
        return True
    try:
        git.fetch(branch.remote, f"+refs/heads/{branch.branch}:{branch.ref}")
    except UnavailableError as error:
        get("source").warning("git host did not answer", where=str(branch), error=error.message)
        return False
    return True


def desired(git: Git, branch: Tracked, *, online: bool = True) -> Desired:
    """The spec at the last known tip of the tracked branch."""
    revision = git.resolve(branch.ref)
    if revision is None:
        command = f"git push {branch.remote} {branch.branch}" if branch.remote else "git add environments && git commit"
        raise Error(f"there is no commit on {branch}", hint=command)
    return Desired(revision, spec_at(git, revision), online)


def spec_at(git: Git, revision: str) -> Spec:
    """The spec of one commit."""
    from mlrelease.spec.load import load  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay

    return load(git.tree(revision, ENVIRONMENTS))
