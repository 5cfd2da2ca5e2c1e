"""Verbs that move pins in files: `bump`, `promote`, `rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing import completion
from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env, Pr, Reopen, Services


@app.command()
def bump(
    environment: Env,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...", help="Registered models, as their files name them.", autocompletion=completion.models
        ),
    ] = None,
    to: Annotated[str, typer.Option("--to", help="The version (default: the newest that is registered).")] = "",
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service", "-s", help="All models of this service; may be given again.", autocompletion=completion.services
        ),
    ] = None,
    commit: Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the edit.")] = True,
    push: Annotated[bool, typer.Option("--push", help="Push the commit to the tracked branch.")] = False,
    pr: Pr = False,
    reopen: Reopen = False,
) -> None:
    """Pin model versions: digests, golden predictions, one commit each."""
    _refuse_idle(commit=commit, push=push, pr=pr, reopen=reopen)
    from mlrelease.commands.bump import BumpOptions  # noqa: PLC0415
    from mlrelease.commands.bump import bump as run  # noqa: PLC0415

    options = BumpOptions(to, commit, push, tuple(service or ()), pr, reopen)
    with_workspace(lambda workspace: run(workspace, environment, tuple(models or ()), options))


@app.command()
def promote(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="The environment in which it was verified.", autocompletion=completion.environments
        ),
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="The environment whose pins move.", autocompletion=completion.environments)
    ],
    service: Services = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Only this model; may be given again.", autocompletion=completion.models),
    ] = None,
    image: Annotated[bool, typer.Option("--image/--no-image", help="Move image pins too.")] = True,
    commit: Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the edits.")] = True,
    push: Annotated[bool, typer.Option("--push", help="Push the commits to the tracked branch.")] = False,
    pr: Pr = False,
    reopen: Reopen = False,
) -> None:
    """Pin what one environment verified in another, one commit each."""
    _refuse_idle(commit=commit, push=push, pr=pr, reopen=reopen)
    from mlrelease.commands.promote import PromoteOptions  # noqa: PLC0415
    from mlrelease.commands.promote import promote as run  # noqa: PLC0415

    options = PromoteOptions(tuple(service or ()), tuple(model or ()), image, commit, push, pr, reopen)
    with_workspace(lambda workspace: run(workspace, source, destination, options))


@app.command()
def rollback(
    environment: Env,
    service: Annotated[
        str, typer.Option("--service", "-s", help="The service (default: the only one).", autocompletion=completion.services)
    ] = "",
    model: Annotated[
        str, typer.Option("--model", "-m", help="Only this model goes back.", autocompletion=completion.models)
    ] = "",
    to: Annotated[str, typer.Option("--to", help="The version to go back to.")] = "",
    to_release: Annotated[
        str, typer.Option("--to-release", metavar="TAG", help="All services (or --service) as a release had them.")
    ] = "",
    last_good: Annotated[
        bool, typer.Option("--last-good", help="The newest verified state that is not rejected (default).")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Apply and prove it at once.")] = False,
    push: Annotated[bool, typer.Option("--push/--no-push", help="Push the commit to the tracked branch.")] = True,
    pr: Annotated[
        bool, typer.Option("--pr", help="Leave the commit in a pull request; a hold makes it count at once.")
    ] = False,
    force: Annotated[
        str, typer.Option("--force", metavar="REASON", help="Go back although a person rejected it: lifts the rejection.")
    ] = "",
) -> None:
    """Commit the restored pins; with --now, apply them and prove that the old version answers."""
    from mlrelease.commands.rollback import RollbackOptions  # noqa: PLC0415
    from mlrelease.commands.rollback import rollback as run  # noqa: PLC0415

    if bool(to) + bool(to_release) + last_good > 1:
        raise typer.BadParameter("say one of --to, --to-release and --last-good", param_hint="--to")
    if to_release and model:
        raise typer.BadParameter("a release goes back by services: --service", param_hint="--model")
    options = RollbackOptions(
        service=service, model=model, to=to, to_release=to_release, now=now, push=push, force=force, pr=pr
    )
    if to_release:
        from mlrelease.commands.release.restore import restore as run  # noqa: PLC0415
    with_workspace(lambda workspace: run(workspace, environment, options))


def _refuse_idle(*, commit: bool, push: bool, pr: bool, reopen: bool) -> None:
    """An option that would do nothing is a misunderstanding, and whoever gave it waits for what never comes."""
    if reopen and not pr:
        raise typer.BadParameter("it goes with --pr", param_hint="--reopen")
    if push and not commit and not pr:
        raise typer.BadParameter("there is no commit to push", param_hint="--no-commit")
