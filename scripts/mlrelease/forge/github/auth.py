"""Who speaks to GitHub: a token, or a GitHub App whose installation gives tokens of an hour. Never shown, never logged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from requests.auth import AuthBase

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.forge.github.dialect import HEADERS, GitHubDialect
from mlrelease.forge.github.errors import NotFoundError
from mlrelease.http.calls import Http
from mlrelease.http.session import BearerAuth
from mlrelease.model.when import from_iso

if TYPE_CHECKING:
    import requests

    from mlrelease.forge.github.place import Place

OWN_TOKEN = "MLRELEASE_GITHUB_TOKEN"  # noqa: S105 - the name of a variable
TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
APP_ID, APP_KEY, APP_KEY_FILE = "MLRELEASE_APP_ID", "MLRELEASE_APP_KEY", "MLRELEASE_APP_KEY_FILE"

_RENEWED_BEFORE_S = 300.0  # a token lives for an hour; nothing that we do with one takes five minutes
_JWT_S = 540  # GitHub takes at most ten minutes
_SKEW_S = 60  # "60 seconds in the past to allow for clock drift" (GitHub's documentation of app JWTs)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the variable that it came from."""

    source: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App: its id and its private key (PEM), and the variable that the key came from."""

    source: str
    app_id: str
    key: str = field(repr=False)


Credentials = Token | App


def credentials_of(variables: Mapping[str, str]) -> Credentials | None:
    """The credentials that the variables hold: our own token, our App, then the common tokens. None where there are none.

    An empty variable is none: an expression in a workflow leaves one where a secret is missing. Raises `Error` for an App
    with half of its variables, or a key file that cannot be read.
    """
    if value := variables.get(OWN_TOKEN, "").strip():
        return Token(OWN_TOKEN, value)
    if app := _app_of(variables):
        return app
    for name in TOKENS:
        if value := variables.get(name, "").strip():
            return Token(name, value)
    return None


def wire(credentials: Credentials, place: Place, *, now: Callable[[], float]) -> AuthBase:
    """What puts the credentials on each request. An App's first token is asked for with the first request."""
    if isinstance(credentials, Token):
        return BearerAuth(credentials.value)
    return InstallationAuth(credentials, place, now=now)


class InstallationAuth(AuthBase):
    """The tokens of an App's installation in one repository, renewed before they expire. Thread-safe.

    Each token is limited to that repository. Raises `Error` for a key that is none, and where the App is not installed.
    """

    def __init__(self, app: App, place: Place, *, now: Callable[[], float]) -> None:
        self._app, self._place, self._now = app, place, now
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:  # noqa: D102 - the class says it
        r.headers["Authorization"] = f"Bearer {self._current()}"
        return r

    def forget(self) -> None:
        """Drops the token in use: GitHub refused it."""
        with self._lock:
            self._until = 0.0

    def _current(self) -> str:
        with self._lock:
            if self._now() >= self._until - _RENEWED_BEFORE_S:
                answer = self._fresh()
                self._token, self._until = str(answer["token"]), from_iso(str(answer["expires_at"]))
            return self._token

    def _fresh(self) -> dict[str, Any]:
        http = api(self._place, BearerAuth(app_jwt(self._app, self._now())), GitHubDialect(self._app.source, self._now))
        try:
            installation = int(http.get(f"{self._place.path}/installation")["id"])
        except NotFoundError as e:
            raise Error(
                f"the GitHub App {self._app.app_id} is not installed in {self._place.name}",
                hint="install it there: the App's page → Install App, with access to this repository",
            ) from e
        # Asking twice only makes a second token.
        path = f"/app/installations/{installation}/access_tokens"
        return http.post(path, {"repositories": [self._place.repo]}, idempotent=True)


def api(
    place: Place,
    auth: AuthBase,
    dialect: GitHubDialect,
    *,
    base_url: str = "",
    patience_s: float = DEADLINES_S["github.limit"],
) -> Http:
    """The one way to GitHub's API, or to another address of the same GitHub."""
    return Http(
        base_url or place.api_url,
        name="GitHub",
        dialect=dialect,
        connect_s=DEADLINES_S["github.connect"],
        read_s=DEADLINES_S["github.read"],
        total_s=DEADLINES_S["github.total"],
        patience_s=patience_s,
        auth=auth,
        headers=HEADERS,
    )


def app_jwt(app: App, now: float) -> str:
    """The App's own short-lived proof (RS256). Raises `Error` when the key is no RSA private key in PEM."""
    import jwt  # noqa: PLC0415 - with cryptography 0.1 s, which a plain token does not pay

    claims = {"iat": int(now) - _SKEW_S, "exp": int(now) + _JWT_S, "iss": app.app_id}
    try:
        return jwt.encode(claims, app.key, algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError):
        # Without its cause: a library's words about a key may quote it.
        raise Error(
            f"{app.source} holds no RSA private key in PEM form",
            hint="the App's page → Private keys → Generate; the whole file, from -----BEGIN to -----END",
        ) from None


def _app_of(variables: Mapping[str, str]) -> App | None:
    app_id = variables.get(APP_ID, "").strip()
    key, file = variables.get(APP_KEY, "").strip(), variables.get(APP_KEY_FILE, "").strip()
    if not app_id and not key and not file:
        return None
    if not app_id or not (key or file):
        missing = f"{APP_KEY} or {APP_KEY_FILE}" if app_id else APP_ID
        raise Error(f"a GitHub App needs its id and its key: {missing} is not set", hint=f"set {missing}, or unset the other")
    if key:
        # Many secret stores keep line breaks as the two characters \n.
        return App(APP_KEY, app_id, key if "\n" in key else key.replace("\\n", "\n"))
    try:
        return App(APP_KEY_FILE, app_id, Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        why = e.strerror.lower() if isinstance(e, OSError) and e.strerror else "it is not text"
        raise Error(f"{APP_KEY_FILE}: the key cannot be read: {why}", hint="see to its path and its owner", where=file) from e
