"""Bytes that are streamed into a file: whole, once, of the size that was announced, by the deadline, and nowhere else."""

from __future__ import annotations

import time

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http import calls, retries
from mlrelease.http.errors import HttpError
from mlrelease.http.session import BearerAuth
from support.faulty_server import answer, cut_chunk, faulty, raw, reset, truncated
from support.plain_dialect import plain


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """The same policy with a hundredth of the waits, and pieces of four bytes."""
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(calls, "_CHUNK", 4)


def soon():
    return time.monotonic() + 5


@pytest.mark.parametrize(
    "data", [b"", b"w", b"weig", b"weights", bytes(range(256))], ids=["none", "one", "a piece", "two pieces", "any byte"]
)
def test_the_file_is_what_was_sent(tmp_path, data):
    """Whatever its type says: an artifact may be HTML or JSON."""
    for content_type in ("text/html", "application/json", "application/octet-stream"):
        with faulty(raw(data, content_type=content_type)) as server:
            plain(server.url).save("/f", tmp_path / "f", size=len(data), until=soon())
        assert (tmp_path / "f").read_bytes() == data


def test_the_file_replaces_what_was_there(tmp_path):
    """A longer one leaves no end behind."""
    (tmp_path / "f").write_bytes(b"something longer than weights")
    with faulty(raw(b"weights")) as server:
        plain(server.url).save("/f", tmp_path / "f", size=7, until=soon())
    assert (tmp_path / "f").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "first",
    [truncated(b"weight!", 9, "text/plain"), cut_chunk(b"wrong", "text/plain"), reset, raw(b"<html>", 502)],
    ids=["cut off after more than all", "a chunk cut off", "reset", "a proxy's page"],
)
def test_a_try_that_broke_leaves_nothing_in_the_next(tmp_path, first):
    """From the start again: no byte of the first is in the file."""
    with faulty(first, raw(b"weights")) as server:
        plain(server.url).save("/f", tmp_path / "f", size=7, until=soon())
        assert len(server.requests) == 2
    assert (tmp_path / "f").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("body", "found"),
    [(b"", "0"), (b"weight", "6"), (b"weightss", "more"), (b"w" * 100_000, "more")],
    ids=["nothing", "a byte less", "a byte more", "far more"],
)
def test_another_size_is_the_end_of_it(tmp_path, body, found):
    """Asked once: the file changed, and would be as wrong the next time. Not one byte too many is written."""
    with faulty(raw(body)) as server:
        with pytest.raises(Error) as caught:
            plain(server.url).save("/some/f", tmp_path / "f", size=7, until=soon())
        assert caught.value.message == f"Plain at {server.url} sent {found} bytes of 'f' where it had announced 7"
        assert caught.value.hint == "the file changed while it was read, or a proxy answered in the server's place"
        assert len(server.requests) == 1
    assert (tmp_path / "f").stat().st_size <= 7
    assert not isinstance(caught.value, UnavailableError)


def test_a_refusal_writes_nothing(tmp_path):
    """Not the page that says so either."""
    with faulty(raw(b"<p>no", 403)) as server, pytest.raises(HttpError) as caught:
        plain(server.url).save("/f", tmp_path / "f", size=5, until=soon())
    assert caught.value.status == 403
    assert not (tmp_path / "f").exists()


def test_a_deadline_that_is_over_asks_and_writes_nothing(tmp_path):
    """The file that is there stays."""
    (tmp_path / "f").write_bytes(b"before")
    with faulty(raw(b"weights")) as server:
        with pytest.raises(UnavailableError, match="did not answer: no answer within -"):
            plain(server.url).save("/f", tmp_path / "f", size=7, until=time.monotonic() - 1)
        assert server.requests == []
    assert (tmp_path / "f").read_bytes() == b"before"


def test_a_folder_that_is_not_there_is_the_disks_fault(tmp_path):
    """Said at once, with the place, and not asked for again."""
    with faulty(raw(b"weights")) as server:
        with pytest.raises(Error) as caught:
            plain(server.url).save("/f", tmp_path / "no" / "f", size=7, until=soon())
        assert caught.value.message == "cannot write a downloaded file: no such file or directory"
        assert caught.value.where == str(tmp_path / "no" / "f")
        assert len(server.requests) == 1
    assert not isinstance(caught.value, UnavailableError)


def test_a_store_behind_the_server_gets_no_credentials(tmp_path):
    """A redirect to another host is followed without them."""
    with faulty(raw(b"weights")) as store:
        elsewhere = store.url.replace("127.0.0.1", "localhost")
        with faulty(raw(b"", 307, Location=f"{elsewhere}/signed?x=1")) as server:
            plain(server.url, auth=BearerAuth("t")).save("/f", tmp_path / "f", size=7, until=soon())
    assert (tmp_path / "f").read_bytes() == b"weights"
    assert server.requests[0].headers["Authorization"] == "Bearer t"
    assert [(r.path, r.headers.get("Authorization")) for r in store.requests] == [("/signed?x=1", None)]


def test_a_download_has_a_deadline_of_its_own(tmp_path):
    """Neither shorter nor longer for what the client allows its questions."""
    with faulty(raw(b"", 503), answer({})) as server:
        plain(server.url, total_s=0.0).save("/f", tmp_path / "f", size=2, until=soon())
        assert len(server.requests) == 2
