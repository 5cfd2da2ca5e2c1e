"""The log: form and level by where it goes, the run in every line, and a stream that fails ends nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
import threading

import pytest
import structlog
from mlrelease import log

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


@pytest.fixture(autouse=True)
def _as_at_the_start():
    """No test sees another's settings."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_a_line_is_an_object():
    """In the order in which it was said, with its moment in UTC."""
    stream = io.StringIO()
    log.configure(level=INFO, stream=stream, run_id="01RUN")
    log.get("agent").info("watching", names=["a", "b"], n=1)
    (line,) = lines(stream)
    assert re.fullmatch(MOMENT, line.pop("timestamp"))
    assert line == {
        "component": "agent",
        "names": ["a", "b"],
        "n": 1,
        "event": "watching",
        "run_id": "01RUN",
        "level": "info",
    }


def test_on_a_terminal_a_line_is_read_by_people():
    """Words and values, without escapes for colours."""
    stream = Screen()
    log.configure(level=INFO, stream=stream)
    log.get("agent").warning("waiting", seconds=3)
    (line,) = stream.getvalue().splitlines()
    assert re.fullmatch(rf"{MOMENT} \[warning  \] waiting +component=agent seconds=3", line)


@pytest.mark.parametrize(("stream", "as_json"), [(Screen, True), (io.StringIO, False)], ids=["JSON there", "words here"])
def test_the_form_can_be_asked_for(stream, as_json):
    """Whatever the stream is."""
    out = stream()
    log.configure(level=INFO, json=as_json, stream=out)
    log.get("x").info("said")
    assert out.getvalue().startswith("{") is as_json


@pytest.mark.parametrize(
    ("level", "kept"),
    [(DEBUG, "debug info warning error"), (INFO, "info warning error"), (WARNING, "warning error"), (ERROR, "error")],
)
def test_what_is_below_the_level_is_not_said(level, kept):
    """From the level on."""
    stream = io.StringIO()
    log.configure(level=level, stream=stream)
    logger = log.get("x")
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)("said")
    assert [line["level"] for line in lines(stream)] == kept.split()


def test_without_settings_warnings_are_said_on_stderr(capsys):
    """A library's user gets to see what matters; what was configured before stays."""
    log.get("x").info("not said")
    log.get("x").warning("said")
    told = capsys.readouterr()
    assert (told.out, json.loads(told.err)["event"]) == ("", "said")
    stream = io.StringIO()
    log.configure(level=INFO, stream=stream)
    log.get("x").info("said here")
    assert [line["event"] for line in lines(stream)] == ["said here"]


def test_every_later_line_carries_what_was_bound():
    """Also of loggers that are there already; a later word replaces an earlier, and the line's own comes first."""
    stream = io.StringIO()
    log.configure(level=INFO, stream=stream, run_id="01A")
    logger = log.get("x")
    logger.info("one")
    log.bind(run_id="01B", environment="p")
    logger.info("two")
    logger.info("three", environment="q")
    log.configure(level=INFO, stream=stream)
    logger.info("four")
    found = [(line["event"], line["run_id"], line.get("environment")) for line in lines(stream)]
    assert found == [("one", "01A", None), ("two", "01B", "p"), ("three", "01B", "q"), ("four", "01B", "p")]


def test_what_one_thread_binds_is_not_in_anothers_lines():
    """Two requests at once do not bear each other's id."""
    stream = io.StringIO()
    log.configure(level=INFO, stream=stream)

    def other():
        log.bind(request_id="other")
        log.get("x").info("there")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    log.get("x").info("here")
    assert [(line["event"], line.get("request_id")) for line in lines(stream)] == [("there", "other"), ("here", None)]


def test_an_exception_is_one_line_with_its_traceback():
    """A reader of JSON lines gets one object, line breaks and all."""
    stream = io.StringIO()
    log.configure(level=INFO, stream=stream)
    try:
        int("no\nsuch key")
    except ValueError:
        log.get("x").exception("failed")
    (line,) = lines(stream)
    assert line["exception"].splitlines()[-1] == r"ValueError: invalid literal for int() with base 10: 'no\nsuch key'"
    assert line["exception"].startswith("Traceback (most recent call last):")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb\x1b[2J", "a\nb\x1b[2J"),
        ({"é": 1}, {"é": 1}),
        (b"\xff", "b'\\xff'"),
        ({1}, "{1}"),
        (float("inf"), float("inf")),
    ],
    ids=["line breaks and escapes", "letters", "bytes", "a set", "what JSON does not have"],
)
def test_any_value_can_be_said(value, shown):
    """On one line that is read again; what JSON has no word for, as Python writes it."""
    stream = io.StringIO()
    log.configure(level=INFO, stream=stream)
    log.get("x").info("said", value=value)
    (line,) = lines(stream)
    assert line["value"] == shown
    assert "\x1b" not in stream.getvalue()


class Failing(io.StringIO):
    """A stream that cannot be written any more."""

    def __init__(self, failure) -> None:
        super().__init__()
        self.failure = failure

    def write(self, text):
        if self.failure:
            raise self.failure
        return super().write(text)

    def flush(self):
        if self.failure:
            raise self.failure


FAILURES = [
    BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EIO, os.strerror(errno.EIO)),
    ValueError("I/O operation on closed file"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=["nobody reads", "a full disk", "a terminal that is gone", "closed"])
def test_a_log_that_cannot_be_written_ends_nothing(failure):
    """An instance goes on answering, and a rollout goes on to its end, without their log."""
    stream = Failing(failure)
    log.configure(level=INFO, stream=stream)
    log.get("x").info("said to nobody")
    stream.failure = None
    log.get("x").info("said again")
    assert [line["event"] for line in lines(stream)] == ["said again"]


def test_a_real_pipe_without_a_reader_ends_nothing():
    """As when the supervisor that read it has died."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", buffering=1, encoding="utf-8", closefd=False) as stream:
        log.configure(level=INFO, stream=stream, json=True)
        log.get("x").info("said to nobody")
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # so that closing has nothing left to complain of
    os.close(write)


def test_stderr_is_the_one_of_the_moment_of_configuring(capsys):
    """Not the one that stood there when the module was imported."""
    log.configure(level=INFO)
    log.get("x").info("said")
    assert json.loads(capsys.readouterr().err)["event"] == "said"
    assert not sys.stderr.isatty()
