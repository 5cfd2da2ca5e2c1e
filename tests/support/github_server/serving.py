"""The process: one HTTP server for the API, GraphQL's `viewer`, and git (`git http-backend`)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.github_server.hub import Call, Hub
from support.github_server.state import Account, App
from support.github_server.web import Fault, Problem, Request, Response, answer, encoded, query_of, reset_connection


@contextmanager
def running_github(folder: Path, *, now: Callable[[], float] | None = None, port: int = 0) -> Iterator[Hub]:
    """A local GitHub in this process, its repositories below `folder`; gone when the block ends."""
    hub = Hub(folder / "github", **({"now": now} if now else {}))
    handler = type("Handler", (_Handler,), {"hub": hub, "closing": threading.Event()})
    server = _Server(("127.0.0.1", port), handler)
    hub.html_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        handler.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing for clients that give up; anything else is told, as a test fails by its 500."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: each answer would wait 40 ms for an acknowledgement
    hub: Hub
    closing: threading.Event

    def do_GET(self) -> None:
        raw = self._read()
        path = urlsplit(self.path).path
        if ".git/" in path:
            self._git(raw)
        else:
            self._api(path, raw)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names that http.server calls

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` of an answer: GitHub's own clock."""
        return super().date_time_string(self.hub.now() if timestamp is None else timestamp)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(data)

    # -- the API ---------------------------------------------------------------------------------------------------

    def _api(self, path: str, raw: bytes) -> None:
        prefix = next((p for p in ("/api/v3", "/api/uploads", "/api") if path.startswith(f"{p}/")), "")
        path = path.removeprefix(prefix)
        fault = self.hub.faults.next(self.command, path)
        if fault and fault.delay_s and self.closing.wait(fault.delay_s):
            return
        if fault and not fault.after and (fault.reset or fault.status):
            self._called(path, "", fault.status)
            self._play(fault, Response(fault.status, fault.body, dict(fault.headers)))
            return
        with self.hub.lock:
            response, login = self._work(path, raw, self.hub.html_url + prefix)
            self._called(path, login, response.status, raw)
        self._play(fault or Fault(), response)

    def _work(self, path: str, raw: bytes, root: str) -> tuple[Response, str]:
        try:
            account = self._account()
        except Problem as problem:
            return problem.response, ""
        if path.startswith("/repositories/"):
            number, _, rest = path.removeprefix("/repositories/").partition("/")
            state = self.hub.by_id(int(number)) if number.isdecimal() else None
            path = f"/repos/{state.name}/{rest}" if state else path
        body: Any = None
        if raw and "json" in self.headers.get("Content-Type", "json"):
            try:
                body = json.loads(raw)
            except ValueError:
                return Problem(400, "Problems parsing JSON").response, account.login
        query = query_of(urlsplit(self.path).query)
        try:
            request = Request(self.hub, self.command, path, query, body, raw, dict(self.headers.items()), account, root)
            response = answer(request)
        except Exception as e:  # a defect of this server must be seen, not time out
            response = Problem(500, f"the local GitHub broke: {type(e).__name__}: {e}").response
        if account.kind == "pat":
            response.headers.setdefault("X-OAuth-Scopes", account.scopes)
        if account.until < float("inf") and account.kind in ("pat", "fine"):
            until = datetime.fromtimestamp(account.until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            response.headers.setdefault("GitHub-Authentication-Token-Expiration", until)
        return response, account.login

    def _account(self) -> Account:
        """Who asks. Raises `Problem` (401) as GitHub does for no token, a wrong one, an expired one."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if kind.lower() == "basic":
            with contextlib.suppress(ValueError):
                token = base64.b64decode(token).decode().partition(":")[2]
        if not token:
            raise Problem(401, "Requires authentication")
        if token.count(".") == 2:
            return self._app(token)
        account = self.hub.accounts.get(token)
        if account is None or account.until <= self.hub.now():
            raise Problem(401, "Bad credentials")
        return account

    def _app(self, token: str) -> Account:
        """The App that signed this JWT, at most ten minutes long and not from the future."""
        import jwt

        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            app: App = self.hub.apps[str(claims["iss"])]
            jwt.decode(token, app.public_key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})
        except (jwt.PyJWTError, KeyError) as e:
            raise Problem(401, "A JSON web token could not be decoded") from e
        now = self.hub.now()
        if claims["exp"] <= now or claims["iat"] > now:
            raise Problem(401, "'Expiration time' claim ('exp') must be a numeric value representing a future time")
        if claims["exp"] - claims["iat"] > 600:
            raise Problem(401, "'Expiration time' claim ('exp') is too far in the future")
        return Account(app.slug, "jwt", {}, app=app)

    def _called(self, path: str, login: str, status: int, raw: bytes = b"") -> None:
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        query = urlsplit(self.path).query
        self.hub.calls.append(Call(self.command, path, query, login, self.hub.now(), status, body))

    def _play(self, fault: Fault, response: Response) -> None:
        self.close_connection = True if fault.reset or fault.truncated else self.close_connection
        if fault.reset:
            reset_connection(self.connection)
            return
        is_text = isinstance(response.value, (str, bytes))
        data = (
            (response.value.encode() if isinstance(response.value, str) else response.value)
            if is_text
            else encoded(response.value)
        )
        with contextlib.suppress(OSError):
            self.send_response(response.status)
            headers = {"Content-Type": fault.content_type, "Content-Length": str(len(data) + (10 if fault.truncated else 0))}
            headers |= {
                "X-RateLimit-Limit": "5000",
                "X-RateLimit-Remaining": "4999",
                "X-GitHub-Media-Type": "github.v3; format=json",
            }
            if response.status == 204:
                headers = {k: v for k, v in headers.items() if not k.startswith("Content-")}
            for name, value in (headers | response.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    # -- git -------------------------------------------------------------------------------------------------------

    def _git(self, raw: bytes) -> None:
        parts = urlsplit(self.path)
        login = "nobody"
        # git sends what its address holds only when it is asked to: an account's address asks, the other does not.
        asks = parts.path.startswith("/as-account/")
        if asks or self.headers.get("Authorization"):
            try:
                login = self._account().login
            except Problem:
                self._play(
                    Fault(content_type="text/plain"),
                    Response(401, "Bad credentials", {"WWW-Authenticate": 'Basic realm="GitHub"'}),
                )
                return
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
            "GIT_PROJECT_ROOT": str(self.hub.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path.removeprefix("/as-account"),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(raw)),
            "REMOTE_USER": login,
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=raw, env=env, capture_output=True, check=False, timeout=60)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        code = int(headers.pop("Status", "200").split()[0])
        with contextlib.suppress(OSError):
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
        """Nothing: `hub.calls` has it all."""
