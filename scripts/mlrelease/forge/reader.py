"""Asking one git repository through the `git` command: what is there, and what was. Changes nothing.

Owns no meaning of the files. Every method raises `Error` with one clear line when git cannot do it; talking to a remote
that does not answer is an `UnavailableError`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.forge.command import SSH_CONNECT_S, Completed, failure, run, without_credentials
from mlrelease.forge.files import batched, listed, on_disk, safe_prefix
from mlrelease.model.spec import SourceFile


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the log. `at` is when it was committed, in seconds since 1970; `author` is a name without address."""

    sha: str
    subject: str
    author: str
    at: float


class GitReader:
    """The repository at or above `path`. Making one runs nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- running ---------------------------------------------------------------------------------------------------

    def call(
        self,
        *arguments: str,
        stdin: bytes = b"",
        remote: str | None = None,
        extra: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        deadline: str = "git.local",
    ) -> Completed:
        """What the command left, whatever its exit code. `remote` names the remote that it talks to."""
        more = dict(extra or {})
        if remote is not None:
            deadline = "git.remote"
            more |= self._ssh
        return run(arguments, cwd=cwd or self.path, stdin=stdin, deadline=deadline, extra=more)

    def run(self, *arguments: str, check: bool = True, stdin: bytes = b"") -> str:
        """The output of a local command as stripped text. With `check`, a failure is an `Error`."""
        done = self.call(*arguments, stdin=stdin)
        if check and done.code:
            raise self._failure(done, f"run git {arguments[0]}")
        return done.text

    # -- looking ---------------------------------------------------------------------------------------------------

    def root(self) -> Path:
        """The top folder of the checkout. Raises `Error` where there is none."""
        return self._root

    def head(self) -> str | None:
        """The commit that is checked out; None before the first one."""
        return self.resolve("HEAD")

    def branch(self) -> str | None:
        """The branch that is checked out, also before its first commit; None when detached."""
        done = self.call("symbolic-ref", "--quiet", "--short", "HEAD")
        if done.code > 1:
            raise self._failure(done, "read the current branch")
        return done.text or None

    def resolve(self, revision: str) -> str | None:
        """The full id of the commit that `revision` names; None when there is none of that name here."""
        if not revision or revision.startswith("-"):
            return None
        done = self.call("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if done.code and (problem := self._ground_problem(done)):
            raise problem
        return done.text if done.code == 0 else None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `older` is `newer` or one of its ancestors. Raises `Error` when one of them is not here."""
        done = self.call("merge-base", "--is-ancestor", older, newer)
        if done.code > 1:
            raise self._failure(done, f"compare {older} with {newer}")
        return done.code == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that both contain; None when their histories never met."""
        done = self.call("merge-base", one, other)
        if done.code > 1:
            raise self._failure(done, f"find where {one} and {other} part")
        return done.text or None

    def dirty_paths(self, prefix: str = "") -> list[str]:
        """Paths from the root, below `prefix`, that differ from the commit checked out; untracked ones too."""
        done = self._at_root("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", *_below(prefix))
        if done.code:
            raise self._failure(done, "read the state of the checkout")
        return sorted(record[3:].decode(errors="backslashreplace") for record in done.out.split(b"\0") if record)

    def config(self, name: str) -> str:
        """The configured value of `name`, empty when there is none."""
        done = self.call("config", "--get", name)
        if done.code > 1 and (problem := self._ground_problem(done)):
            raise problem
        return done.text

    def config_user(self) -> tuple[str, str] | None:
        """Name and address that a commit here would carry; None when nobody configured them (guesses do not count)."""
        done = self.call("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
        name, _, rest = done.text.partition(" <")
        return (name, rest.partition(">")[0]) if done.code == 0 else None

    def upstream(self) -> tuple[str, str] | None:
        """Remote and branch there that the current branch follows; None when it follows none."""
        branch = self.branch()
        if branch is None:
            return None
        remote, merge = self.config(f"branch.{branch}.remote"), self.config(f"branch.{branch}.merge")
        if not remote or remote == "." or not merge:
            return None
        return remote, merge.removeprefix("refs/heads/")

    def remote_url(self, name: str) -> str | None:
        """The address of a remote without credentials; None when there is no such remote."""
        done = self.call("remote", "get-url", "--", name)
        if done.code and (problem := self._ground_problem(done)):
            raise problem
        return without_credentials(done.text) if done.code == 0 else None

    def log(self, paths: Sequence[str] = (), limit: int = 20, *, revision: str = "HEAD") -> list[Commit]:
        """The newest commits that touched `paths` (any, without paths), newest first; empty before the first commit."""
        sha = self.resolve(revision)
        if sha is None:
            return []
        pathspecs = [f":(top,literal){safe_prefix(path)}" for path in paths]
        done = self.call(
            "-c",
            "i18n.logOutputEncoding=UTF-8",
            "-c",
            "log.showSignature=false",
            "log",
            "-z",
            f"--max-count={limit}",
            "--format=%H%n%an%n%ct%n%s",
            sha,
            "--",
            *pathspecs,
        )
        if done.code:
            raise self._failure(done, "read the log")
        records = (record.split("\n", 3) for record in done.out.decode(errors="replace").split("\0") if record.strip())
        return [Commit(sha=r[0], author=r[1], at=float(r[2]), subject=r[3].rstrip("\n")) for r in records]

    # -- files -----------------------------------------------------------------------------------------------------

    def tree(self, revision: str, prefix: str = "") -> dict[str, SourceFile]:
        """Every file below `prefix` at a commit, by its path from the root.

        Symlinks, submodules and files over 2 MiB are not read: they come with their `problem`.
        """
        path = safe_prefix(prefix)
        done = self.call("ls-tree", "-r", "-z", "-l", "--full-tree", revision, *([path] if path else []))
        if done.code:
            raise self._failure(done, f"list the files at {revision}")
        entries = list(listed(done.out))
        contents = iter(self.blobs([sha for _, sha, _, known in entries if known is None]))
        files: dict[str, SourceFile] = {}
        for name, _, _, known in entries:
            if known is None:
                data = next(contents)
                known = SourceFile(b"", "missing from this clone") if data is None else SourceFile(data)  # noqa: PLW2901
            files[name] = known
        return files

    def blobs(self, shas: Sequence[str]) -> list[bytes | None]:
        """The contents of many objects in the order asked, in one command; None for one that is not here."""
        if not shas:
            return []
        done = self.call("cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in shas).encode())
        if done.code:
            raise self._failure(done, "read objects")
        return list(batched(done.out))

    def worktree(self, prefix: str = "") -> dict[str, SourceFile]:
        """Every file below `prefix` on disk, by its path from the root, committed or not; the unreadable have a `problem`."""
        return on_disk(self._root, prefix)

    # -- inside ----------------------------------------------------------------------------------------------------

    @cached_property
    def _root(self) -> Path:
        done = self.call("rev-parse", "--show-toplevel")
        if done.code:
            if "must be run in a work tree" in done.messages:
                raise Error(f"{self.path} is a repository without a checkout", hint="run it in a clone")
            raise self._failure(done, "find the repository")
        return Path(os.fsdecode(done.out.rstrip(b"\n")))

    @cached_property
    def _ssh(self) -> dict[str, str]:
        """No question and no endless wait over ssh, unless the user or CI configured ssh."""
        if "GIT_SSH_COMMAND" in os.environ or "GIT_SSH" in os.environ or self.config("core.sshCommand"):
            return {}
        return {"GIT_SSH_COMMAND": f"ssh -oBatchMode=yes -oConnectTimeout={SSH_CONNECT_S}"}

    def _at_root(self, *arguments: str, stdin: bytes = b"", deadline: str = "git.local") -> Completed:
        return self.call(*arguments, stdin=stdin, cwd=self._root, deadline=deadline)

    def _checked(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> Completed:
        in_checkout = arguments[0] in ("ls-files", "add")
        done = self.call(*arguments, stdin=stdin, extra=extra, cwd=self._root if in_checkout else None)
        if done.code:
            raise self._failure(done, f"run git {next(a for a in arguments if a[0] != '-' and '=' not in a)}")
        return done

    def _failure(self, done: Completed, doing: str, *, remote: str | None = None) -> Error:
        return failure(done, doing=doing, cwd=self.path, remote=remote)

    def _ground_problem(self, done: Completed) -> Error | None:
        """The error behind a failed question when it was not "no such thing" but "no repository" or "not yours"."""
        if "not a git repository" in done.messages or "dubious ownership" in done.messages:
            return self._failure(done, "read the repository")
        return None


def _below(prefix: str) -> list[str]:
    path = safe_prefix(prefix)
    return ["--", f":(top,literal){path}"] if path else []
