"""GitHub's refusals that a caller tells apart. Imports nothing heavy."""

from __future__ import annotations

from mlrelease.http.errors import HttpError


class CredentialsError(HttpError):
    """401: the token is wrong, expired or revoked. The message names the variable that it came from."""


class ForbiddenError(HttpError):
    """403: this token may not do this, or the plan does not have it. No rate limit: those are waited for."""


class NotFoundError(HttpError):
    """404: it is not there, or this token may not see it; GitHub does not say which."""


class InvalidError(HttpError):
    """422: GitHub understood and refuses. `code` is the first of its own: `already_exists`, `invalid`, `custom`."""
