"""What becomes of an exception: a line, a way out and a code, the same in JSON; where it happened only for who asks."""

from __future__ import annotations

import errno
import json
import os
import sys

import pytest
import requests
import typer
from mlrelease.commands.workspace import FindingsError
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.model.finding import Finding
from mlrelease.parsing.boundary import guarded
from mlrelease.render.report import Report

STATUS = "commands.status.status"


def os_error(number, filename=None):
    return OSError(number, os.strerror(number), filename)


REPORT = "please report this, with the output of -v"
CASES = [
    ("work that could not be done", Error("the disk is gone", hint="bring it back"), 1, "the disk is gone", "bring it back"),
    ("an error without a way out", Error("the disk is gone"), 1, "the disk is gone", ""),
    ("a server that is away", UnavailableError("no answer", hint="later"), 1, "no answer", "later"),
    ("a request that makes no sense", UsageError("which one?", hint="name it"), 2, "which one?", "name it"),
    (
        "findings in the files",
        FindingsError("p cannot be read: a:1:1: m", (Finding("a", 1, 1, "r", "m"),)),
        *(4, "p cannot be read: a:1:1: m", "see them all: mlrelease validate --offline"),
    ),
    (
        "an interrupt",
        KeyboardInterrupt(),
        *(130, "interrupted; what serves keeps serving", "run it again: it goes on from what it finds"),
    ),
    ("a defect of ours", ValueError("no such key"), 1, "ValueError: no such key", REPORT),
    ("a defect without words", AssertionError(), 1, "AssertionError: ", REPORT),
    ("too deep", RecursionError("maximum depth"), 1, "RecursionError: maximum depth", REPORT),
    *(
        (
            f"a package that is missing: {name}",
            ModuleNotFoundError(f"No module named {name!r}", name=name),
            *(1, f"this needs the package {name}", f"pip install 'mlrelease[{extra}]'"),
        )
        for name, extra in (
            ("mlflow", "mlflow"),
            ("mlflow.pyfunc", "mlflow"),
            ("mlflowish", "local"),
            ("fastapi", "local"),
            ("supervisor.options", "local"),
            ("jwt", "github"),
            ("boto3", "s3"),
            ("statsmodels.api", "demo"),
        )
    ),
    (
        "a module of ours that is missing",
        ModuleNotFoundError("No module named 'mlrelease.gone'", name="mlrelease.gone"),
        *(1, "ModuleNotFoundError: No module named 'mlrelease.gone'", REPORT),
    ),
    ("a full disk", os_error(errno.ENOSPC, "/s/x"), 1, "/s/x: No space left on device", "free some space there"),
    ("a quota", os_error(errno.EDQUOT, "/s/x"), 1, "/s/x: Disk quota exceeded", "free some space there"),
    ("a limit on files", os_error(errno.EFBIG, "/s/x"), 1, "/s/x: File too large", "raise the limit on file sizes: ulimit -f"),
    (
        "somebody else's file",
        os_error(errno.EACCES, "/s/x"),
        *(1, "/s/x: Permission denied", "see who owns it, and as whom you run this"),
    ),
    (
        "something forbidden",
        os_error(errno.EPERM),
        *(1, "Operation not permitted", "see who owns it, and as whom you run this"),
    ),
    (
        "a file system that cannot be written",
        os_error(errno.EROFS, "/s"),
        *(1, "/s: Read-only file system", "it lies on a file system that is read-only"),
    ),
    ("too many files", os_error(errno.EMFILE), 1, "Too many open files", "raise the limit on open files: ulimit -n"),
    ("another error of the system", os_error(errno.ENOENT, "/s/x"), 1, "/s/x: No such file or directory", "-v shows where"),
    ("a file named by bytes", os_error(errno.ENOENT, b"/s/x"), 1, "/s/x: No such file or directory", "-v shows where"),
    ("a file named by its number", os_error(errno.EBADF, 7), 1, "7: Bad file descriptor", "-v shows where"),
    (
        "an error of HTTP that nobody put into words",
        requests.ConnectionError("no answer from http://ann:s3cret@host/?token=s3cret"),
        *(1, "ConnectionError", "-v shows where"),
    ),
    ("an error of the system in words only", TimeoutError("timed out"), 1, "TimeoutError: timed out", "-v shows where"),
    ("an error of the system without words", ConnectionResetError(), 1, "ConnectionResetError", "-v shows where"),
]
PARAMETERS = [pytest.param(*case[1:], id=case[0]) for case in CASES]


