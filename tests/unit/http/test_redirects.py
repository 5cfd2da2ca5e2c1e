"""Redirects: which are followed and how far, which are named instead, and what travels along."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http.session import BearerAuth, Session
from support.faulty_server import answer, faulty, raw, redirecting
from support.plain_dialect import plain

SECRET = "s3cr3t"


def to(place, status=302):
    return raw(b"<p>elsewhere", status, content_type="text/html", Location=place)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_question_is_followed_with_its_credentials_on_the_same_host(status):
    """A server that moved its paths keeps answering; the query is the new address's own."""
    with faulty(to("/new?b=2", status), answer({"ok": 1})) as server:
        assert plain(server.url, auth=BearerAuth("t")).get("/old", {"a": "1"}) == {"ok": 1}
    assert [(r.method, r.path, r.headers.get("Authorization")) for r in server.requests] == [
        ("GET", "/old?a=1", "Bearer t"),
        ("GET", "/new?b=2", "Bearer t"),
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_else_is_followed(method, status):
    """A write would arrive as a question: the address is named, for the setting that holds it."""
    with faulty(to(f"https://ann:{SECRET}@new.example/api/?x={SECRET}", status)) as server:
        with pytest.raises(Error) as caught:
            plain(server.url).ask(method, "/x", idempotent=True)
        assert caught.value.message == f"Plain at {server.url} redirects to https://new.example/api"
        assert caught.value.hint == "name that address in server_uri"
        assert len(server.requests) == 1
    assert not isinstance(caught.value, UnavailableError)


def test_a_circle_is_not_an_outage():
    """Asked once: the next try would end in the same place."""
    with faulty(redirecting) as server:
        with pytest.raises(Error) as caught:
            plain(server.url).get("/x")
        assert caught.value.message == f"Plain at {server.url} redirects in a circle"
        assert caught.value.hint == "server_uri should name the address that answers itself"
        assert len(server.requests) == 31
    assert not isinstance(caught.value, UnavailableError)


ODD = [
    "ftp://host/x",
    "mailto:ann@host",
    "http://[::1",
    f"http://ann:{SECRET}@[",
    "http://a..b/",
    f"http://{'a' * 64}.example/",
    "http://host:99999/",
    "http://host:port/",
]


@pytest.mark.parametrize("place", ODD)
def test_a_redirect_to_what_is_no_address_is_said_at_once(place):
    """No traceback, no second try, and nothing of the address."""
    with faulty(to(place)) as server:
        with pytest.raises(Error) as caught:
            plain(server.url).get("/x")
        assert caught.value.message == f"Plain at {server.url}: the address, or one that it redirects to, cannot be asked"
        assert caught.value.hint == "check server_uri, and HTTP_PROXY if it is set"
        assert len(server.requests) == 1
    assert not isinstance(caught.value, UnavailableError)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("place", ["http://[::1", f"http://ann:{SECRET}@["], ids=["half an address", "with a password"])
def test_a_write_that_is_redirected_to_what_is_no_address_is_no_defect(place):
    """It is read even though it is not followed."""
    with faulty(to(place)) as server, pytest.raises(Error, match=r"cannot be asked$") as caught:
        plain(server.url).ask("POST", "/x", body={}, idempotent=False)
    assert SECRET not in caught.value.message + caught.value.hint


def test_a_redirect_that_would_act_on_a_terminal_is_shown_inert():
    """A header may hold an escape, and a message is printed."""
    with faulty(to("/x\x1b[2J\x9b")) as server, pytest.raises(Error) as caught:
        plain(server.url).ask("POST", "/x")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("status", [300, 304])
def test_a_redirect_to_nowhere_is_no_answer(status):
    """Without an address there is nothing to follow, and no JSON either."""
    with faulty(raw(b"", status)) as server, pytest.raises(Error, match="answered with text/plain instead of JSON"):
        plain(server.url).get("/x")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("http://host/a", "http://host/b", True),
        ("http://host/a", "http://host:80/b", True),
        ("http://host/a", "https://host/b", True),
        ("http://host/a", "http://HOST/b", True),
        ("https://host/a", "http://host/b", False),
        ("http://host/a", "http://host.example/b", False),
        ("http://host:5000/a", "http://host:5001/b", False),
        ("http://host:5000/a", "https://host:5000/b", False),
    ],
    ids=[
        "another path",
        "the port that it had anyway",
        "to TLS",
        "the same name",
        "from TLS to none",
        "another host",
        "another port",
        "another protocol on a port of its own",
    ],
)
def test_credentials_stay_with_their_host(before, after, kept):
    """As requests decides it; but nothing takes their place."""
    import requests

    answered = requests.Response()
    answered.request = requests.Request("GET", before).prepare()
    following = requests.Request("GET", after, headers={"Authorization": "Bearer t"}).prepare()
    Session().rebuild_auth(following, answered)
    assert ("Authorization" in following.headers) is kept
