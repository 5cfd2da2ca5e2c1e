"""An HTTP server that misbehaves by script: one fault a request, the last one for ever. Records what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["_Handler"], None]


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Faulty:
    """The running server: its address, and what it was asked so far."""

    url: str
    requests: list[Request] = field(default_factory=list)


def answer(value: object = None, status: int = 200, **headers: str) -> Fault:
    """JSON, whole and well; header names with `_` for `-`."""
    return raw(json.dumps(value if value is not None else {}).encode(), status, content_type="application/json", **headers)


def raw(body: bytes, status: int = 200, *, content_type: str = "text/plain", **headers: str) -> Fault:
    """Any body of any type."""

    def play(handler: _Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return play


def error(status: int, code: str, message: str = "because", **headers: str) -> Fault:
    """An error in MLflow's form."""
    return answer({"error_code": code, "message": message}, status, **headers)


def reset(handler: _Handler) -> None:
    """Closes the connection by RST, without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def silent(handler: _Handler) -> None:
    """Says nothing until the server closes."""
    handler.closing.wait(60)
    handler.close_connection = True


def truncated(body: bytes = b'{"a": 1}', announced: int = 1000, content_type: str = "application/json") -> Fault:
    """Announces more than it sends."""

    def play(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(announced))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return play


def cut_chunk(body: bytes = b'{"a": 1', content_type: str = "application/json") -> Fault:
    """A chunked answer that ends within a chunk."""

    def play(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % (len(body) + 10) + body)
        handler.close_connection = True

    return play


def redirecting(handler: _Handler) -> None:
    """Sends the client to where it is."""
    raw(b"", 302, Location=handler.path)(handler)


def slowly(fault: Fault, seconds: float) -> Fault:
    """Says nothing for a while, then plays the fault."""

    def play(handler: _Handler) -> None:
        if not handler.closing.wait(seconds):
            fault(handler)

    return play


def dripping(handler: _Handler) -> None:
    """Sends a space each 20 ms, for ever: each read succeeds, the answer never ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.close_connection = True
    try:
        while not handler.closing.wait(0.02):
            handler.wfile.write(b" ")
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    closing: threading.Event
    play: Callable[[_Handler, Request], None]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).play(self, Request(self.command, self.path, dict(self.headers.items()), body))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
        """Nothing: the requests are recorded."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that give up are the point."""


@contextmanager
def faulty(*script: Fault, routes: Mapping[str, Fault] | None = None) -> Iterator[Faulty]:
    """A server on 127.0.0.1 that plays `routes[path without query]` where there is one, else the script in order."""
    closing, lock, position = threading.Event(), threading.Lock(), iter(range(1_000_000))

    def play(handler: _Handler, request: Request) -> None:
        with lock:
            server.requests.append(request)
        found = (routes or {}).get(request.path.partition("?")[0])
        if found is None:
            with lock:
                found = script[min(next(position), len(script) - 1)]
        found(handler)

    handler = type("Handler", (_Handler,), {"closing": closing, "play": staticmethod(play)})
    listener = _Server(("127.0.0.1", 0), handler)
    server = Faulty(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        closing.set()
        listener.shutdown()
        listener.server_close()
        thread.join(10)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens: bound, so that nobody else gets it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
