"""`${NAME}` and `${NAME:-default}` in values. Never shows a value, only names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlrelease.errors import Error

_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-(?P<default>[^${}]*))?\}")
FORM = "${NAME} or ${NAME:-default}"


def names(text: str) -> tuple[str, ...]:
    """The variables that `text` refers to, in order, each once."""
    return tuple(dict.fromkeys(match["name"] for match in _REFERENCE.finditer(text)))


def missing(text: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that `expand` would not find, in order, each once."""
    unset = (m["name"] for m in _REFERENCE.finditer(text) if not m["fallback"] and m["name"] not in variables)
    return tuple(dict.fromkeys(unset))


def is_well_formed(text: str) -> bool:
    """Whether every `${` begins a reference that `expand` understands."""
    return "${" not in _REFERENCE.sub("", text)


def has_default(text: str) -> bool:
    """Whether any reference in `text` brings its own default."""
    return any(match["fallback"] for match in _REFERENCE.finditer(text))


def defaults(text: str) -> tuple[str, ...]:
    """The defaults that stand in `text`."""
    return tuple(match["default"] for match in _REFERENCE.finditer(text) if match["fallback"])


def without_references(text: str) -> str:
    """`text` with every reference taken out: what is written literally."""
    return _REFERENCE.sub("", text)


def expand(text: str, variables: Mapping[str, str], *, where: str = "") -> str:
    """`text` with every reference replaced. An empty variable counts as unset when there is a default, as in a shell.

    `where` is the file that it stands in. Raises `Error` naming that and the variable when it is unset and has no default,
    or when a `${` is not a reference.
    """
    if not is_well_formed(text):
        raise Error("a ${ in the file is not closed or names no variable", hint=f"write {FORM}", where=where or None)

    def value(match: re.Match[str]) -> str:
        found = variables.get(match["name"])
        if match["fallback"]:
            return found or match["default"]
        if found is None:
            raise Error(
                f"the variable {match['name']} is not set" + (f", and {where} needs it" if where else ""),
                hint=f"set it where mlrelease runs: export {match['name']}=…",
                where=where or None,
            )
        return found

    return _REFERENCE.sub(value, text)
