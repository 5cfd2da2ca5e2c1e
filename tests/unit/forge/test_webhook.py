"""One body to one address: signed, not redirected, and an address that never shows."""

from __future__ import annotations

import hashlib
import hmac
import socket

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.webhook import DELIVERY, SIGNATURE, Webhook
from support.receiver import receiving

BODY = b'{"kind": "rolled_back"}'


@pytest.fixture
def receiver():
    """Somebody who answers 204."""
    with receiving() as found:
        yield found


def test_the_body_arrives_as_it_is(receiver):
    """With what it is, and a name by which a repeat is known."""
    Webhook(receiver.url).send(BODY, delivery="one")
    (got,) = receiver.deliveries
    assert (got.path, got.body) == ("/hooks/s3cr3t-path", BODY)
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers[DELIVERY] == "one"
    assert SIGNATURE not in got.headers
    assert "Authorization" not in got.headers


def test_a_secret_signs_it(receiver):
    """As GitHub's own webhooks are signed: HMAC-SHA-256 over the bytes."""
    Webhook(receiver.url, "hush").send(BODY, delivery="one")
    (got,) = receiver.deliveries
    assert got.headers[SIGNATURE] == "sha256=" + hmac.new(b"hush", BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_will_do(receiver, status):
    """Chat servers answer `ok` with 200."""
    receiver.status = status
    Webhook(receiver.url).send(BODY, delivery="one")


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_a_no_is_an_error_with_its_status(receiver, status):
    """The next try is the caller's business."""
    receiver.status = status
    with pytest.raises(Error, match=f"answered {status}") as raised:
        Webhook(receiver.url, "hush").send(BODY, delivery="one")
    assert_hidden(raised.value)


def test_a_redirect_is_not_followed(receiver):
    """The body is for the address that somebody named, and for no other."""
    receiver.status, receiver.location = 302, receiver.url.replace("/hooks", "/elsewhere")
    with pytest.raises(Error, match="answered 302"):
        Webhook(receiver.url).send(BODY, delivery="one")
    assert len(receiver.deliveries) == 1


def test_nobody_there_is_unavailable():
    """A port that nobody listens on, with credentials in the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        url = f"http://user:passw0rd@127.0.0.1:{port}/hooks/s3cr3t-path?token=t0k3n"
        with pytest.raises(UnavailableError, match=f"the webhook at http://127.0.0.1:{port} did not take") as raised:
            Webhook(url, "hush").send(BODY, delivery="one")
    assert_hidden(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_an_answer_that_ends_halfway_is_unavailable():
    """The connection is reset before a status came."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def hang_up():
            connection, _ = server.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnavailableError):
            Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/x").send(BODY, delivery="one")
        thread.join(10)


@pytest.mark.parametrize(
    "url",
    ["", "hooks/s3cr3t-path", "ftp://example.org/s3cr3t-path", "http:///s3cr3t-path", "http://[s3cr3t-path", "http://a:b/c"],
    ids=["empty", "a path", "another scheme", "no host", "half an address", "a port that is none"],
)
def test_an_address_that_is_none_is_an_error_without_it(url):
    """What was set, and where, but not what it says."""
    with pytest.raises(Error, match=r"not an http\(s\) URL") as raised:
        Webhook(url).send(BODY, delivery="one")
    assert_hidden(raised.value)
    assert "MLRELEASE_WEBHOOK_URL" in raised.value.hint


def test_it_does_not_show_itself():
    """Not even where somebody prints it."""
    text = repr(Webhook("https://user:passw0rd@example.org/hooks/s3cr3t-path?token=t0k3n", "hush"))
    for secret in ("s3cr3t-path", "t0k3n", "passw0rd", "hush"):
        assert secret not in text
    assert Webhook("https://user:passw0rd@example.org:8443/s3cr3t-path").place == "https://example.org:8443"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://HOST.example/x", "http://host.example"),
        ("https://h:443/x", "https://h:443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("https://u:p@[2001:db8::1]/x", "https://[2001:db8::1]"),
    ],
)
def test_its_place_is_an_address_again(url, place):
    """What a person reads can be tried: the brackets of an IPv6 host stay, and the port by default is not made up."""
    assert Webhook(url).place == place


def assert_hidden(error):
    for secret in ("s3cr3t-path", "t0k3n", "passw0rd", "hush"):
        assert secret not in f"{error.message} {error.hint} {error.where}"
