"""The address of a server: which are refused, which are this machine's, and what of one goes on the wire."""

from __future__ import annotations

import base64

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http.session import BearerAuth
from requests.auth import HTTPBasicAuth
from support.faulty_server import answer, closed_port, faulty
from support.plain_dialect import plain

SECRET = "s3cr3t"
NONE = ("Plain: the address is not a URL", "the address is in the settings")
BEHIND = ("Plain: the address has an @ behind its host", "in a password / ? and # are written %2F %3F and %23")


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("", "Plain: the address is not an http(s) URL: ", ""),
        ("host:5000", "Plain: the address is not an http(s) URL: host:5000", ""),
        ("http://", "Plain: the address is not an http(s) URL: http://", ""),
        ("http:///path", "Plain: the address is not an http(s) URL: http:///path", ""),
        ("http://:5000", "Plain: the address is not an http(s) URL: http://:5000", ""),
        ("sqlite:///mlflow.db", "Plain: the address is not an http(s) URL: sqlite:/mlflow.db", ""),
        (f"ftp://ann:{SECRET}@host/?{SECRET}", "Plain: the address is not an http(s) URL: ftp://host", ""),
        (f"http://ann:{SECRET}@[::1", *NONE),
        (f"http://ann:{SECRET}/x@host", *NONE),
        (f"http://ann:{SECRET}?x@host", *NONE),
        (f"http://ann:{SECRET}#x@host", *NONE),
        (f"http://ann:{SECRET}@ho\u2100st", *NONE),
        ("http://host:65536", *NONE),
        ("http://host:-1", *NONE),
        (f"http://ann:12/{SECRET}@host", *BEHIND),
        (f"http://ann:12?{SECRET}@host", *BEHIND),
        (f"http://ann:12#{SECRET}@host", *BEHIND),
        (f"http://ann/{SECRET}@host", *BEHIND),
    ],
    ids=[
        "nothing",
        "no scheme",
        "no host",
        "a path alone",
        "a port alone",
        "a database",
        "another scheme",
        "half an IPv6 address",
        "a slash in the password",
        "a question mark in the password",
        "a hash in the password",
        "a host that is none",
        "a port beyond",
        "a port below",
        "a slash after figures, which would pass for a port",
        "a question mark after figures",
        "a hash after figures",
        "a slash in the name",
    ],
)
def test_what_is_no_address_is_refused_without_showing_what_it_holds(url, message, hint):
    """At once; neither the message nor what an error carries along quotes a password."""
    with pytest.raises(Error) as caught:
        plain(url)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert not isinstance(caught.value, UnavailableError)
    if SECRET in url:
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "where", "authority"),
    [
        ("http://host", "http://host", ("host", 80)),
        ("https://host", "https://host", ("host", 443)),
        ("https://HOST:8443/", "https://HOST:8443", ("host", 8443)),
        (f"http://ann:{SECRET}@host:5000/ml/flow//?{SECRET}", "http://host:5000/ml/flow", ("host", 5000)),
        ("http://[::1]:5000/x", "http://[::1]:5000/x", ("::1", 5000)),
    ],
    ids=["http", "https", "letters of any case", "with all that an address can have", "IPv6"],
)
def test_an_address_says_where_and_whom(url, where, authority):
    """For messages as it can be shown, for comparing as host and port."""
    client = plain(url)
    assert (client.where, client.authority, client.server) == (where, authority, f"Plain at {where}")


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("127.0.0.1.example.org", False),
        ("127.evil.example", False),
        ("localhost.example.org", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("[fe80::1]", False),
        ("mlflow", False),
    ],
)
def test_only_this_machine_is_this_machine(host, here):
    """A name that begins like its addresses is somebody else's: what it says of local files is not believed."""
    assert plain(f"http://{host}:5000").is_loopback is here


