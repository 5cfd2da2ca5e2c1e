"""One git repository through the `git` command: what is there, what was, and commits and pushes that touch nothing else.

Owns no meaning of the files. Every method raises `Error` with one clear line when git cannot do it; talking to a
remote that does not answer is an `UnavailableError`, a remote that says no to a push a `PushRefusedError`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.forge.command import SSH_CONNECT_S, Completed, failure, no_identity, run, without_credentials
from mlrelease.forge.files import batched, listed, on_disk, safe_prefix
from mlrelease.model.spec import SourceFile

DURABLE = ("-c", "core.fsync=committed,loose-object,reference")
"""Flags for a command whose writes must survive a power cut (git-config(1), core.fsync; older gits ignore it)."""

FETCH_TRIES = 5
"""So often a fetch is tried while others in the same clone move the ref that it moves."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the log. `at` is when it was committed, in seconds since 1970; `author` is a name without address."""

    sha: str
    subject: str
    author: str
    at: float


class Git:
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

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit_paths(self, files: Mapping[str, bytes], message: str) -> str:
        """Writes these files and commits only them; other changes, staged or not, stay as they are. Returns the commit.

        The user's hooks and signing apply. When the commit fails, the files and the index are as before.
        """
        self._identity()
        places = {safe_prefix(name): self._place(name) for name in files}
        before = {name: _bytes(place) for name, place in places.items()}
        tracked = set(self._checked("ls-files", "-z", "--", *_literal(places)).out.decode().split("\0"))
        new = [name for name in places if name not in tracked]
        try:
            for name, data in files.items():
                _write(places[safe_prefix(name)], data)
            if new:
                self._checked("add", "--intent-to-add", "--force", "--", *_literal(new))
            done = self._at_root(
                "commit",
                "--quiet",
                "--only",
                "--file=-",
                "--",
                *_literal(places),
                stdin=message.encode(),
                deadline="git.commit",
            )
            if done.code:
                raise self._commit_failure(done)  # noqa: TRY301 - what was written is put back for any failure alike
        except BaseException:
            self._restore(places, before, new)
            raise
        sha = self.head()
        if sha is None:
            raise Error("git made no commit", where=str(self._root))
        return sha

    def commit_on(self, base: str, files: Mapping[str, bytes], message: str) -> str:
        """A commit of these files on top of `base`, touching neither checkout nor index nor any branch. Returns its id."""
        self._identity()
        return self.graft(base, {safe_prefix(name): data for name, data in files.items()}, message)

    def graft(
        self,
        base: str | None,
        files: Mapping[str, bytes],
        message: str,
        *,
        extra: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> str:
        """A commit with these files put into the tree of `base` (None: nothing before it), through an index of its own.

        `extra` are variables for git (author and committer). Nothing points at the commit yet. `durable`: on the disk
        before this returns (git leaves loose objects to the operating system otherwise).
        """
        flags = DURABLE if durable else ()
        with _scratch() as folder:
            index = {"GIT_INDEX_FILE": os.path.join(folder, "index")}  # noqa: PTH118 - a string for the environment
            if base is not None:
                self._checked("read-tree", base, extra=index)
            entries = bytearray()
            for name, data in files.items():
                sha = self._checked(*flags, "hash-object", "-w", "--stdin", stdin=data).text
                entries += f"100644 {sha}\t{name}\0".encode()
            self._checked("update-index", "-z", "--index-info", stdin=bytes(entries), extra=index)
            tree = self._checked(*flags, "write-tree", extra=index).text
        parent = ["-p", base] if base is not None else []
        return self._checked(*flags, "commit-tree", tree, *parent, "-F", "-", stdin=message.encode(), extra=extra).text

    def follow(self, branch: str, revision: str) -> bool:
        """Moves the local branch on to `revision` if that is a fast-forward and spoils nothing. Returns whether it did."""
        if self.branch() == branch:
            # Refuses by itself when local commits or uncommitted edits are in the way.
            return self._at_root("merge", "--quiet", "--ff-only", revision).code == 0
        ref = f"refs/heads/{branch}"
        old = self.resolve(ref)
        if old is None or not self.is_ancestor(old, revision):
            return False
        if f"branch {ref}" in self.run("worktree", "list", "--porcelain").splitlines():
            return False  # checked out elsewhere: moving it would make that checkout look edited
        return self.call("update-ref", ref, revision, old).code == 0

    # -- remotes ---------------------------------------------------------------------------------------------------

    def fetch(self, remote: str, *refspecs: str) -> None:
        """Fetches from the remote. Raises `UnavailableError` when it cannot be reached."""
        for _ in range(FETCH_TRIES):
            # FETCH_HEAD is left alone: a person's `git pull` in the same clone reads it.
            done = self.call("fetch", "--quiet", "--no-write-fetch-head", "--", remote, *refspecs, remote=remote)
            # Another fetch in this clone moved the same ref meanwhile: the remote did answer, and the next look agrees.
            if done.code == 0 or "cannot lock ref" not in done.messages:
                break
        if done.code:
            raise self._failure(done, f"fetch from {remote}", remote=remote)

    def push(self, remote: str, branch: str, *, revision: str = "HEAD") -> None:
        """Pushes `revision` to a branch of the remote, never by force.

        Raises `PushRefusedError` when the remote says no, `UnavailableError` when it cannot be reached.
        """
        if not remote:
            raise Error("there is no remote to push to", hint="git remote add origin URL")
        done = self.call("push", "--porcelain", "--", remote, f"{revision}:refs/heads/{branch}", remote=remote)
        if done.code:
            raise self._failure(done, f"push to {remote}", remote=remote)

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

    def _commit_failure(self, done: Completed) -> Error:
        if any(text in done.text for text in ("nothing to commit", "nothing added", "no changes added")):
            return Error("nothing to commit: the files are committed as they are", hint="git log -1", where=str(self._root))
        if not done.messages:
            hint = "a hook may have refused: see .git/hooks, or the folder that git config core.hooksPath names"
            return Error("git made no commit and did not say why", hint=hint, where=str(self._root))
        return self._failure(done, "commit")

    def _identity(self) -> None:
        if self.config_user() is None:
            if problem := self._ground_problem(self.call("rev-parse", "--git-dir")):
                raise problem
            raise no_identity()

    def _place(self, name: str) -> Path:
        """Where a file lies on disk. Raises `Error` when it, or a folder above it, is a symlink or leaves the root."""
        place = self._root
        for part in Path(safe_prefix(name)).parts:
            place = place / part
            if place.is_symlink():
                raise Error(f"{place} is a symlink", hint="replace it by a real file or folder", where=str(place))
        return place

    def _restore(self, places: Mapping[str, Path], before: Mapping[str, bytes | None], new: Sequence[str]) -> None:
        for name, place in places.items():
            data = before[name]
            if data is None:
                place.unlink(missing_ok=True)
            else:
                _write(place, data)
        if new:
            self._at_root("rm", "--cached", "--quiet", "--force", "--ignore-unmatch", "--", *_literal(new))


@contextmanager
def _scratch() -> Iterator[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="mlrelease-index-")
    except OSError as e:
        raise Error(f"no temporary folder could be made: {e.strerror}", hint="see to the disk behind TMPDIR") from e
    with folder as path:
        yield path


def _bytes(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise Error(f"cannot read {place}: {e.strerror}", where=str(place)) from e


def _write(place: Path, data: bytes) -> None:
    """The file as a whole or not at all, with the mode it had."""
    temporary = place.with_name(f".{place.name}.mlrelease")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        mode = place.stat().st_mode & 0o777 if place.exists() else None
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(place)
    except OSError as e:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise Error(f"cannot write {place}: {e.strerror}", where=str(place)) from e


def _literal(paths: Sequence[str] | Mapping[str, Path]) -> list[str]:
    return [f":(top,literal){path}" for path in paths]


def _below(prefix: str) -> list[str]:
    path = safe_prefix(prefix)
    return ["--", f":(top,literal){path}"] if path else []
