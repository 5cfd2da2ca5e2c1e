"""Passes with their steps and clocks, told one by one: for what the ledger says of moments, commits and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlrelease.history.landings import Landings, PinCommit, file_of
from mlrelease.model.bundle import Bundle, ComponentKey
from mlrelease.model.change import ChangeKind, Direction, Outcome
from mlrelease.model.event import (
    Approved,
    DeployFinished,
    DeployStarted,
    Event,
    Held,
    Owner,
    Rejected,
    ServiceReceipt,
    Step,
    Unheld,
    Unrejected,
)
from support.core import ENVIRONMENT, START, bundle

HOUR = 3600.0
DAY = 86400.0
BEFORE = (("artifacts", 1.0), ("start", 3.0), ("ready", 4.0), ("golden", 2.0))
AFTER = (("proof", 5.0), ("drain", 2.0), ("retire", 1.0))
SWITCH = 0.5
BACK = 0.25
PASS = sum(s for _, s in (*BEFORE, *AFTER)) + SWITCH
"""Seconds of a whole rollout: 10 before the switch, half a second of it, 8 after it."""


def steps(*, until: str = "retire", back: bool = False, back_failed: bool = False) -> tuple[Step, ...]:
    """The steps of a rollout as far as `until`, with a switch back at the end of one that was put back."""
    found = []
    for name, seconds in (*BEFORE, ("switch", SWITCH), *AFTER):
        found.append(Step(name, seconds))
        if name == until:
            break
    if back:
        found.append(Step("switch_back", BACK, "failed: the proxy is gone" if back_failed else ""))
    return tuple(found)


def of(version: str, *, service: str = "risk", tag: str = "1", **env: str) -> Bundle:
    """A bundle of model A in this version."""
    return bundle(service, tag, {"A": version}, **env)


@dataclass
class Ledger:
    """The events of one environment. `now` is the clock; a pass moves it by its own length."""

    events: list[Event] = field(default_factory=list)
    now: float = START
    recorded: dict[str, Bundle | None] = field(default_factory=dict)
    revision: str = "r0"

    def wait(self, seconds: float) -> Ledger:
        self.now += seconds
        return self

    def deploy(
        self,
        after: Bundle | None,
        outcome: Outcome = Outcome.SUCCEEDED,
        *,
        kind: ChangeKind | None = None,
        direction: Direction | None = None,
        service: str = "risk",
        taken: tuple[Step, ...] | None = None,
        revision: str = "",
        reason: str = "",
        gates: Iterable[Mapping[str, Any]] = (),
        rejects: Iterable[tuple[ComponentKey, str]] = (),
        idle: float = 0.0,
    ) -> str:
        """One pass about one service; its id comes back. `idle` is time of the pass that is in no step of the service."""
        before = self.recorded.get(service)
        if kind is None:
            kind = ChangeKind.REMOVE if after is None else (ChangeKind.UPDATE if before else ChangeKind.CREATE)
        if direction is None:
            direction = {ChangeKind.ROLLBACK: Direction.BACK}.get(kind, Direction.FORWARD)
            direction = Direction.NONE if kind in (ChangeKind.REPAIR, ChangeKind.SETTINGS) else direction
        if taken is None:
            taken = steps(back=outcome is Outcome.ROLLED_BACK, until="retire" if outcome is Outcome.SUCCEEDED else "proof")
        began = self.now
        started = self.start(service)
        self.now = began + idle + sum(step.seconds for step in taken)
        receipt = ServiceReceipt(
            outcome=outcome,
            change=kind,
            direction=direction,
            reason=reason or f"{kind} {outcome}",
            before=before,
            after=after,
            steps=taken,
            gate_results=tuple(gates),
            rejects=tuple(rejects),
        )
        self.tell(
            DeployFinished,
            revision=revision or self.revision,
            trigger="test",
            started=started,
            started_at=began,
            services={service: receipt},
        )
        if outcome is Outcome.SUCCEEDED:
            self.recorded[service] = after
        return self.events[-1].id

    def start(self, *services: str) -> str:
        """A pass begins; without a `deploy` it never ends."""
        owner = Owner("host", 1, 1.0, "agent")
        self.tell(
            DeployStarted, revision=self.revision, trigger="test", owner=owner, expires_at=self.now + 900.0, services=services
        )
        return self.events[-1].id

    def approve(self, before: Bundle | None, after: Bundle | None, *, service: str = "risk", for_s: float = DAY) -> str:
        pairs = [tuple(sorted(one.components().items())) if one else () for one in (before, after)]
        terms: dict[str, Any] = {"before": pairs[0], "after": pairs[1], "expires_at": self.now + for_s}
        self.tell(Approved, service=service, approver="grace <g@example.com>", run_url="https://ci/1", **terms)
        return self.events[-1].id

    def reject(self, *components: tuple[ComponentKey, str], service: str = "risk") -> None:
        self.tell(Rejected, reason="biased", service=service, components=components)

    def unreject(self, *components: tuple[ComponentKey, str], service: str = "risk") -> None:
        self.tell(Unrejected, reason="it was the data", service=service, components=components)

    def hold(self, *, service: str = "risk", pinned_to: str = "") -> str:
        self.tell(Held, reason="freeze", service=service, pinned_to=pinned_to)
        return self.events[-1].id

    def unhold(self, *, service: str = "risk") -> None:
        self.tell(Unheld, reason="over", service=service)

    def tell(self, kind: type, **fields: Any) -> None:
        self.events.append(
            kind(id=f"e{len(self.events) + 1}", environment=ENVIRONMENT, at=self.now, actor="ada <a@b>", **fields)
        )


@dataclass
class Branch:
    """The tracked branch: commits that pin bundles of services, each a revision of its own (`r1`, `r2`, …)."""

    commits: list[PinCommit] = field(default_factory=list)
    line: list[str] = field(default_factory=lambda: ["r0"])

    def pin(self, one: Bundle, at: float, *, authored: float | None = None, subject: str = "", only: str = "") -> str:
        """A commit after which the files have the pins of the bundle; the revision comes back."""
        sha = f"r{len(self.line)}"
        digests: dict[str, set[str]] = {}
        for key, value in one.components().items():
            path = file_of(ENVIRONMENT, one.service, key)
            if only in ("", path):
                digests.setdefault(path, set())
                if key != "settings":
                    digests[path].add(value)
        self._add(sha, at, authored, subject, {path: frozenset(found) for path, found in digests.items()})
        return sha

    def other(self, at: float) -> str:
        """A commit that touches nothing of the environment."""
        self.line.append(f"r{len(self.line)}")
        return self.line[-1]

    def _add(self, sha, at, authored, subject, digests) -> None:
        self.line.append(sha)
        self.commits.append(PinCommit(sha, subject or f"Pin {sha}", "ada", at if authored is None else authored, at, digests))

    @property
    def landings(self) -> Landings:
        return Landings(self.commits, self.line)


NOWHERE = Landings((), ())
