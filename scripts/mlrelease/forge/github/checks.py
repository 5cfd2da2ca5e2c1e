"""Results on a commit: check runs with annotations, or a commit status where the token may not write check runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlrelease.forge.github.client import GitHub, part
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from mlrelease.forge.github.text import cut, shortened
from mlrelease.model.when import iso

State = Literal["pending", "success", "failure", "error", "neutral"]

A_CALL = 50
"""Annotations that GitHub takes with one call."""

MOST = 500
"""Annotations of one check run: ten calls, and more than anybody reads."""

_LONGEST_SUMMARY = 65_000  # of 65,535
_LONGEST_TITLE = 250  # of 255
_LONGEST_MESSAGE = 16_000  # of 64 KB, in characters of up to four bytes
_LONGEST_DESCRIPTION = 140
# "error" means that we could not tell: it must not open the merge either. GitHub has no such conclusion, its title says it.
_CONCLUSIONS = {"success": "success", "failure": "failure", "error": "failure", "neutral": "neutral"}
_STATUSES = {"pending": "pending", "success": "success", "failure": "failure", "error": "error", "neutral": "success"}


@dataclass(frozen=True, slots=True)
class Annotation:
    """One remark at a line of a file; `level` is `failure`, `warning` or `notice`."""

    path: str
    line: int
    title: str
    message: str
    level: str = "failure"


def report(
    github: GitHub,
    *,
    sha: str,
    name: str,
    state: State,
    title: str,
    summary: str,
    annotations: Sequence[Annotation] = (),
    url: str = "",
) -> str:
    """Puts the result `name` on the commit, and says where it is seen (the check run's page; `url` for a status).

    The same result again changes nothing. Only Apps and a workflow's token may write check runs; for any other token the
    result becomes a commit status of that name, without annotations.
    """
    shown = tuple(annotations[:MOST])
    if len(annotations) > MOST:
        summary = f"**{MOST} of {len(annotations)} annotations are shown.**\n\n{summary}"
    result = _Result(
        sha, name, state, shortened(title, _LONGEST_TITLE) or name, cut(summary, _LONGEST_SUMMARY) or " ", shown, url
    )
    try:
        return _check_run(github, result)
    except (ForbiddenError, NotFoundError):
        return _status(github, result)


@dataclass(frozen=True, slots=True)
class _Result:
    """What is put on the commit, cut to GitHub's limits."""

    sha: str
    name: str
    state: State
    title: str
    summary: str
    annotations: tuple[Annotation, ...]
    url: str

    @property
    def identity(self) -> str:
        """What tells the same result from another one: kept by GitHub as the run's `external_id`."""
        text = json.dumps([self.state, self.title, self.summary, [asdict(a) for a in self.annotations]], sort_keys=True)
        return f"mlrelease:{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    @property
    def status(self) -> str:
        """How the run stands once all of it is said."""
        return "in_progress" if self.state == "pending" else "completed"

    def is_begun_in(self, run: dict[str, Any]) -> bool:
        """Whether that check run says this, or the beginning of it."""
        return bool(run.get("external_id") == self.identity)

    def is_whole_in(self, run: dict[str, Any]) -> bool:
        """Whether that check run says all of this."""
        return self.is_begun_in(run) and run["status"] == self.status and _count(run) >= len(self.annotations)

    def part(self, position: int) -> dict[str, Any]:
        """What one call says: title and summary, the annotations from `position` on, and with the last how it ended."""
        group = self.annotations[position : position + A_CALL]
        output = {"title": self.title, "summary": self.summary, "annotations": [_annotation(a) for a in group]}
        body: dict[str, Any] = {"external_id": self.identity, "status": "in_progress", "output": output}
        if position + A_CALL >= len(self.annotations) and self.state != "pending":
            body |= {"status": "completed", "conclusion": _CONCLUSIONS[self.state]}
        return body | ({"details_url": self.url} if self.url else {})


def _check_run(github: GitHub, result: _Result) -> str:
    before = _newest(github, result)
    if before is not None and result.is_whole_in(before):
        return str(before.get("html_url") or result.url)

    def begun() -> dict[str, Any] | None:
        """The run that this report goes on with: its own that was left unfinished, or a pending one without annotations."""
        run = _newest(github, result)
        if run is None or (run["status"] == "completed" and not result.is_whole_in(run)):
            return None
        return run if result.is_begun_in(run) or not _count(run) else None

    def make() -> dict[str, Any]:
        head = {"name": result.name, "head_sha": result.sha, "started_at": iso(github.now())}
        made: dict[str, Any] = github.post("check-runs", head | result.part(0))
        return made

    run, is_new = github.once(begun, make)
    # Annotations only ever add up: what GitHub has already is not sent again.
    is_begun = result.is_begun_in(run)
    is_said = is_begun and (is_new or result.is_whole_in(run))
    position = A_CALL if is_begun and is_new else _count(run) if is_begun else 0
    while not is_said or position < len(result.annotations):
        run = _sent(github, run, result.part(position), seen=position)
        position, is_said = position + A_CALL, True
    if before is not None and before["status"] != "completed" and before["id"] != run["id"]:
        # Another report that was killed midway: nobody would ever end it.
        superseded = {"title": "superseded", "summary": "The report was begun again."}
        github.patch(f"check-runs/{before['id']}", {"status": "completed", "conclusion": "cancelled", "output": superseded})
    return str(run.get("html_url") or result.url)


def _sent(github: GitHub, run: dict[str, Any], body: dict[str, Any], *, seen: int) -> dict[str, Any]:
    """The run after the next part of the report, which is in it once, whatever became of the answer."""
    path = f"check-runs/{run['id']}"

    def there() -> dict[str, Any] | None:
        now: dict[str, Any] = github.get(path)
        return now if _count(now) > seen else None

    def make() -> dict[str, Any]:
        made: dict[str, Any] = github.ask("PATCH", path, body=body, idempotent=not body["output"]["annotations"]).value
        return made

    return github.once(there, make, look_first=False)[0]


def _count(run: dict[str, Any]) -> int:
    return int((run.get("output") or {}).get("annotations_count") or 0)


def _newest(github: GitHub, result: _Result) -> dict[str, Any] | None:
    found = github.pages(f"commits/{part(result.sha)}/check-runs", {"check_name": result.name, "filter": "latest"})
    return max((run for run in found if run["name"] == result.name), key=lambda run: int(run["id"]), default=None)


def _status(github: GitHub, result: _Result) -> str:
    description = shortened(result.title, _LONGEST_DESCRIPTION)
    body = {"state": _STATUSES[result.state], "context": result.name, "description": description}
    if result.url.startswith(("https://", "http://")):
        body["target_url"] = result.url

    def there() -> str | None:
        for found in github.pages(f"commits/{part(result.sha)}/statuses"):  # newest first
            if found.get("context") == result.name:
                return result.url if all(found.get(key) == value for key, value in body.items()) else None
        return None

    def make() -> str:
        github.post(f"statuses/{part(result.sha)}", body)
        return result.url

    return github.once(there, make)[0]


def _annotation(annotation: Annotation) -> dict[str, Any]:
    line = max(1, annotation.line)
    return {
        "path": annotation.path,
        "start_line": line,
        "end_line": line,
        "annotation_level": annotation.level,
        "title": shortened(annotation.title, _LONGEST_TITLE),
        "message": shortened(annotation.message, _LONGEST_MESSAGE) or annotation.title,
    }
