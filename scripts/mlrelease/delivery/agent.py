"""The agent: a pass over every environment at each poll, for ever. Owns its environments on this host and answers requests.

Requests and answers are files in `state_dir`, so that `deploy` can hand over to the agent and take its exit code.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlrelease import atomic
from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery.aliases import write_aliases
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.delivery.notices_sending import Teller
from mlrelease.delivery.passes import Order, PassResult, changed_anything, run_pass
from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.forge.command import without_credentials
from mlrelease.listing import listed
from mlrelease.log import bind, get
from mlrelease.model.beat import BEAT_S, Beat, Blocked
from mlrelease.model.change import Health, Outcome, Sync

HEARTBEAT_S = BEAT_S
REQUEST_POLL_S = 0.1
ANSWERS_KEPT = 20

LOOK_S = 0.25
"""Who asks whether there is an agent (`agent_pid`) has its lock for a moment: one that begins then waits so long."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks the agent for a pass now."""

    id: str
    actor: str
    run_id: str = ""
    only: tuple[str, ...] = ()
    removals_allowed: bool = False
    trigger: str = "deploy"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the pass that answered a request came to; `result` is the JSON that `deploy` prints."""

    exit_code: int
    error: str
    hint: str
    result: Mapping[str, Any]


@contextmanager
def ownership(state_dir: Path) -> Iterator[bool]:
    """Yields whether this process now owns the environment as its agent; holds the claim while the block runs."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "agent.lock").open("a+") as file:
        end = time.monotonic() + LOOK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    yield False
                    return
                time.sleep(0.01)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield True


def agent_pid(state_dir: Path) -> int:
    """The pid of the agent that owns the environment on this host; 0 when there is none."""
    try:
        with (state_dir / "agent.lock").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return int(file.read().strip() or "0")
    except OSError:
        return 0
    return 0


def hand_over(state_dir: Path, request: Request) -> Answer:
    """Asks the agent for a pass and waits for what came of it. Raises `Error` when the agent ends or does not answer."""
    asked = state_dir / "requests" / f"{request.id}.json"
    answered = state_dir / "answers" / f"{request.id}.json"
    body = {
        "id": request.id,
        "actor": request.actor,
        "run_id": request.run_id,
        "only": request.only,
        "allow": request.removals_allowed,
        "trigger": request.trigger,
    }
    atomic.write(asked, json.dumps(body).encode())
    end = time.monotonic() + DEADLINES_S["agent.answer"]
    while time.monotonic() < end:
        lives = agent_pid(state_dir)  # first: the answer may be the last thing that it wrote
        if answered.is_file():
            data = json.loads(answered.read_text())
            return Answer(data["exit_code"], data["error"], data["hint"], data["result"])
        if not lives:
            asked.unlink(missing_ok=True)
            raise Error("the agent ended before it answered", hint="run this again: without an agent it deploys itself")
        time.sleep(REQUEST_POLL_S)
    raise Error(
        f"the agent (pid {agent_pid(state_dir)}) did not answer in {DEADLINES_S['agent.answer']:.0f} s",
        hint="what it is doing stands in its log",
    )


@dataclass(slots=True)
class Agent:
    """Watches one environment. `open_desired` fetches and gives the site as git wants it now, with its desired state."""

    open_desired: Callable[[], tuple[Site, Any]]
    order: Order
    describe: Callable[[PassResult], Mapping[str, Any]]
    report: Callable[[str], None]
    site: Site | None = None
    beaten: Beat | None = None
    teller: Teller = field(default_factory=Teller)
    last_line: str = ""

    def once(self) -> int:
        """One pass, and the answers to all requests that were there before it. Never raises `Error`: it is reported."""
        try:
            site, desired = self.open_desired()
        except (Error, OSError) as error:
            self._say(f"cannot read what git wants: {error}")
            self._beat_unread(str(error))
            return 1
        self.site = site
        requests = _requests(site.state_dir)
        order = self.order if not requests else _for(self.order, requests)
        answer = Answer(1, "", "", {})
        bind(run_id=order.run_id)
        result: PassResult | None = None
        try:
            result = run_pass(site, desired, order)
            answer = Answer(exit_code(result), "", "", self.describe(result))
            if changed_anything(result):
                self.last_line = ""
            self._say(_line(site, result))
        except (Error, OSError) as error:
            # A full disk or a lost right is reported like any other: an agent that ends would not see it mended.
            answer = Answer(1, str(error), error.hint if isinstance(error, Error) else "", {})
            self._say(f"{site.environment.name}: {error}")
        self._after(site, desired.revision, requests, answer, result)
        return answer.exit_code

    def _after(self, site: Site, revision: str, requests: list[Request], answer: Answer, result: PassResult | None) -> None:
        try:
            for request in requests:
                _answer(site.state_dir, request, answer)
            write_aliases(site)
            self._beat(site, beat_of(site, revision, answer, result))
            if result is not None:
                self.teller.after_pass(site, result.plan, result.history)
        except (Error, OSError) as error:
            get("agent").warning("after the pass", error=str(error))

    def _beat(self, site: Site, beat: Beat) -> None:
        """Says it once a minute, and at once when there is something new to say: somebody may wait for it.

        What was not heard is said again at the next look.
        """
        before = self.beaten
        if before is not None and replace(before, at=beat.at) == beat and beat.at - before.at < HEARTBEAT_S:
            return
        self.beaten = beat if site.ledger.beat(site.environment.name, beat.to_json()) else None

    def _beat_unread(self, why: str) -> None:
        """It lives, and cannot read what git wants; before the first pass it does not know where to say so."""
        if self.site is not None:
            self._beat(self.site, Beat(self.site.now(), "", exit_code=1, verdict=without_credentials(why)))

    def _say(self, line: str) -> None:
        """Reports a line unless it says the same as the one before."""
        if line != self.last_line:
            self.last_line = line
            self.report(line)


