"""What went wrong with an HTTP call, in words: library exceptions → the project's errors, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import requests

from mlrelease.errors import Error, UnavailableError
from mlrelease.http.dialect import Dialect

_LONGEST_MESSAGE = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def shown(url: str) -> str:
    """The address for messages: scheme, host, port and path; no userinfo, query or fragment, and nothing of what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what is not a URL"
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "").geturl()


def unreachable(server: str, reason: str, dialect: Dialect) -> UnavailableError:
    """`server` did not answer, and why."""
    return UnavailableError(f"{server} did not answer: {reason}", hint=dialect.address_hint)


def is_final(error: BaseException) -> bool:
    """Whether trying again cannot help: a certificate does not become valid within seconds."""
    return isinstance(error, requests.exceptions.SSLError | requests.exceptions.TooManyRedirects)


def refused_for_good(server: str, error: BaseException, dialect: Dialect) -> Error:
    """The error for an exception that `is_final`."""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return Error(f"{server} redirects in a circle", hint=f"{dialect.setting} should name the address that answers itself")
    return Error(f"{server}: the TLS connection was refused ({_tls_reason(error)})", hint=dialect.tls_hint)


def reason_of(error: BaseException, *, connect_s: float, read_s: float) -> str:
    """A few words for a failed connection: `connection refused`, `no answer within 10 s`."""
    names = {type(e).__name__ for e in _chain(error)}
    if "NameResolutionError" in names:
        return "its host name is not known"
    if "ProxyError" in names:
        return "the HTTP proxy named by the environment refused the connection"
    if "ConnectTimeoutError" in names or "ConnectTimeout" in names:
        return f"no connection within {connect_s:g} s"
    if "ReadTimeoutError" in names or "ReadTimeout" in names:
        return f"no answer within {read_s:g} s"
    if "IncompleteRead" in names:
        return "the answer was cut off"
    for found in _chain(error):
        if isinstance(found, OSError) and found.errno and found.strerror and not isinstance(found, requests.RequestException):
            return found.strerror.lower()
    return "the connection was closed without an answer"


def was_refused(error: BaseException) -> bool:
    """Whether no connection came about, so that the server cannot have seen the request."""
    return bool(
        {type(e).__name__ for e in _chain(error)} & {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}
    )


def no_address(server: str, dialect: Dialect) -> Error:
    """The error for an address that nobody can be asked at. Nothing of it is shown: what cannot be read may hold a password."""
    return Error(
        f"{server}: the address, or one that it redirects to, cannot be asked",
        hint=f"check {dialect.setting}, and HTTP_PROXY if it is set",
    )


def not_json(server: str, content_type: str, dialect: Dialect) -> Error:
    """The error for an answer of another kind, as a login page gives it with status 200."""
    kind = clean(content_type.partition(";")[0]) or "no content type"
    return Error(
        f"{server} answered with {kind} instead of JSON: a login page, or not {dialect.kind}",
        hint=f"check {dialect.setting}, and whether a proxy in front asks for a login",
    )


def unwritable(path: Path, error: OSError) -> Error:
    """The error for a downloaded file that cannot be written, e.g. because the disk is full."""
    return Error(
        f"cannot write a downloaded file: {(error.strerror or str(error)).lower()}",
        hint="the artifact cache lies in state_dir: check its free space and its owner",
        where=str(path),
    )


def clean(text: str) -> str:
    """The text on one line, without control characters, cut to what an error shows."""
    one_line = _CONTROL.sub(" ", text).strip()
    return one_line if len(one_line) <= _LONGEST_MESSAGE else f"{one_line[: _LONGEST_MESSAGE - 1]}…"


def retry_after_s(header: str) -> float | None:
    """Seconds from now that a `Retry-After` header names (RFC 9110 §10.2.3: seconds or a date); None if it names none."""
    text = header.strip()
    if text.isdecimal():
        return min(float(text[:9]), 1e8)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # `-0000`: the date is UTC, its zone unknown
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _tls_reason(error: BaseException) -> str:
    texts = [str(getattr(e, "verify_message", "") or getattr(e, "reason", "")) for e in _chain(error)]
    return clean(next((text for text in reversed(texts) if text and len(text) < 100), "no common protocol"))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all it was made from: requests and urllib3 nest them in args, `reason` and causes."""
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        found = todo.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        todo += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
