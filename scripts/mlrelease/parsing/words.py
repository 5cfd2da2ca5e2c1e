"""A person's word in the ledger: `hold`, `unhold`, `reject`, `unreject`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env, Image, Model, OfService, OneService, Reason, Version

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.render.report import Report


@app.command()
def hold(
    environment: Env,
    reason: Reason,
    service: OneService = "",
    hours: Annotated[float, typer.Option("--hours", help="So long (default: until lifted).", min=0)] = 0.0,
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
