"""The port to one kind of server: what its refusals mean, and which of them another try may mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Those that MLflow's own client retries (FACTS §9.7), and GitHub's documentation names none besides."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success, its body cut to what an error needs. Header names are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The type of the body, with its parameters."""
        return self.headers.get("Content-Type", "")


@dataclass(frozen=True, slots=True)
class Retry:
    """Another try may help. `words` say what came; `acted`: the server may have done what it was asked.

    `after_s` is how long the server asks to wait; None leaves it to the policy.
    """

    words: str
    acted: bool = True
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its headers (found in any case) and its JSON, None where there is none (204)."""

    status: int
    headers: Mapping[str, str]
    value: Any


class Dialect(Protocol):
    """How one kind of server speaks. Its texts hold no secrets."""

    @property
    def address_hint(self) -> str:
        """Where the address comes from, for one that does not answer."""
        ...

    @property
    def setting(self) -> str:
        """The name of the setting that holds the address."""
        ...

    @property
    def kind(self) -> str:
        """What is expected there, with its article: `an MLflow server`."""
        ...

    @property
    def tls_hint(self) -> str:
        """How a CA is named."""
        ...

    def judge(self, server: str, refusal: Refusal) -> Retry:
        """What may help. Raises `HttpError` where nothing does; `server` is the server's name with its address."""
        ...
