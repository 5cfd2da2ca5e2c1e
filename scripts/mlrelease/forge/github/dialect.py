"""How GitHub says no: its messages, which permission a token lacks, and for how long it wants to be left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from mlrelease.forge.github.errors import CredentialsError, ForbiddenError, InvalidError, NotFoundError
from mlrelease.http.dialect import RETRIED, Refusal, Retry
from mlrelease.http.errors import HttpError
from mlrelease.http.words import clean, retry_after_s

HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "mlrelease",  # GitHub refuses requests without one
}

_LIMIT = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_UNSPECIFIED_S = 60.0  # "Otherwise, wait for at least one minute before retrying" (GitHub: best practices)


class GitHubDialect:
    """The `Dialect` of GitHub's REST API. `source` names the variable that the credentials came from."""

    address_hint = "see https://www.githubstatus.com, the network, and MLRELEASE_GITHUB_API or GITHUB_API_URL if one is set"
    setting = "MLRELEASE_GITHUB_API, or the git remote,"
    kind = "GitHub's API"
    tls_hint = "name the server's CA file in REQUESTS_CA_BUNDLE"

    def __init__(self, source: str, now: Callable[[], float]) -> None:
        self._source, self._now = source, now

    def judge(self, server: str, refusal: Refusal) -> Retry:
        """See `Dialect`. A limit was refused before anything was done, so that even a POST may be sent again."""
        message, code = _said(refusal)
        if refusal.status in (403, 429) and (wait_s := self._limit_s(refusal, message)) is not None:
            return Retry(f"{refusal.status}, a rate limit ({message or 'no words'})", acted=False, after_s=wait_s)
        if refusal.status in RETRIED:
            words = f"{refusal.status}: {message}" if message else str(refusal.status)
            return Retry(words, after_s=retry_after_s(refusal.headers.get("Retry-After", "")))
        raise self._error(server, refusal, message, code)

    def _limit_s(self, refusal: Refusal, message: str) -> float | None:
        """How long a rate limit lasts; None for a refusal that is none."""
        if (asked := retry_after_s(refusal.headers.get("Retry-After", ""))) is not None:
            return asked
        reset = refusal.headers.get("X-RateLimit-Reset", "")
        if refusal.headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
            return max(0.0, float(reset[:12]) - self._moment(refusal)) + 1  # its seconds are whole
        return _UNSPECIFIED_S if refusal.status == 429 or _LIMIT.search(message) else None

    def _moment(self, refusal: Refusal) -> float:
        """Now by GitHub's own clock, against which `X-RateLimit-Reset` is meant."""
        try:
            return parsedate_to_datetime(refusal.headers.get("Date", "")).timestamp()
        except ValueError:
            return self._now()

    def _error(self, server: str, refusal: Refusal, message: str, code: str) -> HttpError:
        said = f": {message}" if message else ""
        match refusal.status:
            case 401:
                return CredentialsError(
                    401,
                    code,
                    f"{server} refused the credentials in {self._source} (401){said}",
                    hint=f"put a token that has not expired into {self._source}",
                )
            case 403:
                return ForbiddenError(403, code, f"{server} denies it (403){said}", hint=self._lacking(refusal))
            case 404:
                return NotFoundError(
                    404,
                    code,
                    f"{server} found nothing there (404){said if message != 'Not Found' else ''}",
                    hint=f"GitHub says so too where the token in {self._source} may not look: check name and permissions",
                )
            case 422:
                return InvalidError(422, code, f"{server} refuses it (422){said}")
            case status:
                return HttpError(status, code, f"{server} answered {status}{said}")

    def _lacking(self, refusal: Refusal) -> str:
        """Which right is missing, as GitHub names it in headers: for Apps and fine-grained tokens, else for classic ones."""
        if refusal.headers.get("X-GitHub-SSO"):
            return f"the token in {self._source} must be authorised for the organisation's single sign-on"
        if needed := clean(refusal.headers.get("X-Accepted-GitHub-Permissions", "")):
            rights = re.sub(r";\s*", " or ", needed)
            return f"the token in {self._source} needs the permission {rights}"
        if needed := clean(refusal.headers.get("X-Accepted-OAuth-Scopes", "")):
            return f"the token in {self._source} needs one of the scopes {needed}"
        return f"see what the token in {self._source} may do"


def _said(refusal: Refusal) -> tuple[str, str]:
    """GitHub's message with its details on one line, and the code of its first detail."""
    if "json" not in refusal.content_type:
        return "", ""
    try:
        data: Any = json.loads(refusal.body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(data, dict):
        return "", ""
    errors = data.get("errors")
    details = [_detail(item) for item in errors[:3]] if isinstance(errors, list) else []
    first = errors[0] if isinstance(errors, list) and errors else {}
    code = str(first.get("code", "")) if isinstance(first, dict) else ""
    message = "; ".join(text for text in (str(data.get("message") or ""), *details) if text)
    return clean(message), clean(code)


def _detail(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    return str(item.get("message") or " ".join(str(item[key]) for key in ("field", "code") if item.get(key)))
