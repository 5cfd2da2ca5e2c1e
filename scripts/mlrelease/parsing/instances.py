"""Verbs about running instances: `serve`, `logs`, `predict`, `down`; and the `demo`."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from mlrelease.errors import UsageError
from mlrelease.parsing import completion
from mlrelease.parsing.app import app, with_workspace, workspace_here
from mlrelease.parsing.arguments import Env
from mlrelease.parsing.boundary import guarded


@app.command()
def serve(
    environment: Annotated[
        str,
        typer.Argument(metavar="[ENV]", help="The environment whose pins are served.", autocompletion=completion.environments),
    ] = "",
    service: Annotated[str, typer.Argument(metavar="[SERVICE]", help="The service.", autocompletion=completion.services)] = "",
    model_path: Annotated[
        str, typer.Option(envvar="MODEL_PATH", help="Serve this MLflow model folder instead; no registry is asked.")
    ] = "",
    listen: Annotated[str, typer.Option(help="host:port, or unix:/path.")] = "127.0.0.1:8000",
    digest: Annotated[str, typer.Option(help="Refuse the folder unless it has this digest.")] = "",
    name: Annotated[str, typer.Option(help="The model's name, for a folder.")] = "model",
    version: Annotated[str, typer.Option(help="The model's version, for a folder.")] = "0",
) -> None:
    """Run the reference model server in the foreground."""
    from mlrelease.commands.serve import ServeOptions, serve_folder, serve_pinned  # noqa: PLC0415

    options = ServeOptions(listen, model_path, name, version, digest)

    def run() -> int:
        if model_path:
            return serve_folder(options)
        if not environment or not service:
            raise UsageError("what should be served?", hint="mlrelease serve ENV SERVICE, or --model-path FOLDER")
        return serve_pinned(workspace_here(), environment, service, options)

    from mlrelease import log  # noqa: PLC0415

    log.configure(level=logging.INFO)
    code = guarded(run)
    sys.stdout.flush()
    sys.stderr.flush()
    # A prediction that outlived the drain keeps its thread: a normal exit would wait for it for ever.
    os._exit(code)


@app.command()
def logs(
    environment: Env,
    service: Annotated[str, typer.Argument(metavar="SERVICE", autocompletion=completion.services)],
    lines: Annotated[int, typer.Option("--lines", "-n", help="So many lines of each instance.", min=1)] = 50,
) -> None:
    """Show the last lines of every instance of a service."""
    from mlrelease.commands.inspect import logs as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, service, lines=lines))


@app.command()
def predict(
    environment: Env,
    service: Annotated[str, typer.Argument(metavar="SERVICE", autocompletion=completion.services)],
    data: Annotated[str, typer.Option("--data", "-d", help="JSON, @FILE or - (default: the version's own example).")] = "",
    model: Annotated[
        str, typer.Option("--model", "-m", help="The model, where the service has several.", autocompletion=completion.models)
    ] = "",
) -> None:
    """Ask for one prediction through the proxy, as a client would."""
    from mlrelease.commands.inspect import predict as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, service, data=data, model=model))


@app.command()
def down(environment: Env) -> None:
    """End everything of an environment on this host."""
    from mlrelease.commands.inspect import down as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, and say how to stop it.")] = False,
    report: Annotated[str, typer.Option("--report", metavar="FILE", help="Write what happened as JSON.")] = "",
    directory: Annotated[str, typer.Option("--in", metavar="DIR", help="The scratch folder (default: a temporary one).")] = "",
) -> None:
    """Tell the whole story on this machine: stage, promote, refuse, roll back, prove, under load."""
    from mlrelease.demo.story import demo as run  # noqa: PLC0415

    raise typer.Exit(guarded(lambda: run(keep=keep, report=report, directory=directory)))
