"""One repository on GitHub through its REST API: calls, pages, and writes that are made once."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.forge.github.auth import Credentials, InstallationAuth, Token, api, wire
from mlrelease.forge.github.dialect import GitHubDialect
from mlrelease.forge.github.errors import CredentialsError, ForbiddenError, InvalidError, NotFoundError
from mlrelease.forge.github.place import Place
from mlrelease.http.dialect import Answer
from mlrelease.http.errors import HttpError, MaybeDoneError

__all__ = ["CredentialsError", "ForbiddenError", "GitHub", "InvalidError", "NotFoundError", "Params", "part"]

Params = Mapping[str, str | int | bool]

_PAGE = 100
_MOST_PAGES = 100  # 10,000 items: GitHub itself ends most lists before
_NEXT = re.compile(r'<(?P<url>[^>]+)>\s*;[^,]*\brel="?next"?')
_TRIES = 3
_SETTLE_S = 1.0  # GitHub's lists may lag behind its writes by a moment
_ACTIONS_LOGIN = "github-actions[bot]"

_T = TypeVar("_T")


class GitHub:
    """Asks nothing until a method is called; thread-safe.

    A path is inside the repository (`pulls/3`; empty for the repository itself), or begins with `/` and is from the API's
    root. Raises `UnavailableError` where GitHub does not answer in time, `NotFoundError`, `ForbiddenError`,
    `InvalidError`, `CredentialsError` or `HttpError` where it says no; their `where` is the address, without query.
    `patience_s`: for so long a rate limit is waited for.
    """

    def __init__(
        self,
        place: Place,
        auth: Credentials,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        patience_s: float = DEADLINES_S["github.limit"],
    ) -> None:
        self.place = place
        self.source = auth.source
        self.is_app = not isinstance(auth, Token)
        self.now = now
        self._sleep = sleep
        self._wire = wire(auth, place, now=now)
        self._dialect = GitHubDialect(auth.source, now)
        self._http = api(place, self._wire, self._dialect, patience_s=patience_s)
        self._login = ""
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        """The API's address, for messages."""
        return self._http.where

    def get(self, path: str, params: Params | None = None) -> Any:
        """The JSON at `path`: an object or a list."""
        return self.ask("GET", path, params=params).value

    def pages(self, path: str, params: Params | None = None, *, key: str = "") -> Iterator[dict[str, Any]]:
        """The items of every page of a list, also of one wrapped in an object (`{"total_count", "check_runs": […]}`).

        `key` names the list in an object that has several.
        """
        asked: Params | None = {"per_page": _PAGE, **(params or {})}
        for _ in range(_MOST_PAGES):
            answer = self.ask("GET", path, params=asked)
            yield from _items(answer.value, key, self._http.server)
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return
            path, asked = self._following(following["url"]), None
        raise Error(
            f"{self._http.server} lists more than {_MOST_PAGES * _PAGE} items", hint="close or delete what is not needed"
        )

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool = False) -> Any:
        """The JSON that answers, None for none. Unless `idempotent`, `MaybeDoneError` when nobody knows whether it was done."""
        return self.ask("POST", path, body=body, idempotent=idempotent).value

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers. What is set twice is set once."""
        return self.ask("PATCH", path, body=body).value

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers, None for none. What is set twice is set once."""
        return self.ask("PUT", path, body=body).value

    def delete(self, path: str) -> None:
        """Deletes what is there; nothing there is as good."""
        try:
            self.ask("DELETE", path)
        except NotFoundError:
            return

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Mapping[str, Any] | None = None,
        idempotent: bool = True,
    ) -> Answer:
        """The whole answer, with headers: `Date`, `X-OAuth-Scopes`."""
        place = self._place(path)
        asked = {name: _text(value) for name, value in params.items()} if params else None
        return self._asked(
            lambda: self._http.ask(method, place, params=asked, body=body, idempotent=idempotent), f"{self.where}{place}"
        )

    def upload(self, url: str, params: Params, data: bytes, content_type: str) -> Any:
        """The JSON that answers to bytes sent to `url`, an address that GitHub gave. Raises `MaybeDoneError` as `post` does.

        Raises `Error` for an address that is not this GitHub's own: the token goes there.
        """
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        own = urlsplit(self.place.api_url)
        uploads = f"uploads.{own.netloc.removeprefix('api.')}"
        if parts.scheme != own.scheme or parts.netloc not in (own.netloc, uploads):
            raise Error(f"{self._http.server} names a foreign address for uploads", where=f"{parts.scheme}://{parts.hostname}")
        http = api(self.place, self._wire, self._dialect, base_url=base)
        asked = {name: _text(value) for name, value in params.items()}
        return self._asked(
            lambda: http.ask("POST", parts.path, params=asked, data=data, content_type=content_type, idempotent=False),
            f"{base}{parts.path}",
        ).value

    def once(self, find: Callable[[], _T | None], make: Callable[[], _T], *, look_first: bool = True) -> tuple[_T, bool]:
        """What `find` sees, or what `make` made (True).

        An answer that was lost is looked up before `make` is tried again, so that nothing is made twice. Without
        `look_first` the caller knows that it is not there yet.
        """
        if look_first and (found := find()) is not None:
            return found, False
        for left in reversed(range(_TRIES)):
            try:
                return make(), True
            except MaybeDoneError:
                self._sleep(_SETTLE_S)
                if (found := find()) is not None:
                    return found, True
                if not left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    @property
    def login(self) -> str:
        """Who writes with these credentials: `ann`, `acme-deploy[bot]`, `github-actions[bot]`.

        Installation tokens, a workflow's too, may not ask REST's `/user`; GraphQL's `viewer` tells them.
        """
        with self._lock:
            if not self._login:
                self._login = self._ask_login()
            return self._login

    def _ask_login(self) -> str:
        try:
            return str(self.get("/user")["login"])
        except (ForbiddenError, NotFoundError):
            root = self.place.api_url.removesuffix("/v3")  # of an Enterprise server: /api/v3 beside /api/graphql
            http = self._http if root == self.place.api_url else api(self.place, self._wire, self._dialect, base_url=root)
            answer = http.ask("POST", "/graphql", body={"query": "{ viewer { login } }"}).value
            viewer = (answer.get("data") or {}).get("viewer") or {} if isinstance(answer, dict) else {}
            return str(viewer.get("login") or _ACTIONS_LOGIN)

    def _asked(self, call: Callable[[], Answer], where: str) -> Answer:
        try:
            try:
                return call()
            except CredentialsError:
                if not isinstance(self._wire, InstallationAuth):
                    raise
                self._wire.forget()  # revoked before its time: a fresh one is asked for, once
                return call()
        except HttpError as e:
            e.where = e.where or where
            raise

    def _place(self, path: str) -> str:
        if path.startswith("/"):
            return path
        return f"{self.place.path}/{path}" if path else self.place.path

    def _following(self, url: str) -> str:
        """The path with query of a `Link`. Raises `Error` when it leads to another server: the token would go along."""
        base = self._http.where
        if not url.startswith(f"{base}/"):
            raise Error(f"{self._http.server} names a foreign address for the next page")
        return url.removeprefix(base)


def part(text: str) -> str:
    """One part of a path: a branch or an environment may hold slashes and anything else."""
    return quote(text, safe="")


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _items(value: Any, key: str, server: str) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        lists = [v for name, v in value.items() if isinstance(v, list) and key in ("", name)]
    else:
        lists = [value] if isinstance(value, list) else []
    if len(lists) != 1:
        raise Error(f"{server} answered with something else than a list")
    return [item for item in lists[0] if isinstance(item, dict)]
