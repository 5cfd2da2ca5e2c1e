"""The wire: requests as values, routes, errors as GitHub words them, pages, tokens, and faults on request."""

from __future__ import annotations

import fnmatch
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode

if TYPE_CHECKING:
    from support.github_server.hub import Hub
    from support.github_server.state import Account, State

DOCS = "https://docs.github.com/rest"


@dataclass
class Request:
    """One call, its path below the API's root and without query."""

    hub: Hub
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    raw: bytes
    headers: Mapping[str, str]
    account: Account
    root: str
    """The API's address as the client wrote it: with `/api/v3` on an Enterprise server."""
    names: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """The repository that the path names. Raises `Problem` (404) where there is none that the token may see."""
        return self.hub.known(f"{self.names['owner']}/{self.names['repo']}", self.account)

    @property
    def repo_url(self) -> str:
        """The repository's address below the API's root."""
        return f"{self.root}/repos/{self.names['owner']}/{self.names['repo']}"

    def number(self, name: str = "number") -> int:
        """A numeric part of the path."""
        if not self.names[name].isdecimal():
            raise not_found()
        return int(self.names[name])

    def field(self, name: str, kind: type | tuple[type, ...] = str) -> Any:
        """A required field of the body. Raises `Problem` (422) where it is missing or of another kind."""
        if not isinstance(self.body, dict) or not isinstance(self.body.get(name), kind):
            raise invalid("missing_field", name)
        return self.body[name]


@dataclass
class Response:
    """What goes back. `items` is paged; `value` None is an empty body."""

    status: int = 200
    value: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Problem(Exception):  # noqa: N818 - an answer, not a failure of the server
    """An error answer."""

    def __init__(self, status: int, message: str, errors: Any = None, **headers: str) -> None:
        super().__init__(message)
        self.response = Response(
            status,
            {"message": message, "documentation_url": DOCS, "status": str(status)} | ({"errors": errors} if errors else {}),
            {name.replace("_", "-"): value for name, value in headers.items()},
        )


def not_found() -> Problem:
    return Problem(404, "Not Found")


def invalid(code: str, name: str = "", message: str = "", resource: str = "Resource") -> Problem:
    """422 in GitHub's form."""
    detail = (
        {"resource": resource, "code": code} | ({"field": name} if name else {}) | ({"message": message} if message else {})
    )
    return Problem(422, "Validation Failed", [detail])


Handler = Callable[[Request], Any]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    needs: tuple[tuple[str, str], ...]
    handler: Handler


ROUTES: list[Route] = []


def route(method: str, path: str, needs: str = "metadata:read") -> Callable[[Handler], Handler]:
    """Registers a handler. `{name}` is one part of the path, `{name*}` any number of parts.

    The handler gives a `Response`, or a value for status 200; a list is paged. `needs` is `permission:level`; of several
    permissions (`issues|pull_requests:write`) one is enough.
    """
    pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    permission, _, level = needs.partition(":")
    rights = tuple((one, level) for one in permission.split("|"))

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(method, re.compile(pattern), rights, handler))
        return handler

    return register


def answer(request: Request) -> Response:
    """What the routes say: rights first, then the handler; errors of ours are 500, as GitHub's are."""
    try:
        allowed = set()
        for found in ROUTES:
            match = found.pattern.fullmatch(request.path)
            if not match:
                continue
            allowed.add(found.method)
            if found.method != request.method:
                continue
            request.names = {name: unquote(value) for name, value in match.groupdict().items()}
            _check(request, found.needs)
            value = found.handler(request)
            response = value if isinstance(value, Response) else Response(200, value)
            return _paged(request, response)
        raise not_found()
    except Problem as problem:
        return problem.response


def _check(request: Request, needs: tuple[tuple[str, str], ...]) -> None:
    if "repo" in request.names:
        state = request.state
        inside = request.path.split("/", 4)[4] if request.path.count("/") > 3 else ""
        for glob, message in state.forbidden.items():
            if fnmatch.fnmatch(inside, glob):
                raise Problem(403, message)
    account = request.account
    if any(account.may(permission, level) for permission, level in needs):
        return
    needed = {"X_Accepted_GitHub_Permissions": "; ".join(f"{permission}={level}" for permission, level in needs)}
    if account.kind == "pat":
        raise Problem(404, "Not Found", None, X_Accepted_OAuth_Scopes="repo")
    who = "personal access token" if account.kind == "fine" else "integration"
    raise Problem(403, f"Resource not accessible by {who}", None, **needed)


