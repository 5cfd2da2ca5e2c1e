"""Verbs that move pins in files: `bump`, `promote`, `rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env, Services


@app.command()
def bump(
    environment: Env,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Registered models, as their files name them.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="The version (default: the newest that is registered).")] = "",
    service: Annotated[
        list[str] | None, typer.Option("--service", "-s", help="All models of this service; may be given again.")
    ] = None,
    commit: Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the edit.")] = True,
    push: Annotated[bool, typer.Option("--push", help="Push the commit to the tracked branch.")] = False,
) -> None:
    """Pin model versions: digests, golden predictions, one commit each."""
    from mlrelease.commands.bump import BumpOptions  # noqa: PLC0415
    from mlrelease.commands.bump import bump as run  # noqa: PLC0415

    options = BumpOptions(to, commit, push, tuple(service or ()))
    with_workspace(lambda workspace: run(workspace, environment, tuple(models or ()), options))


@app.command()
def promote(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The environment in which it was verified.")],
    destination: Annotated[str, typer.Argument(metavar="DEST", help="The environment whose pins move.")],
    service: Services = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Only this model; may be given again.")] = None,
    image: Annotated[bool, typer.Option("--image/--no-image", help="Move image pins too.")] = True,
    commit: Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the edits.")] = True,
    push: Annotated[bool, typer.Option("--push", help="Push the commits to the tracked branch.")] = False,
) -> None:
    """Pin what one environment verified in another, one commit each."""
    from mlrelease.commands.promote import PromoteOptions  # noqa: PLC0415
    from mlrelease.commands.promote import promote as run  # noqa: PLC0415

    options = PromoteOptions(tuple(service or ()), tuple(model or ()), image, commit, push)
    with_workspace(lambda workspace: run(workspace, source, destination, options))


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
    force: Annotated[
        str, typer.Option("--force", metavar="REASON", help="Go back although a person rejected it: lifts the rejection.")
    ] = "",
) -> None:
    """Commit the restored pins; with --now, apply them and prove that the old version answers."""
    from mlrelease.commands.rollback import RollbackOptions  # noqa: PLC0415
    from mlrelease.commands.rollback import rollback as run  # noqa: PLC0415

    if to and last_good:
        raise typer.BadParameter("say one of --to and --last-good", param_hint="--to")
    options = RollbackOptions(service=service, model=model, to=to, now=now, push=push, force=force)
    with_workspace(lambda workspace: run(workspace, environment, options))
