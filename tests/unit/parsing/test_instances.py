"""The verbs that end by themselves: `serve`, whose process never waits for a prediction, and `demo`."""

from __future__ import annotations

import sys

import pytest
from mlrelease.commands.serve import ServeOptions
from mlrelease.errors import Error, UsageError

PLAIN = ServeOptions(listen="127.0.0.1:8000", model_path="", name="model", version="0", digest="")


class Ended(BaseException):
    """The process is gone."""


@pytest.fixture
def ends(monkeypatch):
    """The codes with which the process would have been ended at once."""
    codes = []

    def end(code):
        codes.append(code)
        raise Ended

    monkeypatch.setattr("mlrelease.parsing.instances.os._exit", end)
    return codes


def served(line, *words):
    with pytest.raises(Ended):
        line(*words)


SERVE = [
    ("pins", ("serve", "p", "a"), "serve_pinned", ("p", "a", PLAIN)),
    ("pins elsewhere", ("serve", "p", "a", "--listen", "unix:/s"), "serve_pinned", ("p", "a", ServeOptions(listen="unix:/s"))),
    ("a folder", ("serve", "--model-path", "/m"), "serve_folder", (ServeOptions(model_path="/m"),)),
    (
        "a folder with all that is said of it",
        ("serve", "--model-path", "/m", "--name", "n", "--version", "7", "--digest", "sha256:1", "--listen", "h:1"),
        "serve_folder",
        (ServeOptions(listen="h:1", model_path="/m", name="n", version="7", digest="sha256:1"),),
    ),
    ("a folder is nearer than pins", ("serve", "p", "a", "--model-path", "/m"), "serve_folder", None),
]


@pytest.mark.parametrize(("words", "place", "arguments"), [case[1:] for case in SERVE], ids=[case[0] for case in SERVE])
def test_what_is_served_arrives(line, handed, ends, words, place, arguments):
    """And the server's code is the process's, at once: a thread that still predicts would keep a normal exit waiting."""
    for name in ("serve_pinned", "serve_folder"):
        handed.stands_for(f"commands.serve.{name}", 7)
    served(line, *words)
    ((called, given, _),) = handed.calls
    assert called == f"commands.serve.{place}"
    if arguments is not None:
        assert given == arguments
    assert ends == [7]


def test_an_image_names_its_folder_by_the_environment(line, handed, ends, monkeypatch):
    """`MODEL_PATH` stands for the option."""
    handed.stands_for("commands.serve.serve_folder", 0)

    def serve(*words):
        monkeypatch.setenv("MODEL_PATH", "/opt/model")
        served(line, *words)

    serve("serve")
    serve("serve", "--model-path", "/other")
    assert [arguments[0].model_path for _, arguments, _ in handed.calls] == ["/opt/model", "/other"]
    assert ends == [0, 0]


@pytest.mark.parametrize(
    "words", [("serve",), ("serve", "p"), ("serve", "", "a")], ids=["nothing", "no service", "no environment"]
)
def test_nothing_to_serve_is_usage(line, handed, ends, capsys, words):
    """With both ways of saying it."""
    handed.stands_for("commands.serve.serve_pinned", 0)
    served(line, *words)
    assert capsys.readouterr().err == (
        "error: what should be served?\n  try  mlrelease serve ENV SERVICE, or --model-path FOLDER\n"
    )
    assert (ends, handed.calls) == ([2], [])


@pytest.mark.parametrize(
    ("raised", "code"),
    [(Error("no model in it"), 1), (UsageError("no such service"), 2), (KeyboardInterrupt(), 130), (ValueError("x"), 1)],
    ids=["an error", "usage", "an interrupt", "a defect"],
)
def test_a_server_that_cannot_begin_ends_with_the_codes_of_any_verb(line, handed, ends, raised, code):
    """The one boundary stands before the exit."""
    handed.stands_for("commands.serve.serve_folder", raised)
    served(line, "serve", "--model-path", "/m")
    assert ends == [code]


def test_what_was_written_is_out_before_the_process_is_gone(line, handed, ends, monkeypatch):
    """Such an exit flushes nothing by itself."""
    handed.stands_for("commands.serve.serve_folder", 0)
    flushed = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        monkeypatch.setattr(stream, "flush", lambda name=name: flushed.append((name, list(ends))))
    served(line, "serve", "--model-path", "/m")
    assert flushed[-2:] == [("stdout", []), ("stderr", [])]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("demo",), {"keep": False, "report": "", "directory": ""}),
        (("demo", "--keep", "--report", "r.json", "--in", "/d"), {"keep": True, "report": "r.json", "directory": "/d"}),
    ],
    ids=["plain", "with all"],
)
@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_demo_ends_as_its_story_did(line, handed, words, named, code):
    """It prints for itself: nothing is added."""
    handed.stands_for("demo.story.demo", code)
    said = line(*words)
    assert handed.calls == [("demo.story.demo", (), named)]
    assert (said.code, said.out, said.err) == (code, "", "")


def test_a_demo_that_cannot_begin_says_why(line, handed):
    """Like any verb."""
    handed.stands_for("demo.story.demo", Error("the demo needs sklearn", hint="pip install 'mlrelease[demo]'"))
    said = line("demo")
    assert said.err == "error: the demo needs sklearn\n  try  pip install 'mlrelease[demo]'\n"
    assert (said.code, said.out) == (1, "")
