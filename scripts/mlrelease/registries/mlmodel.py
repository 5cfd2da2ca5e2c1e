"""What a version's `MLmodel` file and its serving example say. Reads text and never loads a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlrelease.errors import Error
from mlrelease.gates.interface import Column, Signature

ROWS = 32
"""As many rows of an example become golden predictions (DESIGN §2)."""

_LARGEST_MLMODEL = 4 << 20
_LARGEST_EXAMPLE = 64 << 20
_ROW_LISTS = ("dataframe_records", "instances", "inputs")
_STRANGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file raises that MLflow did not write."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the `MLmodel` file declares. `inputs` are the signature's columns or tensors, None without a signature.

    `example` is the path of the serving example below the model's folder, empty if the version has none.
    """

    flavors: tuple[str, ...]
    inputs: tuple[Mapping[str, Any], ...] | None
    has_input_example: bool
    example: str = ""


def metadata(path: Path) -> ModelMetadata:
    """What the `MLmodel` file in the folder `path` declares. Raises `Error` when it is missing or not one."""
    file, found = _mlmodel(path)
    try:
        saved = found.get("saved_input_example_info") or {}
        inputs = (found.get("signature") or {}).get("inputs")
        return ModelMetadata(
            flavors=tuple(sorted(map(str, found["flavors"].keys()))),
            inputs=None if inputs is None else _declared(inputs),
            has_input_example=bool(saved),
            example=str(saved.get("serving_input_path") or "") if saved else "",
        )
    except _STRANGE as e:
        raise _strange(file) from e


def signature(path: Path) -> Signature:
    """The signature in the `MLmodel` file of the folder `path`; both parts None where it declares none. Raises `Error`."""
    file, found = _mlmodel(path)
    try:
        declared = found.get("signature") or {}
        return Signature(_columns(declared.get("inputs")), _columns(declared.get("outputs")))
    except _STRANGE as e:
        raise _strange(file) from e


def serving_example(path: Path) -> Mapping[str, Any] | None:
    """The version's own example as a request body, cut to 32 rows; None if it has none that a server could answer.

    Raises `Error` when the file is named but missing, or is not a JSON object.
    """
    declared = metadata(path)
    if not declared.example:
        return None
    relative = PurePosixPath(declared.example)
    if relative.is_absolute() or ".." in relative.parts:
        raise Error("the MLmodel file names a serving example outside the model's folder", where=str(path / "MLmodel"))
    file = path / relative
    try:
        payload = json.loads(_text(file, _LARGEST_EXAMPLE))
    except (ValueError, RecursionError) as e:
        raise Error("the serving example is not JSON", hint="log the model again", where=str(file)) from e
    if not isinstance(payload, dict):
        raise Error("the serving example is not a JSON object", hint="log the model again", where=str(file))
    return cut(payload, declared.inputs)


def cut(payload: Mapping[str, Any], inputs: tuple[Mapping[str, Any], ...] | None = None) -> dict[str, Any]:
    """A copy of a scoring request with its first 32 rows. What is not a list of rows stays as it is."""
    shorter = dict(payload)
    split = payload.get("dataframe_split")
    if isinstance(split, dict):
        shorter["dataframe_split"] = {
            key: value[:ROWS] if key in ("data", "index") and isinstance(value, list) else value for key, value in split.items()
        }
    for key in _ROW_LISTS:
        value = payload.get(key)
        if isinstance(value, list):
            shorter[key] = value[:ROWS]
        elif isinstance(value, dict) and _is_columns(value, inputs):
            shorter[key] = {name: column[:ROWS] for name, column in value.items()}
    return shorter


def _is_columns(value: Mapping[str, Any], inputs: tuple[Mapping[str, Any], ...] | None) -> bool:
    """Whether each value is a list of rows. A column of type array may hold one row's array instead: that is not cut."""
    columns = list(value.values())
    if not columns or not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return False
    return not any(spec.get("type") == "array" and spec.get("name") in value for spec in inputs or ())


def _mlmodel(path: Path) -> tuple[Path, Any]:
    """The file and what it holds: names, lists and texts, and nothing that was made by a tag."""
    import yaml  # noqa: PLC0415 - only bump, gates and the server's start come here

    file = path / "MLmodel"
    try:
        # The safe loader: tags that would make objects are errors.
        return file, yaml.load(_text(file, _LARGEST_MLMODEL), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise _strange(file) from e


def _strange(file: Path) -> Error:
    return Error("the MLmodel file is not one that MLflow writes", hint="log the model again", where=str(file))


def _columns(text: str | None) -> tuple[Column, ...] | None:
    """The columns or tensors of one part of a signature, which MLflow writes as JSON inside the YAML."""
    if text is None:
        return None
    return tuple(Column(str(c.get("name") or ""), _type(c), bool(c.get("required", True))) for c in _declared(text))


def _declared(text: str) -> tuple[Mapping[str, Any], ...]:
    found = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TypeError("a signature is a list of objects")
    return tuple(found)


def _type(declared: Mapping[str, Any]) -> str:
    """MLflow's name of the type; of a compound one with all that it is made of, so that equal types have equal texts."""
    kind = str(declared["type"])
    match kind:
        case "tensor":
            spec = declared["tensor-spec"]
            return f"tensor({spec['dtype']}, {json.dumps([int(size) for size in spec['shape']])})"
        case "array":
            return f"array({_type(declared['items'])})"
        case "map":
            return f"map({_type(declared['values'])})"
        case "object":
            parts = sorted(declared["properties"].items())
            inside = (f"{name}: {_type(part)}{'' if part.get('required', True) else '?'}" for name, part in parts)
            return f"object({', '.join(inside)})"
        case _:
            return kind


def _text(file: Path, largest: int) -> str:
    try:
        if file.is_symlink() or not file.is_file():
            raise Error(f"the model's folder has no file {file.name}", where=str(file.parent))
        if file.stat().st_size > largest:
            raise Error(f"the file is larger than {largest >> 20} MiB", where=str(file))
        return file.read_text("utf-8")
    except UnicodeDecodeError as e:
        raise Error("the file is not UTF-8 text", where=str(file)) from e
    except OSError as e:
        raise Error(f"cannot read a file of the model: {(e.strerror or '').lower()}", where=str(file)) from e
