"""A person's word in the ledger: `approve`, `hold`, `unhold`, `reject`, `unreject`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env, Image, Model, OfService, OneService, Reason, Services, Version, duration

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.render.report import Report

_LONGEST_HOURS = 876_600
"""A hundred years: what is meant to last longer is held until it is lifted."""


@app.command()
def approve(
    environment: Env,
    service: Services = None,
    expires: Annotated[str, typer.Option("--expires", help="So long it holds: 90s, 10m, 24h, 7d.")] = "7d",
    run_url: Annotated[str, typer.Option("--run-url", metavar="URL", help="The run in which it was given.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, if there is more to say than yes.")] = "",
    plan: Annotated[str, typer.Option("--plan", metavar="FILE", help="Refuse unless this plan (JSON) is still the plan.")] = "",
    run_id: Annotated[str, typer.Option("--run", metavar="ID", help="Whoever approved this workflow run; with --plan.")] = "",
) -> None:
    """Say yes to exactly the changes that wait for an approval."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.approve import ApproveOptions  # noqa: PLC0415
        from mlrelease.commands.approve import approve as verb  # noqa: PLC0415

        options = ApproveOptions(
            tuple(service or ()), duration(expires, example="--expires 24h"), run_url, reason, plan, run_id
        )
        return verb(workspace, environment, options)

    with_workspace(run)


@app.command()
def hold(
    environment: Env,
    reason: Reason,
    service: OneService = "",
    hours: Annotated[float, typer.Option("--hours", help="So long (default: until lifted).", min=0, max=_LONGEST_HOURS)] = 0.0,
) -> None:
    """Let nothing move forward; rollbacks and repairs pass."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import hold as verb  # noqa: PLC0415

        until = workspace.now() + hours * 3600 if hours else 0.0
        return verb(workspace, environment, service=service, reason=reason, until=until)

    with_workspace(run)


@app.command()
def unhold(environment: Env, reason: Reason, service: OneService = "") -> None:
    """Lift a hold."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import unhold as verb  # noqa: PLC0415

        return verb(workspace, environment, service=service, reason=reason)

    with_workspace(run)


@app.command()
def reject(
    environment: Env, reason: Reason, model: Model = "", version: Version = "", image: Image = "", service: OfService = ""
) -> None:
    """Say that a version or an image may not move forward here."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import Named  # noqa: PLC0415
        from mlrelease.commands.words import reject as verb  # noqa: PLC0415

        return verb(workspace, environment, Named(service, model, version, image), reason=reason)

    with_workspace(run)


@app.command()
def unreject(
    environment: Env, reason: Reason, model: Model = "", version: Version = "", image: Image = "", service: OfService = ""
) -> None:
    """Lift the rejection of a version or an image."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.words import Named  # noqa: PLC0415
        from mlrelease.commands.words import unreject as verb  # noqa: PLC0415

        return verb(workspace, environment, Named(service, model, version, image), reason=reason)

    with_workspace(run)
