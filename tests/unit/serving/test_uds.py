from __future__ import annotations

import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
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
