"""YAML text → a tree of nodes with positions, and what is wrong with it as YAML. Owns no key of the format.

PyYAML's events are read one by one instead of composing: no recursion whatever the nesting, and aliases, tags and
several documents are seen together with everything else. Lines and columns count from 1; only a newline ends a line.
Bounded by construction: by bytes, by depth, by values and by the length of each.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.nodes import ScalarNode

from mlrelease.spec.nodes import Lines, Node, Opaque, Parsed
from mlrelease.spec.rules import Defect

__all__ = ["Lines", "Node", "Opaque", "Parsed", "parse"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 5_000
"""Keys and values of one file; a pin file has about ten. What is looked at once per value stays quick whatever comes."""
MAX_SCALAR = 10_000
"""Characters of one value; patterns are matched against values, and some take the square of their length."""
_TAG = "tag:yaml.org,2002:"
# YAML 1.2 and every reader's eye take 1e-6 for a number, PyYAML (1.1) takes it for text
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")
# A file full of %TAG lines keeps libyaml busy with the square of their number.
_DIRECTIVE = re.compile(r"^%\S*", re.MULTILINE)
# A plain value that begins with none of these is text; YAML 1.1 has numbers, truths, null and dates by first character.
_TYPED = frozenset(first for first in yaml.CSafeLoader.yaml_implicit_resolvers if first)
_LONGEST_NUMBER = 100


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
    if directive := _DIRECTIVE.search(text) if "%" in text else None:
        place = Lines(text).place(directive.start())
        expected = "key: value lines"
        return _refused(text, Defect("yaml-feature", "a line that begins with % is a directive", *place, "%", expected))
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
        self.lines = Lines(text)
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
        documents = nodes = 0
        get_event = self.loader.get_event
        while True:
            event: Any = get_event()  # its type lets every mark be None; those of a parsed text never are
            kind = event.__class__
            if kind is ScalarEvent:
                nodes += 1
                self._add(self._scalar(event))
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                nodes += 1
                if len(self.open) >= MAX_DEPTH:
                    self._end(event, "too-deep", "nested too deeply", f"at most {MAX_DEPTH} levels")
                    return
                self._push(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self._pop(_index(event.end_mark))
            elif kind is StreamEndEvent:
                return
            elif kind is AliasEvent:
                nodes += 1
                self._refuse(event, f"*{event.anchor}", "an alias stands for a value written elsewhere", "the value itself")
                self._add(self._node(event, Opaque(), is_refused=True))
            elif kind is DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._refuse(event, "---", "several documents in one file", "one document per file")
                    return
            if nodes > MAX_NODES:
                self._end(event, "too-large", "too many values in one file", f"at most {MAX_NODES:,} keys and values")
                return

    def _end(self, event: Event, rule: str, message: str, expected: str) -> None:
        """Nothing more is read, and nothing of what was."""
        self.defects.append(Defect(rule, message, *self.lines.place(_index(event.start_mark)), "", expected))
        self.root = None

    def _node(self, event: Any, value: Any, **more: Any) -> Node:
        return Node(value, event.start_mark.index, event.end_mark.index, self.lines, **more)

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
        name = key.value
        if name == "<<" and not key.style:
            self._defect("yaml-feature", key, "<<", "a merge key brings in keys written elsewhere", "the keys themselves")
        elif not isinstance(name, str):
            if not key.is_refused:
                self._defect("wrong-type", key, key.raw, "a key is not text", "a name, in quotes if need be")
        elif name in parent.entries:
            first = parent.entries[name][0].line
            self._defect("duplicate-key", key, name, f"the key is given twice, first on line {first}", "each key once")
        else:
            parent.entries[name] = (key, value)

    def _scalar(self, event: Any) -> Node:
        raw, style = event.value, event.style or ""
        is_plain = style in ("", "\0")
        node = Node(None, event.start_mark.index, event.end_mark.index, self.lines, raw, "" if is_plain else style)
        if event.tag is not None or event.anchor is not None:
            node.is_refused = self._has_properties(event)
        if len(raw) > MAX_SCALAR:
            node.is_refused = True
            self._defect("too-large", node, "", "a value of too many characters", f"at most {MAX_SCALAR:,} characters")
        if node.is_refused:
            node.value = Opaque()
        elif not is_plain or (raw and raw[0] not in _TYPED):
            node.value = raw
        else:
            node.value = self._plain_value(raw)
        return node

    def _plain_value(self, raw: str) -> Any:
        if len(raw) > _LONGEST_NUMBER:  # sexagesimal digits without end take the square of their number
            return raw
        tag = str(self.loader.resolve(ScalarNode, raw, (True, False))).removeprefix(_TAG)  # type: ignore[no-untyped-call]
        if tag == "str" and _EXPONENT.fullmatch(raw):
            return float(raw)
        node = ScalarNode(_TAG + tag, raw)
        try:
            match tag:
                case "str" | "merge" | "value":
                    return raw
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
        except ValueError:  # looks like a number to the resolver, is none: 0b_
            return Opaque()

    def _has_properties(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> bool:
        if event.tag is not None:
            self._refuse(event, event.tag.replace(_TAG, "!!"), "a tag changes the type of a value", "the plain value")
        if event.anchor is not None:
            self._refuse(event, f"&{event.anchor}", "an anchor is the start of an alias", "the value without the anchor")
        return event.tag is not None

    def _refuse(self, event: Event, found: str, message: str, expected: str) -> None:
        line, column = self.lines.place(_index(event.start_mark))
        self.defects.append(Defect("yaml-feature", message, line, column, found, expected))

    def _defect(self, rule: str, node: Node, found: str, message: str, expected: str) -> None:
        self.defects.append(Defect(rule, message, node.line, node.column, found[:200], expected))

    def _syntax(self, error: yaml.YAMLError) -> Defect:
        """The defect for what PyYAML says; a tab is named as such, since nobody sees it."""
        if isinstance(error, yaml.reader.ReaderError):
            # libyaml counts bytes here, and characters everywhere else
            index = len(self.text.encode()[: error.position].decode(errors="ignore"))
            return Defect(
                "yaml-syntax",
                "a character that YAML does not allow",
                *self.lines.place(index),
                f"U+{ord(self.text[index : index + 1] or chr(0)):04X}",
                "printable characters",
            )
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        index = min(mark.index, len(self.text)) if mark else 0
        found = self.text[index : index + 1]
        place = self.lines.place(index)
        if found == "\t":
            return Defect("yaml-syntax", "a tab where YAML wants spaces", *place, "tab", "spaces", "replace tabs by spaces")
        problem = getattr(error, "problem", None) or "the text cannot be read as YAML"
        return Defect("yaml-syntax", f"not YAML: {problem}", *place, found.strip(), "key: value lines")
