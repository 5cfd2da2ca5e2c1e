"""The retry policy of outside HTTP, one test a fault, against a real server that misbehaves."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http import retries as policy
from mlrelease.http.calls import Http
from mlrelease.http.errors import HttpError, MaybeDoneError
from mlrelease.http.session import BearerAuth
from mlrelease.registries.mlflow_dialect import MlflowDialect
from requests.auth import HTTPBasicAuth
from support.faulty_server import answer, closed_port, dripping, error, faulty, raw, reset, silent, truncated

SECRET = "s3cret-t0ken"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """The same policy with a tenth of the waits."""
    monkeypatch.setattr(policy, "FIRST_WAIT_S", 0.02)


def http(url, *, total_s=5.0, read_s=2.0, connect_s=1.0, **options):
    return Http(url, name="MLflow", dialect=MlflowDialect(), connect_s=connect_s, read_s=read_s, total_s=total_s, **options)


def test_a_refused_connection_is_reported_with_what_to_check(monkeypatch):
    """The address comes without userinfo and query, and well before the 15 s, with the real waits."""
    monkeypatch.undo()
    with closed_port() as port:
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            http(f"http://ann:{SECRET}@127.0.0.1:{port}/?token={SECRET}", total_s=12).get("/x", {"q": SECRET})
    assert caught.value.message == f"MLflow at http://127.0.0.1:{port} did not answer: connection refused"
    assert caught.value.hint == (
        "is it running? the address comes from tracking_uri in environments/<env>/environment.yaml or MLFLOW_TRACKING_URI"
    )
    assert time.monotonic() - began < 15


def test_a_host_that_swallows_packets_ends_by_the_total_deadline():
    """A full backlog answers no SYN, as a firewall that drops."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            began = time.monotonic()
            with pytest.raises(UnavailableError, match=r"no connection within 0.3 s"):
                http(f"http://127.0.0.1:{address[1]}", connect_s=0.3, total_s=1).get("/x")
            assert time.monotonic() - began < 3
        finally:
            for filler in fillers:
                filler.close()


def test_an_unknown_host_name_is_named_as_the_reason():
    """The reserved name `.invalid` never resolves."""
    with pytest.raises(UnavailableError, match=r"http://nowhere\.invalid did not answer: its host name is not known"):
        http("http://nowhere.invalid", total_s=0.5).get("/x")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(reset, id="connection reset"),
        pytest.param(truncated(), id="body cut off"),
        pytest.param(raw(b'{"a": ', content_type="application/json"), id="half a JSON text"),
        pytest.param(error(408, "X"), id="408"),
        pytest.param(error(429, "REQUEST_LIMIT_EXCEEDED"), id="429"),
        pytest.param(error(500, "INTERNAL_ERROR"), id="500"),
        pytest.param(raw(b"<html>bad gateway", 502, content_type="text/html"), id="502 of a proxy"),
        pytest.param(error(503, "TEMPORARILY_UNAVAILABLE"), id="503"),
        pytest.param(error(504, "X"), id="504"),
    ],
)
def test_a_fault_that_passes_is_retried(fault):
    """Three faults, then the answer: the caller sees the answer alone."""
    with faulty(fault, fault, fault, answer({"ok": 1})) as server:
        assert http(server.url).get("/x") == {"ok": 1}
        assert len(server.requests) == 4


def test_a_server_that_fails_for_ever_is_asked_five_times_and_reported():
    """Status and MLflow's own words, cut to one line."""
    with faulty(error(500, "INTERNAL_ERROR", "unable to open\ndatabase file")) as server:
        with pytest.raises(UnavailableError) as caught:
            http(server.url).get("/x")
        assert caught.value.message == f"MLflow at {server.url} answered 500 INTERNAL_ERROR: unable to open database file"
        assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        pytest.param(reset, "connection reset by peer|closed without an answer", id="reset"),
        pytest.param(silent, "no answer within 0.2 s", id="silent"),
        pytest.param(truncated(), "the answer was cut off", id="truncated"),
        pytest.param(dripping, "the answer did not end in time", id="dripping"),
    ],
)
def test_a_connection_that_keeps_breaking_is_named(fault, text):
    """Each way of breaking has its own words, and none outlasts the deadline."""
    with faulty(fault) as server:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=f"did not answer: ({text})"):
            http(server.url, read_s=0.2, total_s=1).get("/x")
        assert time.monotonic() - began < 3


