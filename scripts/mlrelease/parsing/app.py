"""The application with its global options, and how a verb gets its workspace and gives its report."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.render.report import Report

app = typer.Typer(
    name="mlrelease",
    help="GitOps for machine-learning models: pins in git say which model version runs where; this makes it so and proves it.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 errored, 2 usage, 3 changes or drift, 4 findings, 5 blocked, 6 rolled back, 130 interrupted.",
)


@dataclass(slots=True)
class Given:
    """The global options as given; `run_id` is one per process."""

    directory: str = "."
    output: str = "table"
    verbose: int = 0
    branch: str = ""
    run_id: str = ""


given = Given()


def _show_version(wanted: bool) -> None:
    if wanted:
        from mlrelease.files import version  # noqa: PLC0415

        typer.echo(version())
        raise typer.Exit


@app.callback()
def _options(
    directory: Annotated[str, typer.Option("--directory", "-C", help="Work in the repository around this folder.")] = ".",
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
    branch: Annotated[str, typer.Option("--branch", help="The branch that says what should run (default: the remote's).")] = "",
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more to stderr: -v, -vv.")] = 0,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if output not in ("table", "json"):
        raise typer.BadParameter("say table or json", param_hint="--output")
    given.directory, given.output, given.verbose, given.branch = directory, output, verbose, branch


def workspace_here() -> Workspace:
    """The workspace that the global options name; logging goes by them too."""
    from mlrelease.commands.workspace import new_ulid, open_workspace  # noqa: PLC0415

    given.run_id = given.run_id or os.environ.get("MLRELEASE_RUN_ID", "") or new_ulid()
    from mlrelease import log  # noqa: PLC0415

    level = {0: logging.WARNING, 1: logging.INFO}.get(given.verbose, logging.DEBUG)
    log.configure(level=level, run_id=given.run_id)
    return open_workspace(given.directory, run_id=given.run_id, branch=given.branch)


def with_workspace(verb: Callable[[Workspace], Report]) -> None:
    """Runs a verb in the workspace here, prints its report and exits with its code."""
    emitted(lambda: verb(workspace_here()))


def emitted(verb: Callable[[], Report]) -> None:
    """Runs a verb, prints its report and exits with its code."""
    from mlrelease.commands.output import emit  # noqa: PLC0415
    from mlrelease.parsing.boundary import guarded  # noqa: PLC0415

    raise typer.Exit(guarded(lambda: emit(verb(), output=given.output)))
