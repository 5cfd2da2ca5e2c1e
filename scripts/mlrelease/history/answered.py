"""What the headers of a prediction say of who answered: out of `curl -i`, `curl -v`, or JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from mlrelease.errors import UsageError

LARGEST = 1 << 20
"""Characters looked at: an answer's headers are a few hundred."""

_LINE = re.compile(r"(?:< )?([A-Za-z0-9-]{1,60})\s*:\s*(.*)")
_BUNDLE = re.compile(r"[0-9a-f]{12}")
_REVISION = re.compile(r"[0-9a-f]{7,64}")
_DEEPEST = 3
_HINT = "save what `curl -i` prints, or the answer's headers as JSON, and name the file; - reads standard input"


@dataclass(frozen=True, slots=True)
class Answered:
    """The headers that name who answered, empty where they were missing; `at` is the answer's own date (0: none)."""

    bundle: str
    version: str = ""
    revision: str = ""
    request_id: str = ""
    at: float = 0.0


def answered(text: str) -> Answered:
    """What the headers in the text say. Raises `UsageError` where they name no bundle, or one that can be none."""
    headers = _headers(text[:LARGEST])
    bundle = headers.get("x-bundle", "")
    if not _BUNDLE.fullmatch(bundle):
        what = "there is no X-Bundle header in it" if not bundle else "its X-Bundle is no bundle's id"
        raise UsageError(f"this is no answer to a prediction: {what}", hint=_HINT)
    revision = headers.get("x-revision", "")
    return Answered(
        bundle=bundle,
        version=headers.get("x-model-version", ""),
        revision=revision if _REVISION.fullmatch(revision) else "",
        request_id=headers.get("x-request-id", ""),
        at=_moment(headers.get("date", "")),
    )


def _headers(text: str) -> dict[str, str]:
    """By lower-case name; of several answers (redirects, a `100 Continue`) the last one's."""
    if text.lstrip().startswith(("{", "[")):
        try:
            return dict(_in_json(json.loads(text), 0))
        except (ValueError, RecursionError) as error:
            raise UsageError("this begins like JSON and is none", hint=_HINT) from error
    found: dict[str, str] = {}
    in_body = False
    for line in text.splitlines():
        if line.removeprefix("< ").startswith("HTTP/"):
            found, in_body = {}, False
        elif not line.removeprefix("<").strip() and found:
            in_body = True  # what a body says of itself is not what the server said
        elif not in_body and (match := _LINE.fullmatch(line.strip())):
            found[match[1].lower()] = match[2].strip()
    return found


def _in_json(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Pairs of an object of names, of a list of pairs or of `{name, value}`, also below `headers` or `response`."""
    if isinstance(value, Mapping):
        for name in ("response", "headers"):
            if depth < _DEEPEST and isinstance(value.get(name), Mapping | list):
                yield from _in_json(value[name], depth + 1)
                return
        yield from ((str(name).lower(), item.strip()) for name, item in value.items() if isinstance(item, str))
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, Mapping) and isinstance(item.get("name"), str) and isinstance(item.get("value"), str):
                yield item["name"].lower(), item["value"].strip()
            elif isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
                yield item[0].lower(), item[1].strip()


def _moment(date: str) -> float:
    """The moment; a date without a zone is of GMT, as HTTP dates are, and not of wherever this runs."""
    try:
        moment = parsedate_to_datetime(date) if date else None
        return 0.0 if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
