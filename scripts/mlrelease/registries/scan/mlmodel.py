"""What a version's `MLmodel` file makes MLflow import and open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlrelease.registries.scan.found import Scan

FILE = "MLmodel"
_LARGEST = 4 << 20
_MOST_NODES = 100_000
_ENVIRONMENT = "env"
_CODE = "code"
_CODE_FILE = "model_code_path"
_NOT_OPENED = ("uri", _CODE_FILE)
"""Where the file came from when it was logged; of the code's path only the last part is used."""


@dataclass(frozen=True, slots=True)
class Declared:
    """`opened`: the last parts of all paths that the flavors name. `code`: files and folders that Python imports."""

    opened: frozenset[str] = frozenset()
    code: tuple[str, ...] = ()

    def is_code(self, path: str) -> bool:
        """Whether the file lies where Python would import it from."""
        return any(path == place or path.startswith(f"{place}/") or place == "." for place in self.code)


def declared(root: Path, run: Scan) -> Declared:
    """What `MLmodel` in the folder `root` declares; tells what MLflow would import for it.

    That is the `loader_module`, and the `model_class` that XGBoost's and LightGBM's flavors call.
    """
    import yaml  # noqa: PLC0415 - costs 30 ms, and only commands that read artifacts come here

    file = root / FILE
    try:
        if file.is_symlink() or not file.is_file():
            raise ValueError("there is no such file")  # noqa: TRY301 - one way out for everything that is wrong with it
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")  # noqa: TRY301
        found = yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
        flavors = found["flavors"]
        pairs = list(_pairs(flavors))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as e:
        text = str(e) if type(e) is ValueError else "it is not one that MLflow writes"
        run.tell(FILE, FILE, problem=text)
        return Declared()
    loaders = {f"loader:{value}" for key, value in pairs if key == "loader_module"}
    classes = {value for key, value in pairs if key == "model_class"}
    outside = sorted(value for key, value in pairs if key not in _NOT_OPENED and not _is_inside(value))
    problem = f"it names a path outside of the version: {outside[0][:200]!r}" if outside else ""
    run.tell(FILE, FILE, (*sorted(loaders), *sorted(classes)), problem=problem)
    code = {str(PurePosixPath(value)) for key, value in pairs if key == _CODE}
    code |= {PurePosixPath(value).name for key, value in pairs if key == _CODE_FILE}
    return Declared(frozenset(PurePosixPath(value).name for _, value in pairs), tuple(sorted(code)))


def _pairs(flavors: object) -> Iterator[tuple[str, str]]:
    """Every text below the flavors with its key, without the files that describe the environment.

    YAML's aliases can make a small file a huge tree, so the steps are counted.
    """
    waiting: list[tuple[str, Any]] = [("", flavors)]
    steps = 0
    while waiting:
        steps += 1
        if steps > _MOST_NODES:
            raise ValueError(f"it holds more than {_MOST_NODES:,} values")
        key, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend((str(name), item) for name, item in value.items() if str(name) != _ENVIRONMENT)
        elif isinstance(value, list):
            waiting.extend((key, item) for item in value)
        elif isinstance(value, str):
            yield key, value


def _is_inside(value: str) -> bool:
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts
