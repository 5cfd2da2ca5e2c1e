"""One JSON body to one address that somebody named: signed if there is a secret, never redirected, never read from.

A webhook's address is a secret by itself (its path, often), so only scheme, host and port are ever shown.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UnavailableError

SIGNATURE = "X-Mlrelease-Signature-256"
DELIVERY = "X-Mlrelease-Delivery"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, and the secret that signs (empty: unsigned). Neither is shown."""

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """Scheme, host and port. Raises `Error` for an address that is no http(s) URL."""
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, None  # the address itself is not shown, so neither is what is wrong with it
        if parts is None or parts.scheme not in ("http", "https") or not host:
            raise Error("the webhook's address is not an http(s) URL", hint="set MLRELEASE_WEBHOOK_URL=https://…")
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}" + (f":{port}" if port else "")

    def send(self, body: bytes, *, delivery: str) -> None:
        """Posts the body once. Raises `UnavailableError` when it did not arrive, `Error` when the receiver says no.

        `delivery` is the same for a repeat: a body whose answer was lost is sent again later.
        """
        import requests  # noqa: PLC0415 - 0.1 s that no pass without news pays

        from mlrelease.http.session import NoAuth, Session  # noqa: PLC0415 - the same

        headers = {"Content-Type": "application/json", "User-Agent": "mlrelease", DELIVERY: delivery}
        if self.secret:
            headers[SIGNATURE] = f"sha256={hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}"
        place = self.place
        try:
            with Session() as session:
                session.trust_env = urlsplit(self.url).hostname not in ("localhost", "127.0.0.1", "::1")
                answer = session.post(
                    self.url,
                    data=body,
                    headers=headers,
                    auth=NoAuth(),
                    timeout=(DEADLINES_S["webhook.connect"], DEADLINES_S["webhook.read"]),
                    allow_redirects=False,
                    stream=True,  # the body of the answer is nobody's business
                )
                status = answer.status_code
                answer.close()
        except (requests.RequestException, OSError) as error:
            # Not chained: the exception's own text has the address with its path.
            raise UnavailableError(
                f"the webhook at {place} did not take a notice: {type(error).__name__}", hint="see that it runs"
            ) from None
        if not 200 <= status < 300:
            raise Error(f"the webhook at {place} answered {status}", hint="see to MLRELEASE_WEBHOOK_URL and its receiver")
