"""From pinned folders to models that answer: hash, compare, load, try the golden predictions. In that order, always.

Nothing is unpickled before the bytes are known to be those of the pin (DESIGN §6 row 14).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from mlrelease.errors import Error
from mlrelease.log import get
from mlrelease.model.live import Artifact
from mlrelease.registries.digest import digest_of, manifest
from mlrelease.serving.collecting import uncollected
from mlrelease.serving.compare import differences
from mlrelease.serving.refusal import Refusal

if TYPE_CHECKING:
    from mlrelease.serving.scoring import Scorer


class ExitCode(IntEnum):
    """How the server's process ends. Restarting helps with none but the first two."""

    DONE = 0
    ERRORED = 1
    DIGEST = 3
    LOAD = 4
    GOLDEN = 5


class LoadFailed(Exception):  # noqa: N818 - carries how the process ends
    """A model of the bundle cannot be served."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def load_all(models: Iterable[Artifact], say: Callable[[str], None]) -> dict[str, Scorer]:
    """Every model by name, verified, loaded and tried; `say` hears what is being done. Raises `LoadFailed`."""
    models = tuple(models)
    for m in models:
        say(f"hashing {m.name} {m.version}")
        _verify(m)
    scorers: dict[str, Scorer] = {}
    for m in models:
        started = time.monotonic()
        say(f"loading {m.name} {m.version}")
        scorer = scorers[m.name] = _load(m)
        loaded = time.monotonic()
        if m.golden is not None:
            say(f"trying the golden predictions of {m.name} {m.version}")
            _try_golden(m, scorer)
        get("serving").info(
            "model ready",
            model=m.name,
            version=m.version,
            load_s=round(loaded - started, 3),
            golden_s=round(time.monotonic() - loaded, 3),
            golden="none" if m.golden is None else "as expected",
        )
    return scorers


def _verify(m: Artifact) -> None:
    try:
        found = digest_of(manifest(Path(m.path)))
    except Error as e:
        raise LoadFailed(ExitCode.LOAD, f"{m.name} {m.version}: {e.message}") from e
    if found != m.digest:
        text = (
            f"{m.name} {m.version}: the files are not those of the pin: expected {m.digest}, found {found}; nothing was loaded"
        )
        raise LoadFailed(ExitCode.DIGEST, text)


def _load(m: Artifact) -> Scorer:
    try:
        # MLflow sends usage data to its makers unless told not to; a model server does not call out.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
        with uncollected():
            from mlrelease.serving.scoring import load  # noqa: PLC0415 - seconds, paid while /health answers already

            return load(Path(m.path))
    except BaseException as e:  # the model's own code runs: also SystemExit and the like end here, and end the process
        get("serving").error("the model cannot be loaded", model=m.name, version=m.version, exc_info=True)
        raise LoadFailed(ExitCode.LOAD, f"{m.name} {m.version} cannot be loaded: {_line(e)}") from e


def _try_golden(m: Artifact, scorer: Scorer) -> None:
    golden = m.golden or {}
    try:
        wrong = differences(golden["predictions"], scorer.predict(golden["payload"]), m.golden_rtol)
    except Refusal as e:
        wrong = e.message
    if wrong:
        raise LoadFailed(ExitCode.GOLDEN, f"{m.name} {m.version} does not predict what it predicted in isolation: {wrong}")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}".rstrip(": ")
