"""`wait ENV`: on any machine, until the host of an environment has dealt with the tip; its receipt's exit code."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlrelease.commands.output import say
from mlrelease.commands.plan import way_out
from mlrelease.commands.records import Record, record_of
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.delivery.exit_codes import OUTCOME_CODE, worst
from mlrelease.delivery.passes import look
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.delivery.staleness import refuse_stale
from mlrelease.delivery.waiting import Standing, life, standing
from mlrelease.errors import Error, UsageError
from mlrelease.history.dealings import Dealings, dealings
from mlrelease.history.fold import History
from mlrelease.log import get
from mlrelease.model.beat import Beat, beat_from_json, in_words
from mlrelease.model.change import Outcome
from mlrelease.model.event import DeployFinished, Event, ServiceReceipt, UnknownEvent
from mlrelease.model.when import iso
from mlrelease.render.plan import label
from mlrelease.render.report import Report

HEADERS = ("service", "came to", "from", "to", "reason")


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """From which commit on (empty: in a GitHub run its own, else the tip), how long, how often to look, whether to record."""

    revision: str = ""
    timeout_s: float = 1800.0
    interval_s: float = 3.0
    record: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One look from here: what git wants, what the ledger says, and what the agent said last."""

    desired: Desired
    history: History
    events: tuple[Event | UnknownEvent, ...]
    dealings: Dealings
    standing: Standing
    beat: Beat | None
    online: bool


@dataclass(slots=True)
class _Watch:
    """What was said so far: each state once."""

    workspace: Workspace
    environment: str
    record: Record
    revision: str = ""
    said: str = ""
    superseded: list[str] = field(default_factory=list)
    site: Site | None = None

    def look(self) -> Seen:
        """Fetches, reads and judges; raises `Error` for files that cannot be read and a branch that was moved back."""
        desired = self.workspace.desired()
        environment = environment_of(desired.spec, self.environment)
        if self.site is None or self.site.environment != environment:
            self.site = self.workspace.site(environment)
        # As the agent plans: nobody stands beside it to ask, and no removal was allowed.
        plan, history, _ = look(self.site, desired, judged=False, observe=False, impatient=False)
        view = self.site.ledger.read(self.environment, fetch=False)
        dealt = dealings(view.events, desired.revision)
        beat = read_beat(self.site, self.environment)
        git = self.workspace.git
        if history.applied and git.resolve(history.applied) is not None:
            refuse_stale(self.workspace.branch, git, desired.revision, history.applied)
        found = standing(plan, history, dealt, beat)
        return Seen(desired, history, view.events, dealt, found, beat, online=desired.online and view.online)

    def tell(self, seen: Seen) -> None:
        """One line where something is new, and the same for GitHub."""
        revision, branch = seen.desired.revision, self.workspace.branch
        if self.revision and self.revision != revision:
            self.superseded.append(self.revision)
            self._say(f"{branch} moved on from {self.revision[:9]} to {revision[:9]}: that is waited for now")
        self.revision = revision
        self.record.seen(revision, working=seen.dealings.at_work is not None)
        offline = "" if seen.online else " (the git host does not answer: this is what was last fetched)"
        line = f"{self.environment} at {revision[:9]}: {seen.standing.line}{offline}"
        if line != self.said:
            self.said = line
            self._say(line)

    def _say(self, line: str) -> None:
        say(f"{iso(self.workspace.now())} {line}")


def wait(workspace: Workspace, environment: str, options: WaitOptions) -> Report:
    """Waits until the host has dealt with the tip of the tracked branch, which must contain the revision asked for.

    Exit code: the receipts' worst; 0 for a tip that changes nothing, once the agent has said so; 5 for what waits for a
    person; 1 when nobody dealt with it in time. A revision that was superseded before this began ends at once. Raises
    `Error` for a revision that is not on the branch, and for a branch that was moved back.
    """
    end = time.monotonic() + options.timeout_s
    watch = _Watch(workspace, environment, record_of(workspace, environment, wanted=options.record))
    seen = watch.look()
    old = _superseded(workspace, environment, _asked(workspace, options, seen), seen)
    if old is not None:
        return old
    try:
        say(f"{environment}: {life(seen.beat, workspace.now())}")
        while True:
            watch.tell(seen)
            code = seen.standing.code
            if code is not None and seen.online:
                report = _report(watch, seen, code)
                break
            left = end - time.monotonic()
            if left <= 0:
                report = _late(watch, seen, options)
                break
            time.sleep(min(options.interval_s, left))
            seen = watch.look()
    except BaseException as error:
        watch.record.ended(1, f"{type(error).__name__}: not waited to the end" if not isinstance(error, Error) else str(error))
        raise
    watch.record.ended(report.exit_code, report.verdict)
    return report


def read_beat(site: Site, environment: str) -> Beat | None:
    """What the environment's agent said last; None when none ever did, or when it cannot be read."""
    data = site.ledger.heartbeat(environment)
    try:
        return None if data is None else beat_from_json(data)
    except ValueError as error:
        get("wait").warning("the heartbeat cannot be read", environment=environment, error=str(error))
        return None


