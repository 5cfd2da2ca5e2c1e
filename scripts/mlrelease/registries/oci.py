"""The read half of an image registry (OCI distribution, v2): is the pinned digest there. Pulls and pushes nothing.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, and for tokens
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from requests.auth import AuthBase, HTTPBasicAuth

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.http.calls import Http
from mlrelease.http.dialect import RETRIED, Refusal, Retry
from mlrelease.http.errors import HttpError
from mlrelease.http.session import BearerAuth
from mlrelease.http.words import clean, retry_after_s, shown
from mlrelease.model.bundle import Digest, ImagePin

ACCEPTED = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
"""Sent with every question: without it a registry translates the manifest, and its digest is another (FACTS §5)."""

DOCKER_HUB = "registry-1.docker.io"
"""Where an image without a registry in its name lies."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image lies: the registry's `host[:port]`, and the repository there."""

    host: str
    repository: str

    @property
    def url(self) -> str:
        """The address of the registry. Only on this machine it may be plain http, as Docker has it."""
        return f"{'http' if _is_here(urlsplit(f'//{self.host}').hostname or '') else 'https'}://{self.host}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the registry says of a digest. `size` is 0 where it does not say it."""

    digest: Digest
    media_type: str
    size: int = 0


def _is_here(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:  # a name; one that begins with `127.` may be anybody's
        return False


def place_of(image: ImagePin) -> Place:
    """Where the image of a pin lies: a first part with a dot, a colon, or `localhost` is a registry, as Docker reads it."""
    name = image.short.rpartition(":")[0] if ":" in image.short.rpartition("/")[2] else image.short
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return Place(DOCKER_HUB if first in ("docker.io", "index.docker.io") else first, rest)
    return Place(DOCKER_HUB, name if slash else f"library/{name}")


class OciRegistry:
    """One registry, asked anonymously or with name and password, directly or by a token that it sends one for.

    Raises `UnavailableError` when it does not answer in time, `HttpError` when it refuses (401, 403).
    """

    def __init__(self, place: Place, credentials: tuple[str, str] | None = None) -> None:
        self._place = place
        self._credentials = credentials
        self.where = shown(place.url)

    def manifest(self, digest: Digest) -> Manifest | None:
        """What the registry has under that digest; None when it has nothing."""
        try:
            return self._head(digest, None)
        except _ChallengedError as challenge:
            auth = self._answer(challenge)
        return self._head(digest, auth)

    def _head(self, digest: Digest, auth: AuthBase | None) -> Manifest | None:
        http = self._http(self._place.url, auth, {"Accept": ACCEPTED})
        try:
            answer = http.ask("HEAD", f"/v2/{self._place.repository}/manifests/{digest}")
        except _ChallengedError as challenge:
            if auth is None:
                raise
            raise HttpError(challenge.status, challenge.code, challenge.message, hint=challenge.hint) from challenge
        except HttpError as error:
            if error.status == 404:
                return None
            raise
        said = answer.headers.get("Docker-Content-Digest", digest)
        if said != digest:
            raise Error(f"{self.where} answers for {digest} with {clean(said)}", hint="is a proxy in front of the registry?")
        size = answer.headers.get("Content-Length", "")
        return Manifest(digest, clean(answer.headers.get("Content-Type", "")), int(size) if size.isdecimal() else 0)

    def _answer(self, challenge: _ChallengedError) -> AuthBase:
        """What to send after a 401. Raises the 401 when there is nothing to send, or it asks for what is not known here."""
        basic = HTTPBasicAuth(*self._credentials) if self._credentials else None
        if challenge.scheme == "basic" and basic is not None:
            return basic
        realm = challenge.parameters.get("realm", "")
        if challenge.scheme != "bearer" or not realm:
            raise HttpError(challenge.status, challenge.code, challenge.message, hint=challenge.hint)
        try:
            parts = urlsplit(realm)
        except ValueError as e:
            raise Error(f"{self.where} sends for a token to what is no address", hint="is it an image registry?") from e
        if basic is not None and parts.scheme != "https" and not self._place.url.startswith("http:"):
            raise Error(f"{self.where} sends for a token to {shown(realm)}: a password would go there in the clear")
        scope = challenge.parameters.get("scope") or f"repository:{self._place.repository}:pull"
        asked = {"scope": scope} | {name: challenge.parameters[name] for name in ("service",) if name in challenge.parameters}
        answer = self._http(f"{parts.scheme}://{parts.netloc}", basic).get(parts.path or "/", asked)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise Error(f"{shown(realm)} gave no token", hint="is it the registry's own?")
        return BearerAuth(token)

    def _http(self, url: str, auth: AuthBase | None, headers: Mapping[str, str] | None = None) -> Http:
        return Http(
            url,
            name="the image registry",
            dialect=OciDialect(),
            connect_s=DEADLINES_S["image.connect"],
            read_s=DEADLINES_S["image.read"],
            total_s=DEADLINES_S["image.total"],
            auth=auth,
            headers=headers,
        )


class OciDialect:
    """The `Dialect` of registries and of those that hand out their tokens."""

    address_hint = "is it running? the address is the first part of `image:` in the service's file"
    setting = "`image:`"
    kind = "an image registry"
    tls_hint = "name its CA file in REQUESTS_CA_BUNDLE"

    def judge(self, server: str, refusal: Refusal) -> Retry:
        """See `Dialect`. A 401 that says how to log in is raised as such."""
        if refusal.status in RETRIED:
            return Retry(str(refusal.status), after_s=retry_after_s(refusal.headers.get("Retry-After", "")))
        if refusal.status == 401:
            scheme, _, rest = refusal.headers.get("WWW-Authenticate", "").partition(" ")
            parameters = dict(reversed(re.findall(r'(\w+)="([^"]*)"', rest)))  # another way to log in may follow the first
            raise _ChallengedError(server, scheme.lower(), parameters)
        message = f"{server} answered {refusal.status}"
        if refusal.status == 403:
            message = f"{server} denies access (403)"
        raise HttpError(refusal.status, "", message, hint=_LOGIN)


_LOGIN = "docker login, with an account that may pull it"


class _ChallengedError(HttpError):
    """A 401 with the way to log in, as its `WWW-Authenticate` header says it."""

    def __init__(self, server: str, scheme: str, parameters: Mapping[str, str]) -> None:
        super().__init__(401, "", f"{server} wants a login (401)", hint=_LOGIN)
        self.scheme = scheme
        self.parameters = parameters
