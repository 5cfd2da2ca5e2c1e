"""What is around every request: its id, the headers of every answer, the count of what is in flight, metrics and the log line.

A bare ASGI layer: Starlette's `BaseHTTPMiddleware` costs about a fifth of the throughput of one-row requests.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlrelease.log import get
from mlrelease.model.live import Artifact
from mlrelease.serving.metrics import Metrics
from mlrelease.serving.state import ServerState

QUIET = frozenset({"/health", "/ready", "/metrics"})
"""Asked every second by machines: no log line."""

CLIENT_GONE = 499
"""nginx's code for a client that left before the answer; nobody receives it, log and metrics do."""

_LONGEST_ID = 128


@dataclass(slots=True)
class Call:
    """One request while it is answered. `prediction` and `model` are set by the endpoint that predicts."""

    request_id: str
    is_probe: bool
    prediction: bool = False
    model: Artifact | None = None
    status: int = CLIENT_GONE
    error: str = ""


class Envelope:
    """Wraps the application; the endpoint finds its `Call` at `scope["call"]`."""

    def __init__(self, app: ASGIApp, state: ServerState, metrics: Metrics) -> None:
        self._app = app
        self._state = state
        self._metrics = metrics
        self._log = get("serving")
        self._own = [
            (b"x-bundle", state.config.bundle.encode("latin-1", "replace")),
            (b"x-instance", state.config.instance.encode("latin-1", "replace")),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        call = Call(_request_id(headers), any(name == b"x-probe" for name, _ in headers))
        scope["call"] = call
        started = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message["headers"], *self._headers(call)]
            await send(message)

        self._state.in_flight += 1
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._state.in_flight -= 1
            self._account(scope, call, time.perf_counter() - started)

    def _headers(self, call: Call) -> list[tuple[bytes, bytes]]:
        added = [(b"x-request-id", call.request_id.encode())]
        if call.prediction:
            added += self._own
        if call.model is not None:
            added.append((b"x-model-version", call.model.version.encode("latin-1", "replace")))
        if self._state.draining:
            added.append((b"connection", b"close"))  # so that a proxy's pooled connections leave by themselves
        return added

    def _account(self, scope: Scope, call: Call, seconds: float) -> None:
        if call.prediction and not call.is_probe:
            self._metrics.count(call.model, call.status, seconds)
        if not self._state.config.log_requests or scope["path"] in QUIET:
            return
        line: dict[str, Any] = {"request_id": call.request_id, "method": scope["method"], "path": scope["path"]}
        if call.model is not None:
            line |= {"model": call.model.name, "version": call.model.version}
        line |= {"code": call.status, "ms": round(seconds * 1000, 2)}
        if call.error:
            line["error"] = call.error
        if call.is_probe:
            line["probe"] = True
        self._log.info("request", **line)


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The client's id if it is short and printable (it goes into a header and a log), else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and 0 < len(value) <= _LONGEST_ID and value.isascii():
            text = value.decode("ascii")
            if text.isprintable():
                return text
    return uuid.uuid4().hex
