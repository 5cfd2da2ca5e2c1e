"""What loading a model version would run, found in its files without loading, importing or unpickling anything.

The files are judged by what they hold, not by how they are called; a name counts only where Python imports by it.

- **Pickles** of any protocol, several in a row, whatever wrote them (pickle, cloudpickle, statsmodels, torch): the
  unpickler's own stack and memo are followed (`pickles`), so that memorised, duplicated and Python 2's names are found.
  Told: each global. A problem: computed names, extension codes, calls of made objects, changes of imported ones, damage,
  other bytes after the end. joblib's arrays lie between opcodes, where the walk cannot go on: a problem.
- **Compressed** (gzip, bzip2, xz, lzma, zlib) **and zip** (torch, npz, Keras; also behind other bytes): unpacked to
  temporary files, told as what is inside; a zip that is also a pickle is both.
- **skops' zip**: every type in its schema, since MLflow takes the list of trusted types from the artifact itself.
- **`.npy`**: an array of objects is a pickle.
- **`MLmodel`**: MLflow imports its `loader_module` (told as `loader:…`) and puts its `code` on Python's path (a path that
  leads outside is a problem).
- **Python sources, byte code, packages, shared objects, all below `code`**: Python imports by file name: `file:…`.
- **States that statsmodels restores by evaluating a formula**: `statsmodels.formula`.
- **tar, 7z, RAR, zstd, lz4, HDF5 (Keras with Lambda layers), ONNX (external data), executables, any other binary file**:
  not read, told as `file:…`.

Not told: text that is no pickle (JSON, YAML, LightGBM), XGBoost's UBJSON, safetensors, Parquet, Arrow, pictures: loading
those runs nothing. Not looked for: memory errors that a crafted tree or array may cause in compiled code; isolation and
the deadline of `serving.golden` are for those.

The names are ours to find and the policy's to allow (`gates.scan`); `picklescan` reads the same pickles and says which
names are known from attacks. An allow-list alone decides: its list of dangerous names can never be complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.gates.interface import ScanReport
from mlrelease.registries.scan.formats import look
from mlrelease.registries.scan.found import LimitReached, Scan
from mlrelease.registries.scan.known import SCANNER
from mlrelease.registries.scan.mlmodel import Declared, declared

__all__ = ["scan"]


def scan(path: Path, *, deadline_s: float = DEADLINES_S["scan"]) -> ScanReport:
    """The files in the folder `path` that can run code when the version is loaded, each with what it would import.

    Raises nothing about the files: what cannot be read, or is too much, is a problem of that file. Memory is bounded by
    the text and the names of one file, disk by `found.MOST_UNPACKED`, time by `deadline_s`.
    """
    run = Scan(time.monotonic() + deadline_s)
    try:
        known = declared(path, run)
        for file in _files(path):
            _one(run, path, file, known)
    except LimitReached as e:
        run.tell("", "the version", problem=str(e))
    return ScanReport(tuple(run.files), SCANNER)


def _one(run: Scan, root: Path, file: Path, known: Declared) -> None:
    run.enter()
    name = file.relative_to(root).as_posix()
    if file.is_symlink() or not file.is_file():
        run.tell(name, "link", problem="it is no regular file")
        return
    try:
        with file.open("rb") as stream:
            look(run, name, stream, file.stat().st_size, known)
    except OSError as e:
        run.tell(name, "unknown", problem=f"it cannot be read: {(e.strerror or str(e)).lower()}")


def _files(folder: Path) -> Iterator[Path]:
    """Every file below the folder, sorted; links are given, not followed."""
    try:
        found = sorted(folder.iterdir())
    except OSError as e:
        raise LimitReached(f"a folder cannot be read: {(e.strerror or str(e)).lower()}") from e
    for path in found:
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path
