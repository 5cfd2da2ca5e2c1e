"""A moment as people write it: an ISO time, so long ago, or a commit or tag of the repository."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from mlrelease.commands.workspace import Workspace
from mlrelease.errors import UsageError
from mlrelease.model.when import iso

_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?([smhdw])(?: ago)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_HINT = "say 2026-11-21T03:52Z, 2h ago, a commit or a tag"


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment, the commit that named it (empty: a time did), and what was taken for granted in reading it."""

    at: float
    revision: str = ""
    note: str = ""


def moment_of(workspace: Workspace, text: str, *, option: str = "TIME") -> Moment:
    """The moment that the text names. Raises `UsageError` for one that is none, or that is still to come."""
    found = _read(workspace, text.strip())
    if found is None:
        raise UsageError(f"{option}: {text!r} is neither a time nor a commit here", hint=_HINT)
    if found.at > workspace.now():
        raise UsageError(f"{option}: {iso(found.at)} is still to come", hint=_HINT)
    return found


def _read(workspace: Workspace, text: str) -> Moment | None:
    if text == "now":
        return Moment(workspace.now())
    if ago := _AGO.fullmatch(text):
        return Moment(max(0.0, workspace.now() - float(ago[1]) * _SECONDS[ago[2]]))
    if _ISO.match(text) and (found := _iso(text)) is not None:
        return found
    # A tag may begin like a date: 2026-11-21-audit.
    revision = workspace.git.resolve(text)
    if revision is None:
        return None
    # The commit's own date: when it was made, and not when it was deployed.
    return Moment(float(workspace.git.run("show", "--no-patch", "--format=%ct", revision, "--")), revision)


def _iso(text: str) -> Moment | None:
    try:
        parsed = datetime.fromisoformat(text)
        note = "" if parsed.tzinfo else f"{text} has no time zone: taken as UTC"
        at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        iso(at)  # in UTC it may lie outside of the years that can be written
        return Moment(at, note=note)
    except (ValueError, OverflowError):
        return None


def span_of(workspace: Workspace, since: str, until: str) -> tuple[float, float]:
    """The two ends as moments; without `since` from the beginning on, without `until` to the end of time.

    Raises `UsageError` where the one does not lie before the other.
    """
    began = moment_of(workspace, since, option="--since").at if since else 0.0
    ended = moment_of(workspace, until, option="--until").at if until else math.inf
    if began >= ended:
        raise UsageError("--since must lie before --until", hint="--since 30d --until 7d")
    return began, ended
