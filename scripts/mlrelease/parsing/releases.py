"""The verb `release`: `release major|minor|patch|auto` cuts one, `release publish` and `release verify` go on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlrelease.parsing import completion
from mlrelease.parsing.app import app, with_workspace

if TYPE_CHECKING:
    from mlrelease.commands.workspace import Workspace
    from mlrelease.render.report import Report

release = typer.Typer(
    name="release",
    help="Cut, publish and prove a release of what production runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(release)

Environments = Annotated[
    list[str] | None,
    typer.Option(
        "--environment",
        "-e",
        help="What is released, and must be in sync (default: production); may be given again.",
        autocompletion=completion.environments,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show it, change nothing.")]
Push = Annotated[bool, typer.Option("--push/--no-push", help="Push branch and tag, both or neither.")]
Proposed = Annotated[
    bool, typer.Option("--pr", help="Propose it in a pull request instead; release publish tags what is merged.")
]


@release.command("auto")
def auto(environment: Environments = None, dry_run: DryRun = False, push: Push = True, pr: Proposed = False) -> None:
    """Cut the version that the changes ask for."""
    _cut("auto", environment, dry_run=dry_run, push=push, pr=pr)


@release.command("major")
def major(environment: Environments = None, dry_run: DryRun = False, push: Push = True, pr: Proposed = False) -> None:
    """Cut the next major version (before 1.0.0: minor)."""
    _cut("major", environment, dry_run=dry_run, push=push, pr=pr)


@release.command("minor")
def minor(environment: Environments = None, dry_run: DryRun = False, push: Push = True, pr: Proposed = False) -> None:
    """Cut the next minor version."""
    _cut("minor", environment, dry_run=dry_run, push=push, pr=pr)


@release.command("patch")
def patch(environment: Environments = None, dry_run: DryRun = False, push: Push = True, pr: Proposed = False) -> None:
    """Cut the next patch version."""
    _cut("patch", environment, dry_run=dry_run, push=push, pr=pr)


@release.command("publish")
def publish(
    tag: Annotated[str, typer.Argument(metavar="[TAG]", help="The release (default: the newest record on the branch).")] = "",
) -> None:
    """Tag the merged record and publish it on GitHub; what is half made is completed."""
    from mlrelease.commands.release.publish import publish as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, tag))


@release.command("verify")
def verify(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="The release, such as v1.2.0.")],
    deep: Annotated[bool, typer.Option("--deep", help="Download every model and hash it again.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Ask the image registries for every digest.")] = False,
) -> None:
    """Prove a release against git, the ledger and MLflow."""
    from mlrelease.commands.release.verify import VerifyOptions  # noqa: PLC0415
    from mlrelease.commands.release.verify import verify as run  # noqa: PLC0415

    with_workspace(lambda workspace: run(workspace, tag, VerifyOptions(deep, images)))


def _cut(level: str, environments: list[str] | None, *, dry_run: bool, push: bool, pr: bool) -> None:
    if pr and not push:
        raise typer.BadParameter("a pull request needs its branch at the remote", param_hint="--no-push")

    def run(workspace: Workspace) -> Report:
        from mlrelease.commands.release.cut import ReleaseOptions, release  # noqa: PLC0415
        from mlrelease.commands.release.proposal import propose  # noqa: PLC0415
        from mlrelease.model.release import Level  # noqa: PLC0415

        names = tuple(dict.fromkeys(environments or ("production",)))
        options = ReleaseOptions(Level(level), names, dry_run, push)
        return propose(workspace, options) if pr and not dry_run else release(workspace, options)

    with_workspace(run)
