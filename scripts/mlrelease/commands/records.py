"""A deployment on GitHub that follows what `wait` sees: queued → in progress → its end. A record, never a proof.

GitHub that does not answer, or says no, is a warning: what was deployed was deployed, whoever writes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub
    from mlrelease.forge.github.deployments import State

T = TypeVar("T")

End = Literal["success", "failure", "error"]

ENDS: Mapping[int, End] = {0: "success", 4: "failure", 5: "failure", 6: "failure"}
"""The state by exit code; any other is `error`: it could not be told, or nothing verified serves."""


class Record(Protocol):
    """Who writes down what is seen."""

    def seen(self, revision: str, *, working: bool) -> None:
        """A revision is waited for; `working`: the host has begun."""

    def ended(self, code: int, text: str) -> None:
        """The wait is over."""


class NoRecord:
    """Nobody asked for a record."""

    def seen(self, revision: str, *, working: bool) -> None:
        """Nothing."""

    def ended(self, code: int, text: str) -> None:
        """Nothing."""


class Deployments:
    """One deployment a revision; a newer revision makes the one before inactive."""

    def __init__(self, github: GitHub, environment: str, *, run_id: str, log_url: str) -> None:
        self._github = github
        self._environment = environment
        self._run_id = run_id
        self._log_url = log_url
        self._revision = ""
        self._id = 0
        self._state = ""

    def seen(self, revision: str, *, working: bool) -> None:
        """Begins a deployment of a revision not seen before; says once that the host has begun."""
        from mlrelease.forge.github import deployments  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay

        if revision != self._revision:
            self._put("inactive", f"superseded by {revision[:9]}")
            self._revision, self._id, self._state = revision, 0, ""
            begun = _tried(
                lambda: deployments.begin(
                    self._github,
                    sha=revision,
                    environment=self._environment,
                    description=f"mlrelease {self._environment} at {revision[:9]}",
                    payload={"tool": "mlrelease", "run_id": self._run_id},
                )
            )
            if begun is not None:
                self._id, self._state = begun
            if not self._state:  # that of a job which is run again is further, and never goes back
                self._put("queued", "waits for the host")
        if working and self._state in ("queued", "pending"):
            self._put("in_progress", "the host is at work")

    def ended(self, code: int, text: str) -> None:
        """The last state; a success makes older deployments of the environment inactive."""
        from mlrelease.forge.github import deployments  # noqa: PLC0415 - as above

        if self._id:
            state = ENDS.get(code, "error")
            _tried(lambda: deployments.finish(self._github, self._id, state, description=text, log_url=self._log_url))

    def _put(self, state: State, text: str) -> None:
        from mlrelease.forge.github import deployments  # noqa: PLC0415 - as above

        if self._id:
            _tried(lambda: deployments.set_state(self._github, self._id, state, description=text, log_url=self._log_url))
            self._state = state


def record_of(workspace: Workspace, environment: str, *, wanted: bool) -> Record:
    """Who writes it down: nobody unless wanted, and nobody, with a warning, where there is no GitHub to write to."""
    if not wanted:
        return NoRecord()
    from mlrelease.commands.github import github_of  # noqa: PLC0415 - as above

    github = _tried(lambda: github_of(workspace))
    if github is None:
        return NoRecord()
    return Deployments(github, environment, run_id=workspace.run_id, log_url=run_url(workspace.variables))


def run_url(variables: Mapping[str, str], run_id: str = "") -> str:
    """The page of a workflow run: of the one at hand unless another is named; empty outside of GitHub's runs."""
    server, repository = variables.get("GITHUB_SERVER_URL", ""), variables.get("GITHUB_REPOSITORY", "")
    number = run_id or variables.get("GITHUB_RUN_ID", "")
    return f"{server}/{repository}/actions/runs/{number}" if server and repository and number else ""


def _tried(work: Callable[[], T]) -> T | None:
    """What the work gives; None, with a warning, when GitHub could not do it."""
    try:
        return work()
    except Error as error:
        say(f"warning: not recorded on GitHub: {error.message}")
        return None
