"""The text of a new file: the example that the package brings along, or another file of the repository, with other names.

Every other byte stays: comments, order, and the blank lines that keep a pin alone (DESIGN §3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from mlrelease.errors import Error
from mlrelease.files import bundled
from mlrelease.model.bundle import ModelPin
from mlrelease.spec.edit import set_image, set_model_pin, set_scalar
from mlrelease.spec.tree import Node, parse

EXAMPLE = "production"
_FIRST_OF_MODEL = b"# One model pin. Every key: docs/files.md\n"


def environment_text(name: str, values: Mapping[str, str], *, like: bytes | None = None) -> bytes:
    """An `environment.yaml`. `values` by dotted key; an empty one is left as it is.

    A state folder of the file that was copied is made another one: two environments in one would end each other.
    """
    text = _example("environment.yaml") if like is None else like
    was = _value(text, "environment")
    text = set_scalar(text, ("environment",), name)
    for key, value in values.items():
        if value:
            text = set_or_add(text, tuple(key.split(".")), value)
    folder = _value(text, "target", "state_dir")
    if folder and not values.get("target.state_dir"):
        text = set_scalar(text, ("target", "state_dir"), _beside(folder, was, name))
    return text


def service_text(name: str, *, image: str = "", replicas: int = 0, like: bytes | None = None) -> bytes:
    """A service file. Without `image` or `replicas`, those of the file that is copied."""
    text = _example("services/*.yaml") if like is None else like
    text = set_scalar(text, ("service",), name)
    if image:
        text = set_image(text, image)
    if replicas:
        text = set_number(text, "replicas", replicas)
    return text


def model_text(service: str, pin: ModelPin, *, like: bytes | None = None) -> bytes:
    """A model file with this pin."""
    if like is None:
        text = _example("models/*.yaml")
        first, rest = text.split(b"\n", 1)
        # the example says of itself that its digest is one
        text = _FIRST_OF_MODEL + rest if first.startswith(b"#") else text
    else:
        text = like
    text = set_scalar(set_scalar(text, ("service",), service), ("model",), pin.name)
    return set_model_pin(text, pin.version, pin.digest)


def set_or_add(text: bytes, keys: tuple[str, ...], value: str) -> bytes:
    """The text with the value at `keys`; a key that is not there goes below `environment` or the first of its neighbours."""
    root = _root(text)
    parent = root if len(keys) == 1 else root.get(keys[0])
    if parent is None:
        raise Error(f"the file has no {keys[0]}", hint="add it by hand once")
    if keys[-1] not in parent.entries:
        above = parent.entries.get("environment") or next(iter(parent.entries.values()), None)
        if above is None or parent.is_flow:
            raise Error(f"{'.'.join(keys)} cannot be added: the file is written in braces", hint="add it by hand")
        text = _line_below(text, above[0], above[1], keys[-1])
    return set_scalar(text, keys, value)


def set_number(text: bytes, key: str, value: int) -> bytes:
    """The text with the plain number at a key of the top level, added at its end when it is not there."""
    whole = text.decode()
    node = _root(text).get(key)
    if node is None:
        ending = "\r\n" if "\r\n" in whole else "\n"
        return (whole if whole.endswith("\n") else whole + ending).encode() + f"{ending}{key}: {value}{ending}".encode()
    return (whole[: node.start] + str(value) + whole[node.end :]).encode()


def state_of(text: bytes) -> str:
    """What the file says of `state`; empty where it says nothing or cannot be read."""
    root = parse(text).root
    node = root.get("state") if root is not None else None
    return str(node.value) if node is not None else ""


def _line_below(text: bytes, key: Node, value: Node, name: str) -> bytes:
    whole = text.decode()
    ending = "\r\n" if "\r\n" in whole else "\n"
    cut = whole.find("\n", value.end) + 1 or len(whole)
    head = whole[:cut] if whole[:cut].endswith("\n") else whole[:cut] + ending
    return f"{head}{' ' * (key.column - 1)}{name}: here{ending}{whole[cut:]}".encode()


def _example(pattern: str) -> bytes:
    found = sorted((bundled("environments") / EXAMPLE).glob(pattern))
    if not found:
        raise Error("the installed package is damaged: it has no example", hint="install mlrelease again")
    return found[0].read_bytes()


def _root(text: bytes) -> Node:
    parsed = parse(text)
    if parsed.root is None or parsed.defects:
        raise Error("the file to copy cannot be read as YAML", hint="mlrelease validate --offline")
    return parsed.root


def _value(text: bytes, *keys: str) -> str:
    node: Node | None = _root(text)
    for key in keys:
        node = node.get(key) if node is not None else None
    return str(node.value) if node is not None and node.is_scalar else ""


def _beside(folder: str, was: str, name: str) -> str:
    """The folder with the environment's name in its path replaced; below the folder where it is not in it."""
    parts = PurePosixPath(folder).parts
    if was in parts:
        return str(PurePosixPath(*(name if part == was else part for part in parts)))
    return f"{folder.rstrip('/')}-{name}"
