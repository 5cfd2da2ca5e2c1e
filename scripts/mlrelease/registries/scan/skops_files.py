"""The types that a skops file names in its `schema.json`, all of which are imported when it is loaded.

skops has its own list of trusted types, but MLflow extends it by what the artifact's `MLmodel` says
(`skops_trusted_types`), so that here every type counts.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any

from mlrelease.registries.scan.found import Scan

SCHEMA = "schema.json"
LARGEST_SCHEMA = 256 << 20
NEWEST_PROTOCOL = 2
"""A newer one may have other kinds of nodes: https://skops.readthedocs.io/en/stable/persistence.html."""

_NODES = frozenset(
    f"{kind}Node"
    for kind in (
        *("Dict", "DefaultDict", "List", "Set", "Tuple", "Bytes", "Bytearray", "Slice", "Json", "Cached"),
        *("NdArray", "MaskedArray", "DType", "RandomState", "RandomGenerator", "SparseMatrix", "Tree", "Loss"),
        *("Function", "Type", "ConstructorFromReduce", "Object", "Method", "Partial", "OperatorFunc"),
    )
)
_MODULE, _CLASS, _LOADER = "__module__", "__class__", "__loader__"


def types(run: Scan, name: str, archive: zipfile.ZipFile) -> None:
    """Tells every type, function and method that the schema names. The member is the one that skops itself reads."""
    if archive.getinfo(SCHEMA).file_size > LARGEST_SCHEMA:
        run.tell(name, "skops", problem=f"its schema is larger than {LARGEST_SCHEMA >> 20} MiB")
        return
    with archive.open(SCHEMA) as member:
        text = member.read(LARGEST_SCHEMA)
    run.unpack(len(text))
    names: dict[str, None] = {}
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict) or schema.get("protocol") not in range(NEWEST_PROTOCOL + 1):
            raise ValueError("its schema is of an unknown protocol")  # noqa: TRY301 - one way out for what is wrong with it
        for found in _named(schema):
            names[found] = None
    except (ValueError, RecursionError) as e:
        own = type(e) is ValueError
        run.tell(name, "skops", tuple(names), problem=str(e) if own else "its schema is no JSON that skops writes")
        return
    run.tell(name, "skops", tuple(names))


def _named(schema: dict[str, Any]) -> Iterator[str]:
    """Each `module.name` below the schema's root. Raises `ValueError` for a node whose loading is not known here."""
    waiting: list[object] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if _LOADER in node or _MODULE in node or _CLASS in node:
                yield from _of_node(node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _of_node(node: dict[str, Any]) -> Iterator[str]:
    kind, module, name = node.get(_LOADER), node.get(_MODULE), node.get(_CLASS)
    if not isinstance(kind, str) or kind not in _NODES:
        raise ValueError(f"it has a node of the unknown kind {str(kind)[:80]!r}")
    if not isinstance(module, str) or not isinstance(name, str):
        # A dictionary's own key may be called like that: skops writes it below "content", with a kind of its own.
        raise ValueError(f"a node of the kind {kind} names no type")  # noqa: TRY004 - of the file, not of the caller
    if kind != "CachedNode":
        yield f"{module}.{name}"
    if module.startswith("statsmodels."):  # its states may evaluate formulas, see `pickles`
        yield "statsmodels.formula"
    if kind == "MethodNode":
        content = node.get("content")
        method = content.get("func") if isinstance(content, dict) else None
        yield f"{module}.{name}.{method}"
