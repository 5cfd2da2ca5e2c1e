"""One HTTP request, over a unix socket or any other connection, and nothing else: no pool, no retry, no redirect."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Mapping

from mlrelease.model.live import Answer

LARGEST_ANSWER = 64 << 20
"""More than this is not an answer of a model server."""

_CHUNK = 1 << 16


def ask(
    socket_path: str,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float,
) -> Answer:
    """The answer of the server that listens at `socket_path`, complete within about `timeout_s`.

    Raises only `OSError` and its kinds: `TimeoutError` when it is late, `ConnectionError` when what comes back is no
    whole HTTP answer.
    """
    return exchange(_Connection(socket_path, timeout_s), method, path, body, headers, timeout_s=timeout_s)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str] | None,
    *,
    timeout_s: float,
) -> Answer:
    """The answer to one request on a fresh connection, which is closed after it. Raises as `ask` does."""
    end = time.monotonic() + timeout_s
    try:
        with contextlib.suppress(BrokenPipeError):  # a server may answer, and close, before it has read the whole body
            connection.request(method, path, body or None, {"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        parts: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK):
            parts.append(chunk)
            size += len(chunk)
            if size > LARGEST_ANSWER:
                raise ConnectionError(f"the answer is longer than {LARGEST_ANSWER} bytes")
            if time.monotonic() > end:
                raise TimeoutError("the answer did not end in time")
        if response.length:
            raise ConnectionError("the answer ended early")
        return Answer(response.status, answered, b"".join(parts))
    except http.client.HTTPException as e:
        raise ConnectionError(f"no HTTP answer: {type(e).__name__}") from e
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, socket_path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._socket_path = socket_path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._socket_path)
