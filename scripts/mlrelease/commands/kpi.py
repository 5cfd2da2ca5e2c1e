"""`history ENV --kpi`: how often, how fast and how well an environment is released to, from its ledger and its commits."""

from __future__ import annotations

from mlrelease.commands.branch import read_landings
from mlrelease.commands.history import ledger_notes
from mlrelease.commands.times import span_of
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.errors import UsageError
from mlrelease.history.kpi import kpis
from mlrelease.render.kpi import kpi_report
from mlrelease.render.report import Report


def kpi(workspace: Workspace, environment: str, *, service: str = "", since: str = "", until: str = "") -> Report:
    """The figures of the time asked for, up to now without an end; exit code 1 where the ledger's chain is broken."""
    began, ended = span_of(workspace, since, until)
    view = workspace.ledger().read(environment)
    if not view.events:
        environment_of(workspace.worktree_spec(), environment)
    landings, problem = read_landings(workspace, environment)
    # A host whose clock is ahead of this one's has written events of a moment that is still to come here.
    now = max(workspace.now(), max((event.at for event in view.events), default=0.0) + 0.001)
    found = kpis(view.events, environment, landings, since=began, until=min(ended, now))
    if service and service not in found.services:
        known = ", ".join(found.services) or "none"
        raise UsageError(f"nothing is recorded of a service {service!r} in that time", hint=f"services there: {known}")
    notes = [f"no lead times: {problem}"] if problem else []
    return kpi_report(found, service=service, notes=(*notes, *ledger_notes(view)), exit_code=1 if view.broken else 0)
