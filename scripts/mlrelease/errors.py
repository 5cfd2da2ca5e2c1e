"""The one exception of the project: *we could not do the work*.

A defect in the user's files is a `Finding`, a model that is not good enough is a `GateResult`; neither is an exception.
"""

from __future__ import annotations


class Error(Exception):
    """Work that could not be done: one line what, one line what to do about it.

    `hint` is a sentence or a command; `where` names a file, a URL without credentials, or an owner.
    Only `cli.py` catches it and exits (code 1, or 2 for `UsageError`).
    """

    def __init__(self, message: str, *, hint: str = "", where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where


class UsageError(Error):
    """The command was asked for something that makes no sense: exit code 2."""


class UnavailableError(Error):
    """An outside service could not be reached or did not answer: later may be better (MLflow, git host, registry)."""
