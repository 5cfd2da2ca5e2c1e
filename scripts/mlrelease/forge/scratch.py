"""A copy of one commit's files in a folder that goes away, to be changed by programs and committed without the checkout.

What runs in the copy can spoil nothing: the checkout, its index and all refs stay as they are until somebody moves one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrelease.errors import Error
from mlrelease.forge.command import Completed, failure, no_identity
from mlrelease.forge.files import safe_prefix
from mlrelease.forge.git import Git

# Links are written as files that hold their target: nothing that is written in the copy leaves it.
_PLAIN = ("-c", "core.symlinks=false", "-c", "core.fsmonitor=false")


class Scratch:
    """The copy. `path` is its folder; changes become a tree with `tree`."""

    def __init__(self, git: Git, base: str, path: Path, index: Path) -> None:
        self.path = path
        self.base = base
        self._git = git
        self._extra = {
            "GIT_INDEX_FILE": str(index),
            "GIT_DIR": git.run("rev-parse", "--absolute-git-dir"),
            "GIT_WORK_TREE": str(path),
            "GIT_LFS_SKIP_SMUDGE": "1",  # large files are not needed, and not fetched
        }

    def fill(self) -> None:
        """Writes the files of the commit."""
        self._run("read-tree", self.base)
        self._run("checkout-index", "--all", "--force")
        for line in self._run("ls-files", "--stage", "-z").out.decode(errors="surrogateescape").split("\0"):
            about, _, name = line.partition("\t")
            if about.startswith("160000"):  # a submodule that is not there would count as removed
                (self.path / name).mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""
        place = self.path / safe_prefix(name)
        return place.read_bytes() if place.is_file() else None

    def write(self, name: str, data: bytes) -> None:
        """Puts a file there."""
        place = self.path / safe_prefix(name)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError as e:
            raise Error(f"cannot write {name} in a temporary folder: {e.strerror}", hint="see to the disk behind TMPDIR") from e

    def remove(self, name: str) -> None:
        """Takes a file away."""
        try:
            (self.path / safe_prefix(name)).unlink(missing_ok=True)
        except OSError as e:
            text = f"cannot remove {name} in a temporary folder: {e.strerror}"
            raise Error(text, hint="see to the disk behind TMPDIR") from e

    def tree(self, *new: str) -> str:
        """The tree of the copy as it is now: every change to files that the commit has, and the new ones named."""
        self._run("add", "--update", "--", ".")
        if new:
            self._run("add", "--force", "--", *(f":(top,literal){safe_prefix(name)}" for name in new))
        return self._run("write-tree").text

    def changed(self, tree: str) -> tuple[str, ...]:
        """The paths in which a tree differs from the commit."""
        out = self._run("diff-tree", "-r", "-z", "--name-only", "--no-renames", self.base, tree).out
        return tuple(sorted(name.decode(errors="backslashreplace") for name in out.split(b"\0") if name))

    def commit(self, tree: str, message: str) -> str:
        """A commit of the tree on top of the base; nothing points at it yet. Returns its id."""
        if self._git.config_user() is None:
            raise no_identity()
        return self._run("commit-tree", tree, "-p", self.base, "-F", "-", stdin=message.encode()).text

    def _run(self, *arguments: str, stdin: bytes = b"") -> Completed:
        done = self._git.call(*_PLAIN, *arguments, stdin=stdin, extra=self._extra, cwd=self.path)
        if done.code:
            raise failure(done, doing=f"run git {arguments[0]} on a copy", cwd=self._git.path)
        return done


@contextmanager
def copy_of(git: Git, base: str) -> Iterator[Scratch]:
    """The copy of a commit, for the block."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="mlrelease-copy-", ignore_cleanup_errors=True)
    except OSError as e:
        raise Error(f"no temporary folder could be made: {e.strerror}", hint="see to the disk behind TMPDIR") from e
    with folder as name:
        files = Path(os.path.realpath(name)) / "files"
        files.mkdir()
        scratch = Scratch(git, base, files, files.with_name("index"))
        scratch.fill()
        yield scratch
