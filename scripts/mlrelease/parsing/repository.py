"""Verbs about the files of a repository: `init`, `validate`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing.app import app, emitted, given, with_workspace


@app.command()
def init(
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="The folder of the new repository.")] = "",
    remote: Annotated[str, typer.Option(help="A git remote to push to.")] = "",
    tracking_uri: Annotated[str, typer.Option(help="The MLflow server, e.g. ${MLFLOW_TRACKING_URI}.")] = "",
    listen: Annotated[str, typer.Option(help="host:port of the environment's proxy.")] = "",
    state_dir: Annotated[str, typer.Option(help="Where the environment keeps its state on the host.")] = "",
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Refresh schemas, unit and workflows of a repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --upgrade: show it, write nothing.")] = False,
) -> None:
    """Make a repository with a working example environment."""
    if upgrade:
        from mlrelease.commands.vendored import upgrade as refresh  # noqa: PLC0415

        of_new = {"--remote": remote, "--tracking-uri": tracking_uri, "--listen": listen, "--state-dir": state_dir}
        for name in (name for name, value in of_new.items() if value):
            raise typer.BadParameter("it says what a new repository gets, --upgrade changes none", param_hint=name)
        given.directory = directory or given.directory
        with_workspace(lambda workspace: refresh(workspace, dry_run=dry_run))
        return
    if dry_run:
        raise typer.BadParameter("it goes with --upgrade", param_hint="--dry-run")
    if not directory:
        raise typer.BadParameter("name a new folder", param_hint="DIR")
    from mlrelease.commands.init import InitOptions  # noqa: PLC0415
    from mlrelease.commands.init import init as run  # noqa: PLC0415

    options = InitOptions(
        branch=given.branch or "main", remote=remote, tracking_uri=tracking_uri, listen=listen, state_dir=state_dir
    )
    emitted(lambda: run(directory, options))


@app.command()
def validate(
    offline: Annotated[bool, typer.Option("--offline", help="Files only: ask nobody.")] = False,
    pr: Annotated[
        int | None, typer.Option("--pr", metavar="N", help="Say it on this pull request too: a check, annotations, a comment.")
    ] = None,
) -> None:
    """Report every finding in the files, and every pin's gates. Loads no model."""
    if pr is not None:
        from mlrelease.commands.pr_report import validate_pull_request  # noqa: PLC0415

        with_workspace(lambda workspace: validate_pull_request(workspace, pr, offline=offline))
        return
    from mlrelease.commands.validate import validate as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, offline=offline))
