"""Verbs that answer for the past: `at`, `why`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing import completion
from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Env

Service = Annotated[str, typer.Option("--service", "-s", help="Only this service.", autocompletion=completion.services)]


@app.command()
def at(
    environment: Env,
    time: Annotated[str, typer.Argument(metavar="TIME", help="2026-11-21T03:52Z, 2h ago, a commit or a tag.")],
    service: Service = "",
) -> None:
    """Say what served at a moment, and how sure that is."""
    from mlrelease.commands.at import at as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, time, service=service))


@app.command()
def why(
    environment: Annotated[
        str, typer.Argument(metavar="[ENV]", help="The environment.", autocompletion=completion.environments)
    ] = "",
    service: Service = "",
    model: Annotated[str, typer.Option("--model", "-m", help="Only this model of it.", autocompletion=completion.models)] = "",
    bundle: Annotated[str, typer.Option("--bundle", metavar="ID", help="This bundle (X-Bundle), wherever it ran.")] = "",
    request: Annotated[
        str, typer.Option("--request", metavar="FILE", help="Who answered: an answer's headers (curl -i, JSON); - for stdin.")
    ] = "",
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither the git host nor GitHub nor MLflow.")] = False,
) -> None:
    """Say where what serves came from, down to the data."""
    from mlrelease.commands.why import WhyOptions  # noqa: PLC0415
    from mlrelease.commands.why import why as run  # noqa: PLC0415

    options = WhyOptions(service, model, bundle, request, offline)
    with_workspace(lambda workspace: run(workspace, environment, options))