def _in_two_seconds():
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least_s"),
    [pytest.param(lambda: "1", 1.0, id="seconds"), pytest.param(_in_two_seconds, 0.9, id="date")],
)
def test_retry_after_is_waited_for(header, least_s):
    """In both of its forms (dates have whole seconds)."""
    with faulty(error(429, "X", Retry_After=header()), answer({"ok": 1})) as server:
        began = time.monotonic()
        assert http(server.url).get("/x") == {"ok": 1}
        assert least_s <= time.monotonic() - began < 4


@pytest.mark.parametrize("header", ["3600", "Fri, 31 Dec 2199 23:59:59 GMT", "9" * 30], ids=["seconds", "date", "huge"])
def test_retry_after_beyond_the_deadline_is_reported_at_once(header):
    """Nobody waits for an hour, and nobody asks again before."""
    with faulty(error(429, "REQUEST_LIMIT_EXCEEDED", Retry_After=header)) as server:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"answered 429 .* asks to wait \d+ s"):
            http(server.url).get("/x")
        assert len(server.requests) == 1
        assert time.monotonic() - began < 1


@pytest.mark.parametrize("header", ["soon", "", "-5"], ids=repr)
def test_a_senseless_retry_after_counts_as_none(header):
    """The usual backoff is used."""
    with faulty(error(503, "X", Retry_After=header), answer({"ok": 1})) as server:
        assert http(server.url).get("/x") == {"ok": 1}


@pytest.mark.parametrize(
    ("fault", "status", "code", "text", "hint"),
    [
        pytest.param(
            error(404, "RESOURCE_DOES_NOT_EXIST", "Model Version not found"),
            *(404, "RESOURCE_DOES_NOT_EXIST", "answered 404 RESOURCE_DOES_NOT_EXIST: Model Version not found", ""),
            id="MLflow's own 404",
        ),
        pytest.param(
            raw(b"<h1>Not Found</h1>", 404, content_type="text/html"),
            *(404, "", "answered 404 without an MLflow error code", "path prefix"),
            id="a web server's 404",
        ),
        pytest.param(raw(b"", 401), 401, "", "refused the credentials", "MLFLOW_TRACKING_TOKEN", id="401"),
        pytest.param(error(403, "PERMISSION_DENIED", "no"), 403, "PERMISSION_DENIED", "denies access", "TOKEN", id="403"),
        pytest.param(
            raw(b"Invalid Host header - possible DNS rebinding attack detected", 403),
            *(403, "", "refuses requests under this host name", "--allowed-hosts"),
            id="403 for the host name",
        ),
    ],
)
def test_a_refusal_is_final_and_clear(fault, status, code, text, hint):
    """4xx is asked once, and callers get status and error code."""
    with faulty(fault) as server:
        with pytest.raises(HttpError, match=text) as caught:
            http(server.url).get("/x")
        assert (caught.value.status, caught.value.code) == (status, code)
        assert hint in caught.value.hint
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        pytest.param(raw(b"<html>log in", content_type="text/html; charset=utf-8"), "answered with text/html", id="HTML"),
        pytest.param(answer([1]), "JSON that is not an object", id="a list"),
        pytest.param(raw(b" " * (65 << 20), content_type="application/json"), "more than 65536 KiB", id="too large"),
    ],
)
def test_an_answer_of_another_kind_is_no_answer(fault, text):
    """A login page comes with status 200."""
    with faulty(fault) as server, pytest.raises(Error, match=text) as caught:
        http(server.url).get("/x")
    assert not isinstance(caught.value, UnavailableError)


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        pytest.param(BearerAuth(SECRET), f"Bearer {SECRET}", id="token"),
        pytest.param(HTTPBasicAuth("ann", SECRET), "Basic YW5uOnMzY3JldC10MGtlbg==", id="password"),
    ],
)
def test_credentials_do_not_follow_a_redirect_to_another_host(auth, sent, monkeypatch, tmp_path):
    """And what `~/.netrc` says of either host is not sent in their place."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login netrc password netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with faulty(answer({"ok": 1})) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with faulty(raw(b"", 302, Location=f"{elsewhere}/y"), answer({"ok": 2})) as server:
            client = http(server.url, auth=auth)
            client._session.trust_env = True  # as for a host that is not this machine
            assert client.get("/x") == {"ok": 1}
            assert client.get("/x") == {"ok": 2}
        assert [r.headers.get("Authorization") for r in server.requests] == [sent, sent]
        assert [r.headers.get("Authorization") for r in other.requests] == [None]


def test_a_post_is_not_turned_into_a_get_by_a_redirect():
    """It is refused, naming the address without its query."""
    with faulty(raw(b"", 301, Location=f"https://ann:{SECRET}@new.example/api?x={SECRET}")) as server:
        with pytest.raises(Error, match=r"redirects to https://new.example/api$"):
            http(server.url).post("/x", {}, idempotent=True)
        assert [r.method for r in server.requests] == ["POST"]


def test_a_post_that_may_have_been_done_is_not_repeated_unless_it_may_be():
    """A reset after sending leaves open what happened."""
    with faulty(reset, answer({"ok": 1})) as server:
        with pytest.raises(UnavailableError):
            http(server.url).post("/x", {"a": 1}, idempotent=False)
        assert http(server.url).post("/x", {"a": 1}, idempotent=True) == {"ok": 1}
        assert server.requests[-1].body == b'{"a": 1}'


def test_userinfo_in_the_address_becomes_the_credentials():
    """Percent-decoded; and the address is shown without it."""
    with faulty(answer()) as server:
        client = http(server.url.replace("//", "//ann:p%40ss@"))
        client.get("/x")
        assert server.requests[0].headers["Authorization"] == "Basic YW5uOnBAc3M="
        assert client.where == server.url


def test_secrets_never_reach_errors_or_logs(capfd):
    """Neither the token nor a query is written anywhere, at the most talkative level."""
    from mlrelease import log

    log.configure(level=0)
    try:
        with faulty(reset, error(500, "INTERNAL_ERROR")) as server, pytest.raises(UnavailableError) as caught:
            http(server.url, auth=BearerAuth(SECRET)).get("/x", {"q": SECRET})
    finally:
        log.configure(level=30)
    written = "".join(capfd.readouterr())
    assert "retry" in written
    assert SECRET not in written + caught.value.message + caught.value.hint + (caught.value.where or "")


def test_a_certificate_that_nobody_vouches_for_is_reported_at_once(tmp_path):
    """Once, with the setting that names the CA; named there, the same server is trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve_tls, args=(listener, context), daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Error, match=r"TLS connection was refused .*self.signed certificate") as caught:
            http(url).get("/x")
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in caught.value.hint
        assert http(url, verify=str(certificate)).get("/x") == {}
        assert http(url, verify=False).get("/x") == {}
        thread.join(10)
    assert not thread.is_alive()


