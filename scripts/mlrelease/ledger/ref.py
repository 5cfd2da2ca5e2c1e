"""The branch that holds the ledger: where its tip is, and moving it on by compare-and-swap.

With a remote the truth is there, and this clone keeps the last tip it saw under `refs/mlrelease/remote/` (never under
the user's own branches). Without one the branch itself is the truth.

The remote is asked with `ls-remote`, and objects are fetched only when they are not here: no fetch writes a ref, so
processes that look at the same time do not trip over each other, and narrow refspecs and shallow clones do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.command import Completed, PushRefusedError, failure
from mlrelease.forge.git import DURABLE, Git
from mlrelease.log import get

TRIES = 5
_MOVED = ("but expected", "reference already exists", "unable to resolve reference", "reference is missing")


@dataclass(frozen=True, slots=True)
class Tip:
    """What a look at the branch found: the newest commit of the ledger, and what the remote's branch points at."""

    commit: str | None
    at_remote: str | None


class RewrittenError(Error):
    """The remote's ledger is not a continuation of the one last seen here."""


class LedgerRef:
    """One branch, `refs/heads/<branch>`, at a remote or here."""

    def __init__(self, git: Git, remote: str | None, branch: str) -> None:
        self._git = git
        self._remote = remote
        self._ref = f"refs/heads/{branch}"
        self.is_local = remote is None
        self._here = f"refs/mlrelease/remote/{branch.removeprefix('mlrelease/')}" if remote else self._ref

    def known(self) -> str | None:
        """The last tip seen here; None when there is no ledger yet."""
        return self._git.resolve(self._here)

    def look(self) -> Tip:
        """The tip now. Raises `UnavailableError` when the remote cannot be asked, `RewrittenError` when it was rewritten.

        A remote that is behind what was seen here (restored from a backup, branch deleted) is brought forward by the
        next append: nothing that was recorded is given up.
        """
        if self._remote is None:
            tip = self.known()
            return Tip(tip, tip)
        for _ in range(TRIES):
            there = self._ask()
            here = self.known()
            if there is None or there == here:
                return Tip(here, there)
            if not self._has(there):
                self._fetch()
                if not self._has(there):
                    continue  # moved back between the two calls: look again
            if here is None or self._git.is_ancestor(here, there):
                self._advance(there, here)
                return Tip(there, there)
            if self._git.is_ancestor(there, here):
                return Tip(here, there)
            raise RewrittenError(
                f"the ledger at {self._remote} was rewritten: it does not continue {here[:12]}, seen here before",
                hint=f"compare the two; to restore: git push --force {self._remote} {here}:{self._ref}",
                where=self._remote,
            )
        raise UnavailableError(f"the ledger at {self._remote} moves under every look", hint="try again", where=self._remote)

    def swap(self, new: str, tip: Tip) -> bool:
        """Moves the branch from `tip` to `new`; False when somebody else moved it first.

        Raises `PushRefusedError` when the remote's rules say no, `UnavailableError` when it is not reached, and `Error`
        naming the file when a killed git left its lock.
        """
        if self._remote is None:
            done = self._git.call(*DURABLE, "update-ref", "-m", "mlrelease", self._ref, new, tip.commit or "")
            return self._moved_on(done)
        lease = f"--force-with-lease={self._ref}:{tip.at_remote or ''}"
        # A hook of the user before pushing is about the user's code, not about these events.
        flags = ("--quiet", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
        done = self._git.call("push", *flags, lease, "--", self._remote, f"{new}:{self._ref}", remote=self._remote)
        if done.code:
            problem = failure(done, doing=f"push to {self._remote}", cwd=self._git.path, remote=self._remote)
            if (isinstance(problem, PushRefusedError) and problem.stale) or _is_lock_of_another(problem):
                return False
            raise problem
        try:
            self._advance(new, tip.commit)
        except Error as error:
            # The event is in the ledger; only this clone's note of it is behind, and the next look says so again.
            get("ledger").warning("could not note the new tip", error=error.message)
        return True

    def _ask(self) -> str | None:
        remote = str(self._remote)
        done = self._git.call("ls-remote", "--", remote, self._ref, remote=remote)
        if done.code:
            raise failure(done, doing=f"read {remote}", cwd=self._git.path, remote=remote)
        rows = (line.split("\t") for line in done.text.splitlines())
        return next((row[0] for row in rows if row[1:] == [self._ref]), None)

    def _fetch(self) -> None:
        remote = str(self._remote)
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
        done = self._git.call("fetch", *flags, "--", remote, self._ref, remote=remote)
        if done.code and "find remote ref" not in done.messages:
            raise failure(done, doing=f"fetch the ledger from {remote}", cwd=self._git.path, remote=remote)

    def _has(self, sha: str) -> bool:
        return self._git.call("cat-file", "-e", f"{sha}^{{commit}}").code == 0

    def _advance(self, new: str, seen: str | None) -> None:
        """Notes a newer tip; another process may have noted it, or a yet newer one, since `seen` was the newest here."""
        if seen and self._moved_on(self._git.call("update-ref", "-m", "mlrelease", self._here, new, seen)):
            return
        for _ in range(TRIES):
            here = self.known()
            if here is not None and self._git.is_ancestor(new, here):
                return
            if self._moved_on(self._git.call("update-ref", "-m", "mlrelease", self._here, new, here or "")):
                return
        raise Error(f"{self._here} moves under every write", hint="try again")

    def _moved_on(self, done: Completed) -> bool:
        """Whether `update-ref` did it; False when the ref had another value."""
        if done.code == 0:
            return True
        if any(text in done.messages for text in _MOVED):
            return False
        problem = failure(done, doing="move the ledger on", cwd=self._git.path)
        if _is_lock_of_another(problem):
            return False
        raise problem


def _is_lock_of_another(problem: Error) -> bool:
    """A lock file of a git that is at work right now: as good as a ref that moved."""
    return problem.message.startswith("another git is at work")
