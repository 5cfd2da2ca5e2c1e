"""A command line run in the process, and stand-ins that take what the parsed verb hands on."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

import pytest
import structlog
import typer
from mlrelease.cli import app, main
from mlrelease.parsing.app import Given, given
from mlrelease.render.report import Report
from support.typed_runs import NOW


@dataclass(frozen=True)
class Said:
    """How a command line ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Here:
    """A workspace that does nothing but remember how it was asked for."""

    directory: str
    run_id: str
    branch: str

    def now(self):
        return NOW


@pytest.fixture(scope="session")
def parser():
    """The command line's parser, made once: it takes longer than the parsing."""
    return typer.main.get_command(app)


@pytest.fixture
def line(monkeypatch, capsys, parser):
    """Runs `mlrelease` with these words as a process would, but for the process."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mlrelease", *words])
        for field in fields(Given):
            setattr(given, field.name, field.default)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    monkeypatch.setattr("mlrelease.cli.app", parser)
    # as the installed program: of `python -m pytest` the parser would make another name
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    yield run
    for field in fields(Given):
        setattr(given, field.name, field.default)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Handed:
    """What verbs got: a list of (place, arguments without the workspace, named arguments), and the workspaces."""

    def __init__(self, monkeypatch) -> None:
        self.calls = []
        self.workspaces = []
        self._monkeypatch = monkeypatch

    def stands_for(self, place, answer=None):
        """Puts a stand-in at `mlrelease.<place>`, which answers with a report or raises what it is given."""

        def verb(*arguments, **named):
            own = tuple(a for a in arguments if not isinstance(a, Here))
            self.workspaces += [a for a in arguments if isinstance(a, Here)]
            self.calls.append((place, own, named))
            if isinstance(answer, BaseException):
                raise answer
            return Report("done", {"key": "value"}) if answer is None else answer

        self._monkeypatch.setattr(f"mlrelease.{place}", verb)


@pytest.fixture
def handed(monkeypatch):
    """Stand-ins in place of verbs, and a workspace that needs no repository."""
    monkeypatch.setattr(
        "mlrelease.commands.workspace.open_workspace",
        lambda directory, *, run_id, branch="": Here(directory, run_id, branch),
    )
    monkeypatch.setattr("mlrelease.commands.workspace.new_ulid", lambda: "01NEW")
    return Handed(monkeypatch)
