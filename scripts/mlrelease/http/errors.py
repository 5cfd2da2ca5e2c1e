"""The ways in which an HTTP call fails that a caller tells apart. Imports nothing heavy: ports name these."""

from __future__ import annotations

from mlrelease.errors import Error, UnavailableError


class HttpError(Error):
    """The server answered, and said no: `status` (4xx), and its own `code` where it has one.

    MLflow's is e.g. `RESOURCE_DOES_NOT_EXIST`; empty when the answer is not of that server's making.
    """

    def __init__(self, status: int, code: str, message: str, *, hint: str = "", where: str | None = None) -> None:
        super().__init__(message, hint=hint, where=where)
        self.status = status
        self.code = code


class AnsweredBadlyError(UnavailableError):
    """The server answered with an error of its own (5xx): this question may be at fault, others may not be."""


class MaybeDoneError(UnavailableError):
    """A call that must not be done twice may have arrived, but nobody knows: look before asking for it again."""
