"""A small image registry on 127.0.0.1: manifests by digest, open to all, behind a password, or behind a token service."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from mlrelease.registries.oci import ACCEPTED

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
NAME, PASSWORD, TOKEN = "robot", "hunter2-registry", "opaque-registry-token"


@dataclass
class Registry:
    """The running registry: its `host:port`, and each request as `METHOD path authorization-scheme`."""

    host: str = ""
    requests: list[str] = field(default_factory=list)
    manifests: dict[str, bytes] = field(default_factory=lambda: {f"acme/serve/{DIGEST}": MANIFEST})
    login: str = "none"
    """`none`; `basic`; `token`: anybody gets one; `password`: a token for name and password only; `nowhere`: no realm."""
    realm: str = ""
    token: str = TOKEN
    answered_digest: str = ""
    statuses: list[int] = field(default_factory=list)
    """Answered first, one a request."""

    def image(self, repository: str = "acme/serve", digest: str = DIGEST) -> str:
        """The reference of an image here."""
        return f"{self.host}/{repository}:1.0.0@{digest}"


@contextmanager
def running_registry(**settings: str) -> Iterator[Registry]:
    """The registry with these settings, until the block ends."""
    registry = Registry(**settings)  # type: ignore[arg-type]
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": registry}))
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_HEAD(self) -> None:
        here = self.registry
        self._remember()
        if here.statuses:
            self._say(here.statuses.pop(0))
        elif not self._is_let_in():
            self._say(401, **{"WWW-Authenticate": self._challenge()})
        elif "vnd.oci.image.manifest" not in self.headers.get("Accept", ""):
            self._say(406)
        else:
            repository, _, digest = self.path.removeprefix("/v2/").partition("/manifests/")
            data = here.manifests.get(f"{repository}/{digest}")
            if data is None:
                self._say(404)
            else:
                said = {"Docker-Content-Digest": here.answered_digest or digest, "Content-Type": ACCEPTED.split(", ")[2]}
                self._say(200, length=len(data), **said)

    def do_GET(self) -> None:
        self._remember()
        asked = parse_qs(urlsplit(self.path).query)
        if self.registry.login == "password" and not self._is_known():
            self._say(401)
        elif asked.get("scope") != ["repository:acme/serve:pull"] or asked.get("service") != ["the registry"]:
            self._say(400)
        else:
            body = json.dumps({"token": self.registry.token}).encode()
            self._say(200, body=body, **{"Content-Type": "application/json"})

    def _remember(self) -> None:
        scheme = self.headers.get("Authorization", "–").partition(" ")[0]
        self.registry.requests.append(f"{self.command} {urlsplit(self.path).path} {scheme}")

    def _is_let_in(self) -> bool:
        match self.registry.login:
            case "none":
                return True
            case "basic":
                return self._is_known()
            case _:
                return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _is_known(self) -> bool:
        expected = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}"

    def _challenge(self) -> str:
        match self.registry.login:
            case "basic":
                return 'Basic realm="the registry"'
            case "nowhere":
                return "Bearer"
            case _:
                realm = self.registry.realm or f"http://{self.registry.host}/token"
                return f'Bearer realm="{realm}",service="the registry",scope="repository:acme/serve:pull"'

    def _say(self, status: int, *, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
        """Nothing: the requests are remembered."""
