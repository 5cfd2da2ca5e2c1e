"""Where the server listens, what signals do before its loop is there, and the lines of libraries in its log."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import socket
import stat
from pathlib import Path

import pytest
import structlog
from mlrelease import log
from mlrelease.errors import Error
from mlrelease.serving import server
from mlrelease.serving.__main__ import main
from mlrelease.serving.config import ServeConfig
from mlrelease.serving.state import ServerState
from support.unix_http import short_folder


@pytest.fixture
def place():
    with short_folder() as folder:
        yield folder / "s"


def connects(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


# ---- unix sockets


def test_a_unix_socket_is_private_and_gone_afterwards(place):
    """Whatever the umask of the process, which is as it was."""
    before = os.umask(0o022)
    try:
        with server._listening(f"unix:{place}"):
            assert stat.S_IMODE(place.stat().st_mode) == 0o600
            connects(place)
            assert os.umask(0o022) == 0o022
        assert not place.exists()
    finally:
        os.umask(before)


def test_a_socket_that_nobody_answers_at_is_taken_over(place):
    """A server that was killed leaves its file."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    with server._listening(f"unix:{place}"):
        connects(place)


def test_a_socket_that_somebody_answers_at_is_left_alone(place):
    """The second one ends, and the first goes on."""
    with server._listening(f"unix:{place}"):
        with pytest.raises(Error) as caught, server._listening(f"unix:{place}"):
            pytest.fail("two listeners")
        assert caught.value.message == f"cannot listen on unix:{place}: Address already in use"
        assert caught.value.hint == "another process listens there, or this user may not; choose another address"
        connects(place)


def test_a_file_in_the_place_of_the_socket_is_not_removed(place):
    """It may be somebody's work."""
    place.write_text("work")
    with pytest.raises(Error, match="Address already in use"), server._listening(f"unix:{place}"):
        pytest.fail("listening")
    assert place.read_text() == "work"


def test_the_socket_of_a_later_instance_is_not_removed(place):
    """It bound the same path while this one was ending."""
    with server._listening(f"unix:{place}"):
        place.unlink()
        with socket.socket(socket.AF_UNIX) as later:
            later.bind(str(place))
    assert place.is_socket()


def test_a_socket_that_is_gone_at_the_end_is_fine(place):
    """Its folder may be gone as well."""
    with server._listening(f"unix:{place}"):
        place.unlink()


# ---- addresses


@pytest.mark.parametrize(("listen", "family"), [("127.0.0.1:0", socket.AF_INET), ("[::1]:0", socket.AF_INET6)])
def test_a_tcp_address_is_listened_on(listen, family):
    """IPv6 stands in brackets."""
    if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").read_text().strip():
        pytest.skip("no IPv6 on this machine")
    with server._listening(listen) as listener:
        assert listener.family == family
        with socket.create_connection(listener.getsockname()[:2]):
            pass


ADDRESS = "for example 127.0.0.1:8000, or unix:/path"
TAKEN = "another process listens there, or this user may not; choose another address"


@pytest.mark.parametrize(
    ("listen", "message", "hint"),
    [
        ("127.0.0.1", "it is not host:port", ADDRESS),
        ("127.0.0.1:http", "it is not host:port", ADDRESS),
        ("127.0.0.1:99999", "it is not host:port", ADDRESS),
        ("unix:/nonexistent/s", "No such file or directory", TAKEN),
        ("unix:/" + "x" * 200, "AF_UNIX path too long", TAKEN),
        ("192.0.2.1:0", "Cannot assign requested address", TAKEN),
    ],
    ids=["no port", "a port by name", "a port too high", "no folder", "a path too long", "another machine's address"],
)
def test_what_cannot_be_listened_on_is_said(listen, message, hint):
    """With what may be the matter."""
    with pytest.raises(Error) as caught, server._listening(listen):
        pytest.fail("listening")
    assert caught.value.message.partition(" (")[0] == f"cannot listen on {listen}: {message}"
    assert caught.value.hint == hint


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ValueError("of the server")], ids=["system", "value"])
def test_what_fails_later_is_not_blamed_on_the_address(place, error):
    """An error of the server goes out as it is; the socket is gone all the same."""
    for listen in (f"unix:{place}", "127.0.0.1:0"):
        with pytest.raises(type(error)) as caught, server._listening(listen):
            raise error
        assert caught.value is error
    assert not place.exists()


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_before_the_loop_starts_the_drain(number):
    """And the handlers are as they were afterwards, also when the start fails."""
    state = ServerState(ServeConfig("s", "b", "i", "1", "r", "unix:/s", ()), 0.0)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with contextlib.suppress(KeyError), server._signals_drain(state):
        assert not state.draining
        os.kill(os.getpid(), number)
        assert state.draining
        raise KeyError
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


# ---- the log


@pytest.fixture
def written():
    """A library's logger whose lines go into ours, and those lines."""
    before = structlog.get_config()
    stream = io.StringIO()
    log.configure(level=logging.INFO, json=True, stream=stream)
    library = logging.Logger("library")  # noqa: LOG001 - known to nobody else, so pytest's own handlers do not hear it
    library.addHandler(server._IntoLog())

    def lines():
        found = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [
            (line["level"], line["event"]) for line in found if line["logger"] == "library" and line["component"] == "serving"
        ]

    yield library, lines
    structlog.configure(**before)


def test_a_warning_is_written_once_and_an_error_each_time(written):
    """MLflow repeats its own with every request."""
    library, lines = written
    for _ in range(2):
        library.warning("slow: %s", "x")
        library.warning("slow: %s", "y")
        library.error("broken")
    assert lines() == [("warning", "slow: x"), ("warning", "slow: y"), ("error", "broken"), ("error", "broken")]


def test_warnings_that_are_never_the_same_end_somewhere(written):
    """A number in each of them would fill memory and disk; errors are still written."""
    library, lines = written
    for n in range(1005):
        library.warning("row %d", n)
    library.error("broken")
    assert len(lines()) == 1001
    assert lines()[-1] == ("error", "broken")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [("%d rows", ("many",)), ("%s and %s", ("one",)), ("%(name)s", ({"other": 1},)), ("%", (1,))],
    ids=["another kind", "too few", "another name", "half a mark"],
)
def test_a_line_with_arguments_that_do_not_fit_is_written_as_it_is(written, text, arguments):
    """As Python's own handlers do, it fails nobody: here it would fail a prediction."""
    library, lines = written
    library.warning(text, *arguments)
    assert lines() == [("warning", text)]


def test_an_exception_of_a_library_comes_with_its_traceback(written):
    """In the one line."""
    library, lines = written
    library.error("broken", exc_info=KeyError("inside"))
    assert lines() == [("error", "broken")]


# ---- the command


@pytest.mark.parametrize("arguments", [[], ["a.json", "b.json"]], ids=["none", "two"])
def test_another_number_of_files_is_a_usage_error(capsys, arguments):
    """Code 2, and how it is called."""
    assert main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m mlrelease.serving CONFIG.json\n"


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (None, "the server's configuration cannot be read: No such file or directory"),
        ("{", "the server's configuration is not JSON"),
        ("[]", "the configuration: must be an object"),
    ],
    ids=["missing", "half a file", "a list"],
)
def test_a_configuration_that_cannot_be_used_is_one_line_of_the_log(tmp_path, capsys, text, event):
    """Code 1, with the file; as JSON like every other line."""
    before = structlog.get_config()
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text)
    try:
        assert main([str(file)]) == 1
    finally:
        structlog.configure(**before)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["where"], line["level"], line["component"]) == (event, str(file), "error", "serving")
