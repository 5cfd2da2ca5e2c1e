"""What an agent says of itself: when, what it dealt with, how far it had read, and what came of it. A value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlrelease.model.when import from_iso, iso

BEAT_S = 60.0
"""An agent with nothing new says so this often."""

SILENT_S = 5 * BEAT_S
"""An agent that says nothing for so many beats has stopped, or cannot push."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a service's Change may not be done: by what (`approval`, `hold`, …) and in words."""

    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat. `revision` is empty when the agent could not read what git wants.

    `height` counts the events of the ledger that it had seen (-1: an agent of an older version, which does not say, as
    nor does its `exit_code`). `sync` and `health` are words by service.
    """

    at: float
    revision: str
    height: int = -1
    exit_code: int = -1
    verdict: str = ""
    sync: Mapping[str, str] = field(default_factory=dict)
    health: Mapping[str, str] = field(default_factory=dict)
    blocked: Mapping[str, Blocked] = field(default_factory=dict)

    @property
    def says_all(self) -> bool:
        """Whether it says what came of the pass, and not only that there was one."""
        return self.height >= 0 and self.exit_code >= 0

    def age_s(self, now: float) -> float:
        """Seconds since it was said; none below zero, whatever the clocks of two hosts say."""
        return max(0.0, now - self.at)

    def is_silent(self, now: float) -> bool:
        """Whether the agent has said nothing for too long."""
        return self.age_s(now) > SILENT_S

    def to_json(self) -> dict[str, Any]:
        """As it stands in the heartbeat's ref; keys are stable."""
        return {
            "at": iso(self.at),
            "revision": self.revision,
            "height": self.height,
            "exit_code": self.exit_code,
            "verdict": self.verdict,
            "sync": dict(self.sync),
            "health": dict(self.health),
            "blocked": {name: asdict(blocked) for name, blocked in self.blocked.items()},
        }


def beat_from_json(data: Mapping[str, Any]) -> Beat:
    """The beat that `to_json` wrote, or that an older agent wrote. Raises `ValueError` when it is damaged."""
    try:
        return Beat(
            at=from_iso(str(data["at"])),
            revision=str(data["revision"]),
            height=int(data.get("height", -1)),
            exit_code=int(data.get("exit_code", -1)),
            verdict=str(data.get("verdict", "")),
            sync={str(name): str(word) for name, word in data.get("sync", {}).items()},
            health={str(name): str(word) for name, word in data.get("health", {}).items()},
            blocked={str(name): Blocked(str(b["by"]), str(b["why"])) for name, b in data.get("blocked", {}).items()},
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"no heartbeat: {type(error).__name__}") from error


def in_words(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`: one figure is enough to say how long ago something was."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
