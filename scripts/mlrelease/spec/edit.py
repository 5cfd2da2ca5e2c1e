"""Edits that change one token and no other byte: comments, order, quoting, line ends and a missing last newline stay."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlrelease.errors import Error
from mlrelease.spec.tree import Node, parse

# what is text to every YAML reader without quotes, whatever stands around it; a number or a date needs another check
_REFERENCE = r"\$(?:\{[A-Za-z0-9_:./@-]*\})?"
_PLAIN = re.compile(rf"(?:[A-Za-z0-9_./]|{_REFERENCE})(?:[A-Za-z0-9_./@+-]|{_REFERENCE}|:(?=[A-Za-z0-9_./@+$-]))*")
_BLOCK = ("|", ">")


def set_scalar(text: bytes, keys: tuple[str, ...], value: str) -> bytes:
    """`text` with the value at `keys` replaced by the string `value`; every other byte is as before.

    The quotes that are there stay; a plain value stays plain if that still reads as this string, else gets double
    quotes. Raises `Error` when there is no such key, when its value is no single-line scalar, or when the file has
    a defect that makes its keys ambiguous.
    """
    parsed = parse(text)
    where = ".".join(keys)
    if parsed.defects or parsed.root is None:
        defect = parsed.defects[0].message if parsed.defects else "the file is empty"
        line = parsed.defects[0].line if parsed.defects else 0
        raise Error(f"cannot edit {where}: {defect}" + (f" (line {line})" if line else ""), hint="mlrelease validate")
    node = _find(parsed.root, keys)
    written = parsed.text[node.start : node.end]
    if node.style in _BLOCK or "\n" in written:
        raise Error(f"cannot edit {where}: its value spans several lines", hint="write the value on one line")
    before, after = parsed.text[: node.start], parsed.text[node.end :]
    if not written and not before.endswith((" ", "\t")):
        before += " "  # `key:` without a value ends at the colon
    for token in _tokens(value, node.style):
        edited = (before + token + after).encode(errors="replace")
        again = parse(edited)
        if not again.defects and again.root is not None and _find(again.root, keys).value == value:
            return edited
    raise Error(f"cannot edit {where}: the file cannot hold this value there", hint="edit the line by hand")


def set_model_pin(text: bytes, version: str, digest: str) -> bytes:
    """A model file with another pin. Raises as `set_scalar`."""
    return set_scalar(set_scalar(text, ("version",), version), ("digest",), digest)


def set_image(text: bytes, reference: str) -> bytes:
    """A service file with another image pin. Raises as `set_scalar`."""
    return set_scalar(text, ("image",), reference)


def _find(root: Node, keys: tuple[str, ...]) -> Node:
    node = root
    for key in keys:
        inner = node.get(key)
        if inner is None:
            raise Error(f"the file has no key {'.'.join(keys)}", hint="add the line by hand once")
        node = inner
    if not node.is_scalar:
        raise Error(f"{'.'.join(keys)} is not a single value", hint="name the key of a single value")
    return node


def _tokens(value: str, style: str) -> Iterator[str]:
    """The ways to write the value, the one nearest to what stands there first."""
    if style == "'" and value.isprintable():
        yield "'" + value.replace("'", "''") + "'"
    if not style and _is_plain(value):
        yield value
    yield '"' + "".join(_escaped(c) for c in value) + '"'


def _is_plain(value: str) -> bool:
    """Whether these characters without quotes are this very string."""
    if not _PLAIN.fullmatch(value):
        return False
    root = parse(value.encode()).root
    return root is not None and root.value == value


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
