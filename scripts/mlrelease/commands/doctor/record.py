"""Checks of what is recorded: the ledger's chain, and the sign of life of each environment's agent."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, warn
from mlrelease.model.beat import BEAT_S, SILENT_S, in_words
from mlrelease.model.when import from_iso


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
    if age < -BEAT_S:
        return warn(f"the agent's last report lies {in_words(-age)} ahead of this clock", "set both clocks by one source: NTP")
    return ok(f"reconciled {in_words(max(age, 0.0))} ago")
