"""What pydantic says of a document, as defects with a place and in words that do not name pydantic."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from mlrelease.spec import documents, gates, values
from mlrelease.spec.documents import ModelFile
from mlrelease.spec.rules import Defect, WrongValueError
from mlrelease.spec.shown import address
from mlrelease.spec.tree import Node, Opaque

Loc = tuple[Any, ...]

_TYPES = MappingProxyType(
    {
        "string_type": "text",
        "int_type": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "dict_type": "a mapping (key: value lines)",
        "model_type": "a mapping (key: value lines)",
        "list_type": "a list (lines that begin with -)",
        "model_attributes_type": "a mapping (key: value lines)",
    }
)
_RANGES = MappingProxyType(
    {
        "replicas": "a whole number from 1 to 64",
        "rtol": "a number from 0 to below 1, such as 1e-6",
        "min_samples": "a whole number of 1 or more",
        "max_seconds": "a number above 0, at most 3600",
        "max_mb": "a number above 0",
    }
)


def typed_defect(
    kind: type[BaseModel],
    error: Any,
    located: Mapping[Loc, tuple[Node | None, Node]],
    spoken: set[Loc],
) -> Defect | None:
    """What pydantic found as a defect at the deepest node that exists; None where something else has named it already."""
    loc = _place_of(error)
    # a key that does not exist is said whatever is wrong with its value
    known = len(loc) - 1 if error["type"] == "extra_forbidden" else len(loc)
    if loc == ("schema",) or any(loc[:n] in spoken for n in range(1, known + 1)):
        return None
    on_key = loc[-1:] == ("[key]",)
    loc = loc[:-1] if on_key else loc
    deepest = next(loc[:n] for n in range(len(loc), -1, -1) if loc[:n] in located)
    key, node = located[deepest]
    at = key if key is not None and (on_key or error["type"] == "extra_forbidden") else node
    is_secret = loc[:1] == ("env",) and not on_key
    name = label(loc)
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(kind, tuple(error["loc"]), at)
        case "missing" | "union_tag_not_found":
            where = f" in {label(loc[:-1])}" if len(loc) > 1 else ""
            return Defect("missing-key", f"{name} is missing{where}", node.line, node.column, "", f"{loc[-1]}: …")
        case "value_error":
            wrong: WrongValueError = error["ctx"]["error"]
            found = "" if is_secret else found_in(at) if wrong.found is None else wrong.found
            return Defect(wrong.rule, wrong.message, at.line, at.column, found, wrong.expected, wrong.fix)
        case "union_tag_invalid":
            expected = "one of: " + ", ".join(gates.BY_ID)
            return Defect("unknown-gate", "there is no such gate", at.line, at.column, found_in(at), expected)
        case "literal_error":
            expected = "one of: " + error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            return Defect("bad-value", f"{name} is not one of the values allowed", at.line, at.column, found_in(at), expected)
        case "string_type" if kind is ModelFile and loc == ("version",) and at.is_scalar:
            return _unquoted_version(at)
        case str(kind_of) if kind_of in _TYPES:
            found = type_name(at) if is_secret or not at.is_scalar else found_in(at)
            fix = ""
            if at.is_scalar and kind_of == "string_type":
                fix = "put the value in quotes"
            elif at.style and kind_of in ("int_type", "float_type", "bool_type"):
                fix = "take the quotes away"
            found = f'"{found}"' if at.style and found == at.raw else found
            return Defect("wrong-type", f"{name} is not {_TYPES[kind_of]}", at.line, at.column, found, _TYPES[kind_of], fix)
        case _:  # the ranges of numbers
            expected = _RANGES.get(str(loc[-1]), "a value within the range")
            return Defect("bad-value", f"{name} is out of range", at.line, at.column, found_in(at), expected)


def label(loc: Loc) -> str:
    """A place for a message, safe to print whatever the file calls it."""
    if loc and isinstance(loc[-1], str):
        return loc[-1] if re.fullmatch(r"[A-Za-z0-9_ .-]{1,60}", loc[-1]) else "the key"
    return f"entry {loc[-1] + 1} of the list" if loc else "the file"


def _place_of(error: Any) -> Loc:
    """The place in the file: pydantic puts a gate's id behind its index, and says of a wrong id only which entry has it."""
    loc: Loc = tuple(error["loc"])
    if str(error["type"]).startswith("union_tag"):
        return (*loc, "gate")
    return (*loc[:2], *loc[3:]) if loc[:1] == ("gates",) else loc


def _unknown_key(kind: type[BaseModel], loc: Loc, at: Node) -> Defect | None:
    known = documents.known_keys(kind, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1])[:60], known, 1, 0.6)
    fix = f"did you mean {near[0]}?" if near else ""
    return Defect(
        "unknown-key", "the format has no such key", at.line, at.column, str(loc[-1]), "one of: " + ", ".join(known), fix
    )


def _unquoted_version(at: Node) -> Defect:
    exact = re.fullmatch(values.VERSION, at.raw)
    fix = f'write version: "{at.raw}"' if exact else ""
    return Defect(
        "version-unquoted", "the version is not in quotes", at.line, at.column, found_in(at), f'"{at.raw if exact else 8}"', fix
    )


def type_name(node: Node) -> str:
    """What kind of value it is, for a report that does not show it."""
    match node.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case None:
            return "nothing"
        case Opaque():
            return "a date"
        case _:
            return "text"


def found_in(node: Node) -> str:
    """The token itself, without what is secret in an address."""
    return address(node.raw) if node.is_scalar else type_name(node)
