"""Deployments as GitHub shows them: a record for people, not the proof, which is the ledger's receipt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.text import shortened

State = Literal["queued", "in_progress", "success", "failure", "error", "inactive", "pending"]

TASK = "deploy:mlrelease"
"""What tells our deployments from those that a job with `environment:` makes by itself."""

_LONGEST_DESCRIPTION = 140
_OPEN = ("", "queued", "pending", "in_progress")
"""States of a deployment that is under way; empty before the first one."""


class Deployment(NamedTuple):
    """A deployment with the state in which it was found; empty before the first one."""

    number: int
    state: str


def begin(github: GitHub, *, sha: str, environment: str, description: str, payload: Mapping[str, Any]) -> Deployment:
    """The deployment of that commit to that environment: the one that is under way or is live, or a new one.

    So a job that is run again makes no second one of a success, and one of its own after a failure. Nothing is merged for
    it and no check is waited for: what is deployed was decided in git. Raises `HttpError` (409, 422) where GitHub does not
    know the commit.
    """

    def standing() -> Deployment | None:
        for item in github.pages("deployments", {"sha": sha, "environment": environment, "task": TASK}):
            state = _newest(github, int(item["id"]))
            if state in ("success", *_OPEN):
                return Deployment(int(item["id"]), state)
        return None

    def make() -> Deployment:
        body = {
            "ref": sha,
            "task": TASK,
            "environment": environment,
            "description": shortened(description, _LONGEST_DESCRIPTION),
            "payload": dict(payload),
            "auto_merge": False,  # the default would merge the default branch into the commit's
            "required_contexts": [],  # the default is every check of the commit, the unrelated ones too (409)
        }
        return Deployment(int(github.post("deployments", body)["id"]), "")

    return github.once(standing, make)[0]


def set_state(
    github: GitHub,
    number: int,
    state: State,
    *,
    description: str,
    log_url: str = "",
    environment_url: str = "",
) -> None:
    """Puts the deployment into that state; the state in which it is already is not written again."""
    body: dict[str, Any] = {"state": state, "description": shortened(description, _LONGEST_DESCRIPTION)}
    # GitHub makes older ones inactive by itself, but not those of a production environment: `finish` sees to all.
    body |= {"auto_inactive": False}
    urls = {"log_url": log_url, "environment_url": environment_url}
    body |= {name: url for name, url in urls.items() if url.startswith(("https://", "http://"))}

    def there() -> bool | None:
        return True if _newest(github, number) == state else None

    def make() -> bool:
        github.post(f"deployments/{number}/statuses", body)
        return True

    github.once(there, make)


def finish(
    github: GitHub,
    number: int,
    state: Literal["success", "failure", "error"],
    *,
    description: str,
    log_url: str = "",
    environment_url: str = "",
) -> None:
    """Ends the deployment. After a success the older ones of its environment that still count as live become inactive."""
    set_state(github, number, state, description=description, log_url=log_url, environment_url=environment_url)
    if state != "success":
        return
    environment = str(github.get(f"deployments/{number}")["environment"])
    for item in github.pages("deployments", {"environment": environment, "task": TASK}):
        older = int(item["id"])
        if older >= number:
            continue
        was = _newest(github, older)
        if was == "inactive":
            return  # all before it were seen to by the pass that made it so: newest first
        if was in ("success", *_OPEN):
            set_state(github, older, "inactive", description=f"superseded by deployment {number}")


def _newest(github: GitHub, number: int) -> str:
    found = github.get(f"deployments/{number}/statuses", {"per_page": 1})
    return str(found[0]["state"]) if found else ""
