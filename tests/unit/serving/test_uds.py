from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlrelease.serving import uds
from mlrelease.serving.uds import ask


@contextmanager
def _answering(raw: bytes, *, hold: bool = False):
    """A socket on which one connection is answered with these bytes; yields its path and what was received."""
    received: list[bytes] = []
    done = threading.Event()
    with tempfile.TemporaryDirectory(prefix="s-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                data = b""
                while not data.endswith(b"body!" if data.startswith(b"POST") else b"\r\n\r\n"):
                    data += connection.recv(65536)
                received.append(data)
                connection.sendall(raw)
                if hold:
                    done.wait(10)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield path, received
        finally:
            done.set()
            thread.join(10)


def test_an_answer_has_status_lower_case_headers_and_body():
    """The request goes out as given, and the answer comes back whole."""
    with _answering(b"HTTP/1.1 404 Not Found\r\nX-Who: me\r\nContent-Length: 2\r\n\r\nno") as (path, received):
        answer = ask(path, "POST", "/x", b"body!", {"X-Probe": "1"}, timeout_s=5)
    assert (answer.status, answer.body, answer.headers["x-who"]) == (404, b"no", "me")
    assert received[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert b"X-Probe: 1\r\n" in received[0]
    assert received[0].endswith(b"body!")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        pytest.param(b"nonsense\r\n\r\n", ConnectionError, id="no HTTP"),
        pytest.param(b"", ConnectionError, id="closed without a word"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", ConnectionError, id="cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", ConnectionError, id="a chunk cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab", ConnectionError, id="no chunk"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", ConnectionError, id="a status that is no number"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", ConnectionError, id="a header without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", ConnectionError, id="headers without end"),
    ],
)
def test_a_broken_answer_is_a_connection_error(raw, kind):
    """Callers catch OSError and nothing of http.client."""
    with _answering(raw) as (path, _), pytest.raises(kind):
        ask(path, "GET", "/", timeout_s=5)


def test_silence_is_a_timeout():
    """A server that accepts and says nothing is given up after the deadline."""
    with _answering(b"", hold=True) as (path, _), pytest.raises(TimeoutError):
        ask(path, "GET", "/", timeout_s=0.2)


def test_nobody_listening_is_an_os_error(tmp_path):
    """A socket that is not there is the operating system's error."""
    with pytest.raises(FileNotFoundError):
        ask(str(tmp_path / "none"), "GET", "/", timeout_s=1)


def test_a_server_that_answers_before_it_has_read_is_heard(tmp_path):
    """It refuses a body that is too long and closes: the answer counts, not the broken pipe."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen()

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        answer = ask(path, "POST", "/", b"x" * (8 << 20), timeout_s=10)
        thread.join(10)
    assert (answer.status, answer.body) == (413, b"long")


def test_an_answer_in_drops_ends_at_the_deadline():
    """Each drop is in time for itself; the whole is not."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="s-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not stop.wait(0.01):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(TimeoutError, match=r"^the answer did not end in time$"):
            ask(path, "GET", "/", timeout_s=1.0)
        stop.set()
        thread.join(10)


def test_an_answer_without_end_is_given_up(monkeypatch):
    """After as many bytes as any answer of a model server may have, long before memory is full."""
    monkeypatch.setattr(uds, "LARGEST_ANSWER", 1000)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    with _answering(head + b"x" * 1000) as (path, _):
        assert len(ask(path, "GET", "/", timeout_s=5).body) == 1000
    with _answering(head + b"x" * 1001) as (path, _), pytest.raises(ConnectionError, match="longer than 1000 bytes"):
        ask(path, "GET", "/", timeout_s=5)


def test_a_path_that_is_too_long_for_a_socket_is_an_os_error():
    """As is everything else about sockets."""
    with pytest.raises(OSError, match="too long"):
        ask("/" + "x" * 200, "GET", "/", timeout_s=1)
