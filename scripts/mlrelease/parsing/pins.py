"""Verbs that move pins in files: `bump`, `rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env


@app.command()
def bump(
    environment: Env,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The registered model, as its file names it.")],
    to: Annotated[str, typer.Option("--to", help="The version (default: the newest that is registered).")] = "",
    commit: Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the edit.")] = True,
    push: Annotated[bool, typer.Option("--push", help="Push the commit to the tracked branch.")] = False,
) -> None:
    """Pin a model version: digest, golden predictions, one commit."""
    from mlrelease.commands.bump import BumpOptions  # noqa: PLC0415
    from mlrelease.commands.bump import bump as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, model, BumpOptions(to, commit, push)))


@app.command()
def rollback(
    environment: Env,
    service: Annotated[str, typer.Option("--service", "-s", help="The service (default: the only one).")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Only this model goes back.")] = "",
    to: Annotated[str, typer.Option("--to", help="The version to go back to.")] = "",
    last_good: Annotated[
        bool, typer.Option("--last-good", help="The newest verified state that is not rejected (default).")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Apply and prove it at once.")] = False,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push the commit to the tracked branch.")] = True,
) -> None:
    """Commit the restored pins; with --now, apply them and prove that the old version answers."""
    from mlrelease.commands.rollback import RollbackOptions  # noqa: PLC0415
    from mlrelease.commands.rollback import rollback as run  # noqa: PLC0415

    if to and last_good:
        raise typer.BadParameter("say one of --to and --last-good", param_hint="--to")
    options = RollbackOptions(service=service, model=model, to=to, now=now, push=push)
    with_workspace(lambda workspace: run(workspace, environment, options))
