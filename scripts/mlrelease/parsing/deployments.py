"""Verbs that look at or move what runs: `plan`, `deploy`, `reconcile`, `wait`, `agent`, `status`, `history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlrelease.parsing import completion
from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import AllowRemove, Env, Envs, Interval, LockTimeout, Services, duration

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.render.report import Report


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
    environment: Env,
    service: Services = None,
    allow_remove: AllowRemove = False,
    lock_timeout: LockTimeout = 60.0,
    release: Annotated[str, typer.Option("--release", metavar="TAG", help="Rebuild a release where nothing is recorded.")] = "",
) -> None:
    """Make what runs equal to the tip of the tracked branch, verify and record it."""
    from mlrelease.commands.deploy import DeployOptions  # noqa: PLC0415
    from mlrelease.commands.deploy import deploy as run  # noqa: PLC0415

    options = DeployOptions(tuple(service or ()), allow_remove, lock_timeout, release)
    with_workspace(lambda workspace: run(workspace, environment, options))


@app.command()
def reconcile(
    environments: Envs = None,
    check: Annotated[bool, typer.Option("--check", help="Only look: exit with 3 for changes or drift.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on for ever: the same as `mlrelease agent`.")] = False,
    interval: Interval = 15.0,
    allow_remove: AllowRemove = False,
    lock_timeout: LockTimeout = 60.0,
    hosted: Annotated[bool, typer.Option("--hosted", help="On a runner: ask the agents; 3 for drift, 1 for silence.")] = False,
) -> None:
    """The same pass over every environment, also against drift."""
    from mlrelease.commands.agent import agent as run_agent  # noqa: PLC0415
    from mlrelease.commands.deploy import DeployOptions  # noqa: PLC0415
    from mlrelease.commands.deploy import reconcile as run  # noqa: PLC0415

    names = tuple(environments or ())
    options = DeployOptions((), allow_remove, lock_timeout)
    if hosted and (watch or check):
        raise typer.BadParameter("it goes with neither --watch nor --check", param_hint="--hosted")
    if watch and (check or allow_remove):
        raise typer.BadParameter("it goes with neither --check nor --allow-remove", param_hint="--watch")
    if hosted:
        from mlrelease.commands.hosted import hosted as run_hosted  # noqa: PLC0415

        with_workspace(lambda workspace: run_hosted(workspace, names, options))
    elif watch:
        with_workspace(lambda workspace: run_agent(workspace, names, interval_s=interval))
    else:
        with_workspace(lambda workspace: run(workspace, names, options, check=check))


@app.command()
def wait(
    environment: Env,
    revision: Annotated[str, typer.Option("--revision", metavar="REV", help="A commit that the tip must contain.")] = "",
    timeout: Annotated[str, typer.Option("--timeout", help="So long at most: 90s, 30m, 2h.")] = "30m",
    record: Annotated[bool, typer.Option("--record", help="Keep a deployment on GitHub.")] = False,
    interval: Interval = 3.0,
) -> None:
    """Wait until the host has dealt with the tip of the branch; exit as it did."""

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.wait import WaitOptions  # noqa: PLC0415
        from mlrelease.commands.wait import wait as verb  # noqa: PLC0415

        options = WaitOptions(revision, duration(timeout, example="--timeout 30m"), interval, record)
        return verb(workspace, environment, options)

    with_workspace(run)


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
    service: Annotated[
        str, typer.Option("--service", "-s", help="Only this service.", autocompletion=completion.services)
    ] = "",
    limit: Annotated[int, typer.Option(help="So many lines, newest first.", min=1)] = 20,
    kpi: Annotated[bool, typer.Option("--kpi", help="How often, how fast, how well: figures instead of lines.")] = False,
    since: Annotated[str, typer.Option(metavar="TIME", help="From then on: 30d, 2026-11-01, a commit or a tag.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Up to then (default: now).")] = "",
) -> None:
    """Show what ran here and why, from the ledger."""
    if kpi:
        from mlrelease.commands.kpi import kpi as figures  # noqa: PLC0415

        with_workspace(lambda workspace: figures(workspace, environment, service=service, since=since, until=until))
        return
    from mlrelease.commands.history import history as run  # noqa: PLC0415

    with_workspace(
        lambda workspace: run(workspace, environment, service=service, limit=limit, since=since, until=until),
    )
