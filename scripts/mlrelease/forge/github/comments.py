"""Comments on issues and pull requests: one that sticks, found again by its hidden marker, and written by ourselves."""

from __future__ import annotations

from typing import Any

from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.text import is_marked, marked, same

_SUPERSEDED = "Superseded by the comment above."


def sticky(github: GitHub, number: int, *, marker: str, body: str) -> bool:
    """Puts `body` into the one comment with that marker. True when something was written, False when it stood there.

    Only a comment of our own author counts: a stranger can write our marker too, and change what he wrote later. Where two
    jobs at once made two, the older one stays and the other says that it is superseded.
    """
    text = marked(marker, body)

    def make() -> dict[str, Any]:
        made: dict[str, Any] = github.post(f"issues/{number}/comments", {"body": text})
        return made

    own = _own(github, number, marker)
    for double in own[1:]:
        # Left as it is, it would say for ever what was true once.
        github.patch(f"issues/comments/{double['id']}", {"body": marked(f"{marker}:superseded", _SUPERSEDED)})
    if not own:
        github.once(lambda: find(github, number, marker=marker), make, look_first=False)
        return True
    if same(str(own[0].get("body") or ""), text):
        return len(own) > 1
    github.patch(f"issues/comments/{own[0]['id']}", {"body": text})
    return True


def find(github: GitHub, number: int, *, marker: str) -> dict[str, Any] | None:
    """Our own comment with that marker, as GitHub describes it; the oldest of several."""
    return next(iter(_own(github, number, marker)), None)


def _own(github: GitHub, number: int, marker: str) -> list[dict[str, Any]]:
    found = github.pages(f"issues/{number}/comments")
    return [item for item in found if is_marked(marker, str(item.get("body") or "")) and is_own(github, item)]


def is_own(github: GitHub, item: dict[str, Any]) -> bool:
    """Whether we wrote that comment, issue or pull request."""
    return str((item.get("user") or {}).get("login", "")) == github.login
