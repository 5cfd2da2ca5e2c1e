"""The routing table as Envoy's resources, and what a file says about its own content."""

from __future__ import annotations

import json

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import port, xds
from mlrelease.targets.local.state import Routed, Table


def routed(service="risk", revision="r", weights=None, instances=None):
    return Routed(weights or {"b1": 100}, instances or {"b1": {"i1": "/s/1"}}, f"/{service}/", revision, 60.0)


def entries(table):
    return xds.routes(table)[0]["virtual_hosts"][0]["routes"]


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ([], [{"path": "/"}, {"prefix": "/"}]),
        (["risk"], [{"prefix": "/risk/"}, {"prefix": "/"}]),
        (["a", "risk"], [{"prefix": "/risk/"}, {"prefix": "/a/"}, {"path": "/"}, {"prefix": "/"}]),
    ],
    ids=["no service", "one has the root", "several have prefixes, longest first"],
)
def test_which_paths_are_matched(services, expected):
    """The last entry catches everything: there is always an answer in JSON."""
    assert [e["match"] for e in entries(Table({s: routed(s) for s in services}))] == expected


def test_a_route_carries_weights_and_may_ask_another_instance():
    """Both bundles are named with their weights; a retry chooses its cluster and host anew."""
    table = Table({"risk": routed(weights={"b1": 90, "b2": 10}, instances={"b1": {"i": "/1"}, "b2": {"j": "/2"}})})
    route = entries(table)[0]["route"]
    assert route["weighted_clusters"]["clusters"] == [{"name": "risk--b1", "weight": 90}, {"name": "risk--b2", "weight": 10}]
    assert route["retry_policy"]["refresh_cluster_on_retry"] is True
    assert route["retry_policy"]["retry_host_predicate"][0]["name"].endswith("previous_hosts")
    assert xds.routes(table)[0]["validate_clusters"] is True


def test_clusters_have_their_sockets_and_keep_the_panic_threshold():
    """A cluster without endpoints is left out; `healthy_panic_threshold: 0` would turn a dead side into lost requests."""
    made = xds.clusters({"risk--b1": {"i2": "/s/2", "i1": "/s/1"}, "risk--b2": {}})
    assert [c["name"] for c in made] == ["risk--b1"]
    assert "common_lb_config" not in made[0]
    assert made[0]["circuit_breakers"]["thresholds"][0]["max_retries"] == 256
    assert xds.read_members(xds.versioned(made, "n").data) == {"risk--b1": {"/s/1": "/s/1", "/s/2": "/s/2"}}


def test_all_clusters_of_a_switch_are_there_at_once():
    """The union has every endpoint of both sides."""
    assert xds.union({"a": {"1": "x"}}, {"a": {"2": "y"}, "b": {"3": "z"}}) == {"a": {"1": "x", "2": "y"}, "b": {"3": "z"}}


def test_equal_content_is_a_new_version_of_the_same_hash():
    """So that Envoy confirms each write, and a changed content is still told apart."""
    one, two = xds.versioned([{"a": 1}], "n1"), xds.versioned([{"a": 1}], "n2")
    assert one.version != two.version
    assert {v.version.partition("-")[0] for v in (one, two)} == {xds.content_hash([{"a": 1}])}


@pytest.mark.parametrize(
    ("change", "intact"),
    [
        (lambda d: d, True),
        (lambda d: json.dumps(json.loads(d), indent=4).encode(), True),
        (lambda d: d.replace(b'"a": 1', b'"a": 2'), False),
        (lambda d: d[:-5], False),
        (lambda d: b"", False),
        (lambda d: b"[]", False),
    ],
    ids=["as written", "other layout", "edited", "cut", "empty", "no object"],
)
def test_an_edit_by_hand_shows(change, intact):
    """The version of a file names its content."""
    assert xds.read_version(change(xds.versioned([{"a": 1}], "n").data))[1] is intact


def test_a_revision_cannot_be_read_as_a_command():
    """`%` starts an operator in Envoy's header values and is doubled."""
    header = entries(Table({"risk": routed(revision="%REQ(cookie)%")}))[0]["response_headers_to_add"][0]["header"]
    assert header["value"] == "%%REQ(cookie)%%"


def test_the_access_log_leaves_query_strings_away():
    """A query may hold a token; the path alone is logged."""
    text = json.dumps(xds.listener("127.0.0.1", 80, "/x"))
    assert "%PATH(NQ:ORIG)%" in text
    assert "%REQ(:PATH)%" not in text


@pytest.mark.parametrize(
    ("text", "address", "number", "reachable"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1"),
        ("0.0.0.0:1", "0.0.0.0", 1, "127.0.0.1"),  # noqa: S104 - parsed, not bound
        ("[::1]:65535", "::1", 65535, "::1"),
        ("localhost:80", "127.0.0.1", 80, "127.0.0.1"),
    ],
)
def test_a_listen_address_is_read(text, address, number, reachable):
    """Names become addresses, and a wildcard is reached over loopback."""
    listen = port.parse(text)
    assert (listen.address, listen.port, listen.reachable) == (address, number, (reachable, number))


@pytest.mark.parametrize("text", ["8080", ":8080", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "no host:80"])
def test_any_other_listen_address_is_refused(text):
    """One line that names what stands there."""
    with pytest.raises(Error, match=r"target\.listen"):
        port.parse(text)
