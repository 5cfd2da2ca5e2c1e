"""What a check is: an id, why it matters, and a question that answers with a state, what was found, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error
from mlrelease.model.spec import EnvironmentSpec

if TYPE_CHECKING:
    from mlrelease.commands.doctor.github.asking import Asked

_THREADS = 16


class State(StrEnum):
    """`bad` fails the verb; `unknown` could not be looked at, which is not `ok`; `skipped` does not apply, or was not asked."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Found:
    """What one question found. `what` never holds a value of a variable, only names."""

    state: State
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A question not yet asked. `environment` is empty for what concerns the machine or the clone.

    `late` is the state of a question whose answer does not come in time.
    """

    id: str
    ask: Callable[[], Found]
    environment: str = ""
    late: State = State.BAD


@dataclass(frozen=True, slots=True)
class Line:
    """A question with its answer."""

    id: str
    environment: str
    found: Found

    @property
    def why(self) -> str:
        """Why it matters."""
        return WHY.get(self.id) or WHY_GITHUB[self.id]


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at: the repository, and the environments of its work tree. `variables` are those of this process.

    `github` is None where there is none, `images` whether registries are asked for images that no target here pulls.
    """

    workspace: Workspace
    environments: tuple[EnvironmentSpec, ...]
    github: Asked | None = None
    images: bool = False

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of this process."""
        return self.workspace.variables


WHY: Mapping[str, str] = MappingProxyType(
    {
        # the clone
        "git": "every verb goes through it",
        "git-identity": "bump, new, import and rollback commit in your name",
        "git-remote": "without one nobody else sees pins or ledger",
        "git-branch": "its tip is what should run",
        "git-push": "who may not push cannot record what was deployed",
        "git-history": "rollbacks and directions are read from old commits",
        "files": "an environment whose files have findings is not deployed",
        "vendored": "workflows follow the environments: an older one asks nobody, or waits for nobody",
        # the ledger
        "ledger": "what is recorded is believed only while the chain holds",
        "heartbeat": "without an agent nothing that is merged goes live",
        # MLflow
        "variables": "a setting whose variable is not set cannot be used",
        "mlflow": "pins are looked up there, and artifacts come from there",
        "mlflow-version": "other versions were not tried",
        "credentials": "MLflow refuses who does not say who it is",
        "clock": "locks, holds and soak times are compared between machines",
        # the image registry
        "image": "an image that is gone cannot be started again",
        # the host
        "packages": "models load only with what they were written for",
        "envoy": "all traffic goes through it",
        "supervisor": "it keeps the instances alive",
        "port": "two proxies on one port share its traffic in silence",
        "state-dir": "sockets, artifacts and what is to be recorded lie there",
        "disk": "a download or an event that finds no room fails the rollout",
        "filesystem": "files are moved into place, which only works within one file system",
        "open-files": "each connection and each model file needs one",
        "isolation": "a model that nobody has tried yet is loaded there",
        "interpreter": "the service's models are loaded by it",
        "agent": "it applies what is merged on this host",
    }
)
"""Why each check of this machine is there, by id: shown beside what is not well, and always in the JSON."""

WHY_GITHUB: Mapping[str, str] = MappingProxyType(
    {
        # access
        "github": "pull requests, approvals and checks go through its API",
        "github-token": "without the right permissions a workflow stops halfway",
        "github-clock": "approvals and runs are dated by GitHub, events by this clock",
        # the repository
        "default-branch": "schedules and dispatches run on the default branch only",
        "merge-settings": "one change is one commit: only then one revert undoes it",
        # the approval gate
        "approval-gate": "without it whoever merges deploys",
        "gate-self-review": "two people see what goes live",
        "gate-branches": "any other branch would get the environment's secrets",
        # rules
        "branch-reviews": "a pin that nobody reviewed is deployed",
        "branch-checks": "a pin that nobody validated is deployed",
        "branch-history": "a rewritten history takes rollbacks and approvals with it",
        "branch-bypass": "whom a rule does not bind can push what it forbids",
        "ledger-rules": "the proof of what ran must not be rewritten",
        "tag-rules": "a release tag that moves names another release",
        "codeowners": "a file that nobody owns is reviewed by anybody",
        # Actions
        "repository-secrets": "every workflow of every branch can read them",
        "actions-policy": "an action named by a tag is whatever its owner makes of it",
        "actions-token": "what a workflow may do by default, a stolen step may do too",
        "workflow-files": "workflows of another version call what is not there",
        "workflows": "a disabled workflow neither validates nor repairs",
        "reconcile-runs": "drift is found and repaired by it",
    }
)
"""The same for what is asked of GitHub."""


def ok(what: str) -> Found:
    """Well."""
    return Found(State.OK, what)


def warn(what: str, fix: str) -> Found:
    """Works, but."""
    return Found(State.WARN, what, fix)


def bad(what: str, fix: str) -> Found:
    """Does not work."""
    return Found(State.BAD, what, fix)


def unknown(what: str, fix: str) -> Found:
    """Nobody knows: it could not be looked at."""
    return Found(State.UNKNOWN, what, fix)


def skipped(what: str, fix: str = "") -> Found:
    """Does not apply, or is not asked."""
    return Found(State.SKIPPED, what, fix)


def ask_all(checks: Iterable[Check], *, deadline_s: float) -> Iterator[Line]:
    """The answers in the order of the questions, asked all at once. What raises, or does not end in time, is bad."""
    todo = list(checks)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        futures = [pool.submit(_asked, check) for check in todo]
        wait(futures, timeout=deadline_s)
        yield from (
            Line(check.id, check.environment, _answer(f, check.late, deadline_s))
            for check, f in zip(todo, futures, strict=True)
        )
    finally:
        # each question has its own deadlines; one that hangs must not keep the others' answers back
        pool.shutdown(wait=False, cancel_futures=True)


def _answer(future: Future[Found], late: State, deadline_s: float) -> Found:
    if not future.done():
        return Found(late, f"no answer within {deadline_s:g} s", "try again; -v shows where it waits")
    return future.result()


def _asked(check: Check) -> Found:
    try:
        return check.ask()
    except Error as error:
        return bad(error.message, error.hint)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return bad(f"{place}{error.strerror or type(error).__name__}", "see who owns it, and as whom you run this")
    except Exception as error:  # noqa: BLE001 - one check that breaks must not hide the others
        return bad(f"the check itself failed: {type(error).__name__}: {error}", "please report this")
