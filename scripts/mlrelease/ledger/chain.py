"""The chain of one environment: event files in name order, each carrying the digest of the one before. Pure.

File names are ULIDs minted when the event is appended and strictly rising, so that name order is chain order; the id
inside the event is the event's own and never changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mlrelease.model.bundle import sha256_digest
from mlrelease.model.event import Event, UnknownEvent
from mlrelease.model.event_json import event_from_json

_NAME = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\.json")
"""A ULID in Crockford's base 32."""

DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Link:
    """One event file: its event, the digest of its bytes, the digest it names as `prev`, and what is wrong with it."""

    name: str
    event: Event | UnknownEvent
    digest: str
    prev: str
    problem: str = ""


def stored(data: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON file in the ledger: sorted keys, two spaces, one newline at the end."""
    text = json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")  # half a character, as a server's JSON may hold: `\ud800` to JSON too


def link(environment: str, name: str, data: bytes) -> Link:
    """One file read. A damaged one becomes an `UnknownEvent` of kind `damaged`, so that the height still counts it."""
    digest = str(sha256_digest(data))
    try:
        content = json.loads(data)
        event = event_from_json(content)
        prev = str(content.get("prev", ""))
        problem = "" if event.environment == environment else f"belongs to {event.environment}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        event = UnknownEvent(DAMAGED, name, environment, 0.0, "")
        prev, problem = "", f"is not an event ({type(e).__name__})"
    if not problem and not _NAME.fullmatch(name):
        problem = "is not named by a ULID"
    return Link(name, event, digest, prev, problem)


def breaks(links: Sequence[Link]) -> Iterator[str]:
    """Every place where the chain does not hold, by file name, oldest first."""
    seen: dict[str, str] = {}
    for before, this in pairwise([None, *links]):
        if this is None:
            continue
        if this.problem:
            yield f"{this.name} {this.problem}"
        if not this.problem or this.event.id != this.name:
            expected = before.digest if before else ""
            if this.prev != expected:
                yield f"{this.name} does not follow {before.name if before else 'the beginning'}"
            if this.event.id in seen:
                yield f"{this.name} repeats {seen[this.event.id]}"
        seen[this.event.id] = this.name


def grown(environment: str, links: Sequence[Link], new: Iterable[Mapping[str, Any]], now: float) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each new event file, chained to `links` and to each other."""
    last = newest_name(one.name for one in links)
    prev = links[-1].digest if links else ""
    for content in new:
        last = next_name(now, last)
        data = stored({**content, "prev": prev})
        prev = str(sha256_digest(data))
        yield f"{environment}/events/{last}.json", data


def newest_name(files: Iterable[str]) -> str:
    """The highest ULID among file names, empty without one."""
    return max((name for name in files if _NAME.fullmatch(name)), default="").removesuffix(".json")


def next_name(now: float, last: str) -> str:
    """A new ULID of this moment, or the one right after `last` when the clock is behind it."""
    from ulid import ULID  # noqa: PLC0415 - 60 ms that only a writer pays

    fresh = ULID.from_timestamp(max(now, 0.0))
    if last and str(fresh) <= last:
        fresh = ULID.from_int(int(ULID.from_str(last)) + 1)
    return str(fresh)
