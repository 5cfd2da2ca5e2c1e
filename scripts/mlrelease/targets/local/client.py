"""One HTTP request to the listener, as a client of the environment makes it."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from mlrelease.model.live import Answer


def ask_listener(
    address: tuple[str, int], method: str, path: str, body: bytes, headers: Mapping[str, str] | None, *, timeout_s: float
) -> Answer:
    """The answer, on a connection of its own. Raises only `OSError` and its kinds."""
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        connection.request(method, path, body or None, {"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    except http.client.HTTPException as e:
        raise ConnectionError(f"no HTTP answer: {type(e).__name__}") from e
    finally:
        connection.close()
