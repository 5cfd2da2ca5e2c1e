"""A GitHub client whose answers are written down beforehand: for what exactly is asked and sent, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlrelease.forge.github.auth import Token
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.place import Place
from mlrelease.http.dialect import Answer

NOW = 1_800_000_000.0


@dataclass
class Call:
    """One request as it would have gone out."""

    method: str
    path: str
    params: dict = field(default_factory=dict)
    body: dict | None = None
    idempotent: bool = True


class ScriptedGitHub(GitHub):
    """Answers by method and path (`GET pulls/3`): a value, a function of the body, an exception, or a `Script` of those.

    What nothing is written down for is an empty list for a GET, and an empty object for a write. Everything above `ask` is
    the client's own.
    """

    def __init__(self, answers: dict[str, object] | None = None, *, login: str = "bot") -> None:
        super().__init__(
            Place("https://api.github.example", "acme", "models", ""), Token("GH_TOKEN", "s3cret"), now=lambda: NOW
        )
        self._sleep = lambda _: None
        self._answers = {"GET /user": {"login": login}} | (answers or {})
        self.calls: list[Call] = []

    @property
    def writes(self) -> list[tuple[str, str, dict | None]]:
        """Method, path and body of what was no GET."""
        return [(call.method, call.path, call.body) for call in self.calls if call.method != "GET"]

    def ask(self, method, path, *, params=None, body=None, idempotent=True):
        self.calls.append(Call(method, path, dict(params or {}), dict(body) if body is not None else None, idempotent))
        found = self._answers.get(f"{method} {path}", [] if method == "GET" else {})
        if isinstance(found, Script):
            found = found.steps.pop(0) if len(found.steps) > 1 else found.steps[0]
        if isinstance(found, Exception):
            raise found
        if callable(found):
            found = found(dict(body or {}))
        return found if isinstance(found, Answer) else Answer(200, {}, found)


class Script:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
