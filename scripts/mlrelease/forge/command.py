"""Running the `git` command: its environment, its deadline, and what its failures mean. Owns no knowledge of repositories.

Nothing that leaves here carries a credential: URLs are shown without user information and query.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.actions import git_settings

SSH_CONNECT_S = 10
END_S = 2.0
"""After SIGTERM git removes its lock files; it gets this long before SIGKILL."""

# `git rev-parse --local-env-vars`, plus what changes meaning or output: set by hooks, `git rebase --exec`, IDEs.
_NOT_INHERITED = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REFLOG_ACTION",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
        "GIT_GLOB_PATHSPECS",
        "GIT_ICASE_PATHSPECS",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NOGLOB_PATHSPECS",
    }
)

# An unescaped slash may stand in a password, not in a name without one: what is no port behind the colon is a password.
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?:[^/\s]*@|[^/\s:@\[]*:(?![0-9]*/)[^\s'\"]*@)", re.IGNORECASE)
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#'\"]+)[?#][^\s'\"]*", re.IGNORECASE)
_LOCK_FILE = re.compile(r"Unable to create '(?P<path>[^']+\.lock)': File exists")
_STALE = ("fetch first", "non-fast-forward", "stale info", "already exists", "incorrect old value")
_MET = ("but expected", "reference already exists")
_DUBIOUS = re.compile(r"dubious ownership in repository at '(?P<path>[^']+)'")


class PushRefusedError(Error):
    """The remote answered and did not take the push. `stale`: somebody was faster; else a rule or a right said no."""

    def __init__(self, message: str, *, hint: str = "", where: str | None = None, stale: bool) -> None:
        super().__init__(message, hint=hint, where=where)
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Completed:
    """What one git command left: exit code, output, and its messages without credentials."""

    code: int
    out: bytes
    messages: str

    @property
    def text(self) -> str:
        """The output as one stripped text."""
        return self.out.decode(errors="replace").strip()


def without_credentials(text: str) -> str:
    """The text with every URL in it reduced to scheme, host and path."""
    return _QUERY.sub(r"\1", _USER_INFO.sub(r"\1", text))


def environment(inherited: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """What git sees: English messages, no prompt, no optional lock, nothing that points at another repository.

    In a GitHub Actions job also the job's token and an author.
    """
    kept = {k: v for k, v in inherited.items() if k not in _NOT_INHERITED and not k.startswith("GIT_TRACE")}
    fixed = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    return kept | fixed | git_settings(inherited, python=sys.executable) | dict(extra)


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    stdin: bytes = b"",
    deadline: str,
    extra: Mapping[str, str] | None = None,
) -> Completed:
    """Runs `git ARGUMENTS` to its end, whatever its exit code. Raises `Error` when it cannot be run or misses its deadline.

    It runs in a session of its own, so that the deadline also ends the ssh or http helper that it waits for. A missed
    deadline of the network (`git.remote`) is an `UnavailableError`.
    """
    seconds = DEADLINES_S[deadline]
    try:
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=cwd,
            env=environment(os.environ, extra or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as e:
        if not cwd.is_dir():
            raise Error(f"no such folder: {cwd}", hint="run it in a clone", where=str(cwd)) from e
        if isinstance(e, FileNotFoundError):
            raise Error("git is not installed", hint="install git 2.30 or newer and see that it is on PATH") from e
        raise Error(f"git could not be started: {e.strerror}") from e
    try:
        out, err = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired as e:
        _end(process)
        words = " ".join(arguments[:1])
        kind = UnavailableError if deadline == "git.remote" else Error
        raise kind(
            f"git {words} did not end within {seconds:g} s",
            hint="see to the network and the git host" if kind is UnavailableError else "see what holds the disk or git",
            where=str(cwd),
        ) from e
    except BaseException:
        _end(process)
        raise
    return Completed(process.returncode, out, without_credentials(err.decode(errors="replace")).strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=END_S)
            return


def failure(completed: Completed, *, doing: str, cwd: Path, remote: str | None = None) -> Error:
    """The error that a failed command means: one line, without credentials, with what to do.

    With `remote` the command talked to it: whatever is not an answer of the remote counts as not reached.
    """
    messages = completed.messages
    if found := _LOCK_FILE.search(messages):
        return lock_left(Path(found["path"]), cwd)
    if found := _DUBIOUS.search(messages):
        path = found["path"]
        return Error(
            f"git refuses {path}: it belongs to another user",
            hint=f"git config --global --add safe.directory {path}",
            where=path,
        )
    if "not a git repository" in messages and remote is None:
        return Error(f"not a git repository: {cwd}", hint="run it in a clone, or make a repository with `mlrelease init`")
    if "tell me who you are" in messages or "empty ident name" in messages or "auto-detection is disabled" in messages:
        return no_identity()
    said = _said(messages) or f"exit code {completed.code}"
    if remote is None:
        return Error(f"could not {doing}: {said}", where=str(cwd))
    if refused := _refused(messages, completed.out.decode(errors="replace")):
        return refused_push(remote, refused, messages)
    if "find remote ref" in messages:
        return Error(f"could not {doing}: {said}", hint=f"see what it has: git ls-remote {remote}", where=remote)
    return UnavailableError(
        f"could not {doing}: {said}",
        hint=f"see that the git host answers and takes your credentials: git ls-remote {remote}",
        where=remote,
    )


def no_identity() -> Error:
    """The error for a commit that nobody has put a name to."""
    return Error(
        "git does not know who commits",
        hint='git config --global user.name "Your Name" && git config --global user.email you@example.com',
    )


def lock_left(path: Path, cwd: Path) -> Error:
    """The error for a git lock file that is in the way: left by a killed git, or of one at work now."""
    path = path if path.is_absolute() else cwd / path
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError:
        age_s = 0.0
    if age_s > DEADLINES_S["git.local"]:
        return Error(
            f"a git that was killed {age_s:.0f} s ago left {path}",
            hint=f"see that no git runs there, then: rm {path}",
            where=str(path),
        )
    return Error(f"another git is at work: {path}", hint="try again in a moment", where=str(path))


def refused_push(remote: str, why: str, messages: str = "") -> PushRefusedError:
    """The error for a push that the remote answered with no: `why` in its short words, `messages` in its long ones."""
    # Two pushes that meet inside the remote are told apart from its own troubles only by the long words.
    stale = any(word in why for word in _STALE) or any(word in messages for word in _MET)
    hint = "fetch, look at what is new there, and try again" if stale else "ask who may push there, or open a pull request"
    return PushRefusedError(f"{remote} refused the push: {why}", hint=hint, where=remote, stale=stale)


def _refused(messages: str, out: str) -> str:
    """Why the remote said no, as in `! [rejected] main -> main (fetch first)`; empty when it did not."""
    for line in (*out.splitlines(), *messages.splitlines()):
        if "[rejected]" in line or "[remote rejected]" in line:
            return line[line.rfind("(") + 1 :].rstrip(")") if "(" in line else line
    for line in messages.splitlines():
        # GitHub says so for a deploy key or token that may read only
        if "denied to" in line or "Write access to repository not granted" in line or "marked as read only" in line:
            return line.strip()
    return ""


def _said(messages: str) -> str:
    """The line of git's messages that says what is wrong."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    for start in ("fatal: ", "error: "):
        for line in lines:
            if line.startswith(start):
                return line.removeprefix(start)
    return lines[-1] if lines else ""