def _serve_tls(listener, context):
    for _ in range(3):
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as stream:
                stream.recv(65536)
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        except OSError:
            connection.close()


def _soon():
    return time.monotonic() + 5


@pytest.mark.parametrize(
    "fault", [pytest.param(truncated(b"weig", 7, "text/plain"), id="cut off"), pytest.param(error(503, "X"), id="503")]
)
def test_a_download_that_breaks_starts_again(tmp_path, fault):
    """The file holds the whole bytes once, whatever came before."""
    with faulty(fault, raw(b"weights")) as server:
        http(server.url).save("/f", tmp_path / "f", size=7, until=_soon())
    assert (tmp_path / "f").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("body", "found"),
    [pytest.param(b"weight", "6 bytes", id="fewer"), pytest.param(b"weightss", "more bytes", id="more")],
)
def test_a_download_of_another_size_is_refused(tmp_path, body, found):
    """And no more is written than was announced."""
    with faulty(raw(body)) as server, pytest.raises(Error, match=f"sent {found} of 'f' where it had announced 7"):
        http(server.url).save("/f", tmp_path / "f", size=7, until=_soon())
    assert (tmp_path / "f").stat().st_size <= 7


def test_a_download_ends_by_its_deadline(tmp_path):
    """A server that drips is not waited for."""
    began = time.monotonic()
    with faulty(dripping) as server, pytest.raises(UnavailableError, match="did not end in time"):
        http(server.url).save("/f", tmp_path / "f", size=1_000_000, until=began + 0.5)
    assert time.monotonic() - began < 2


def test_a_disk_that_cannot_be_written_is_not_taken_for_the_network(tmp_path):
    """Both are `OSError`s; only the network's are retried."""
    with faulty(raw(b"weights")) as server:
        with pytest.raises(Error, match="cannot write a downloaded file: no space left on device"):
            http(server.url).save("/f", Path("/dev/full"), size=7, until=_soon())
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param("http://", "not an http", id="no host"),
        pytest.param("http://host:port", "not a URL", id="no port number"),
        pytest.param("http://[::1", "not a URL", id="half an address"),
        pytest.param(f"ftp://ann:{SECRET}@host", "not an http.*URL: ftp://host$", id="another scheme"),
    ],
)
def test_an_address_that_is_none_is_refused(url, text):
    """At once, before anything is asked."""
    with pytest.raises(Error, match=text):
        http(url)


