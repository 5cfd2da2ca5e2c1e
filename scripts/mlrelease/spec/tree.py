"""YAML text → a tree of nodes with positions, and what is wrong with it as YAML. Owns no key of the format.

PyYAML's events are read one by one instead of composing: no recursion whatever the nesting, and aliases, tags and
several documents are seen together with everything else. Lines and columns count from 1; only a newline ends a line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import AliasEvent, DocumentStartEvent, Event, MappingStartEvent, ScalarEvent, SequenceStartEvent
from yaml.nodes import ScalarNode

from mlrelease.spec.rules import Defect

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"
# YAML 1.2 and every reader's eye take 1e-6 for a number, PyYAML (1.1) takes it for text
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")


class Opaque:
    """The value of a node that has a defect of its own, or a type the format never uses (a date)."""


@dataclass(slots=True)
class Node:
    """One value: `start` and `end` are offsets into the text in characters, `value` is what it stands for as plain Python.

    `style` is that of a scalar: empty for plain, else its first character. `is_refused` says that a defect names it.
    """

    value: Any
    start: int
    end: int
    line: int
    column: int
    raw: str = ""
    style: str = ""
    is_flow: bool = False
    is_refused: bool = False
    entries: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)

    @property
    def is_scalar(self) -> bool:
        """Whether it is neither mapping nor sequence."""
        return not isinstance(self.value, dict | list)

    def get(self, key: str) -> Node | None:
        """The value of `key`, if this is a mapping that has it."""
        return self.entries[key][1] if key in self.entries else None

    def key(self, key: str) -> Node | None:
        """The node of the key itself."""
        return self.entries[key][0] if key in self.entries else None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file as YAML: its text, its root (None when there is none that can be used), and its defects."""

    text: str
    root: Node | None
    defects: tuple[Defect, ...]


def parse(data: bytes) -> Parsed:
    """The tree of one YAML document. Never raises for anything that `data` may hold."""
    if len(data) > MAX_BYTES:
        return _refused("", Defect("too-large", "the file is too large", 0, 0, f"{len(data)} bytes", "at most 1 MiB"))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        before = data[data.rfind(b"\n", 0, e.start) + 1 : e.start].decode("utf-8", "replace")
        found = f"byte 0x{data[e.start]:02x}"
        return _refused("", Defect("encoding", "the file is not UTF-8", line, len(before) + 1, found, "UTF-8 text"))
    if text.startswith("\ufeff"):
        return _refused(
            text, Defect("encoding", "the file begins with a byte order mark", 1, 1, "U+FEFF", "UTF-8 text without it")
        )
    return _Reader(text).read()


def _refused(text: str, defect: Defect) -> Parsed:
    return Parsed(text, None, (defect,))


def _index(mark: Any) -> int:
    """The character that a mark points at; every event of a parsed text has marks, though their type allows None."""
    return int(mark.index)