@pytest.mark.parametrize(("raised", "code", "message", "hint"), PARAMETERS)
def test_an_exception_is_a_line_and_a_code(line, handed, raised, code, message, hint):
    """What, then what to do about it; no traceback, nothing on stdout."""
    handed.stands_for(STATUS, raised)
    said = line("status")
    assert said.err == f"error: {message}\n" + (f"  try  {hint}\n" if hint else "")
    assert (said.code, said.out) == (code, "")


@pytest.mark.parametrize(("raised", "code", "message", "hint"), PARAMETERS)
def test_an_exception_is_an_object_for_programs(line, handed, raised, code, message, hint):
    """The same words under stable keys, with the code it ends with."""
    handed.stands_for(STATUS, raised)
    said = line("-o", "json", "status")
    words = {"verdict": message, "error": message, "where": "", "hint": hint}
    expected = {"schema": 1, **words, "exit_code": code, "next": ""}
    assert json.loads(said.out) == expected
    assert said.code == code


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("/srv/st/instances/wine-1.json", "/srv/st/instances/wine-1.json"),
        ("https://ann:s3cret@mlflow.example/api?token=s3cret", "https://mlflow.example/api"),
        ("a\nerror: all is lost", "a\\nerror: all is lost"),
    ],
    ids=["a file", "an address with a password", "a line break"],
)
def test_where_an_error_lies_is_said_between_what_and_what_to_do(line, handed, where, shown):
    """On a line of its own, inert and without credentials; in JSON under a key of its own."""
    handed.stands_for(STATUS, Error("the record of an instance is damaged", hint="move it away", where=where))
    assert line("status").err == f"error: the record of an instance is damaged\n  at   {shown}\n  try  move it away\n"
    assert json.loads(line("-o", "json", "status").out)["where"] == shown


@pytest.mark.parametrize("error", [Error("cannot use /srv/st", where="/srv/st"), Error("shut", hint="see /srv", where="/srv")])
def test_where_an_error_lies_is_not_said_twice(line, handed, error):
    """Where its own words have the place."""
    handed.stands_for(STATUS, error)
    assert "  at   " not in line("status").err


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 6])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_report_ends_with_its_own_code(line, handed, output, code):
    """In either form."""
    handed.stands_for(STATUS, Report("said", {"key": [1]}, exit_code=code, next="go on"))
    said = line("-o", output, "status")
    if output == "json":
        assert json.loads(said.out) == {"schema": 1, "verdict": "said", "key": [1], "exit_code": code, "next": "go on"}
    else:
        assert said.out == "said\nnext: go on\n"
    assert (said.code, said.err) == (code, "")


def test_a_line_break_or_an_escape_in_an_error_passes_for_nothing_of_ours(line, handed):
    """Names and answers of others stand in errors: they stay on their line, and the terminal obeys none of them."""
    handed.stands_for(STATUS, Error("no file 'a\nerror: all is lost\x1b[2J'", hint="rename\r it"))
    said = line("-o", "json", "status")
    shown = "no file 'a\\nerror: all is lost\\x1b[2J'"
    assert said.err == f"error: {shown}\n  try  rename\\r it\n"
    assert json.loads(said.out)["error"] == shown
    assert json.loads(said.out)["hint"] == "rename\\r it"


