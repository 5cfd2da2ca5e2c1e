"""`agent`: watches the tracked branch and reconciles every environment of this host, until it is told to stop."""

from __future__ import annotations

import signal
from types import FrameType

from mlrelease.commands.deploy import pass_report, report_to_json
from mlrelease.commands.output import say, step_line
from mlrelease.commands.workspace import Workspace, environment_of, names_of
from mlrelease.delivery.agent import Agent, watch
from mlrelease.delivery.passes import Order
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.log import get
from mlrelease.model.when import iso
from mlrelease.render.report import Report


def agent(workspace: Workspace, environments: tuple[str, ...], *, interval_s: float) -> Report:
    """Runs until SIGTERM or SIGINT; a pass that is under way is finished first. Raises `Error` when another agent is there."""
    desired = workspace.desired()
    found = names_of(workspace, desired.spec, environments)
    names = found if environments else tuple(name for name in found if not desired.spec.blocking(name)) or found
    sites = [workspace.site(environment_of(desired.spec, name)) for name in names]
    if not environments and len(names) < len(found):
        say(f"not watched, their files cannot be read: {', '.join(sorted(set(found) - set(names)))}")
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        say("stopping after this pass")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    agents = [_agent(workspace, name) for name in names]
    say(f"watching {workspace.branch} for {', '.join(names)}, every {interval_s:g} s")
    get("agent").info("watching", branch=str(workspace.branch), environments=names, interval_s=interval_s)
    watch(agents, [site.state_dir for site in sites], interval_s=interval_s, stop=lambda: bool(asked))
    return Report(verdict="stopped; what serves keeps serving", data={"environments": list(names)})


def _agent(workspace: Workspace, name: str) -> Agent:
    current: dict[str, Site] = {}

    def open_desired() -> tuple[Site, Desired]:
        desired = workspace.desired()
        environment = environment_of(desired.spec, name)
        if name not in current or current[name].environment != environment:
            current[name] = workspace.site(environment)
        return current[name], desired

    order = Order(
        actor="mlrelease agent",
        trigger="agent",
        run_id=workspace.run_id,
        new_id=workspace.new_id,
        listener=step_line,
        impatient=False,
    )
    return Agent(
        open_desired=open_desired,
        order=order,
        describe=lambda result: report_to_json(pass_report(current[name], result)),
        report=lambda line: say(f"{iso(workspace.now())} {line}"),
    )
