"""One git repository through the `git` command: what `reader` finds, and commits and pushes that touch nothing else.

Every method raises `Error` with one clear line when git cannot do it; talking to a remote that does not answer is an
`UnavailableError`, a remote that says no to a push a `PushRefusedError`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.forge.command import Completed, no_identity
from mlrelease.forge.files import safe_prefix
from mlrelease.forge.reader import GitReader

DURABLE = ("-c", "core.fsync=committed,loose-object,reference")
"""Flags for a command whose writes must survive a power cut (git-config(1), core.fsync; older gits ignore it)."""

FETCH_TRIES = 5
"""So often a fetch is tried while others in the same clone move the ref that it moves."""


class Git(GitReader):
    """The repository at or above `path`. Making one runs nothing."""

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
