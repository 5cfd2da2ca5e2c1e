"""What a server may send: the largest answer, JSON by any name and in any depth, errors of any length, nothing at all."""

from __future__ import annotations

import gzip
import json

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http import calls, retries
from mlrelease.http.errors import AnsweredBadlyError, HttpError, MaybeDoneError
from support.faulty_server import answer, cut_chunk, faulty, raw
from support.plain_dialect import PlainDialect, plain


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """The same policy with a hundredth of the waits."""
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.002)


@pytest.mark.parametrize(("size", "whole"), [(1024, True), (1025, False)], ids=["the largest", "one byte more"])
@pytest.mark.parametrize("status", [200, 201])
def test_an_answer_has_a_largest_size(monkeypatch, size, whole, status):
    """Judged as it comes in, and final: the next one would be as large."""
    monkeypatch.setattr(calls, "_LARGEST_JSON", 1024)
    body = json.dumps({"a": "x" * (size - 9)}).encode()
    assert len(body) == size
    with faulty(raw(body, status, content_type="application/json")) as server:
        if whole:
            assert len(plain(server.url).get("/x")["a"]) == size - 9
            return
        with pytest.raises(Error) as caught:
            plain(server.url).get("/x")
        assert caught.value.message == f"Plain at {server.url} answered with more than 1 KiB"
        assert caught.value.hint == "the address is in the settings"
        assert len(server.requests) == 1


@pytest.mark.parametrize(("size", "judged"), [(1023, 1023), (1024, 1024), (1025, 1024), (1_000_000, 1024)])
def test_an_error_of_any_length_is_still_that_error(monkeypatch, size, judged):
    """A proxy's page with its pictures in it is a 502 like any other: it is cut, and tried again."""
    monkeypatch.setattr(calls, "_LARGEST_ERROR", 1024)
    dialect = PlainDialect()
    with faulty(raw(b"x" * size, 502, content_type="text/html"), answer({"ok": 1})) as server:
        assert plain(server.url, dialect=dialect).get("/x") == {"ok": 1}
    ((refusal),) = dialect.judged
    assert (refusal.status, len(refusal.body), refusal.content_type) == (502, judged, "text/html")


def test_a_long_refusal_is_a_refusal():
    """Final, with its status: whoever asks may act on it."""
    with faulty(raw(b"x" * 200_000, 404, content_type="text/html")) as server:
        with pytest.raises(HttpError) as caught:
            plain(server.url).get("/x")
        assert caught.value.status == 404
        assert len(server.requests) == 1


def endless(handler):
    """Begins to say no, and never comes to an end."""
    handler.send_response(404)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(b"x" * 2048)
    handler.wfile.flush()
    handler.closing.wait(60)
    handler.close_connection = True


def test_a_refusal_is_not_read_to_its_end(monkeypatch):
    """What an error needs is enough: the rest is not waited for."""
    monkeypatch.setattr(calls, "_LARGEST_ERROR", 1024)
    with faulty(endless) as server, pytest.raises(HttpError) as caught:
        plain(server.url).get("/x")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/vnd.oci.image.manifest.v1+json", "text/json"],
)
def test_json_comes_under_several_names(content_type):
    """Each is read."""
    with faulty(raw('{"a": "ä"}'.encode(), content_type=content_type)) as server:
        assert plain(server.url).get("/x") == {"a": "ä"}


@pytest.mark.parametrize("value", [[1], "text", 7, 1.5, True, None], ids=repr)
def test_any_json_is_an_answer_but_only_an_object_is_one_to_a_question(value):
    """`ask` hands on what came; `get` and `post` say what it is not."""
    with faulty(raw(json.dumps(value).encode(), content_type="application/json")) as server:
        assert plain(server.url).ask("GET", "/x").value == value
        for ask in (lambda: plain(server.url).get("/x"), lambda: plain(server.url).post("/x", {}, idempotent=True)):
            with pytest.raises(Error) as caught:
                ask()
            assert caught.value.message == f"Plain at {server.url} answered with JSON that is not an object"
            assert caught.value.hint == "the address is in the settings"


HALF = [
    ("nothing", raw(b"", content_type="application/json")),
    ("half an object", raw(b'{"a": ', content_type="application/json")),
    ("two objects", raw(b"{}{}", content_type="application/json")),
    ("no JSON", raw(b"<html>", content_type="application/json")),
    ("bytes that are no text", raw(b'{"a": "\xff"}', content_type="application/json")),
    ("packed without being asked", raw(gzip.compress(b"{}"), content_type="application/json", Content_Encoding="gzip")),
    ("a hundred thousand brackets", raw(b"[" * 100_000, content_type="application/json")),
    ("a number without an end", raw(b"9" * 5000, content_type="application/json")),
]


@pytest.mark.parametrize("fault", [case[1] for case in HALF], ids=[case[0] for case in HALF])
def test_what_is_no_json_is_asked_for_again_and_then_said(fault):
    """Cut off by a proxy it may be whole the next time; of no kind is it a defect of ours."""
    with faulty(fault, answer({"ok": 1})) as server:
        assert plain(server.url).get("/x") == {"ok": 1}
    with faulty(fault) as server:
        with pytest.raises(UnavailableError) as caught:
            plain(server.url).get("/x")
        assert caught.value.message == f"Plain at {server.url} did not answer: the answer was not whole JSON"
        assert len(server.requests) == 5
        with pytest.raises(MaybeDoneError):
            plain(server.url).post("/x", {}, idempotent=False)
        assert len(server.requests) == 6


def test_a_chunk_that_is_cut_off_is_no_answer():
    """Neither half of it nor an empty one is handed on."""
    with faulty(cut_chunk(), answer({"ok": 1})) as server:
        assert plain(server.url).get("/x") == {"ok": 1}
    assert len(server.requests) == 2


def test_values_that_json_does_not_have_come_as_python_writes_them():
    """MLflow answers NaN for a metric that is none: what that means is the reader's to say."""
    with faulty(raw(b'{"a": NaN, "b": Infinity}', content_type="application/json")) as server:
        found = plain(server.url).get("/x")
    assert (str(found["a"]), str(found["b"])) == ("nan", "inf")


@pytest.mark.parametrize("status", [201, 202, 204, 205])
def test_a_write_may_be_answered_by_json_too(status):
    """Where there is a body, and it says that it is JSON; 204 and 205 never have one."""
    with faulty(answer({"id": 7}, status)) as server:
        found = plain(server.url).ask("POST", "/x").value
    assert found == ({"id": 7} if status != 204 else None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, AnsweredBadlyError), (502, AnsweredBadlyError), (429, AnsweredBadlyError), (408, AnsweredBadlyError)],
)
def test_a_server_that_only_answers_badly_is_told_from_one_that_is_away(status, kind):
    """The one question may be at fault, others may not be."""
    with faulty(raw(b"", status)) as server:
        with pytest.raises(kind) as caught:
            plain(server.url).get("/x")
        assert caught.value.message == f"Plain at {server.url} answered {status}"
        assert caught.value.hint == "the server's own log says why; what runs keeps running"
        assert len(server.requests) == 5