class _Reader:
    """One pass over the events of a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.loader = yaml.CSafeLoader(text)
        self.newlines = [i for i, c in enumerate(text) if c == "\n"]
        self.defects: list[Defect] = []
        self.open: list[Node] = []
        self.pending: list[Node | None] = []  # the key that waits for its value, per open mapping
        self.root: Node | None = None

    def read(self) -> Parsed:
        """Everything that can be read; after a syntax error nothing can."""
        try:
            self._events()
        except yaml.YAMLError as e:
            self.defects.append(self._syntax(e))
            self.root = None
        finally:
            self.loader.dispose()
        return Parsed(self.text, self.root, tuple(self.defects))

    def _events(self) -> None:
        documents = 0
        while self.loader.check_event():
            event = self.loader.get_event()
            match event:
                case DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self._refuse(event, "---", "several documents in one file", "one document per file")
                        return
                case MappingStartEvent() | SequenceStartEvent():
                    if len(self.open) >= MAX_DEPTH:
                        line, column = self.place(_index(event.start_mark))
                        self.defects.append(
                            Defect("too-deep", "nested too deeply", line, column, "", f"at most {MAX_DEPTH} levels")
                        )
                        self.root = None
                        return
                    self._push(event)
                case ScalarEvent():
                    self._add(self._scalar(event))
                case AliasEvent():
                    self._refuse(event, f"*{event.anchor}", "an alias stands for a value written elsewhere", "the value itself")
                    self._add(self._node(event, Opaque(), is_refused=True))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._pop(_index(event.end_mark))
                case _:
                    pass  # starts and ends of stream and document

    def place(self, index: int) -> tuple[int, int]:
        """Line and column, both from 1, of a character."""
        row = bisect_right(self.newlines, index - 1)
        return row + 1, index - (self.newlines[row - 1] + 1 if row else 0) + 1

    def _node(self, event: Event, value: Any, **more: Any) -> Node:
        start, end = _index(event.start_mark), _index(event.end_mark)
        line, column = self.place(start)
        return Node(value, start, end, line, column, **more)

    def _push(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        is_mapping = isinstance(event, MappingStartEvent)
        node = self._node(event, {} if is_mapping else [], is_flow=bool(event.flow_style))
        node.is_refused = self._has_properties(event)
        self._add(node)
        self.open.append(node)
        self.pending.append(None)

    def _pop(self, end: int) -> None:
        node = self.open.pop()
        self.pending.pop()
        node.end = end
        if isinstance(node.value, list):
            node.value.extend(item.value for item in node.items)
        else:
            node.value.update((name, value.value) for name, (_, value) in node.entries.items())

    def _add(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent.value, list):
            parent.items.append(node)
        elif (key := self.pending[-1]) is None:
            self.pending[-1] = node
        else:
            self.pending[-1] = None
            self._entry(parent, key, node)

    def _entry(self, parent: Node, key: Node, value: Node) -> None:
        if key.raw == "<<" and not key.style:
            self._defect("yaml-feature", key, "<<", "a merge key brings in keys written elsewhere", "the keys themselves")
        elif not isinstance(key.value, str):
            if not key.is_refused:
                self._defect("wrong-type", key, key.raw, "a key is not text", "a name, in quotes if need be")
        elif first := parent.key(key.value):
            self._defect(
                "duplicate-key", key, key.value, f"the key is given twice, first on line {first.line}", "each key once"
            )
        else:
            parent.entries[key.value] = (key, value)

    def _scalar(self, event: ScalarEvent) -> Node:
        style = event.style or ""
        node = self._node(event, None, raw=event.value, style="" if style == "\0" else style)
        node.is_refused = self._has_properties(event)
        node.value = Opaque() if event.tag is not None else self._plain_value(event)
        return node

    def _plain_value(self, event: ScalarEvent) -> Any:
        tag = str(self.loader.resolve(ScalarNode, event.value, event.implicit)).removeprefix(_TAG)  # type: ignore[no-untyped-call]
        if tag == "str" and event.implicit[0] and _EXPONENT.fullmatch(event.value):
            return float(event.value)
        node = ScalarNode(_TAG + tag, event.value)
        try:
            match tag:
                case "str" | "merge" | "value":
                    return event.value
                case "null":
                    return None
                case "bool":
                    return self.loader.construct_yaml_bool(node)
                case "int":
                    return self.loader.construct_yaml_int(node)
                case "float":
                    return self.loader.construct_yaml_float(node)
                case _:
                    return Opaque()
        except ValueError:  # looks like a number to the resolver, is none: 0b_, or thousands of digits
            return Opaque()

    def _has_properties(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> bool:
        if event.tag is not None:
            self._refuse(event, event.tag.replace(_TAG, "!!"), "a tag changes the type of a value", "the plain value")
        if event.anchor is not None:
            self._refuse(event, f"&{event.anchor}", "an anchor is the start of an alias", "the value without the anchor")
        return event.tag is not None

    def _refuse(self, event: Event, found: str, message: str, expected: str) -> None:
        line, column = self.place(_index(event.start_mark))
        self.defects.append(Defect("yaml-feature", message, line, column, found, expected))

    def _defect(self, rule: str, node: Node, found: str, message: str, expected: str) -> None:
        self.defects.append(Defect(rule, message, node.line, node.column, found[:200], expected))

    def _syntax(self, error: yaml.YAMLError) -> Defect:
        """The defect for what PyYAML says; a tab is named as such, since nobody sees it."""
        if isinstance(error, yaml.reader.ReaderError):
            # libyaml counts bytes here, and characters everywhere else
            index = len(self.text.encode()[: error.position].decode(errors="ignore"))
            found = self.text[index : index + 1]
            return Defect(
                "yaml-syntax", "a character that YAML does not allow", *self.place(index), found, "printable characters"
            )
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        index = min(mark.index, len(self.text)) if mark else 0
        found = self.text[index : index + 1]
        if found == "\t":
            return Defect(
                "yaml-syntax", "a tab where YAML wants spaces", *self.place(index), "tab", "spaces", "replace tabs by spaces"
            )
        problem = getattr(error, "problem", None) or "the text cannot be read as YAML"
        return Defect("yaml-syntax", f"not YAML: {problem}", *self.place(index), found.strip(), "key: value lines")
