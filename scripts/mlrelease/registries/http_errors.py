"""What went wrong with an HTTP call, in words: library exceptions and status codes → the project's errors, without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import requests

from mlrelease.errors import Error, UnavailableError

ADDRESS_HINT = (
    "is it running? the address comes from tracking_uri in environments/<env>/environment.yaml or MLFLOW_TRACKING_URI"
)
_CREDENTIALS_HINT = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
_TLS_HINT = "name the server's CA file in MLFLOW_TRACKING_SERVER_CERT_PATH"
_LONGEST_MESSAGE = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class HttpError(Error):
    """The server answered, and said no: `status` (4xx), and MLflow's `code`, e.g. `RESOURCE_DOES_NOT_EXIST`.

    `code` is empty when the answer is not MLflow's.
    """

    def __init__(self, status: int, code: str, message: str, *, hint: str = "", where: str | None = None) -> None:
        super().__init__(message, hint=hint, where=where)
        self.status = status
        self.code = code


def shown(url: str) -> str:
    """The address for messages: scheme, host, port and path; no userinfo, query or fragment."""
    parts = urlsplit(url)
    return SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "").geturl()


def unreachable(server: str, reason: str) -> UnavailableError:
    """`server` did not answer, and why."""
    return UnavailableError(f"{server} did not answer: {reason}", hint=ADDRESS_HINT)


def is_final(error: BaseException) -> bool:
    """Whether trying again cannot help: a certificate does not become valid within seconds."""
    return isinstance(error, requests.exceptions.SSLError | requests.exceptions.TooManyRedirects)


def refused_for_good(server: str, error: BaseException) -> Error:
    """The error for an exception that `is_final`."""
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return Error(f"{server} redirects in a circle", hint="tracking_uri should name the address that answers itself")
    return Error(f"{server}: the TLS connection was refused ({_tls_reason(error)})", hint=_TLS_HINT)


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


def refusal(server: str, status: int, content_type: str, body: bytes) -> HttpError:
    """The error for a 4xx answer."""
    code, message = _mlflow_error(content_type, body)
    if status == 401:
        return HttpError(status, code, f"{server} refused the credentials (401)", hint=_CREDENTIALS_HINT)
    if status == 403 and b"Invalid Host header" in body:
        return HttpError(
            status,
            code,
            f"{server} refuses requests under this host name (403, Invalid Host header)",
            hint="start it with `mlflow server --allowed-hosts` naming this host, with and without the port",
        )
    if status == 403:
        detail = f": {message}" if message else ""
        return HttpError(status, code, f"{server} denies access (403){detail}", hint=_CREDENTIALS_HINT)
    if not code:
        return HttpError(
            status,
            code,
            f"{server} answered {status} without an MLflow error code: something else may be listening there",
            hint="check tracking_uri, with its path prefix if there is one",
        )
    return HttpError(status, code, f"{server} answered {status} {code}: {message}")


def failure_text(status: int, content_type: str, body: bytes) -> str:
    """A few words for a status that is worth another try: `500 INTERNAL_ERROR: …`."""
    code, message = _mlflow_error(content_type, body)
    return " ".join(part for part in (str(status), f"{code}: {message}" if code else "") if part)


def not_json(server: str, content_type: str) -> Error:
    """The error for an answer of another kind, as a login page gives it with status 200."""
    kind = _clean(content_type.partition(";")[0]) or "no content type"
    return Error(
        f"{server} answered with {kind} instead of JSON: a login page, or not an MLflow server",
        hint="check tracking_uri, and whether a proxy in front asks for a login",
    )


def unwritable(path: Path, error: OSError) -> Error:
    """The error for a downloaded file that cannot be written, e.g. because the disk is full."""
    return Error(
        f"cannot write a downloaded file: {(error.strerror or str(error)).lower()}",
        hint="the artifact cache lies in state_dir: check its free space and its owner",
        where=str(path),
    )


def _mlflow_error(content_type: str, body: bytes) -> tuple[str, str]:
    if "json" not in content_type:
        return "", ""
    try:
        data = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(data, dict) or not isinstance(data.get("error_code"), str):
        return "", ""
    return _clean(data["error_code"]), _clean(str(data.get("message", "")))


def _clean(text: str) -> str:
    one_line = _CONTROL.sub(" ", text).strip()
    return one_line if len(one_line) <= _LONGEST_MESSAGE else f"{one_line[: _LONGEST_MESSAGE - 1]}…"


def _tls_reason(error: BaseException) -> str:
    texts = [str(getattr(e, "verify_message", "") or getattr(e, "reason", "")) for e in _chain(error)]
    return _clean(next((text for text in reversed(texts) if text and len(text) < 100), "no common protocol"))


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
