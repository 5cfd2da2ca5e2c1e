"""How text from a file is shown: one short printable token, without what is secret in it."""

from __future__ import annotations

import re

from mlrelease.spec import secrets

LIMIT = 60
_TOKENS = re.compile(r"\S+")
_AFTER_PATH = re.compile("[?#]")


def shown(text: str, limit: int = LIMIT) -> str:
    """`text` on one line: control and invisible characters escaped, at most `limit` characters, the rest as `…`."""
    if text.isprintable() and len(text) <= limit:
        return text
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def token(text: str) -> str:
    """What stands in a file, to be shown: secrets hidden, other letters than ASCII escaped, for some look like others."""
    plain = secrets.without(text)
    return shown(plain if plain.isascii() else plain.encode("ascii", "backslashreplace").decode())


def address(uri: str) -> str:
    """`uri` without userinfo, query and fragment. Reads it once, however long."""
    return _TOKENS.sub(_bare, uri)


def _bare(match: re.Match[str]) -> str:
    text = match[0]
    start, end = text.find("//"), text.rfind("@")  # up to the last @: a password may hold a slash or another @
    if start >= 0 and end >= start + 2:
        text = f"{text[: start + 2]}***@{text[end + 1 :]}"
    rest = _AFTER_PATH.search(text)
    return f"{text[: rest.end()]}***" if rest and "://" in text[: rest.start()] else text
