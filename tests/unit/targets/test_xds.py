"""The routing table as Envoy's resources, and what a file says about its own content."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


# ---- what holds for any table

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
SETS = st.dictionaries(NAMES, st.dictionaries(NAMES, NAMES, min_size=1, max_size=3), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
quick = settings(max_examples=40, deadline=None)


@quick
@given(st.lists(JSON, max_size=3), st.from_regex(r"[0-9a-f]{8}", fullmatch=True))
def test_a_written_file_is_always_intact_and_names_its_content(resources, nonce):
    """Version and content fit each other, whatever is in it and however often it is written."""
    file = xds.versioned(resources, nonce)
    assert xds.read_version(file.data) == (file.version, True)
    assert file.version == f"{xds.content_hash(resources)}-{nonce}"
    assert json.loads(file.data) == {"version_info": file.version, "resources": resources}


@quick
@given(SETS, SETS, SETS)
def test_a_union_of_clusters_loses_nothing_whatever_the_order(a, b, c):
    """Associative, the same with itself, and every endpoint of each is in it; what was given stays as it is."""
    before = json.dumps([a, b, c])
    assert xds.union(xds.union(a, b), c) == xds.union(a, xds.union(b, c)) == xds.union(a, b, c)
    assert xds.union(a, a) == xds.union(a) == a
    joined = xds.union(a, b)
    assert all(joined[name].keys() >= endpoints.keys() for one in (a, b) for name, endpoints in one.items())
    assert json.dumps([a, b, c]) == before


@quick
@given(SETS)
def test_clusters_come_back_out_of_their_file(wanted):
    """Every cluster with every socket, sorted, so that equal tables are equal files."""
    made = xds.clusters(wanted)
    assert [c["name"] for c in made] == sorted(wanted)
    found = xds.read_members(xds.versioned(made, "n").data)
    assert found == {name: {path: path for path in endpoints.values()} for name, endpoints in wanted.items()}
    backwards = {n: dict(reversed(e.items())) for n, e in reversed(wanted.items())}
    assert xds.clusters(backwards) == made


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"resources": 1}',
        b'{"resources": [{"name": "a"}]}',
        b'{"resources": [{"name": "a", "load_assignment": {"endpoints": []}}]}',
        b'{"resources": [{"name": "a", "load_assignment": {"endpoints": [{"lb_endpoints": [{}]}]}}]}',
    ],
    ids=["empty", "a list", "a number", "no endpoints", "no locality", "an endpoint without address"],
)
def test_a_clusters_file_that_cannot_be_read_names_no_clusters(data):
    """Then there is nothing to keep."""
    assert xds.read_members(data) == {}


def test_the_members_of_a_table_are_sorted_by_service_bundle_and_instance():
    """Equal tables are equal files, in whatever order they came about."""
    table = Table({
        "z": routed("z", instances={"b2": {}, "b1": {"i2": "/2", "i1": "/1"}}),
        "a": routed("a"),
    })  # fmt: skip
    assert json.dumps(xds.members(table)) == json.dumps(
        {"a--b1": {"i1": "/s/1"}, "z--b1": {"i1": "/1", "i2": "/2"}, "z--b2": {}}
    )


def test_services_without_traffic_are_not_listed():
    """One that only keeps warm instances has no route: the other is the only one, and has the root."""
    idle = routed("idle", weights={"b1": 0})
    assert [e["match"] for e in entries(Table({"idle": idle, "risk": routed()}))] == [{"prefix": "/risk/"}, {"prefix": "/"}]
    assert [e["match"] for e in entries(Table({"idle": idle}))] == [{"path": "/"}, {"prefix": "/"}]


def said(entry):
    answer = entry["direct_response"]
    kind = entry["response_headers_to_add"][0]["header"]
    assert kind == {"key": "content-type", "value": "application/json"}
    return answer["status"], answer["body"]["inline_string"]


def test_what_has_no_service_is_answered_in_json():
    """The root lists the services; any other path says that nothing is there. Both whole, as a person sees them."""
    root, unknown = entries(Table({"a": routed("a"), "risk": routed()}))[-2:]
    assert said(root) == (200, '{"services": {"a": "/a/", "risk": "/risk/"}}\n')
    assert said(unknown) == (
        404,
        '{"error_code": "NOT_FOUND", "message": "no service has this path", "services": {"a": "/a/", "risk": "/risk/"}}\n',
    )
    root, unknown = entries(Table())
    assert said(root) == (404, '{"services": {}}\n')


def test_the_longest_prefix_is_matched_first_and_equal_ones_by_name():
    """Envoy takes the first that fits: `/a/` must not swallow `/a/b/`."""
    prefixes = {"one": "/a/", "two": "/a/b/", "three": "/b/"}
    table = Table({n: Routed({"b": 1}, {"b": {"i": "/s"}}, p, "r", 1.5) for n, p in prefixes.items()})
    assert [e["match"] for e in entries(table)[:3]] == [{"prefix": "/a/b/"}, {"prefix": "/a/"}, {"prefix": "/b/"}]
    assert {e["route"]["timeout"] for e in entries(table)[:3]} == {"1.500s"}
    assert {e["route"]["prefix_rewrite"] for e in entries(table)[:3]} == {"/"}


def test_an_endpoint_is_checked_every_second_and_one_miss_takes_it_out():
    """And one success brings it back; its connections end before the server would end them."""
    (cluster,) = xds.clusters({"risk--b1": {"i1": "/s/1"}})
    (check,) = cluster["health_checks"]
    assert check == {
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/ready"},
    }
    protocol = cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
    assert protocol["common_http_protocol_options"] == {"idle_timeout": "3s"}
    assert cluster["load_assignment"]["cluster_name"] == cluster["name"]
