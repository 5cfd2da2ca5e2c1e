"""Tags of one repository, here and at its remote: which there are, making one that nothing points at yet, and pushing it
together with a branch, both or neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mlrelease.errors import Error
from mlrelease.forge.command import failure, no_identity, refused_push
from mlrelease.forge.git import Git

_REJECTED = re.compile(r"\[(?:remote )?rejected\][^\n]*\(([^()\n]*)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: the object that its name points at, and the commit below. They are the same for one without annotation."""

    name: str
    target: str
    commit: str

    @property
    def annotated(self) -> bool:
        """Whether it is an object of its own, with a message, a tagger and a date."""
        return self.target != self.commit


def here(git: Git) -> dict[str, Tag]:
    """The tags of this clone that lead to a commit, by name."""
    form = "%(refname:strip=2)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
    found: dict[str, Tag] = {}
    for line in git.run("for-each-ref", f"--format={form}", "refs/tags").splitlines():
        name, kind, target, kind_below, below = line.split("\0")
        commit = target if kind == "commit" else below if kind_below == "commit" else git.resolve(f"refs/tags/{name}")
        if commit:
            found[name] = Tag(name, target, commit)
    return found


def at_remote(git: Git, remote: str) -> dict[str, Tag]:
    """The tags of the remote, by name. Raises `UnavailableError` when it cannot be asked."""
    done = git.call("ls-remote", "--tags", "--", remote, remote=remote)
    if done.code:
        raise failure(done, doing=f"read the tags of {remote}", cwd=git.path, remote=remote)
    targets: dict[str, str] = {}
    commits: dict[str, str] = {}
    for line in done.text.splitlines():
        sha, _, ref = line.partition("\t")
        name = ref.removeprefix("refs/tags/")
        if name.endswith("^{}"):
            commits[name.removesuffix("^{}")] = sha
        else:
            targets[name] = sha
    return {name: Tag(name, target, commits.get(name, target)) for name, target in targets.items()}


def fetch(git: Git, remote: str, name: str) -> None:
    """Brings one tag of the remote here. Raises `Error` when another of its name is here."""
    git.fetch(remote, f"refs/tags/{name}:refs/tags/{name}")


def make(git: Git, name: str, commit: str, message: str) -> str:
    """An annotated tag as an object; no ref points at it yet. Returns its id. Raises `Error` when nobody is configured."""
    if git.config_user() is None:
        raise no_identity()
    tagger = git.run("var", "GIT_COMMITTER_IDENT")
    text = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message.strip()}\n"
    done = git.call("mktag", stdin=text.encode())
    if done.code:
        raise failure(done, doing=f"make the tag {name}", cwd=git.path)
    return done.text


def keep(git: Git, name: str, target: str) -> None:
    """Lets the name point at the tag here. Raises `Error` when it points at another."""
    ref = f"refs/tags/{name}"
    done = git.call("update-ref", ref, target, "0" * len(target))
    if done.code and git.run("rev-parse", "--verify", "--quiet", ref, check=False) != target:
        raise failure(done, doing=f"keep the tag {name}", cwd=git.path)


def push(git: Git, remote: str, refs: Mapping[str, str]) -> None:
    """Pushes objects to refs of the remote, all or none, never by force.

    Raises `PushRefusedError` when the remote says no to any of them, `UnavailableError` when its answer does not come.
    """
    if not remote:
        raise Error("there is no remote to push to", hint="git remote add origin URL")
    specs = [f"{target}:{ref}" for ref, target in refs.items()]
    done = git.call("push", "--porcelain", "--atomic", "--", remote, *specs, remote=remote)
    if not done.code:
        return
    # The refs that were given up with the refused one come first: what is worth telling is why the one was.
    reasons = _REJECTED.findall(f"{done.out.decode(errors='replace')}\n{done.messages}")
    if why := next((reason for reason in reasons if not reason.startswith("atomic ")), ""):
        raise refused_push(remote, why, done.messages)
    raise failure(done, doing=f"push to {remote}", cwd=git.path, remote=remote)
