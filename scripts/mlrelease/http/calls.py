"""The one retry policy for outside HTTP: bounded, full jitter, honours Retry-After, ends by a total deadline.

Owns sessions, credentials on the wire and reading bodies; knows no server's paths, and what a refusal means only from
its `Dialect`. Headers are never logged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from tenacity import Retrying, retry_if_exception

from mlrelease import log
from mlrelease.errors import Error, UnavailableError
from mlrelease.http import words
from mlrelease.http.dialect import Answer, Dialect, Refusal
from mlrelease.http.errors import AnsweredBadlyError, MaybeDoneError
from mlrelease.http.retries import Again, Budget, outcome, wait
from mlrelease.http.session import NoAuth, Session

CONNECTIONS = 16

_LARGEST_JSON = 64 << 20
_LARGEST_ERROR = 64 << 10
_CHUNK = 1 << 18
_WITHOUT_BODY = frozenset({201, 202, 204, 205})  # GitHub answers a few of its writes with an empty 20x

_T = TypeVar("_T")


class Http:
    """Calls to one server. Thread-safe; up to `CONNECTIONS` at a time are pooled.

    `base_url` may hold userinfo: it becomes the credentials if no `auth` is given, and is never shown. Raises
    `UnavailableError` when there is no usable answer in time, `HttpError` for a refusal (4xx), `Error` for an answer
    that is no answer (HTML, bad certificate).

    `total_s` bounds a call with all its tries; waiting that the server itself asks for counts apart, up to `patience_s`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        dialect: Dialect,
        connect_s: float,
        read_s: float,
        total_s: float,
        patience_s: float = 0.0,
        auth: AuthBase | None = None,
        headers: Mapping[str, str] | None = None,
        verify: bool | str = True,
    ) -> None:
        try:
            parts = urlsplit(base_url)
            host, port = parts.hostname, parts.port
        except ValueError:
            # Without its cause, which quotes what stands where host and port should: it may be a password.
            raise Error(f"{name}: the address is not a URL", hint=dialect.address_hint) from None
        if "@" in parts.path + parts.query + parts.fragment:  # http://ann:12/34@host asks the host `ann`
            raise Error(
                f"{name}: the address has an @ behind its host", hint="in a password / ? and # are written %2F %3F and %23"
            )
        if parts.scheme not in ("http", "https") or not host:
            raise Error(f"{name}: the address is not an http(s) URL: {words.shown(base_url)}")
        self.where = self._base = words.shown(base_url)
        self.authority = (host, port or (443 if parts.scheme == "https" else 80))
        self.is_loopback = _is_loopback(host)
        self.server = f"{name} at {self.where}"
        self._dialect = dialect
        self._connect_s, self._read_s, self._total_s, self._patience_s = connect_s, read_s, total_s, patience_s
        # identity: sizes are those on the wire, and a small answer cannot unfold into a large one
        self._headers = {"Accept-Encoding": "identity"} | dict(headers or {})
        if auth is None and parts.username is not None:
            auth = HTTPBasicAuth(unquote(parts.username).encode(), unquote(parts.password or "").encode())
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
        return self._object(self.ask("GET", path, params=params))

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool) -> dict[str, Any]:
        """The JSON object that answers. Unless `idempotent`, only what never reached the server is tried again."""
        return self._object(self.ask("POST", path, body=body, idempotent=idempotent))

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        content_type: str = "",
        idempotent: bool = True,
    ) -> Answer:
        """The whole answer to any method: any JSON, or none for 204 and HEAD. `data` is sent as it is, of that `content_type`.

        Unless `idempotent`, raises `MaybeDoneError` when the server may have acted and nobody knows.
        """

        def attempt(deadline: float) -> Answer:
            with self._open(method, path, deadline, params=params, body=body, data=data, content_type=content_type) as response:
                found = response.headers.get("Content-Type", "")
                may_be_empty = response.status_code in _WITHOUT_BODY or method == "HEAD"
                content = self._body(response, deadline) if may_be_empty or "json" in found else b""
                if may_be_empty and not content:
                    return Answer(response.status_code, response.headers, None)
                if "json" not in found:
                    raise words.not_json(self.server, found, self._dialect)
            try:
                value = json.loads(content)
            except (ValueError, RecursionError) as e:
                raise Again("the answer was not whole JSON") from e
            return Answer(response.status_code, response.headers, value)

        return self._trying(attempt, path, total_s=self._total_s, idempotent=idempotent)

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

    def _object(self, answer: Answer) -> dict[str, Any]:
        if not isinstance(answer.value, dict):
            raise Error(f"{self.server} answered with JSON that is not an object", hint=self._dialect.address_hint)
        return answer.value

    def _trying(self, attempt: Callable[[float], _T], path: str, *, total_s: float, idempotent: bool) -> _T:
        """What `attempt(deadline)` returns, after as many tries as the policy allows."""
        budget = Budget(time.monotonic() + total_s, self._patience_s)

        def once() -> _T:
            if time.monotonic() >= budget.deadline:
                raise Again(f"no answer within {total_s:g} s", sent=False)
            try:
                return attempt(budget.deadline)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as e:
                if words.is_final(e):
                    raise words.refused_for_good(self.server, e, self._dialect) from e
                reason = words.reason_of(e, connect_s=self._connect_s, read_s=self._read_s)
                raise Again(reason, sent=not words.was_refused(e)) from e

        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, Again) and (idempotent or not e.sent)),
            wait=wait,
            stop=budget.is_spent,
            before_sleep=lambda state: self._log.info(
                "retry", server=self.where, path=path, attempt=state.attempt_number, reason=str(outcome(state))
            ),
            reraise=True,
        )
        try:
            return retrying(once)
        except Again as e:
            raise self._given_up(e, idempotent=idempotent) from e

    def _given_up(self, e: Again, *, idempotent: bool) -> UnavailableError:
        if not idempotent and e.sent:
            return MaybeDoneError(
                f"{self.server} may have done it, but its answer was lost: {e.reason}", hint=self._dialect.address_hint
            )
        if e.retry_after_s is not None:
            return UnavailableError(
                f"{self.server} answered {e.reason} and asks to wait {e.retry_after_s:.0f} s",
                hint="try again later: the server limits how often it may be asked",
            )
        if e.status:
            return AnsweredBadlyError(
                f"{self.server} answered {e.reason}", hint="the server's own log says why; what runs keeps running"
            )
        return words.unreachable(self.server, e.reason, self._dialect)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        deadline: float,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        content_type: str = "",
    ) -> Iterator[requests.Response]:
        """A 2xx answer whose body is not read yet. Raises what the status means otherwise."""
        left = max(0.05, deadline - time.monotonic())
        try:
            response = self._session.request(
                method,
                self._base + path,
                params=params,
                json=body,
                data=data,
                auth=self._auth,
                verify=self._verify,
                timeout=(min(self._connect_s, left), min(self._read_s, left)),
                headers=self._headers | ({"Content-Type": content_type} if content_type else {}),
                allow_redirects=method == "GET",  # a redirected POST would become a GET without its body
                stream=True,
            )
        except ValueError:  # requests' own for an address are, and it reads that of a redirect even where it does not follow
            raise words.no_address(self.server, self._dialect) from None
        with response:
            if not response.ok or response.is_redirect:
                self._raise_for(response, deadline)
            yield response

    def _raise_for(self, response: requests.Response, deadline: float) -> None:
        if response.is_redirect:
            place = words.clean(words.shown(response.headers.get("Location", "")))
            raise Error(f"{self.server} redirects to {place}", hint=f"name that address in {self._dialect.setting}")
        body = bytearray()
        for chunk in self._chunks(response, deadline):
            body += chunk
            if len(body) >= _LARGEST_ERROR:  # a proxy's page with its pictures in it is still that status
                break
        retry = self._dialect.judge(self.server, Refusal(response.status_code, response.headers, bytes(body[:_LARGEST_ERROR])))
        raise Again(retry.words, sent=retry.acted, status=response.status_code, retry_after_s=retry.after_s)

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        data = bytearray()
        for chunk in self._chunks(response, deadline):
            data += chunk
            if len(data) > _LARGEST_JSON:
                raise Error(f"{self.server} answered with more than {_LARGEST_JSON >> 10} KiB", hint=self._dialect.address_hint)
        return bytes(data)

    def _chunks(self, response: requests.Response, deadline: float) -> Iterator[bytes]:
        """The body as it comes in. `read1`, so that a server that drips cannot outlast the deadline inside one read."""
        while True:
            if time.monotonic() >= deadline:
                raise Again("the answer did not end in time")
            chunk = response.raw.read1(_CHUNK)
            if not chunk:
                return
            yield chunk


def _is_loopback(host: str) -> bool:
    """Whether that is this machine; `127.example.org` is not."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _file(path: Path) -> Iterator[Callable[[bytes], object]]:
    """The write of a file, whose failures are told apart from the network's (both are `OSError`s)."""
    try:
        file = path.open("wb")
    except OSError as e:
        raise words.unwritable(path, e) from e

    def write(data: bytes) -> None:
        try:
            file.write(data)
        except OSError as e:
            raise words.unwritable(path, e) from e

    try:
        yield write
    finally:
        try:
            file.close()
        except OSError as e:
            raise words.unwritable(path, e) from e
