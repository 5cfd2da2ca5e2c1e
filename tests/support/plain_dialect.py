"""A client of outside HTTP whose server has no words of its own: what is seen is the policy alone."""

from __future__ import annotations

from mlrelease.http.calls import Http
from mlrelease.http.dialect import RETRIED, Refusal, Retry
from mlrelease.http.errors import HttpError
from mlrelease.http.words import retry_after_s


class PlainDialect:
    """Says statuses as they are, and keeps the refusals that it was asked to judge. 429: nothing was done."""

    address_hint = "the address is in the settings"
    setting = "server_uri"
    kind = "a plain server"
    tls_hint = "name the CA"

    def __init__(self) -> None:
        self.judged: list[Refusal] = []

    def judge(self, server: str, refusal: Refusal) -> Retry:
        self.judged.append(refusal)
        if refusal.status in RETRIED:
            after_s = retry_after_s(refusal.headers.get("Retry-After", ""))
            return Retry(str(refusal.status), acted=refusal.status != 429, after_s=after_s)
        raise HttpError(refusal.status, "", f"{server} said {refusal.status}")


def plain(url: str, *, connect_s: float = 1.0, read_s: float = 2.0, total_s: float = 5.0, **options: object) -> Http:
    """A client with deadlines that a test can wait for."""
    named = {"name": "Plain", "dialect": PlainDialect()} | options
    return Http(url, connect_s=connect_s, read_s=read_s, total_s=total_s, **named)  # type: ignore[arg-type]
