"""Pull requests: found by their branch, opened once, refreshed, closed; and who approved them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlrelease.errors import Error
from mlrelease.forge.github.client import GitHub, part
from mlrelease.forge.github.errors import InvalidError, NotFoundError
from mlrelease.forge.github.text import cut, same, shortened

_LONGEST_TITLE = 256
_JUDGING = ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")
"""The states that say yes or no; a later `COMMENTED` takes no approval back."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request. `state` is `open` or `closed`; `merge_sha` is the commit on the base, empty unless merged."""

    number: int
    title: str
    body: str
    state: str
    merged: bool
    head_branch: str
    head_sha: str
    base_branch: str
    html_url: str
    author: str
    is_fork: bool
    labels: tuple[str, ...]
    base_sha: str = ""
    merge_sha: str = ""
    is_draft: bool = False


@dataclass(frozen=True, slots=True)
class Review:
    """One review: who, what (`APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`), of which commit, when (ISO)."""

    user: str
    state: str
    commit: str
    at: str


def find(github: GitHub, *, head: str, base: str) -> PullRequest | None:
    """The open pull request from that branch of this repository to that base."""
    return next(iter(listed(github, head=head, base=base)), None)


def listed(github: GitHub, *, head: str = "", base: str = "", state: str = "open") -> tuple[PullRequest, ...]:
    """Pull requests, newest first, in `state` (`open`, `closed`, `all`), from that branch of this repository, to that base."""
    params = {"state": state} | ({"base": base} if base else {})
    if head:
        params["head"] = f"{github.place.owner}:{head}"
    found = [_pull(item) for item in github.pages("pulls", params)]
    # Filtered again: GitHub leaves a `head` that it does not understand out of account and lists everything.
    return tuple(
        pull
        for pull in found
        if (not head or (pull.head_branch == head and not pull.is_fork)) and (not base or pull.base_branch == base)
    )


def read(github: GitHub, number: int) -> PullRequest:
    """The pull request of that number. Raises `NotFoundError` where there is none."""
    return _pull(github.get(f"pulls/{number}"))


def open_or_refresh(
    github: GitHub, *, head: str, base: str, title: str, body: str, labels: Sequence[str] = ()
) -> tuple[PullRequest, bool]:
    """The one open pull request from `head` to `base`, with this title and body; True when it was opened now.

    Raises `InvalidError` where there is nothing between the two branches.
    """
    title, body = shortened(title, _LONGEST_TITLE), cut(body)

    def make() -> PullRequest:
        try:
            return _pull(github.post("pulls", {"title": title, "head": head, "base": base, "body": body}))
        except InvalidError as e:
            # Somebody was faster: GitHub keeps one open pull request for a pair of branches.
            if "already exists" in e.message and (found := find(github, head=head, base=base)):
                faster.append(found)
                return found
            raise

    faster: list[PullRequest] = []
    pull, opened = github.once(lambda: find(github, head=head, base=base), make)
    if pull.title != title or not same(pull.body, body):
        pull = _pull(github.patch(f"pulls/{pull.number}", {"title": title, "body": body}))
    if missing := [label for label in labels if label not in pull.labels]:
        github.post(f"issues/{pull.number}/labels", {"labels": missing}, idempotent=True)
        pull = read(github, pull.number)
    return pull, opened and not faster


def of_commit(github: GitHub, sha: str) -> tuple[PullRequest, ...]:
    """The pull requests that brought the commit, or hold it; none where GitHub does not know the commit."""
    try:
        return tuple(_pull(item) for item in github.pages(f"commits/{part(sha)}/pulls"))
    except (InvalidError, NotFoundError):  # GitHub answers 422 for a commit that it has not
        return ()


def reviews(github: GitHub, number: int) -> tuple[Review, ...]:
    """Every submitted review, oldest first; those of deleted accounts are left out."""
    found = github.pages(f"pulls/{number}/reviews")
    return tuple(
        Review(str(item["user"]["login"]), str(item["state"]), str(item.get("commit_id") or ""), str(item.get("submitted_at")))
        for item in found
        if item.get("user") and item.get("state") != "PENDING"
    )


def approvers(github: GitHub, number: int) -> tuple[str, ...]:
    """Those whose latest judgement of the pull request is an approval, sorted."""
    latest = {review.user: review.state for review in reviews(github, number) if review.state in _JUDGING}
    return tuple(sorted(user for user, state in latest.items() if state == "APPROVED"))


def close(github: GitHub, number: int) -> None:
    """Closes the pull request unmerged; a closed one stays as it is."""
    github.patch(f"pulls/{number}", {"state": "closed"})


def _pull(item: Any) -> PullRequest:
    try:
        head, base = item["head"], item["base"]
        merged = bool(item.get("merged_at"))  # lists have no `merged`
        return PullRequest(
            number=int(item["number"]),
            title=str(item["title"]),
            body=str(item.get("body") or ""),
            state=str(item["state"]),
            merged=merged,
            head_branch=str(head["ref"]),
            head_sha=str(head["sha"]),
            base_branch=str(base["ref"]),
            html_url=str(item["html_url"]),
            author=str((item.get("user") or {}).get("login", "")),
            # The head's repository is null where a fork was deleted.
            is_fork=(head.get("repo") or {}).get("full_name") != base["repo"]["full_name"],
            labels=tuple(str(label["name"]) for label in item.get("labels", [])),
            base_sha=str(base.get("sha") or ""),
            merge_sha=str(item.get("merge_commit_sha") or "") if merged else "",
            is_draft=bool(item.get("draft")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise Error("GitHub described a pull request in a form that is not known", hint="check the API's address") from e
