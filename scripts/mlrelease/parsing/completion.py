"""What completes by name on a command line: environments, services and models, as their files lie in the work tree.

Only folders are listed: no file is read, no git is run and nothing is imported that `mlrelease --help` does not import, since a
shell asks at every press of the key. Names that no file of ours may have are left out, and so never reach a shell.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import typer

ENVIRONMENTS = "environments"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def environments(ctx: typer.Context, incomplete: str) -> list[str]:
    """The environments that begin so and are not named yet."""
    given = ctx.params.get("environments") or ()
    return [name for name in _names(_top(ctx), "") if name.startswith(incomplete) and name not in given]


def services(ctx: typer.Context, incomplete: str) -> list[str]:
    """The services, of the environment named before or of all, that begin so and are not named yet."""
    return _below(ctx, "services", ctx.params.get("service"), incomplete)


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """The models, of the environment named before or of all, that begin so and are not named yet."""
    given = ctx.params.get("models") or ctx.params.get("model")
    return _below(ctx, "models", given, incomplete)


def _below(ctx: typer.Context, kind: str, given: object, incomplete: str) -> list[str]:
    top = _top(ctx)
    # After an option that still waits for its value, the words before it have not been given to their arguments.
    named = str(ctx.params.get("environment") or ctx.params.get("source") or next(iter(ctx.args), ""))
    places = [place for place in _names(top, "") if place == named] if named else _names(top, "")
    found = {name for place in places for name in _names(f"{top}/{place}/{kind}", ".yaml")}
    # One value is what is being typed, several are what stands before it.
    before = set(given) if isinstance(given, list | tuple) else set()
    return sorted(name for name in found - before if name.startswith(incomplete))


def _top(ctx: typer.Context) -> str:
    """The `environments` folder of the repository around the folder that `-C` names; empty when there is none."""
    folder = Path(ctx.find_root().params.get("directory") or ".").absolute()
    return next((str(at / ENVIRONMENTS) for at in (folder, *folder.parents) if (at / ENVIRONMENTS).is_dir()), "")


def _names(place: str, ending: str) -> list[str]:
    """The names in a folder, sorted: of folders without an ending, of files with one. No link is followed."""
    try:
        with os.scandir(place) as entries:
            found = [e.name.removesuffix(ending) for e in entries if e.name.endswith(ending) and _fits(e, file=bool(ending))]
    except OSError:  # nothing to complete: the verb itself says what is wrong
        return []
    return sorted(name for name in found if _NAME.fullmatch(name))


def _fits(entry: os.DirEntry[str], *, file: bool) -> bool:
    return entry.is_file(follow_symlinks=False) if file else entry.is_dir(follow_symlinks=False)
