"""Checks of the way to GitHub: does it answer, with which token, and do its clock and ours agree."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from mlrelease.commands.doctor.checks import Check, Found, Patient, State, bad, ok, skipped, warn
from mlrelease.commands.doctor.github.asking import Asked, check
from mlrelease.commands.doctor.github.shape import mapping
from mlrelease.commands.doctor.servers import compared
from mlrelease.forge.github.errors import CredentialsError, ForbiddenError, NotFoundError
from mlrelease.model.beat import in_words
from mlrelease.model.when import from_iso

SOON_S = 7 * 86400.0
"""A token that expires before the next week is over is renewed now."""

_EXPIRY = "GitHub-Authentication-Token-Expiration"
_SCOPES = "X-OAuth-Scopes"
_WHOLE = "repo"
_RIGHTS = ("admin", "maintain", "push", "triage", "pull")


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about access."""
    if (asked := patient.github) is not None:
        yield Check("github", lambda: access(asked), late=State.UNKNOWN)
        yield check(asked, "github-token", lambda: token(asked, patient))
        yield check(asked, "github-clock", lambda: clock(asked, patient))


def access(asked: Asked) -> Found:
    """GitHub answers, takes the token, and knows the repository."""
    try:
        asked.repository()
    except CredentialsError as error:
        return bad(error.message, error.hint)
    except (NotFoundError, ForbiddenError) as error:
        return bad(f"{asked.name} is not there, or not for this token", error.hint)
    return ok(f"{asked.name} at {asked.github.where}")


def token(asked: Asked, patient: Patient) -> Found:
    """Which token is used, what it may do, and until when: never itself."""
    said = asked.headers()
    rights = mapping(asked.repository().get("permissions"))
    most = next((name for name in _RIGHTS if rights.get(name) is True), "")
    words = [f"{asked.kind} from {asked.github.source}"]
    if most:
        words.append(f"rights here: {most}")
    scopes = said.get(_SCOPES)
    if scopes is not None:
        words.append(f"scopes: {scopes or 'none'}")
    expires_s = _expires_s(said.get(_EXPIRY, ""))
    if expires_s is not None:
        left = expires_s - patient.workspace.now()
        words.append(f"expires in {in_words(max(left, 0.0))}")
        if left < SOON_S:
            return warn(", ".join(words), f"make a new one, and put it into {asked.github.source}")
    if _WHOLE in [scope.strip() for scope in (scopes or "").split(",")]:
        return warn(
            f"{', '.join(words)}: it reaches every repository of its owner",
            "an App (MLRELEASE_APP_ID) or a fine-grained token for this repository: docs/github.md",
        )
    return ok(", ".join(words))


def clock(asked: Asked, patient: Patient) -> Found:
    """The clock here against GitHub's, by the `Date` of an answer (whole seconds)."""
    before = patient.workspace.now()
    date = asked.github.ask("GET", "").headers.get("Date", "")
    after = patient.workspace.now()
    try:
        there = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return skipped("GitHub does not say the time")
    return compared(before, there, after, "GitHub")


def _expires_s(text: str) -> float | None:
    """When a token expires, as its header says it: `2026-12-01 10:00:00 UTC`, or with an offset. None where it does not."""
    try:
        return from_iso(text.strip().replace(" UTC", "+00:00").replace(" ", "T", 1).replace(" ", ""))
    except ValueError:
        return None
