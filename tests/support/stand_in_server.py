"""A model server for tests of targets: speaks the contract of DESIGN §5.1 over a unix socket, up in a tenth of a second.

`python stand_in_server.py CONFIG.json`. Its behaviour comes from the environment: STAND_IN_EXIT (exit with this code
while loading), STAND_IN_SLOW_S (seconds per prediction), STAND_IN_NOT_READY (never ready), STAND_IN_ABRUPT (SIGTERM
cuts what is in flight).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn

CONFIG = json.loads(Path(sys.argv[1]).read_bytes())
STATE = {"ready": not os.environ.get("STAND_IN_NOT_READY"), "in_flight": 0}
LOCK = threading.Lock()
STARTED_AT = "2026-01-01T00:00:00.000Z"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body of an answer leave in one write: a kill between the two could not be retried by anybody

    def do_GET(self):
        if self.path == "/ready":
            self.answer(200 if STATE["ready"] else 503, {"ready": STATE["ready"]})
        elif self.path == "/identity":
            models = [{key: m[key] for key in ("name", "version", "digest")} for m in CONFIG["models"]]
            said = {key: CONFIG[key] for key in ("service", "bundle", "image", "instance", "runtime")}
            self.answer(200, said | {"started_at": STARTED_AT, "models": models})
        elif self.path == "/environment":
            self.answer(200, dict(os.environ))
        else:
            self.answer(200, {})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        with LOCK:
            STATE["in_flight"] += 1
        time.sleep(float(os.environ.get("STAND_IN_SLOW_S", "0")))
        self.answer(200, {"bundle": CONFIG["bundle"], "instance": CONFIG["instance"]})
        with LOCK:
            STATE["in_flight"] -= 1

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Bundle", CONFIG["bundle"])
        if not STATE["ready"]:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_):
        return


class Server(ThreadingMixIn, HTTPServer):
    address_family = socket.AF_UNIX
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        path = Path(self.server_address)
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("", 0)

    def handle_error(self, *_):
        return


def main():
    print(f"loading {CONFIG['instance']}", flush=True)
    if os.environ.get("STAND_IN_EXIT"):
        print("cannot load the model", flush=True)
        os._exit(int(os.environ["STAND_IN_EXIT"]))
    server = Server(CONFIG["listen"].removeprefix("unix:"), Handler)
    # no Event set by a handler: a second signal in the middle of the first one's would wait for a lock of this very thread
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    if os.environ.get("STAND_IN_ABRUPT"):
        os._exit(1)
    STATE["ready"] = False
    server.shutdown()
    server.server_close()
    end = time.monotonic() + 10
    while STATE["in_flight"] and time.monotonic() < end:
        time.sleep(0.01)
    os._exit(0)


main()
