"""Requests to an ASGI application in this process, as a server would hand them over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass
class Reply:
    """What the application sent. `raised` is what it raised to its server, `read` how many parts of the body it took."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    raised: BaseException | None
    read: int

    def header(self, name: str) -> str | None:
        """The one value of a header; None when it is not there. Fails for one that is there twice."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    app: Any,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] = b"",
    headers: Iterable[tuple[str, str]] = (),
    *,
    leaves: bool = False,
) -> Reply:
    """One request and its reply. With `leaves` the client goes before its body has ended."""
    parts = iter([body] if isinstance(body, bytes) else body)
    read = 0
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal read
        part = next(parts, None)
        if part is None:
            return {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b"", "more_body": False}
        read += 1
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "root_path": "", "server": ("localhost", 80), "client": None,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }  # fmt: skip
    raised = None
    try:
        asyncio.run(app(scope, receive, send))
    except Exception as e:
        raised = e
    start = next((m for m in sent if m["type"] == "http.response.start"), {"status": 0, "headers": []})
    return Reply(
        start["status"],
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]],
        b"".join(m.get("body", b"") for m in sent),
        raised,
        read,
    )
