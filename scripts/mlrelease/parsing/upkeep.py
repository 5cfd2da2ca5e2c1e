"""Verbs that look after a host: `doctor`, `gc`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlrelease.parsing.app import app, with_workspace
from mlrelease.parsing.arguments import Envs, LockTimeout, finite


@app.command()
def doctor(
    environments: Envs = None,
    images: Annotated[bool, typer.Option("--images", help="Ask image registries also where no image runs.")] = False,
) -> None:
    """Check what a release depends on, here and on GitHub."""
    from mlrelease.commands.doctor.verb import doctor as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, tuple(environments or ()), images=images))


@app.command()
def gc(
    environments: Envs = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, remove nothing.")] = False,
    days: Annotated[float, typer.Option(help="Keep versions in your own cache for so long.", min=0, callback=finite)] = 30.0,
    lock_timeout: LockTimeout = 60.0,
) -> None:
    """Free what nothing needs on this host, and say how much."""
    from mlrelease.commands.gc import GcOptions  # noqa: PLC0415
    from mlrelease.commands.gc import gc as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, tuple(environments or ()), GcOptions(dry_run, days, lock_timeout)))
