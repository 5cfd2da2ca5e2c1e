"""Sends what the outbox of an environment holds: to a webhook, into an issue, onto the pull request that brought the commit.

Configured by variables of the host alone. It runs in a thread of its own, so that no pass waits for a receiver; what was
not taken is tried again later, and survives a kill.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from mlrelease.delivery.notices import RECOVERED, Notice, Notices
from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.forge.webhook import Webhook
from mlrelease.history.fold import History
from mlrelease.log import get
from mlrelease.model.change import Plan
from mlrelease.model.when import iso
from mlrelease.render.report import cell

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub

URL, SECRET, ASKED = "MLRELEASE_WEBHOOK_URL", "MLRELEASE_WEBHOOK_SECRET", "MLRELEASE_NOTICES"
WEBHOOK, ISSUE, COMMENT = "webhook", "issue", "comment"

RETRY_FIRST_S, RETRY_MOST_S = 30.0, 3600.0
"""A channel that did not take a notice is tried again after 30 s, 60 s, 120 s …, at most hourly."""

STALE_S = 7 * 86400.0
"""After a week nobody needs to be woken any more."""


class Channel(Protocol):
    """A way to people."""

    def send(self, notice: Notice) -> None:
        """Tells it, or raises `Error`. Telling it twice does no harm."""


def channels_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The channels that this host was asked to use. Raises `Error` for a word that is none of them."""
    words = [word.strip() for word in variables.get(ASKED, "").split(",") if word.strip()]
    unknown = sorted(set(words) - {ISSUE, COMMENT})
    if unknown:
        raise Error(f"{ASKED} has {unknown[0]!r}, which is no way to tell people", hint=f"{ASKED}={ISSUE},{COMMENT}")
    hook = [WEBHOOK] if variables.get(URL) else []
    return (*hook, *dict.fromkeys(words))


def notices_of(site: Site) -> Notices:
    """The notices of the site. Raises `Error` as `channels_of`."""
    return Notices(site.state_dir / "notices", channels_of(site.variables))


@dataclass(slots=True)
class Teller:
    """Tells people in a thread of its own: one at a time, each channel with its own patience."""

    _thread: threading.Thread | None = None
    _tries: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def after_pass(self, site: Site, plan: Plan, history: History, *, wait_s: float = 0.0) -> None:
        """Notes what is news and has it sent. Never raises `Error`: what went wrong is logged, and tried again."""
        try:
            notices = notices_of(site)
            notices.note(site, plan, history)
            waiting = [name for name in channels_of(site.variables) if notices.waiting(name)]
        except (Error, OSError) as error:
            get("notices").warning("nobody is told", error=str(error))
            return
        if self._thread is not None and self._thread.is_alive():
            return
        due = [name for name in waiting if self._not_before.get(name, 0.0) <= time.monotonic()]
        if due:
            # In a copy of this context: its log lines carry the run id of the pass.
            work = partial(copy_context().run, self._send_all, site, notices, due)
            self._thread = threading.Thread(target=work, daemon=True, name="notices")
            self._thread.start()
            self._thread.join(wait_s)

    def _send_all(self, site: Site, notices: Notices, names: list[str]) -> None:
        for name in names:
            try:
                send_waiting(site, notices, name)
                self._tries.pop(name, None)
            except (Error, OSError) as error:
                tries = self._tries[name] = self._tries.get(name, 0) + 1
                pause = min(RETRY_FIRST_S * 2.0 ** min(tries - 1, 30), RETRY_MOST_S)  # far beyond the hour, within a float
                self._not_before[name] = time.monotonic() + pause
                get("notices").warning("not told yet", channel=name, error=str(error), again_in_s=pause)


def send_waiting(site: Site, notices: Notices, name: str) -> int:
    """Sends what waits for one channel, oldest first; returns how many. Raises `Error` at the first that was not taken."""
    channel: Channel | None = None
    sent = 0
    for path, notice in notices.waiting(name):
        if site.now() - notice.at > STALE_S:
            get("notices").warning("a notice of last week is dropped", channel=name, id=notice.id)
        else:
            channel = channel or channel_of(site, name)
            channel.send(notice)
            sent += 1
        path.unlink(missing_ok=True)
    return sent


