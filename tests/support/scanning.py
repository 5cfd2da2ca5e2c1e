"""Bytes looked at by the scanner without a model around them: what was told of them, and what of a walk."""

from __future__ import annotations

import io
import time
from pathlib import Path

from mlrelease.gates.interface import ScannedFile
from mlrelease.registries.scan import formats, pickles, scan
from mlrelease.registries.scan.found import Scan
from mlrelease.registries.scan.mlmodel import Declared

RUNS = b"cposix\nsystem\n(S'true'\ntR."
"""A pickle of protocol 0, all of it text, that would run something."""

MLMODEL = b"flavors: {python_function: {loader_module: mlflow.sklearn}}\n"


def looked(data: bytes, name: str = "x", known: Declared | None = None) -> list[ScannedFile]:
    """What is told of a file of these bytes."""
    run = Scan(time.monotonic() + 60)
    formats.look(run, name, io.BytesIO(data), len(data), known or Declared())
    return run.files


def told(data: bytes, name: str = "x", known: Declared | None = None) -> list[tuple[str, str, tuple[str, ...], str]]:
    """The same as path, kind, names and problem."""
    return [(file.path, file.format, file.globals, file.problem) for file in looked(data, name, known)]


def walked(data: bytes) -> pickles.Walk:
    """The walk of one pickle."""
    return pickles.walk(io.BytesIO(data), len(data), until=time.monotonic() + 60)


def version(folder: Path, files: dict[str, bytes] | None = None, mlmodel: bytes = MLMODEL) -> Path:
    """The folder of a version with such an `MLmodel` and these files."""
    for name, content in {"MLmodel": mlmodel, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def scanned(path: Path) -> list[tuple[str, str, tuple[str, ...], str]]:
    """What the whole scan tells, file by file, without the loader that every `MLmodel` here names."""
    files = [(file.path, file.format, file.globals, file.problem) for file in scan(path).files]
    return [file for file in files if file != ("MLmodel", "MLmodel", ("loader:mlflow.sklearn",), "")]
