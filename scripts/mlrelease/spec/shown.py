"""How text from a file is shown: one short printable token, addresses without what is secret in them."""

from __future__ import annotations

import re

LIMIT = 60
# up to the last @: a password may hold a slash or another @
_USERINFO = re.compile(r"(?<=//)\S*@")
_QUERY = re.compile(r"(?<=://)([^\s?]*)\?\S*")


def shown(text: str, limit: int = LIMIT) -> str:
    """`text` on one line: control and invisible characters escaped, at most `limit` characters, the rest as `…`."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def address(uri: str) -> str:
    """`uri` without userinfo and query."""
    return _QUERY.sub(r"\1?***", _USERINFO.sub("***@", uri))
