"""Verbs that look at or move what runs: `plan`, `deploy`, `reconcile`, `agent`, `status`, `history`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import AllowRemove, Env, Envs, Interval, LockTimeout, Services


@app.command()
def plan(
    environment: Env,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when there are changes.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither the git host nor MLflow.")] = False,
    service: Services = None,
) -> None:
    """Show what would happen if this work tree were merged."""
    from mlrelease.commands.plan import plan as run  # noqa: PLC0415

    with_workspace(
        lambda workspace: run(workspace, environment, exit_code=exit_code, offline=offline, services=tuple(service or ()))
    )


@app.command()
def deploy(
    environment: Env, service: Services = None, allow_remove: AllowRemove = False, lock_timeout: LockTimeout = 60.0
) -> None:
    """Make what runs equal to the tip of the tracked branch, verify and record it."""
    from mlrelease.commands.deploy import DeployOptions  # noqa: PLC0415
    from mlrelease.commands.deploy import deploy as run  # noqa: PLC0415

    options = DeployOptions(tuple(service or ()), allow_remove, lock_timeout)
    with_workspace(lambda workspace: run(workspace, environment, options))


@app.command()
def reconcile(
    environments: Envs = None,
    check: Annotated[bool, typer.Option("--check", help="Only look: exit with 3 for changes or drift.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on for ever: the same as `mlrelease agent`.")] = False,
    interval: Interval = 15.0,
    allow_remove: AllowRemove = False,
    lock_timeout: LockTimeout = 60.0,
) -> None:
    """The same pass over every environment, also against drift."""
    from mlrelease.commands.agent import agent as run_agent  # noqa: PLC0415
    from mlrelease.commands.deploy import DeployOptions  # noqa: PLC0415
    from mlrelease.commands.deploy import reconcile as run  # noqa: PLC0415

    names = tuple(environments or ())
    options = DeployOptions((), allow_remove, lock_timeout)
    if watch and not check:
        with_workspace(lambda workspace: run_agent(workspace, names, interval_s=interval))
    else:
        with_workspace(lambda workspace: run(workspace, names, options, check=check))


@app.command()
def agent(environments: Envs = None, interval: Interval = 15.0) -> None:
    """Watch git and reconcile, until stopped. Runs on the host of an environment."""
    from mlrelease.commands.agent import agent as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, tuple(environments or ()), interval_s=interval))


@app.command()
def status(environments: Envs = None) -> None:
    """Show what runs, what was recorded, and what git wants."""
    from mlrelease.commands.status import status as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, tuple(environments or ())))


@app.command()
def history(
    environment: Env,
    service: Annotated[str, typer.Option("--service", "-s", help="Only this service.")] = "",
    limit: Annotated[int, typer.Option(help="So many lines, newest first.", min=1)] = 20,
) -> None:
    """Show what ran here and why, from the ledger."""
    from mlrelease.commands.history import history as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, environment, service=service, limit=limit))
