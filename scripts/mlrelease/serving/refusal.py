"""Why a request is not answered with predictions: status, code, message and the field concerned. Values and text only."""

from __future__ import annotations

import json

_LONGEST = 500


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """An answer other than 200. `field` names the header, column or key that is at fault, or is empty."""

    def __init__(self, status: int, error_code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.field = field

    def body(self) -> bytes:
        """The JSON that the client gets."""
        return json.dumps({"error_code": self.error_code, "message": _cut(self.message), "field": _cut(self.field)}).encode()


def _cut(text: str) -> str:
    # Both can hold what the request said: a key of it may be as long as the whole body.
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def bad_request(message: str, field: str) -> Refusal:
    """400: the request itself is wrong."""
    return Refusal(400, "BAD_REQUEST", message, field)


def model_fault(message: str) -> Refusal:
    """500: the request was right and the model could not answer it."""
    return Refusal(500, "INTERNAL_ERROR", message)
