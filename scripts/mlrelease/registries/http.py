"""The one retry policy for outside HTTP: bounded, full jitter, honours Retry-After, ends by a total deadline.

Owns sessions, credentials on the wire and reading bodies; knows nothing of MLflow's paths. Headers are never logged.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_any, stop_before_delay

from mlrelease import log
from mlrelease.errors import Error, UnavailableError
from mlrelease.registries import http_errors
from mlrelease.registries.http_session import NoAuth, Session
from mlrelease.registries.interface import AnsweredBadlyError

RETRIED = frozenset({408, 429, 500, 502, 503, 504})  # those that MLflow's own client retries (FACTS §9.7)
CONNECTIONS = 16

_ATTEMPTS = 5
_FIRST_WAIT_S = 0.2  # full jitter over 0.2, 0.4, 0.8, 1.6 s: a refused port is reported after 1.5 s on average
_LARGEST_JSON = 64 << 20
_LARGEST_ERROR = 64 << 10
_CHUNK = 1 << 18

_T = TypeVar("_T")


class _Again(Exception):  # noqa: N818 - never leaves this module
    """An attempt failed in a way that another one may mend. `sent`: the server may have acted on it."""

    def __init__(self, reason: str, *, sent: bool = True, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.status = status
        self.retry_after_s = retry_after_s


class Http:
    """Calls to one server. Thread-safe; up to `CONNECTIONS` at a time are pooled.

    `base_url` may hold userinfo: it becomes the credentials if no `auth` is given, and is never shown. Raises
    `UnavailableError` when there is no usable answer in time, `HttpError` for a refusal (4xx), `Error` for an answer
    that is no answer (HTML, bad certificate).
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        connect_s: float,
        read_s: float,
        total_s: float,
        auth: AuthBase | None = None,
        verify: bool | str = True,
    ) -> None:
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname, parts.port
        except ValueError as e:
            raise Error(f"{name}: the address is not a URL ({e})", hint=http_errors.ADDRESS_HINT) from e
        if parts.scheme not in ("http", "https") or not host:
            raise Error(f"{name}: the address is not an http(s) URL: {http_errors.shown(base_url)}")
        self.where = self._base = http_errors.shown(base_url)
        self.authority = (host, port or (443 if parts.scheme == "https" else 80))
        self.is_loopback = host == "localhost" or host.startswith("127.") or host == "::1"
        self.server = f"{name} at {self.where}"
        self._connect_s, self._read_s, self._total_s = connect_s, read_s, total_s
        if auth is None and parts.username is not None:
            auth = HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
        self._auth = auth or NoAuth()
        # Passed with every call: as a session attribute, REQUESTS_CA_BUNDLE in the environment would overrule it.
        self._verify = verify
        if not verify:  # the user's own choice; urllib3 would say so again with every call
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._session = Session()
        self._session.trust_env = not self.is_loopback  # HTTP_PROXY is not for this machine
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS, max_retries=0))
        self._log = log.get("http")

    def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at `path`."""
        return self._json("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool) -> dict[str, Any]:
        """The JSON object that answers. Unless `idempotent`, only what never reached the server is tried again."""
        return self._json("POST", path, body=body, idempotent=idempotent)

    def save(self, path: str, into: Path, *, size: int, until: float) -> None:
        """Streams the bytes at `path` into the file `into`, from the start again when the connection breaks.

        `until` is the monotonic moment by which it must be done. Raises `Error` when the server sends more or fewer
        than `size` bytes.
        """

        def attempt(deadline: float) -> int:
            received = 0
            # The content type says nothing here, an artifact may be HTML: the size is judged now, the hash later.
            with self._open("GET", path, deadline) as response, _file(into) as write:
                for chunk in self._chunks(response, deadline):
                    received += len(chunk)
                    if received > size:  # not one byte more than announced is written
                        break
                    write(chunk)
            return received

        received = self._trying(attempt, path, total_s=until - time.monotonic(), idempotent=True)
        if received != size:
            found = "more" if received > size else f"{received}"
            raise Error(
                f"{self.server} sent {found} bytes of {into.name!r} where it had announced {size}",
                hint="the file changed while it was read, or a proxy answered in the server's place",
            )

    def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotent: bool = True,
    ) -> dict[str, Any]:
        def attempt(deadline: float) -> dict[str, Any]:
            with self._open(method, path, deadline, params=params, body=body) as response:
                content_type = response.headers.get("Content-Type", "")
                if "json" not in content_type:
                    raise http_errors.not_json(self.server, content_type)
                data = self._body(response, deadline, _LARGEST_JSON)
            try:
                value = json.loads(data)
            except ValueError as e:
                raise _Again("the answer was not whole JSON") from e
            if not isinstance(value, dict):
                raise Error(f"{self.server} answered with JSON that is not an object", hint=http_errors.ADDRESS_HINT)
            return value

        return self._trying(attempt, path, total_s=self._total_s, idempotent=idempotent)

    def _trying(self, attempt: Callable[[float], _T], path: str, *, total_s: float, idempotent: bool) -> _T:
        """What `attempt(deadline)` returns, after as many tries as the policy allows."""
        deadline = time.monotonic() + total_s

        def once() -> _T:
            if time.monotonic() >= deadline:
                raise _Again(f"no answer within {total_s:g} s")
            try:
                return attempt(deadline)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as e:
                if http_errors.is_final(e):
                    raise http_errors.refused_for_good(self.server, e) from e
                reason = http_errors.reason_of(e, connect_s=self._connect_s, read_s=self._read_s)
                raise _Again(reason, sent=not http_errors.was_refused(e)) from e

        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, _Again) and (idempotent or not e.sent)),
            wait=_wait,
            stop=stop_any(stop_after_attempt(_ATTEMPTS), stop_before_delay(total_s)),
            before_sleep=lambda state: self._log.info(
                "retry", server=self.where, path=path, attempt=state.attempt_number, reason=str(_outcome(state))
            ),
            reraise=True,
        )
        try:
            return retrying(once)
        except _Again as e:
            if e.retry_after_s is not None:
                raise UnavailableError(
                    f"{self.server} answered {e.reason} and asks to wait {e.retry_after_s:.0f} s",
                    hint="try again later: the server limits how often it may be asked",
                ) from e
            if e.status:
                raise AnsweredBadlyError(
                    f"{self.server} answered {e.reason}", hint="the server's own log says why; what runs keeps running"
                ) from e
            raise http_errors.unreachable(self.server, e.reason) from e

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        deadline: float,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Iterator[requests.Response]:
        """A 2xx answer whose body is not read yet. Raises what the status means otherwise."""
        left = max(0.05, deadline - time.monotonic())
        response = self._session.request(
            method,
            self._base + path,
            params=params,
            json=body,
            auth=self._auth,
            verify=self._verify,
            timeout=(min(self._connect_s, left), min(self._read_s, left)),
            # identity: sizes are those on the wire, and a small answer cannot unfold into a large one
            headers={"Accept-Encoding": "identity"},
            allow_redirects=method == "GET",  # a redirected POST would become a GET without its body
            stream=True,
        )
        with response:
            if not response.ok or response.is_redirect:
                self._raise_for(response, deadline)
            yield response

    def _raise_for(self, response: requests.Response, deadline: float) -> None:
        if response.is_redirect:
            place = http_errors.shown(response.headers.get("Location", ""))
            raise Error(f"{self.server} redirects to {place}", hint="name that address in tracking_uri")
        body = self._body(response, deadline, _LARGEST_ERROR)
        content_type = response.headers.get("Content-Type", "")
        if response.status_code not in RETRIED:
            raise http_errors.refusal(self.server, response.status_code, content_type, body)
        raise _Again(
            http_errors.failure_text(response.status_code, content_type, body),
            status=response.status_code,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")),
        )

    def _body(self, response: requests.Response, deadline: float, largest: int) -> bytes:
        data = bytearray()
        for chunk in self._chunks(response, deadline):
            data += chunk
            if len(data) > largest:
                raise Error(f"{self.server} answered with more than {largest >> 10} KiB", hint=http_errors.ADDRESS_HINT)
        return bytes(data)

    def _chunks(self, response: requests.Response, deadline: float) -> Iterator[bytes]:
        """The body as it comes in. `read1`, so that a server that drips cannot outlast the deadline inside one read."""
        while True:
            if time.monotonic() >= deadline:
                raise _Again("the answer did not end in time")
            chunk = response.raw.read1(_CHUNK)
            if not chunk:
                return
            yield chunk


def _outcome(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait(state: RetryCallState) -> float:
    """Full jitter; or what the server asks for, plus jitter, so that not all clients come back at once."""
    jitter = random.uniform(0, _FIRST_WAIT_S * 2 ** (state.attempt_number - 1))  # noqa: S311 - spreads load, guards nothing
    error = _outcome(state)
    asked = error.retry_after_s if isinstance(error, _Again) else None
    return jitter if asked is None else asked + min(jitter, _FIRST_WAIT_S)


def _retry_after_s(header: str) -> float | None:
    """Seconds from now that a `Retry-After` header names (RFC 9110 §10.2.3: seconds or a date); None if it names none."""
    text = header.strip()
    if text.isdecimal():
        return min(float(text[:9]), 1e8)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # `-0000`: the date is UTC, its zone unknown
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


@contextmanager
def _file(path: Path) -> Iterator[Callable[[bytes], object]]:
    """The write of a file, whose failures are told apart from the network's (both are `OSError`s)."""
    try:
        file = path.open("wb")
    except OSError as e:
        raise http_errors.unwritable(path, e) from e

    def write(data: bytes) -> None:
        try:
            file.write(data)
        except OSError as e:
            raise http_errors.unwritable(path, e) from e

    try:
        yield write
    finally:
        try:
            file.close()
        except OSError as e:
            raise http_errors.unwritable(path, e) from e