# -- any method, any JSON ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_any_method_is_asked_with_its_body(method):
    """And the whole answer comes back: status, headers in any case, value."""
    with faulty(answer([1, 2], 201, X_Thing="a")) as server:
        found = http(server.url).ask(method, "/x", params={"q": "1"}, body={"a": 1})
        assert (found.status, found.value, found.headers["x-thing"]) == (201, [1, 2], "a")
        (request,) = server.requests
        assert (request.method, request.path, request.body) == (method, "/x?q=1", b'{"a": 1}')


@pytest.mark.parametrize("status", [201, 202, 204, 205])
def test_a_write_may_be_answered_by_nothing(status):
    """Then there is no value, whatever type the answer claims."""
    with faulty(raw(b"", status, content_type="text/plain")) as server:
        assert http(server.url).ask("POST", "/x").value is None


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(raw(b"", 200), id="200 and nothing"),
        pytest.param(raw(b"<p>", 200, content_type="text/html"), id="200 in HTML"),
        pytest.param(raw(b"<p>", 201, content_type="text/html"), id="201 in HTML"),
    ],
)
def test_a_success_without_json_is_none(fault):
    """Somebody else answered."""
    with faulty(fault) as server:
        with pytest.raises(Error, match=r"instead of JSON"):
            http(server.url).ask("POST", "/x", body={}, idempotent=False)
        assert len(server.requests) == 1


def test_a_head_has_no_body():
    """Its headers are the answer, though they announce one."""
    with faulty(raw(b"", content_type="application/vnd.oci.x+json", Docker_Content_Digest="sha256:a")) as server:
        found = http(server.url).ask("HEAD", "/v2/x/manifests/sha256:a")
        assert (found.value, found.headers["docker-content-digest"]) == (None, "sha256:a")


def test_bytes_are_sent_as_they_are():
    """With their own type."""
    with faulty(answer({"ok": 1})) as server:
        http(server.url).ask("POST", "/x", data=b"\x00\xff", content_type="application/zip")
        assert server.requests[0].body == b"\x00\xff"
        assert server.requests[0].headers["Content-Type"] == "application/zip"


def test_headers_of_a_client_go_with_every_call():
    """Beside its credentials."""
    with faulty(answer({"ok": 1})) as server:
        http(server.url, headers={"X-Version": "1"}, auth=BearerAuth(SECRET)).ask("PUT", "/x")
        sent = server.requests[0].headers
        assert (sent["X-Version"], sent["Authorization"]) == ("1", f"Bearer {SECRET}")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(reset, MaybeDoneError, id="reset"),
        pytest.param(truncated(), MaybeDoneError, id="cut off"),
        pytest.param(error(500, "INTERNAL_ERROR"), MaybeDoneError, id="500"),
        pytest.param(raw(b'{"a', content_type="application/json"), MaybeDoneError, id="half a JSON text"),
        pytest.param(error(400, "BAD"), HttpError, id="400 is a clear no"),
    ],
)
def test_a_call_that_must_not_be_doubled_says_whether_it_may_have_been_done(fault, kind):
    """Once asked, never again."""
    with faulty(fault, answer({"ok": 1})) as server:
        with pytest.raises(kind):
            http(server.url).ask("POST", "/x", body={}, idempotent=False)
        assert len(server.requests) == 1


def test_a_call_that_never_arrived_is_not_in_doubt():
    """A refused port saw nothing."""
    with closed_port() as port, pytest.raises(UnavailableError, match="connection refused") as caught:
        http(f"http://127.0.0.1:{port}", total_s=1).ask("POST", "/x", body={}, idempotent=False)
    assert not isinstance(caught.value, MaybeDoneError)


# -- patience ------------------------------------------------------------------------------------------------------


def test_waiting_that_the_server_asks_for_counts_apart():
    """The call as a whole may take longer than its deadline by that much."""
    with faulty(error(429, "X", Retry_After="1"), error(429, "X", Retry_After="1"), answer({"ok": 1})) as server:
        began = time.monotonic()
        assert http(server.url, total_s=1.5, patience_s=5).get("/x") == {"ok": 1}
        assert time.monotonic() - began >= 2


def test_patience_is_used_up():
    """Each wait takes from it; then the usual deadline decides."""
    with faulty(error(429, "X", Retry_After="1")) as server:
        with pytest.raises(UnavailableError, match="asks to wait 1 s"):
            http(server.url, total_s=0.9, patience_s=2.5).get("/x")
        assert len(server.requests) == 3


def test_without_patience_a_wait_counts_like_any_other():
    """As for MLflow."""
    with faulty(error(429, "X", Retry_After="1")) as server:
        with pytest.raises(UnavailableError, match="asks to wait 1 s"):
            http(server.url, total_s=0.9).get("/x")
        assert len(server.requests) == 1
