"""Checks of what is recorded: the ledger's chain, and the sign of life of each environment's agent."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, warn
from mlrelease.delivery.agent import HEARTBEAT_S
from mlrelease.model.when import from_iso

SILENT_S = 5 * HEARTBEAT_S
"""An agent that says nothing for so many beats has stopped, or cannot push."""


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about the ledger, per environment."""
    for environment in patient.environments:
        name = environment.name
        yield Check("ledger", lambda name=name: chain(patient, name), name)  # type: ignore[misc]
        yield Check("heartbeat", lambda name=name: heartbeat(patient, name), name)  # type: ignore[misc]


def chain(patient: Patient, environment: str) -> Found:
    """Every link holds, and no file was changed or removed later."""
    ledger = patient.workspace.ledger()
    view = ledger.read(environment)
    broken = ledger.verify(environment)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        return bad(f"{broken[0]}{more}", f"see who pushed to mlrelease/ledger: mlrelease history {environment}")
    if not view.online:
        return warn("the git host did not answer: the last known tip holds", "see git-branch")
    if not view.events:
        return skipped("nothing was recorded yet")
    return ok(f"{view.height} events, the chain holds")


def heartbeat(patient: Patient, environment: str) -> Found:
    """The agent has said something of late."""
    said = patient.workspace.ledger().heartbeat(environment)
    if said is None:
        return warn("no agent ever reported", f"on its host: mlrelease agent {environment}")
    try:
        at = from_iso(str(said.get("at", "")))
    except ValueError:
        return bad("the heartbeat cannot be read", f"on its host: mlrelease agent {environment}")
    age = patient.workspace.now() - at
    if age > SILENT_S:
        return bad(f"reconcile has not run since {said['at']} ({in_words(age)})", f"on its host: mlrelease agent {environment}")
    if age < -HEARTBEAT_S:
        return warn(f"the agent's last report lies {in_words(-age)} ahead of this clock", "set both clocks by one source: NTP")
    return ok(f"reconciled {in_words(max(age, 0.0))} ago")


def in_words(seconds: float) -> str:
    """The time in its largest unit that leaves at least two of it: `90 s`, `4 min`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
