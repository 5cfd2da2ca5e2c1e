"""A proxy that lets nobody through without the token, as those do that stand before an MLflow server."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@contextmanager
def token_proxy(upstream: str, token: str | Collection[str]) -> Iterator[str]:
    """The address of a proxy on this machine before the server at `upstream`; a set of tokens may change meanwhile."""
    host = urlsplit(upstream).netloc
    tokens = [token] if isinstance(token, str) else token

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") not in {f"Bearer {one}" for one in tokens}:
                self.answer(401, "text/html", b"<html>log in</html>")
                return
            connection = http.client.HTTPConnection(host, timeout=30)
            try:
                sent = {name: value for name, value in self.headers.items() if name not in ("Host", "Authorization")}
                connection.request(self.command, self.path, body or None, sent)
                response = connection.getresponse()
                self.answer(response.status, response.headers.get("Content-Type", ""), response.read())
            finally:
                connection.close()

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - the names that http.server calls

        def answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
