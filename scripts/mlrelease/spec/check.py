"""One file → its document and everything wrong with it. Knows no other file; `load` puts files together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mlrelease.spec import layout, secrets
from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile
from mlrelease.spec.rules import Defect
from mlrelease.spec.tree import Lines, Node, Parsed, parse
from mlrelease.spec.typed import Loc, found_in, label, type_name, typed_defect

D = TypeVar("D", bound=BaseModel)

PINS: Mapping[type[BaseModel], tuple[str, ...]] = MappingProxyType(
    {EnvironmentFile: (), ServiceFile: ("image",), ModelFile: ("version", "digest")}
)
"""The keys of the pin that a file holds."""

_NAMED: Mapping[type[BaseModel], str] = MappingProxyType(
    {EnvironmentFile: "environment", ServiceFile: "service", ModelFile: "model"}
)
_SIGNS: Mapping[type[BaseModel], tuple[str, ...]] = MappingProxyType(
    {EnvironmentFile: ("environment", "target"), ServiceFile: ("image",), ModelFile: ("model", "version")}
)
"""The keys that tell the kinds apart."""
_HOMES: Mapping[type[BaseModel], str] = MappingProxyType(
    {
        EnvironmentFile: "environments/ENV/environment.yaml",
        ServiceFile: "environments/ENV/services/SERVICE.yaml",
        ModelFile: "environments/ENV/models/MODEL.yaml",
    }
)
_PLACEHOLDER = re.compile(
    r"\A(?:(?:TODO|FIXME|TBD|XXX+|(?i:change|replace)[-_ ]?(?i:me))\b|(?:\.\.\.|…|\?{3,})\Z)"
    r"|<[A-Za-z][A-Za-z0-9 _.-]*>|\{\{.*\}\}|sha256:0{64}"
)
MAX_DEFECTS = 100
"""Findings of one file: what has more is not a pin file, and a report must end."""


@dataclass(frozen=True, slots=True)
class Checked(Generic[D]):
    """A file after checking. `document` is None when its values cannot be used; it may have defects all the same.

    The tree is not kept: of ten thousand files hardly one is pointed into, and that one is read again.
    """

    document: D | None
    defects: tuple[Defect, ...]
    text: str
    said: Mapping[str, str]

    def place(self, *keys: str) -> tuple[int, int]:
        """Line and column of the deepest value that exists along `keys`, else of the file's first key."""
        node = parse(self.text.encode()).root
        if node is None:
            return (1, 1)
        for key in keys:
            inner = node.get(key)
            if inner is None:
                break
            node = inner
        return (node.line, node.column)

    def says(self, key: str) -> str:
        """The text of `service` or `version`, also where the file as a whole is no document or not even YAML."""
        return str(getattr(self.document, key, "")) if self.document is not None else self.said.get(key, "")


_SAID = ("service", "version")
"""The keys that others want to know of a file that is no document."""
_LINES = {key: re.compile(rf"^{key}:[ ]+['\"]?([A-Za-z0-9._-]{{1,63}})['\"]?[ ]*(?:#.*)?\r?$", re.MULTILINE) for key in _SAID}


def _said(parsed: Parsed) -> dict[str, str]:
    root = parsed.root
    if root is not None:
        return {key: node.value for key in _SAID if (node := root.get(key)) and isinstance(node.value, str)}
    return {key: match[1] for key in _SAID if (match := _LINES[key].search(parsed.text))}


def check(kind: type[D], data: bytes, name: str) -> Checked[D]:
    """The document in `data`, a file of this kind whose folder or file name says `name`, and all defects, unsorted."""
    parsed = parse(data)
    document, defects = _judged(kind, parsed, name)
    if parsed.text:
        defects += _secrets_by_form(parsed.text, defects)
    if len(defects) > MAX_DEFECTS:
        defects.sort(key=lambda defect: (defect.line, defect.column))
        rest = len(defects) - MAX_DEFECTS
        found, expected = f"{rest} more", f"fewer than {MAX_DEFECTS} findings in one file"
        defects[MAX_DEFECTS:] = [Defect("too-many", "the file has too many findings to list", 0, 0, found, expected)]
    return Checked(document, tuple(defects), parsed.text, _said(parsed) if document is None else {})


def _judged(kind: type[D], parsed: Parsed, name: str) -> tuple[D | None, list[Defect]]:
    root = parsed.root
    if root is None or not isinstance(root.value, dict):
        return None, [*parsed.defects, *_no_mapping(parsed)]
    defects = [*parsed.defects, *_schema_defects(root)]
    if _is_from_the_future(root.get("schema")):  # what else it says cannot be judged
        return None, defects
    if other := _other_kind(kind, root):
        return None, [*defects, other]
    document, errors = None, []
    try:
        document = kind.model_validate(root.value)
    except ValidationError as e:
        errors = e.errors(include_url=False)
    if errors or parsed.defects or not _is_plain(root):
        located = dict(_locate(root))
        spoken = {loc for loc, (_, node) in located.items() if node.is_refused}
        for loc, defect in _generic_defects(located):
            spoken.add(loc)
            defects.append(defect)
        defects += [d for error in errors if (d := typed_defect(kind, error, located, spoken)) is not None]
    defects += layout.pin_defects(parsed.text, root, PINS[kind])
    defects += _name_defects(kind, root, name)
    return document, defects