def _asked(workspace: Workspace, options: WaitOptions, seen: Seen) -> str:
    """The commit from which on the tip counts; empty when any does."""
    git, tip = workspace.git, seen.desired.revision
    if options.revision:
        found = git.resolve(options.revision)
        if found is None:
            raise UsageError(f"there is no commit {options.revision!r} here", hint=f"git log {workspace.branch}")
        if not git.is_ancestor(found, tip):
            raise Error(
                f"{found[:9]} is not on {workspace.branch}, whose tip is {tip[:9]}: no host will deal with it",
                hint=f"merge it into {workspace.branch.branch} first",
            )
        return found
    # A run that GitHub starts for a push, or that somebody starts again, is about that commit.
    sha = workspace.variables.get("GITHUB_SHA", "") if workspace.variables.get("GITHUB_ACTIONS") == "true" else ""
    found = git.resolve(sha) if sha else None
    return found if found is not None and git.is_ancestor(found, tip) else ""


def _superseded(workspace: Workspace, environment: str, asked: str, seen: Seen) -> Report | None:
    """The end of a job for a commit that newer ones were applied after; None when it is worth waiting."""
    git, applied = workspace.git, seen.history.applied
    if not asked or asked in (applied, seen.desired.revision) or not applied or git.resolve(applied) is None:
        return None
    if not git.is_ancestor(asked, applied):
        return None
    # A pass that was interrupted has no last word: the next one went on with what it began.
    own = {name: r for name, r in _receipts_of(seen, asked).items() if r.outcome is not Outcome.ABORTED}
    newer = _receipts_of(seen, applied)
    code = worst({0, *(OUTCOME_CODE[receipt.outcome] for receipt in (own or newer).values())})
    how = "already dealt with, and " if own else ""
    return Report(
        verdict=f"{environment}: {asked[:9]} was {how}superseded by {applied[:9]}",
        data={
            "environment": environment,
            "revision": asked,
            "superseded_by": applied,
            "services": {name: {"came_to": r.outcome.value, "reason": r.reason} for name, r in (own or newer).items()},
        },
        headers=HEADERS,
        rows=[_receipt_row(name, receipt) for name, receipt in sorted((own or newer).items())],
        notes=[f"these are the receipts of {(asked if own else applied)[:9]}; nothing was started"],
        next=f"mlrelease status {environment}",
        exit_code=code,
    )


def _receipts_of(seen: Seen, revision: str) -> Mapping[str, ServiceReceipt]:
    found: dict[str, ServiceReceipt] = {}
    for event in seen.events:
        if isinstance(event, DeployFinished) and event.revision == revision:
            found |= event.services
    return found


def _report(watch: _Watch, seen: Seen, code: int) -> Report:
    rows = [
        _receipt_row(s.change.service, s.dealt.receipt)
        if s.dealt is not None
        else (s.change.service, s.word, label(s.change.before), label(s.change.after), s.why)
        for s in seen.standing.services
    ]
    words = ", ".join(f"{s.change.service} {s.word}" for s in seen.standing.services) or "it has no services"
    return Report(
        verdict=f"{watch.environment} at {seen.desired.revision[:9]}: {words}",
        data=_data(watch, seen),
        headers=HEADERS,
        rows=rows,
        notes=[life(seen.beat, watch.workspace.now())],
        next=_next(watch, seen, code),
        exit_code=code,
    )


def _late(watch: _Watch, seen: Seen, options: WaitOptions) -> Report:
    now = watch.workspace.now()
    gone = seen.beat is None or seen.beat.is_silent(now)
    notes = [life(seen.beat, now)]
    if not seen.online:
        notes.append("the git host did not answer: this is what was last fetched")
    return Report(
        verdict=f"{watch.environment} at {seen.desired.revision[:9]}: not dealt with within {in_words(options.timeout_s)}; "
        f"last seen: {seen.standing.line}",
        data=_data(watch, seen),
        notes=notes,
        next=f"mlrelease agent {watch.environment}" if gone else f"mlrelease wait {watch.environment}",
        exit_code=1,
    )


def _data(watch: _Watch, seen: Seen) -> dict[str, Any]:
    beat = seen.beat
    return {
        "environment": watch.environment,
        "revision": seen.desired.revision,
        "superseded": watch.superseded,
        "services": {
            s.change.service: {
                "came_to": s.word,
                "reason": s.why,
                "exit_code": s.code,
                "blocked_by": s.change.blocked_by,
                "receipt": s.dealt.event.id if s.dealt is not None else "",
            }
            for s in seen.standing.services
        },
        "agent": beat.to_json() if beat is not None else None,
        "online": seen.online,
    }


def _receipt_row(service: str, receipt: ServiceReceipt) -> tuple[str, ...]:
    came_to = f"{receipt.change}: {receipt.outcome}"
    return (service, came_to, label(receipt.before), label(receipt.after), receipt.reason)


def _next(watch: _Watch, seen: Seen, code: int) -> str:
    environment = watch.environment
    if code == 0:
        return f"mlrelease status {environment}"
    first = next(s for s in seen.standing.services if s.code == code)
    service = first.change.service
    if code == 6:
        return f"mlrelease rollback {environment} --service {service} --last-good"
    if first.change.blocked_by == "promotion" and watch.site is not None:
        return f"mlrelease wait {watch.site.environment.promotes_from}"
    if first.change.blocked:
        return way_out(environment, first.change)
    return f"mlrelease history {environment} --service {service}"