def channel_of(site: Site, name: str) -> Channel:
    """The channel of that name. Raises `Error` where it is not set up."""
    if name == WEBHOOK:
        return WebhookChannel(Webhook(site.variables.get(URL, ""), site.variables.get(SECRET, "")), _repository(site))
    github = _github(site)
    return IssueChannel(github) if name == ISSUE else CommentChannel(github, site)


class WebhookChannel:
    """JSON with stable keys; `text` is what a chat shows."""

    def __init__(self, webhook: Webhook, repository: str) -> None:
        self._webhook = webhook
        self._repository = repository

    def send(self, notice: Notice) -> None:
        """Posts it."""
        self._webhook.send(
            json.dumps(body_of(notice, self._repository), sort_keys=True).encode(), delivery=notice.id.replace("/", "-")
        )


def body_of(notice: Notice, repository: str) -> dict[str, Any]:
    """What a receiver gets."""
    return {
        "schema": 1,
        "id": notice.id,
        "subject": notice.subject,
        "kind": notice.kind,
        "environment": notice.environment,
        "service": notice.service,
        "repository": repository,
        "revision": notice.revision,
        "at": iso(notice.at),
        "reason": notice.reason,
        "before": notice.before,
        "after": notice.after,
        "next": notice.next,
        "text": f"{notice.title}: {notice.reason} (next: {notice.next})",
    }


class IssueChannel:
    """One open issue a subject; closed when it is well again."""

    def __init__(self, github: GitHub) -> None:
        self._github = github

    def send(self, notice: Notice) -> None:
        """Opens, refreshes or closes it."""
        from mlrelease.forge.github import issues  # noqa: PLC0415 - requests costs 0.1 s that no pass without news pays

        marker = f"mlrelease:notice:{notice.subject}"
        if notice.kind == RECOVERED:
            issues.close(self._github, marker=marker, comment=f"{cell(notice.title)}: {cell(notice.reason)}")
        else:
            issues.open_or_refresh(self._github, marker=marker, title=notice.title, body=markdown(notice))


class CommentChannel:
    """A comment on each merged pull request that brought the commit: the newest that touched the service's files then."""

    def __init__(self, github: GitHub, site: Site) -> None:
        self._github = github
        self._site = site

    def send(self, notice: Notice) -> None:
        """Writes or refreshes it; without such a pull request there is nobody to tell."""
        from mlrelease.forge.github import comments, pulls  # noqa: PLC0415 - as above

        newest = self._site.git.log(notice.paths, limit=1, revision=notice.origin) if notice.paths else []
        for pull in pulls.of_commit(self._github, newest[0].sha) if newest else ():
            if pull.merged:
                comments.sticky(self._github, pull.number, marker=f"mlrelease:notice:{notice.subject}", body=markdown(notice))


def markdown(notice: Notice) -> str:
    """The notice for GitHub; texts from outside are inert."""
    lines = [f"**{cell(notice.title)}**", "", f"- why: {cell(notice.reason)}"]
    if notice.kind != RECOVERED:
        lines += [f"- wanted: {cell(notice.after)}", f"- serves: {cell(notice.before)}"]
    lines += [f"- at `{notice.revision[:12]}`, {iso(notice.at)}", "", f"Next: `{cell(notice.next)}`", ""]
    return "\n".join(lines)


def _github(site: Site) -> GitHub:
    from mlrelease.forge.github.auth import credentials_of  # noqa: PLC0415 - requests costs 0.1 s, as above
    from mlrelease.forge.github.client import GitHub  # noqa: PLC0415 - the same
    from mlrelease.forge.github.place import place_of  # noqa: PLC0415 - the same

    place, credentials = place_of(site.variables, _remote_url(site)), credentials_of(site.variables)
    if place is None or credentials is None:
        missing = "the repository is not on GitHub, as far as its remote says" if place is None else "there is no token"
        raise Error(f"{ASKED} asks for GitHub, and {missing}", hint="docs/operating.md says what the host needs")
    return GitHub(place, credentials, now=time.time)


def _repository(site: Site) -> str:
    """`owner/name` on GitHub, else the last part of the remote's address."""
    from mlrelease.forge.github.place import place_of  # noqa: PLC0415 - as above

    url = _remote_url(site)
    place = place_of(site.variables, url)
    return place.name if place is not None else url.rstrip("/").removesuffix(".git").rpartition("/")[2]


def _remote_url(site: Site) -> str:
    return site.git.config(f"remote.{site.branch.remote}.url") if site.branch.remote else ""
