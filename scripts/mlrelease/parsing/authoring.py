"""Verbs that write new files of the repository: `new environment`, `new service`, `new model`, `import`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing import completion
from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env

new = typer.Typer(
    name="new", help="Write the file of a new environment, service or model.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(new)

Commit = Annotated[bool, typer.Option("--commit/--no-commit", help="Commit the file.")]


@new.command("environment")
def new_environment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name, a folder below environments/.")],
    listen: Annotated[str, typer.Option(help="host:port of its proxy (default: the next free one on loopback).")] = "",
    tracking_uri: Annotated[str, typer.Option(help="The MLflow server (default: ${MLFLOW_TRACKING_URI}).")] = "",
    alias: Annotated[str, typer.Option(help="The MLflow alias written after verification (default: the name).")] = "",
    promotes_from: Annotated[
        str,
        typer.Option(
            metavar="ENV", help="Where a version must have been verified before.", autocompletion=completion.environments
        ),
    ] = "",
    approval: Annotated[str, typer.Option(help="required or none: whether forward changes wait for an approval.")] = "",
    like: Annotated[
        str,
        typer.Option(
            metavar="ENV", help="Copy this environment's file, with other names.", autocompletion=completion.environments
        ),
    ] = "",
    commit: Commit = True,
) -> None:
    """Write environments/NAME/environment.yaml."""
    from mlrelease.commands.new import NewEnvironment  # noqa: PLC0415
    from mlrelease.commands.new import new_environment as run  # noqa: PLC0415

    if approval not in ("", "required", "none"):
        raise typer.BadParameter("say required or none", param_hint="--approval")
    options = NewEnvironment(listen, tracking_uri, alias, promotes_from, approval, like, commit)
    with_workspace(lambda workspace: run(workspace, name, options))


@new.command("service")
def new_service(
    environment: Env,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the service.")],
    image: Annotated[str, typer.Option(help="The image with tag and digest: REPOSITORY:TAG@sha256:…")] = "",
    replicas: Annotated[int, typer.Option(help="How many instances answer (default: as in the example).", min=0, max=64)] = 0,
    like: Annotated[str, typer.Option(metavar="SERVICE", help="Copy this service's file (or ENV/SERVICE).")] = "",
    commit: Commit = True,
) -> None:
    """Write a service file: its image pin, how many replicas."""
    from mlrelease.commands.new import NewService  # noqa: PLC0415
    from mlrelease.commands.new import new_service as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, name, NewService(image, replicas, like, commit)))


@new.command("model")
def new_model(
    environment: Env,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")],
    service: Annotated[
        str,
        typer.Option(
            "--service", "-s", help="Who answers for it (default: the only service).", autocompletion=completion.services
        ),
    ] = "",
    version: Annotated[str, typer.Option(help="The version (default: the newest that is registered).")] = "",
    like: Annotated[str, typer.Option(metavar="MODEL", help="Copy this model's file (or ENV/MODEL).")] = "",
    commit: Commit = True,
) -> None:
    """Write a model file: version and digest as MLflow has them."""
    from mlrelease.commands.new import NewModel  # noqa: PLC0415
    from mlrelease.commands.new import new_model as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, name, NewModel(service, version, like, commit)))


@app.command("import")
def import_(
    environment: Env,
    alias: Annotated[str, typer.Option(help="The alias that says what runs today (default: the environment's).")] = "",
    service: Annotated[
        str,
        typer.Option(
            "--service", "-s", help="Write files for models that have none: it answers.", autocompletion=completion.services
        ),
    ] = "",
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Only this model; may be given again.")] = None,
    golden: Annotated[bool, typer.Option("--golden/--no-golden", help="Compute golden predictions here.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, write nothing.")] = False,
) -> None:
    """Pin what the aliases of an MLflow server say today."""
    from mlrelease.commands.import_pins import ImportOptions  # noqa: PLC0415
    from mlrelease.commands.import_pins import import_pins as run  # noqa: PLC0415

    options = ImportOptions(alias, service, tuple(model or ()), golden, dry_run)
    with_workspace(lambda workspace: run(workspace, environment, options))
