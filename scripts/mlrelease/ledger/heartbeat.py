"""The sign of life of an environment's agent: a ref pushed by force, outside the history. Losing one loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mlrelease.errors import Error
from mlrelease.forge.command import failure
from mlrelease.forge.git import Git
from mlrelease.ledger.chain import stored
from mlrelease.ledger.identity import authored
from mlrelease.log import get

FILE = "heartbeat.json"


class Heartbeat:
    """The heartbeat refs of one repository."""

    def __init__(self, git: Git, remote: str | None, now: Callable[[], float]) -> None:
        self._git = git
        self._remote = remote
        self._now = now

    def write(self, environment: str, data: Mapping[str, Any]) -> bool:
        """Replaces the heartbeat of an environment. Returns whether it is there; a failure is logged."""
        try:
            commit = self._git.graft(None, {FILE: stored(data)}, f"{environment}: heartbeat\n", extra=authored(self._now()))
            self._git.run("update-ref", self._here(environment), commit)
            if self._remote is not None:
                flags = ("--quiet", "--porcelain", "--no-verify", "--recurse-submodules=no")
                refspec = f"+{commit}:{_there(environment)}"
                done = self._git.call("push", *flags, "--", self._remote, refspec, remote=self._remote)
                if done.code:
                    raise failure(done, doing="push the heartbeat", cwd=self._git.path, remote=self._remote)
        except Error as error:
            get("ledger").warning("heartbeat not written", environment=environment, error=error.message)
            return False
        return True

    def read(self, environment: str) -> dict[str, Any] | None:
        """The newest heartbeat that could be had; None without one."""
        here = self._here(environment)
        if self._remote is not None:
            flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
            refspec = f"+{_there(environment)}:{here}"
            done = self._git.call("fetch", *flags, "--", self._remote, refspec, remote=self._remote)
            if done.code and "find remote ref" not in done.messages:
                problem = failure(done, doing="fetch the heartbeat", cwd=self._git.path, remote=self._remote)
                get("ledger").warning("heartbeat not fetched", environment=environment, error=problem.message)
        data = self._git.blobs([f"{here}:{FILE}"])[0]
        if data is None:
            return None
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            get("ledger").warning("heartbeat is damaged", environment=environment)
            return None
        return content if isinstance(content, dict) else None

    def _here(self, environment: str) -> str:
        return f"refs/mlrelease/remote/heartbeat/{environment}" if self._remote else _there(environment)


def _there(environment: str) -> str:
    return f"refs/mlrelease/heartbeat/{environment}"