def test_an_error_of_any_length_stays_readable(line, handed):
    """A megabyte of somebody's answer is cut with a mark."""
    handed.stands_for(STATUS, Error("x" * 1_000_000))
    said = line("status")
    assert said.err == f"error: {'x' * 1000}…\n"


@pytest.mark.parametrize(
    "words",
    [("-v", "status"), ("-vv", "status"), ("--verbose", "status"), ("-vvv", "status"), ("status", "-v")],
    ids=" ".join,
)
def test_who_asks_is_shown_where_it_happened(line, handed, words):
    """Below the line that everybody gets; also where the option stands behind the verb and is refused there."""
    handed.stands_for(STATUS, ValueError("no such key"))
    said = line(*words)
    first, rest = said.err.split("\n", 1)
    assert first.startswith("error: ")
    assert "Traceback (most recent call last):" in rest or "UsageError: No such option: -v" in rest


def test_the_traceback_is_that_of_the_cause(line, handed):
    """A full disk is put into words; where it happened is told of the exception that said so."""
    handed.stands_for(STATUS, os_error(errno.ENOSPC, "/s/x"))
    said = line("-v", "status")
    assert said.err.splitlines()[0] == "error: /s/x: No space left on device"
    assert said.err.splitlines()[-1] == "OSError: [Errno 28] No space left on device: '/s/x'"


@pytest.mark.parametrize("code", [0, 3, 7])
def test_a_verb_that_ends_by_itself_keeps_its_code(code):
    """An exit is no error."""

    def work():
        raise typer.Exit(code)

    assert guarded(work) == code


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), typer.Abort()], ids=["ctrl-c", "an abort"])
def test_an_interrupt_while_the_line_is_read_is_one_too(line, handed, monkeypatch, raised):
    """A verb guards itself; the entry point guards what is before it."""

    def parser(**_):
        raise raised

    monkeypatch.setattr("mlrelease.cli.app", parser)
    said = line("status")
    assert said.err == "error: interrupted; what serves keeps serving\n  try  run it again: it goes on from what it finds\n"
    assert (said.code, said.out) == (130, "")


def test_a_defect_while_the_line_is_read_is_put_into_words_too(line, monkeypatch):
    """No traceback reaches anybody, wherever it comes from."""

    def parser(**_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("mlrelease.cli.app", parser)
    said = line("status")
    assert said.err == f"error: ZeroDivisionError: by zero\n  try  {REPORT}\n"
    assert (said.code, said.out) == (1, "")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_is_closed_ends_nothing(line, handed, monkeypatch, name):
    """A service may be started without either: what it does is done, and its code is kept."""
    monkeypatch.setattr(sys, name, None)
    handed.stands_for(STATUS, Report("said", {}, exit_code=3))
    assert line("status").code == 3
    opened = getattr(sys, name)
    assert opened.name == os.devnull
    opened.close()


def test_a_terminal_without_the_letters_gets_question_marks(line, handed, monkeypatch, tmp_path):
    """A verdict in a language of the user's is never a traceback."""
    handed.stands_for(STATUS, Report("größer → 東京", {}))
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert line("status").code == 0
    assert path.read_bytes() == b"gr??er ? ??\n"


def test_outside_a_repository_the_folder_is_named(line, tmp_path):
    """With the real workspace: absolute, so that it is not just a dot."""
    said = line("-C", str(tmp_path), "status")
    assert said.err == (
        f"error: not a git repository: {tmp_path}\n  try  run it in a clone, or make a repository with `mlrelease init`\n"
    )
    assert said.code == 1


def test_a_folder_that_is_none_is_usage(line, tmp_path):
    """A file is none either."""
    (tmp_path / "file").write_text("")
    for name in ("nosuch", "file"):
        said = line("-C", str(tmp_path / name), "status")
        assert said.err == f"error: {tmp_path / name}: no such folder\n  try  -C names a folder inside a clone\n"
        assert said.code == 2