def _paged(request: Request, response: Response) -> Response:
    """A list cut to its page, with `Link`, as documented: 30 at a time, 100 at most. Also of a list in an object."""
    value, key = response.value, ""
    if isinstance(value, dict) and "total_count" in value:
        key = next((name for name, v in value.items() if isinstance(v, list)), "")
    items = value[key] if key else value
    if request.method != "GET" or not isinstance(items, list):
        return response
    size = min(100, max(1, int(request.query.get("per_page", "30"))))
    page = max(1, int(request.query.get("page", "1")))
    last = max(1, -(-len(items) // size))
    part = items[(page - 1) * size : page * size]
    response.value = value | {key: part} if key else part

    def link(number: int, relation: str) -> str:
        # GitHub's links name the repository by its number, so that they survive a renaming.
        path = re.sub(r"^/repos/[^/]+/[^/]+", lambda _: f"/repositories/{request.state.id}", request.path)
        query = urlencode(dict(request.query) | {"per_page": size, "page": number})
        return f'<{request.root}{path}?{query}>; rel="{relation}"'

    links = []
    if page > 1:
        links += [link(page - 1, "prev"), link(1, "first")]
    if page < last:
        links += [link(page + 1, "next"), link(last, "last")]
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def query_of(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True))


@dataclass
class Fault:
    """What happens to one call instead of, or after, its work.

    `status` 0 does the work as ever; `after` does it and loses the answer.
    """

    status: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    delay_s: float = 0.0
    reset: bool = False
    truncated: bool = False
    after: bool = False


def status(code: int, message: str = "because", **headers: str) -> Fault:
    """An error in GitHub's form; header names with `_` for `-`."""
    return Fault(code, {"message": message, "documentation_url": DOCS}, {k.replace("_", "-"): v for k, v in headers.items()})


def reset() -> Fault:
    """The connection is reset before anything is done."""
    return Fault(reset=True)


def lost() -> Fault:
    """The work is done, its answer is lost: the connection is reset."""
    return Fault(reset=True, after=True)


def truncated() -> Fault:
    """The work is done, its answer is cut off."""
    return Fault(truncated=True, after=True)


def slow(seconds: float) -> Fault:
    """The answer comes late."""
    return Fault(delay_s=seconds)


def html() -> Fault:
    """A login page with status 200."""
    return Fault(200, "<html>log in</html>", content_type="text/html; charset=utf-8")


def rate_limited(reset_at: float) -> Fault:
    """The primary limit: 403 until `reset_at`."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(reset_at))}
    return Fault(403, {"message": "API rate limit exceeded for user ID 1.", "documentation_url": DOCS}, headers)


def secondary(retry_after: int | None = None, code: int = 403) -> Fault:
    """The secondary limit, with or without a time."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return Fault(code, {"message": message, "documentation_url": DOCS}, headers)


@dataclass
class Faults:
    """Those that wait for their call: one a matching call, in order; the last one of `forever` stays."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[tuple[str, list[Fault], bool]] = field(default_factory=list)

    def add(self, match: str, faults: list[Fault], *, forever: bool) -> None:
        with self.lock:
            self.waiting.append((match, faults, forever))

    def clear(self) -> None:
        with self.lock:
            self.waiting.clear()

    def next(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for match, faults, forever in self.waiting:
                if faults and fnmatch.fnmatchcase(f"{method} {path}", match):
                    return faults[0] if forever and len(faults) == 1 else faults.pop(0)
        return None


def reset_connection(connection: socket.socket) -> None:
    """Closes by RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def encoded(value: Any) -> bytes:
    """JSON without what tests alone see: keys that begin with `_`."""
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else json.dumps(_public(value)).encode()


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _public(item) for key, item in value.items() if not key.startswith("_")}
    return [_public(item) for item in value] if isinstance(value, list) else value