def test_the_proxy_of_the_environment_is_asked_for_others_only(monkeypatch):
    """`HTTP_PROXY` is not for this machine; for others it is, and it is named when it refuses."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with closed_port() as port, faulty(answer({"ok": 1})) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:{SECRET}@127.0.0.1:{port}")
        assert plain(server.url).get("/x") == {"ok": 1}
        with pytest.raises(UnavailableError) as caught:
            plain("http://mlflow.invalid", total_s=0.3).get("/x")
    assert caught.value.message == (
        "Plain at http://mlflow.invalid did not answer: the HTTP proxy named by the environment refused the connection"
    )


def test_a_proxy_passes_the_request_on(monkeypatch):
    """Whole, with the credentials of the server and not of anybody else."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with faulty(answer({"ok": 1})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert plain("http://ann:p@mlflow.invalid/pre").get("/x", {"q": "1"}) == {"ok": 1}
    (request,) = proxy.requests
    assert request.path == "http://mlflow.invalid/pre/x?q=1"
    assert request.headers["Authorization"] == "Basic YW5uOnA="


@pytest.mark.parametrize(
    ("userinfo", "sent"),
    [
        ("ann:p", b"ann:p"),
        ("ann", b"ann:"),
        ("ann:", b"ann:"),
        (":p", b":p"),
        ("a%40b:p%3A%2F%3F%23", b"a@b:p:/?#"),
        ("ann:%E2%82%AC%C3%A4", "ann:€ä".encode()),
        ("ann:p:q", b"ann:p:q"),
        ("ann:p@q", b"ann:p@q"),
    ],
    ids=[
        "name and password",
        "a name",
        "an empty password",
        "no name",
        "what must be written by number",
        "letters beyond ASCII, as MLflow reads them",
        "a colon",
        "an @",
    ],
)
def test_userinfo_becomes_the_credentials(userinfo, sent):
    """Decoded, and in UTF-8."""
    with faulty(answer()) as server:
        plain(server.url.replace("//", f"//{userinfo}@")).get("/x")
    assert base64.b64decode(server.requests[0].headers["Authorization"].removeprefix("Basic ")) == sent


def test_credentials_that_are_given_come_before_those_of_the_address():
    """A token of the environment replaces a password in a file."""
    with faulty(answer()) as server:
        plain(server.url.replace("//", "//ann:p@"), auth=BearerAuth("t")).get("/x")
    assert server.requests[0].headers["Authorization"] == "Bearer t"


def test_without_credentials_none_are_sent(monkeypatch, tmp_path):
    """Not even those that `~/.netrc` has for the host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with faulty(answer()) as server:
        client = plain(server.url)
        client._session.trust_env = True  # as for a host that is not this machine
        client.get("/x")
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "token",
    [f"{SECRET}\n", f"{SECRET}\r\nX-Other: 1", f" {SECRET}", f"a {SECRET}", f"{SECRET}\x00", f"{SECRET}€", f"{SECRET}\x7f", ""],
    ids=[
        "a line break at its end",
        "another header",
        "a blank before",
        "a blank within",
        "a zero",
        "a letter",
        "DEL",
        "nothing",
    ],
)
def test_what_is_no_token_is_refused_before_it_is_sent(token):
    """The library that sends it would quote it in its error."""
    with pytest.raises(Error) as caught:
        BearerAuth(token)
    assert caught.value.message == "the token holds what no token holds: a line break, a blank, or a letter beyond ASCII"
    assert caught.value.hint == "set it again as it was issued; see that no line break came with it"


@pytest.mark.parametrize("prefix", ["", "/", "/ml", "/ml/flow/"], ids=repr)
def test_a_path_is_asked_below_the_address(prefix):
    """With one slash between them, and no query but the call's."""
    with faulty(answer()) as server:
        plain(f"{server.url}{prefix}?a=1#b").get("/x y/ä", {"q": "1 &ä"})
    assert server.requests[0].path == f"{prefix.rstrip('/')}/x%20y/%C3%A4?q=1+%26%C3%A4"


def test_what_every_call_carries():
    """An answer as it is on the wire, the client's own headers, and neither of them in place of the other."""
    with faulty(answer()) as server:
        plain(server.url, headers={"X-A": "1", "Accept": "application/json"}).get("/x")
        plain(server.url, headers={"Accept-Encoding": "gzip"}, auth=HTTPBasicAuth("a", "b")).get("/x")
    first, second = (request.headers for request in server.requests)
    assert (first["Accept-Encoding"], first["X-A"], first["Accept"]) == ("identity", "1", "application/json")
    assert second["Accept-Encoding"] == "gzip"
