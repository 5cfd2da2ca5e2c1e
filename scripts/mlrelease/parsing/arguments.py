"""Arguments and options that several verbs share."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from mlrelease.errors import UsageError
from mlrelease.parsing import completion

Env = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="The environment, a folder below environments/.", autocompletion=completion.environments
    ),
]
Envs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ENV]...", help="Environments; all when none is named.", autocompletion=completion.environments),
]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", "-s", help="Only this service; may be given again.", autocompletion=completion.services),
]
AllowRemove = Annotated[bool, typer.Option("--allow-remove", help="Let more than one service be removed at once.")]


def finite(value: float) -> float:
    """The number as it is; click lets `nan` and `inf` pass, which no deadline ever meets."""
    if not math.isfinite(value):
        raise typer.BadParameter("say a finite number")
    return value


def duration(text: str, *, example: str) -> float:
    """The seconds of `24h`, above zero. Raises `UsageError` for anything else."""
    from mlrelease.spec.rules import WrongValueError  # noqa: PLC0415 - imported with the spec, not by `--help`
    from mlrelease.spec.values import seconds, timeout  # noqa: PLC0415

    try:
        return seconds(timeout(text))
    except WrongValueError as error:
        raise UsageError(f"{text!r} is no time: a whole number and s, m, h or d", hint=example) from error


Interval = Annotated[float, typer.Option(help="Seconds between looks at git.", min=0.1, callback=finite)]
Pr = Annotated[bool, typer.Option("--pr", help="Propose it in a pull request, opened or refreshed; nothing is merged.")]
Reopen = Annotated[bool, typer.Option("--reopen", help="With --pr: propose again what a person closed.")]
LockTimeout = Annotated[
    float, typer.Option("--lock-timeout", help="Seconds to wait for another pass to end.", min=0, callback=finite)
]
Reason = Annotated[str, typer.Option("--reason", help="Why: it stands in the ledger.")]
OneService = Annotated[
    str,
    typer.Option("--service", "-s", help="The service (default: the whole environment).", autocompletion=completion.services),
]
Model = Annotated[str, typer.Argument(metavar="[MODEL]", help="The registered model.", autocompletion=completion.models)]
Version = Annotated[str, typer.Argument(metavar="[VERSION]", help="Its version.")]
Image = Annotated[str, typer.Option("--image", help="The image (repository:tag) instead of a model's version.")]
OfService = Annotated[
    str, typer.Option("--service", "-s", help="The service, where several have it.", autocompletion=completion.services)
]
