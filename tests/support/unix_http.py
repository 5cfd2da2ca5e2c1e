"""Small HTTP servers on unix sockets: what stands at the other end of the target's own questions."""

from __future__ import annotations

import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

Handle = Callable[[str, str, bytes], tuple[int, bytes]]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_) -> None:
        return


@contextmanager
def answering(path: str | Path, handle: Handle) -> Iterator[None]:
    """Answers each request at the socket with what `handle(method, path, body)` gives: status and body."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, data = handle(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_) -> None:
            return

    server = _Server(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
        Path(path).unlink(missing_ok=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """An empty folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="m-") as folder:
        yield Path(folder).resolve()
