"""One file → its document and everything wrong with it. Knows no other file; `load` puts files together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mlrelease.spec import documents, layout, values
from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile
from mlrelease.spec.rules import Defect, WrongValueError
from mlrelease.spec.shown import address
from mlrelease.spec.tree import Node, Opaque, Parsed, parse

D = TypeVar("D", bound=BaseModel)
Loc = tuple[Any, ...]

PINS: Mapping[type[BaseModel], tuple[str, ...]] = MappingProxyType(
    {EnvironmentFile: (), ServiceFile: ("image",), ModelFile: ("version", "digest")}
)
"""The keys of the pin that a file holds."""

_NAMED: Mapping[type[BaseModel], str] = MappingProxyType(
    {EnvironmentFile: "environment", ServiceFile: "service", ModelFile: "model"}
)
_PLACEHOLDER = re.compile(
    r"(TODO|FIXME|TBD|XXX+|(?i:change|replace)[-_ ]?(?i:me))\b.*|\.\.\.|…|.*<[A-Za-z][A-Za-z0-9 _.-]*>.*|.*sha256:0{64}"
)
_TYPES = MappingProxyType(
    {
        "string_type": "text",
        "int_type": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "dict_type": "a mapping (key: value lines)",
        "model_type": "a mapping (key: value lines)",
        "list_type": "a list (lines that begin with -)",
    }
)
_RANGES = MappingProxyType({"replicas": "a whole number from 1 to 64", "rtol": "a number from 0 to below 1, such as 1e-6"})


@dataclass(frozen=True, slots=True)
class Checked(Generic[D]):
    """A file after checking. `document` is None when its values cannot be used; it may have defects all the same."""

    document: D | None
    defects: tuple[Defect, ...]
    parsed: Parsed

    def place(self, *keys: str) -> tuple[int, int]:
        """Line and column of the deepest value that exists along `keys`, else of the file's first key."""
        node = self.parsed.root
        if node is None:
            return (1, 1)
        for key in keys:
            inner = node.get(key)
            if inner is None:
                break
            node = inner
        return (node.line, node.column)

    def says(self, key: str) -> str:
        """The text of a top-level key, also where the file as a whole is no document or not even YAML."""
        if self.parsed.root is not None:
            node = self.parsed.root.get(key)
            return node.value if node and isinstance(node.value, str) else ""
        match = re.search(
            rf"^{re.escape(key)}:[ ]+['\"]?([A-Za-z0-9._-]+)['\"]?[ ]*(?:#.*)?\r?$", self.parsed.text, re.MULTILINE
        )
        return match[1] if match else ""


def check(kind: type[D], data: bytes, name: str) -> Checked[D]:
    """The document in `data`, a file of this kind whose folder or file name says `name`, and all defects, unsorted."""
    parsed = parse(data)
    root = parsed.root
    if root is None or not isinstance(root.value, dict):
        return Checked(None, (*parsed.defects, *_no_mapping(parsed)), parsed)
    defects = [*parsed.defects, *_schema_defects(root)]
    if _is_from_the_future(root.get("schema")):  # what else it says cannot be judged
        return Checked(None, tuple(defects), parsed)
    located = dict(_locate(root))
    spoken = {loc for loc, (_, node) in located.items() if node.is_refused}
    for loc, defect in _generic_defects(located):
        spoken.add(loc)
        defects.append(defect)
    document = None
    try:
        document = kind.model_validate(root.value)
    except ValidationError as e:
        errors = e.errors(include_url=False)
        defects += [d for error in errors if (d := _defect(kind, error, located, spoken, root)) is not None]
    defects += layout.pin_defects(parsed.text, root, PINS[kind])
    defects += _name_defects(kind, root, name)
    return Checked(document, tuple(defects), parsed)


def _no_mapping(parsed: Parsed) -> Iterator[Defect]:
    """The defect of a file that is YAML, yet no list of keys."""
    root = parsed.root
    if root is None or root.value is None:
        if not parsed.defects:
            yield Defect("null-value", "the file is empty", 1, 1, "", "key: value lines, the first of them schema: 1")
    elif not root.is_refused:
        found = "a list" if isinstance(root.value, list) else root.raw
        yield Defect("wrong-type", "the file is not a mapping", root.line, root.column, found, "key: value lines")


def _is_from_the_future(node: Node | None) -> bool:
    return node is not None and isinstance(node.value, int) and not isinstance(node.value, bool) and node.value > 1


def _schema_defects(root: Node) -> Iterator[Defect]:
    node = root.get("schema")
    if node is None:
        yield Defect("schema-version", "schema is missing", root.line, root.column, "", "schema: 1")
    elif _is_from_the_future(node):
        yield Defect(
            "schema-version",
            "the file is from the future: its format is newer than this mlrelease",
            node.line,
            node.column,
            node.raw,
            "schema: 1, the only format that this version reads",
            "upgrade mlrelease to a version that reads this format",
        )
    elif isinstance(node.value, bool) or not isinstance(node.value, int) or node.value != 1:
        yield Defect("schema-version", "schema is not 1", node.line, node.column, _found(node), "1")


def _locate(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, tuple[Node | None, Node]]]:
    """Every value of the tree by pydantic's loc, with its key. The depth is bounded by `tree.MAX_DEPTH`."""
    if not loc:
        yield (), (None, node)
    for name, (key, value) in node.entries.items():
        yield (*loc, name), (key, value)
        yield from _locate(value, (*loc, name))
    for index, item in enumerate(node.items):
        yield (*loc, index), (None, item)
        yield from _locate(item, (*loc, index))


