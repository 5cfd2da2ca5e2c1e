"""The routing table as Envoy's resources: listener, routes, clusters. Pure: tables in, JSON out.

Setup D of the measurements: plain weighted clusters, a retry that chooses its cluster anew, health checks, and the
default panic threshold. A request is lost only when no instance is left to answer it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlrelease.model.bundle import BundleId, canonical_json
from mlrelease.targets.local.state import Routed, Table

STAT_PREFIX = "edge"
ROUTES = "routes"
TYPE = "type.googleapis.com/envoy"
RESOURCES = ("lds", "cds", "rds")

_RETRIES = 3
_DRAIN_IDLE = "3s"
"""Idle connections to an instance are closed by Envoy before the server's own 5 s would close them under a request."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """The content of one xDS file: `version` is `<hash of the resources>-<nonce>`."""

    version: str
    data: bytes


def cluster_name(service: str, bundle: BundleId) -> str:
    """The cluster of one bundle of a service."""
    return f"{service}--{bundle}"


def versioned(resources: list[dict[str, Any]], nonce: str) -> Versioned:
    """The file for these resources. A fresh nonce makes equal content a new version, which Envoy then confirms."""
    version = f"{content_hash(resources)}-{nonce}"
    return Versioned(version, json.dumps({"version_info": version, "resources": resources}, indent=1).encode() + b"\n")


def content_hash(resources: object) -> str:
    """16 hex digits over the resources, whatever their layout in the file."""
    return hashlib.sha256(canonical_json(resources)).hexdigest()[:16]


def read_version(data: bytes) -> tuple[str, bool]:
    """The version that a file names, and whether its content is what that version was given for."""
    try:
        parsed = json.loads(data)
        version = str(parsed["version_info"])
        return version, version.partition("-")[0] == content_hash(parsed["resources"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", False


def members(table: Table) -> dict[str, dict[str, str]]:
    """Cluster name → instance → socket."""
    return {
        cluster_name(service, bundle): dict(sorted(instances.items()))
        for service, routed in sorted(table.services.items())
        for bundle, instances in sorted(routed.instances.items())
    }


def read_members(data: bytes) -> dict[str, dict[str, str]]:
    """The same out of a clusters file, instances named by their sockets; empty when it cannot be read."""
    try:
        found = {}
        for cluster in json.loads(data)["resources"]:
            (locality,) = cluster["load_assignment"]["endpoints"]
            paths = [host["endpoint"]["address"]["pipe"]["path"] for host in locality["lb_endpoints"]]
            found[str(cluster["name"])] = {path: path for path in paths}
    except (ValueError, KeyError, TypeError):
        return {}
    return found


def union(*clusters: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """All clusters of several sets, each with all its endpoints."""
    joined: dict[str, dict[str, str]] = {}
    for one in clusters:
        for name, endpoints in one.items():
            joined.setdefault(name, {}).update(endpoints)
    return joined


def listener(address: str, port: int, xds_folder: str) -> list[dict[str, Any]]:
    """One listener for the environment; its routes come from the watched folder."""
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "rds": {"route_config_name": ROUTES, "config_source": source(xds_folder, "rds")},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
        "access_log": [_access_log()],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return [
        {
            "@type": f"{TYPE}.config.listener.v3.Listener",
            "name": STAT_PREFIX,
            "address": {"socket_address": {"address": address, "port_value": port}},
            "filter_chains": [{"filters": filters}],
        }
    ]


def source(xds_folder: str, name: str) -> dict[str, Any]:
    """Where Envoy reads one kind of resource. Only a file *moved* into the folder is noticed."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": f"{xds_folder}/{name}.json", "watched_directory": {"path": xds_folder}},
    }


def clusters(wanted: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """One cluster per bundle, its instances' sockets as endpoints. CDS is always the whole set."""
    return [_cluster(name, endpoints) for name, endpoints in sorted(wanted.items()) if endpoints]


def routes(table: Table) -> list[dict[str, Any]]:
    """The route configuration: a prefix per service, `/` for the only one, JSON 404 for the rest."""
    entries: list[dict[str, Any]] = []
    serving = {name: routed for name, routed in sorted(table.services.items()) if any(routed.weights.values())}
    # Longest prefix first: Envoy takes the first match.
    for name, routed in sorted(serving.items(), key=lambda item: (-len(item[1].prefix), item[0])):
        entries.append(_route(name, routed, routed.prefix))
    if len(serving) == 1:
        ((name, routed),) = serving.items()
        entries.append(_route(name, routed, "/"))
    else:
        listed = {"services": {name: routed.prefix for name, routed in serving.items()}}
        entries.append({"match": {"path": "/"}, **_answer(200 if serving else 404, listed)})
        unknown = {"error_code": "NOT_FOUND", "message": "no service has this path", **listed}
        entries.append({"match": {"prefix": "/"}, **_answer(404, unknown)})
    return [
        {
            "@type": f"{TYPE}.config.route.v3.RouteConfiguration",
            "name": ROUTES,
            "validate_clusters": True,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": entries}],
        }
    ]


def _route(service: str, routed: Routed, prefix: str) -> dict[str, Any]:
    weights = [{"name": cluster_name(service, b), "weight": w} for b, w in sorted(routed.weights.items())]
    return {
        "match": {"prefix": prefix},
        "response_headers_to_add": [_header("x-revision", routed.revision)],
        "route": {
            "prefix_rewrite": "/",
            "timeout": f"{routed.timeout_s:.3f}s",
            "weighted_clusters": {"clusters": weights},
            "retry_policy": {
                # Predictions may be repeated, so POST is too: `reset` covers the request that a killed instance held.
                "retry_on": "connect-failure,refused-stream,reset,gateway-error",
                "num_retries": _RETRIES,
                "refresh_cluster_on_retry": True,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {
                            "@type": f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 5,
                "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
            },
        },
    }


def _cluster(name: str, endpoints: Mapping[str, str]) -> dict[str, Any]:
    hosts = [{"endpoint": {"address": {"pipe": {"path": path}}}} for _, path in sorted(endpoints.items())]
    return {
        "@type": f"{TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "track_cluster_stats": {"per_endpoint_stats": True},
        "circuit_breakers": {
            "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 256}]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": _DRAIN_IDLE},
            }
        },
        # No panic threshold of 0 here: "no healthy host" would be answered 503 without a retry.
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/ready"},
            }
        ],
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
    }


def _answer(status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(body, sort_keys=True) + "\n"
    return {
        "direct_response": {"status": status, "body": {"inline_string": text}},
        "response_headers_to_add": [_header("content-type", "application/json")],
    }


def _header(key: str, value: str) -> dict[str, Any]:
    # `%` starts a command operator in Envoy's header values.
    return {"header": {"key": key, "value": value.replace("%", "%%")}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _access_log() -> dict[str, Any]:
    fields = {
        "at": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ:ORIG)%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "ms": "%DURATION%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "revision": "%RESP(X-REVISION)%",
    }
    # To stdout and from there through supervisor into logs/access.log: that is who rotates it.
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"{TYPE}.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": fields},
        },
    }
