"""Somebody who takes webhooks: keeps what came, and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Delivery:
    """One request as it came: the path, its headers, its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`status` is answered to each; while `gate` is not set nothing is answered at all. `location` is sent with it."""

    url: str = ""
    status: int = 204
    location: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def kinds(self) -> list[str]:
        """What was told, in order."""
        return [delivery.json["kind"] for delivery in self.deliveries]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on 127.0.0.1 until the block ends."""
    receiver = Receiver()
    receiver.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            receiver.deliveries.append(Delivery(self.path, dict(self.headers.items()), body))
            receiver.gate.wait(30)
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/s3cr3t-path"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