def _generic_defects(located: Mapping[Loc, tuple[Node | None, Node]]) -> Iterator[tuple[Loc, Defect]]:
    """What is wrong with a value whatever its key: nothing there, or a placeholder."""
    for loc, (_, node) in located.items():
        if node.is_refused or loc == ("schema",):
            continue
        label = _label(loc)
        if node.value is None:
            yield loc, Defect("null-value", f"{label} has no value", node.line, node.column, node.raw, "a value")
        elif isinstance(node.value, str):
            # an empty variable means something; nothing else empty does
            if not node.value.strip() and loc[0] != "env":
                yield loc, Defect("null-value", f"{label} is blank", node.line, node.column, '""', "a value")
            elif _PLACEHOLDER.fullmatch(node.value):
                found = "" if loc[0] == "env" else _found(node)
                yield (
                    loc,
                    Defect("placeholder", f"{label} holds a placeholder", node.line, node.column, found, "the real value"),
                )


def _defect(
    kind: type[BaseModel],
    error: Any,
    located: Mapping[Loc, tuple[Node | None, Node]],
    spoken: set[Loc],
    root: Node,
) -> Defect | None:
    """What pydantic found as a defect at the deepest node that exists; None where something else has named it already."""
    loc: Loc = tuple(error["loc"])
    if loc == ("schema",) or any(loc[:n] in spoken for n in range(1, len(loc) + 1)):
        return None
    on_key = loc[-1:] == ("[key]",)
    loc = loc[:-1] if on_key else loc
    deepest = next(loc[:n] for n in range(len(loc), -1, -1) if loc[:n] in located)
    key, node = located[deepest]
    at = key if key is not None and (on_key or error["type"] == "extra_forbidden") else node
    is_secret = loc[:1] == ("env",) and not on_key
    label = _label(loc)
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(kind, loc, at, root)
        case "missing":
            where = f" in {_label(loc[:-1])}" if len(loc) > 1 else ""
            return Defect("missing-key", f"{label} is missing{where}", node.line, node.column, "", f"{loc[-1]}: …")
        case "value_error":
            wrong: WrongValueError = error["ctx"]["error"]
            found = "" if is_secret else _found(at) if wrong.found is None else wrong.found
            return Defect(wrong.rule, wrong.message, at.line, at.column, found, wrong.expected, wrong.fix)
        case "literal_error" if loc[0] == "gates":
            expected = "one of: " + ", ".join(documents.GATES)
            return Defect("unknown-gate", "there is no such gate", at.line, at.column, _found(at), expected)
        case "literal_error":
            expected = "one of: " + error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            return Defect("bad-value", f"{label} is not one of the values allowed", at.line, at.column, _found(at), expected)
        case "string_type" if kind is ModelFile and loc == ("version",) and at.is_scalar:
            return _unquoted_version(at)
        case str(name) if name in _TYPES:
            found = _type_name(at) if is_secret or not at.is_scalar else _found(at)
            fix = ""
            if at.is_scalar:
                fix = "put the value in quotes" if name == "string_type" else "take the quotes away" if at.style else ""
            found = f'"{found}"' if at.style and found == at.raw else found
            return Defect("wrong-type", f"{label} is not {_TYPES[name]}", at.line, at.column, found, _TYPES[name], fix)
        case _:  # the ranges of numbers
            expected = _RANGES.get(str(loc[-1]), "a value within the range")
            return Defect("bad-value", f"{label} is out of range", at.line, at.column, _found(at), expected)


def _label(loc: Loc) -> str:
    """A place for a message, safe to print whatever the file calls it."""
    if loc and isinstance(loc[-1], str):
        return loc[-1] if re.fullmatch(r"[A-Za-z0-9_ .-]{1,60}", loc[-1]) else "the key"
    return f"entry {loc[-1] + 1} of the list" if loc else "the file"


def _unknown_key(kind: type[BaseModel], loc: Loc, at: Node, root: Node) -> Defect | None:
    if loc[0] == "gates" and len(loc) > 2:
        gates = root.get("gates")
        entry = gates.items[loc[1]] if gates else None
        gate = entry.get("gate") if entry else None
        if gate is None or gate.value not in documents.GATES:
            return None  # the options of a gate that does not exist: its name is the finding
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
        "version-unquoted", "the version is not in quotes", at.line, at.column, _found(at), f'"{at.raw if exact else 8}"', fix
    )


def _name_defects(kind: type[BaseModel], root: Node, name: str) -> Iterator[Defect]:
    """The name inside against the name outside. A name that is no name at all has its own finding."""
    key = _NAMED[kind]
    node = root.get(key)
    if node is None or not isinstance(node.value, str) or node.value == name or not node.value.strip():
        return
    outside = "folder" if kind is EnvironmentFile else "file"
    yield Defect(
        "name-mismatch", f"{key} differs from the name of the {outside}", node.line, node.column, _found(node), f"{key}: {name}"
    )


def _type_name(node: Node) -> str:
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


def _found(node: Node) -> str:
    """The token itself, without what is secret in an address."""
    return address(node.raw[:200]) if node.is_scalar else _type_name(node)