def _secrets_by_form(text: str, known: Iterable[Defect]) -> Iterator[Defect]:
    """What has the form of a secret, in values, keys and comments alike; one finding a line, unless the line has one."""
    lines = Lines(text)
    said = {defect.line for defect in known if defect.rule == "literal-secret"}
    for kind, start in secrets.forms(text):
        line, column = lines.place(start)
        if line not in said:
            said.add(line)
            yield Defect("literal-secret", f"{kind} stands in the file", line, column, "", "${NAME}, or nothing")


def _other_kind(kind: type[BaseModel], root: Node) -> Defect | None:
    """The defect of a file that is a good one of another kind: said once, not key by key."""
    entries = root.entries
    for sign in _SIGNS[kind]:
        if sign in entries:
            return None
    for other, signs in _SIGNS.items():
        if all(key in root.entries for key in signs):
            noun, home = _NAMED[other], _HOMES[other]
            message = f"the file describes {'an' if noun[0] == 'e' else 'a'} {noun}, and lies where another kind belongs"
            key, _ = root.entries[signs[0]]
            return Defect("wrong-place", message, key.line, key.column, f"{signs[0]}:", home, f"move it to {home}")
    return None


def _no_mapping(parsed: Parsed) -> Iterator[Defect]:
    """The defect of a file that is YAML, yet no list of keys."""
    root = parsed.root
    if root is None or root.value is None:
        if not parsed.defects:
            yield Defect("null-value", "the file is empty", 1, 1, "", "key: value lines, the first of them schema: 1")
    elif not root.is_refused:
        yield Defect("wrong-type", "the file is not a mapping", root.line, root.column, type_name(root), "key: value lines")


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
            f"pip install --upgrade mlrelease    # schema {node.value} needs a newer one than mlrelease --version shows",
        )
    elif isinstance(node.value, bool) or not isinstance(node.value, int) or node.value != 1:
        yield Defect("schema-version", "schema is not 1", node.line, node.column, found_in(node), "1")


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


def _is_plain(node: Node) -> bool:
    """Whether `_generic_defects` has nothing to say, as of nearly every file; when in doubt it is asked."""
    for name, (_, inner) in node.entries.items():
        value = inner.value
        if value is None or secrets.is_named_so(name) or (isinstance(value, str) and _is_doubtful(value)):
            return False
        if (inner.entries or inner.items) and not _is_plain(inner):
            return False
    for item in node.items:
        value = item.value
        if value is None or (isinstance(value, str) and _is_doubtful(value)) or not _is_plain(item):
            return False
    return True


def _is_doubtful(text: str) -> bool:
    return not text.strip() or _PLACEHOLDER.search(text) is not None


def _generic_defects(located: Mapping[Loc, tuple[Node | None, Node]]) -> Iterator[tuple[Loc, Defect]]:
    """What is wrong with a value whatever its key: nothing there, a placeholder, a secret."""
    for loc, (_, node) in located.items():
        value = node.value
        if node.is_refused or isinstance(value, dict | list) or loc == ("schema",):
            continue
        if value is None:
            yield loc, Defect("null-value", f"{label(loc)} has no value", node.line, node.column, node.raw, "a value")
            continue
        text = node.raw
        # an empty variable means something; nothing else empty does
        if not text.strip() and loc[0] != "env":
            yield loc, Defect("null-value", f"{label(loc)} is blank", node.line, node.column, '""', "a value")
        elif isinstance(value, str) and _PLACEHOLDER.search(value):
            found = "" if loc[0] == "env" else found_in(node)
            message = f"{label(loc)} holds a placeholder"
            yield loc, Defect("placeholder", message, node.line, node.column, found, "the real value")
        elif isinstance(loc[-1], str) and secrets.is_named_so(loc[-1]) and secrets.is_literal(text):
            message = f"{label(loc)} holds a secret, by its name"
            yield loc, Defect("literal-secret", message, node.line, node.column, "", "${NAME}, set where mlrelease runs")


def _name_defects(kind: type[BaseModel], root: Node, name: str) -> Iterator[Defect]:
    """The name inside against the name outside. A name that is no name at all has its own finding."""
    key = _NAMED[kind]
    node = root.get(key)
    if node is None or not isinstance(node.value, str) or node.value == name or not node.value.strip():
        return
    outside = "folder" if kind is EnvironmentFile else "file"
    message = f"{key} differs from the name of the {outside}"
    yield Defect("name-mismatch", message, node.line, node.column, found_in(node), f"{key}: {name}")
