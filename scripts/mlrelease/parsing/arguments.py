"""Arguments and options that several verbs share."""

from __future__ import annotations

import math
from typing import Annotated

import typer

Env = Annotated[str, typer.Argument(metavar="ENV", help="The environment, a folder below environments/.")]
Envs = Annotated[list[str] | None, typer.Argument(metavar="[ENV]...", help="Environments; all when none is named.")]
Services = Annotated[list[str] | None, typer.Option("--service", "-s", help="Only this service; may be given again.")]
AllowRemove = Annotated[bool, typer.Option("--allow-remove", help="Let more than one service be removed at once.")]


def finite(value: float) -> float:
    """The seconds as they are; click lets `nan` and `inf` pass, which no deadline ever meets."""
    if not math.isfinite(value):
        raise typer.BadParameter("say a number of seconds")
    return value


Interval = Annotated[float, typer.Option(help="Seconds between looks at git.", min=0.1, callback=finite)]
LockTimeout = Annotated[
    float, typer.Option("--lock-timeout", help="Seconds to wait for another pass to end.", min=0, callback=finite)
]
Reason = Annotated[str, typer.Option("--reason", help="Why: it stands in the ledger.")]
OneService = Annotated[str, typer.Option("--service", "-s", help="The service (default: the whole environment).")]
Model = Annotated[str, typer.Argument(metavar="[MODEL]", help="The registered model.")]
Version = Annotated[str, typer.Argument(metavar="[VERSION]", help="Its version.")]
Image = Annotated[str, typer.Option("--image", help="The image (repository:tag) instead of a model's version.")]
OfService = Annotated[str, typer.Option("--service", "-s", help="The service, where several have it.")]