def beat_of(site: Site, revision: str, answer: Answer, result: PassResult | None) -> Beat:
    """What there is to say of a pass; of one that ended in an error, that it did."""
    if result is None:
        height = site.ledger.read(site.environment.name, fetch=False).height
        return Beat(site.now(), revision, height, answer.exit_code, without_credentials(answer.error))
    done = {name for name, receipt in result.receipts.items() if receipt.outcome is Outcome.SUCCEEDED}
    plan = result.plan
    return Beat(
        at=site.now(),
        revision=revision,
        height=result.history.height,
        exit_code=answer.exit_code,
        verdict=_line(site, result),
        # The plan is from before the pass; what succeeded is proved to be as it should since then.
        sync={name: (Sync.IN_SYNC if name in done else word).value for name, word in plan.sync.items()},
        health={name: (Health.HEALTHY if name in done else word).value for name, word in plan.health.items()},
        blocked={change.service: Blocked(change.blocked_by, change.blocked) for change in plan.changes if change.blocked},
    )


def watch(agents: list[Agent], state_dirs: list[Path], *, interval_s: float, stop: Callable[[], bool]) -> None:
    """Passes over all environments until `stop`, each `interval_s` or as soon as somebody asks.

    Raises `Error` when another agent owns one of them.
    """
    with ExitStack() as owned:
        for folder in state_dirs:
            if not owned.enter_context(ownership(folder)):
                raise Error(f"another agent owns this environment (pid {agent_pid(folder)})", hint=f"its state is in {folder}")
        while not stop():
            for agent in agents:
                if not stop():
                    agent.once()
            _pause(state_dirs, interval_s, stop)


def _pause(state_dirs: list[Path], interval_s: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + interval_s
    while time.monotonic() < end and not stop() and not any(_waiting(folder) for folder in state_dirs):
        time.sleep(min(REQUEST_POLL_S, max(0.0, end - time.monotonic())))


def _waiting(state_dir: Path) -> bool:
    return bool(listed(state_dir / "requests"))


def _requests(state_dir: Path) -> list[Request]:
    found = []
    for path in listed(state_dir / "requests"):
        try:
            found.append(_request(path.stem, json.loads(path.read_text())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            get("agent").warning("a request that cannot be read is dropped", path=path.name, error=type(error).__name__)
            with suppress(OSError):  # a folder that cannot be written is said by the pass itself
                path.unlink(missing_ok=True)
    return found


def _request(name: str, data: Any) -> Request:
    """The request in the file of that name. An answer goes to its id, so that one of another id would wait for ever."""
    only, trigger = data["only"], data.get("trigger", "deploy")  # an older program does not name it
    words = (data["id"], data["actor"], data["run_id"], trigger)
    if data["id"] != name or not isinstance(only, list) or not all(isinstance(word, str) for word in (*words, *only)):
        raise ValueError("no request")
    return Request(data["id"], data["actor"], data["run_id"], tuple(only), bool(data["allow"]), trigger)


def _for(order: Order, requests: list[Request]) -> Order:
    """One pass answers all that wait: it is impatient, and narrowed only when all ask for the same services."""
    only = {request.only for request in requests}
    triggers = {request.trigger for request in requests}
    return replace(
        order,
        actor=requests[0].actor,
        trigger=triggers.pop() if len(triggers) == 1 else "deploy",
        run_id=requests[0].run_id,
        impatient=True,
        only=frozenset(only.pop()) if len(only) == 1 else frozenset(),
        removals_allowed=all(request.removals_allowed for request in requests),
    )


def _answer(state_dir: Path, request: Request, answer: Answer) -> None:
    body = {"exit_code": answer.exit_code, "error": answer.error, "hint": answer.hint, "result": answer.result}
    atomic.write(state_dir / "answers" / f"{request.id}.json", json.dumps(body).encode())
    (state_dir / "requests" / f"{request.id}.json").unlink(missing_ok=True)
    for old in listed(state_dir / "answers")[:-ANSWERS_KEPT]:
        old.unlink(missing_ok=True)


def _line(site: Site, result: PassResult) -> str:
    parts = [f"{name} {receipt.outcome}" for name, receipt in sorted(result.receipts.items())]
    parts += [
        f"{change.service} blocked ({change.blocked})"
        for change in result.plan.changes
        if change.blocked and change.service not in result.receipts
    ]
    state = "; ".join(parts) or "nothing to do"
    return f"{site.environment.name} at {result.plan.revision[:9]}: {state}" + (
        "" if result.online else " (git host does not answer)"
    )
