"""The entry point: the verbs in the order of the help, and the one place that catches and exits.

Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import os
import sys

import typer

from mlrelease.parsing import repository  # isort: skip - the order of these is the order of the help
from mlrelease.parsing import deployments  # isort: skip
from mlrelease.parsing import questions  # isort: skip
from mlrelease.parsing import pins  # isort: skip
from mlrelease.parsing import authoring  # isort: skip
from mlrelease.parsing import words  # isort: skip
from mlrelease.parsing import instances  # isort: skip
from mlrelease.parsing import releases  # isort: skip
from mlrelease.parsing import upkeep  # isort: skip
from mlrelease.parsing.app import app
from mlrelease.parsing.boundary import MISUSED, interrupted, misused, unexpected

VERBS = (repository, deployments, questions, pins, authoring, words, instances, releases, upkeep)
"""Importing them registers their verbs."""


def main() -> None:
    """The entry point: the one place that catches and exits."""
    _mend_streams()
    try:
        code = app(standalone_mode=False) or 0
    except MISUSED as error:
        code = misused(error)
    except (KeyboardInterrupt, typer.Abort):
        code = interrupted()
    except Exception as error:  # noqa: BLE001 - a verb guards itself; this is for what fails before it begins
        code = unexpected(error)
    sys.exit(code)


def _mend_streams() -> None:
    """Streams that never raise for a character, and that exist: a service may be started with them closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open until the end
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets `?`, not a traceback


if __name__ == "__main__":
    main()
