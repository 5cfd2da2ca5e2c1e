"""Whether two addresses are one: listeners and MLflow servers by every spelling, and what only looks alike."""

# ruff: noqa: S104 - nothing is bound here
from __future__ import annotations

import itertools

import pytest
from mlrelease.spec.addresses import overlap, servers

SAME_HOSTS = [
    ["127.0.0.1", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]"],
    ["[::1]", "::1", "[0:0:0:0:0:0:0:1]", "[0000::0001]"],
    ["h.example", "H.EXAMPLE", "h.example.", "[h.example]"],
    ["10.0.0.1", "[::ffff:10.0.0.1]"],
    ["localhost", "LOCALHOST", "localhost."],
]


@pytest.mark.parametrize("hosts", SAME_HOSTS, ids=lambda hosts: hosts[0])
def test_every_spelling_of_a_host_is_that_host(hosts):
    """Both ways, and with itself; not another one."""
    for one, other in itertools.product(hosts, repeat=2):
        assert overlap(one, other)
    for other in ("192.168.7.7", "[2001:db8::1]", "elsewhere.example"):
        assert not any(overlap(one, other) or overlap(other, one) for one in hosts)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("localhost", "127.0.0.1", True),
        ("localhost", "[::1]", True),
        ("127.0.0.1", "[::1]", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "localhost", True),
        ("0.0.0.0", "h.example", True),
        ("0.0.0.0", "[::1]", False),
        ("0.0.0.0", "[::ffff:10.0.0.1]", True),
        ("0.0.0.0", "[::]", True),
        ("[::]", "127.0.0.1", True),
        ("[::]", "[2001:db8::1]", True),
        ("[::]", "h.example", True),
        ("[0:0::0]", "10.0.0.1", True),
        ("localhost.example", "localhost", False),
    ],
)
def test_who_takes_every_interface_takes_each(one, other, expected):
    """`::` takes those of IPv4 along, as Linux has it by default; `0.0.0.0` takes none of IPv6."""
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


SAME_SERVERS = [
    ["http://h", "http://h/", "http://H", "http://h:80", "http://h.:80/", "http://ada:x@h", "http://h?x=1", "http://h#x"],
    ["https://h:443/p", "https://h/p", "https://h/p//"],
    ["http://localhost:5000", "http://127.0.0.1:5000/", "http://LOCALHOST.:5000"],
    ["sqlite:///m.db", "sqlite:///./m.db", "sqlite:///a/../m.db"],
    ["sqlite:////srv/m.db", "sqlite:////srv//m.db", "sqlite:////srv/./m.db"],
    ["http://[::1]:5000", "http://[::1]:5000/"],
]


@pytest.mark.parametrize("uris", SAME_SERVERS, ids=lambda uris: uris[0])
def test_every_spelling_of_a_server_is_that_server(uris):
    """Scheme, host, port and path count; who asks does not."""
    assert len(frozenset().union(*map(servers, uris))) == 1
    assert len(frozenset().union(*(servers(uri, {}) for uri in uris))) == 1


def test_servers_that_differ_are_different():
    """In scheme, port, path (its letters, too) or file."""
    uris = [
        "http://h",
        "https://h",
        "http://h:81",
        "http://h/p",
        "http://h/P",
        "http://i",
        "sqlite:///a",
        "sqlite:///b",
        "sqlite:////a",
        "${A}",
        "${B}",
    ]
    found = [servers(uri) for uri in uris]
    assert all(len(one) == 1 for one in found)
    assert len(frozenset().union(*found)) == len(uris)


@pytest.mark.parametrize(
    ("uri", "variables", "expected"),
    [
        ("${A}", None, {"${A}"}),
        ("${A}/", None, {"${A}"}),
        ("${A:-http://h}", None, {"${A:-http://h}", "http://h:80"}),
        ("${A:-http://h}", {}, {"http://h:80"}),
        ("${A:-http://h}", {"A": ""}, {"http://h:80"}),
        ("${A:-http://h}", {"A": "http://i:1/"}, {"http://i:1"}),
        ("http://${H}/p", {"H": "h"}, {"http://h:80/p"}),
        ("http://${H}/p", {}, {"http://${H}/p"}),
        ("http://h:bad/", {}, {"http://h:bad/"}),
        ("http://h:99999/", {}, {"http://h:99999/"}),
        ("http://[::1/", {}, {"http://[::1/"}),
        ("${A", {}, {"${A"}),
    ],
    ids=["a variable", "with a slash", "a default, unknown where", "a default, here", "set to nothing", "set", "in the middle",
         "not set here", "no port", "a port too high", "half a host", "torn"],
)  # fmt: skip
def test_what_an_address_may_mean(uri, variables, expected):
    """As written, and by default; with the variables of this machine only what it means here. Never an error."""
    assert servers(uri, variables) == expected
