"""Credentials on the wire: only those that the caller gave, and only to the host that they are for."""

from __future__ import annotations

import re

import requests
from requests.auth import AuthBase

from mlrelease.errors import Error

_VISIBLE = re.compile(r"[\x21-\x7e]+")


class BearerAuth(AuthBase):
    """A token on the wire.

    As an `auth`, not as a session header: a redirect to another host takes it off, and `~/.netrc` never replaces it.
    Raises `Error` for what cannot be one, without showing it; the library that sends it would quote it.
    """

    def __init__(self, token: str) -> None:
        if not _VISIBLE.fullmatch(token):
            raise Error(
                "the token holds what no token holds: a line break, a blank, or a letter beyond ASCII",
                hint="set it again as it was issued; see that no line break came with it",
            )
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:  # noqa: D102 - the class says it
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r


class NoAuth(AuthBase):
    """Nothing on the wire, not even what `~/.netrc` says: credentials come from the caller alone."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:  # noqa: D102 - the class says it
        return r


class Session(requests.Session):
    """A session whose credentials do not leave the host."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Takes the credentials off when a redirect leaves the host; unlike the inherited one, asks no `~/.netrc`."""
        leaves = self.should_strip_auth(response.request.url, prepared_request.url)  # type: ignore[no-untyped-call]
        if leaves:
            prepared_request.headers.pop("Authorization", None)
