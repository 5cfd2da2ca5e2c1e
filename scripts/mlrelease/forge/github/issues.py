"""Issues that the tool opens about its own work: one for a subject, found again by a hidden marker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.comments import is_own, sticky
from mlrelease.forge.github.text import is_marked, marked, same, shortened

_LONGEST_TITLE = 256


def open_or_refresh(github: GitHub, *, marker: str, title: str, body: str, labels: Sequence[str] = ()) -> int:
    """The number of the one open issue with that marker, which now has this title and body. The same: nothing is done."""
    title, text = shortened(title, _LONGEST_TITLE), marked(marker, body)

    def make() -> dict[str, Any]:
        made: dict[str, Any] = github.post("issues", {"title": title, "body": text, "labels": list(labels)})
        return made

    issue, is_new = github.once(lambda: find(github, marker=marker), make)
    if not is_new and (issue["title"] != title or not same(str(issue.get("body") or ""), text)):
        github.patch(f"issues/{issue['number']}", {"title": title, "body": text})
    return int(issue["number"])


def close(github: GitHub, *, marker: str, comment: str) -> int | None:
    """Closes the open issue with that marker, after saying why; its number, None where there is none."""
    issue = find(github, marker=marker)
    if issue is None:
        return None
    number = int(issue["number"])
    # Sticky: closing that was killed after the comment does not say it twice.
    sticky(github, number, marker=f"{marker}:closed", body=comment)
    github.patch(f"issues/{number}", {"state": "closed", "state_reason": "completed"})
    return number


def find(github: GitHub, *, marker: str) -> dict[str, Any] | None:
    """Our own open issue with that marker, as GitHub describes it."""
    for item in github.pages("issues", {"state": "open"}):
        # Every pull request is an issue too.
        if "pull_request" not in item and is_marked(marker, str(item.get("body") or "")) and is_own(github, item):
            return item
    return None
