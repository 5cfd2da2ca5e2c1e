"""A stand-in for Envoy: reads the watched files when it is asked, confirms or refuses each, and answers as its admin does."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.orphans import Found, Kind
from mlrelease.targets.local.supervisor import RUNNING, Process
from support.unix_http import answering

_STATS = {"lds": "listener_manager.lds", "cds": "cluster_manager.cds", "rds": "http.edge.rds.routes"}


class FakeEnvoy:
    """`refuses` names the kinds whose next files it does not take; `sick` the sockets whose health check fails."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.versions = dict.fromkeys(_STATS, "")
        self.content: dict[str, list] = {kind: [] for kind in _STATS}
        self.refuses: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.sick: set[str] = set()
        self.in_flight: dict[str, int] = {}
        self.clients = {"cx": 0, "rq": 0}
        self.taken: list[tuple[str, list]] = []
        """Each file that it took, in order: kind and resources."""
        self.posts: list[str] = []
        self._read = dict.fromkeys(_STATS, "")

    def handle(self, method: str, path: str, _body: bytes) -> tuple[int, bytes]:
        """One question to the admin socket."""
        name, _, query = path.partition("?")
        if method == "POST":
            self.posts.append(path)
            return 200, b"OK\n"
        self._look()
        if name == "/clusters":
            return 200, json.dumps({"cluster_statuses": [self._cluster(c) for c in self.content["cds"]]}).encode()
        pattern = re.compile(urllib.parse.parse_qs(query)["filter"][0])
        stats = [{"name": n, "value": v} for n, v in self._stats().items() if pattern.search(n)]
        return 200, json.dumps({"stats": [*stats, {"histograms": {}}]}).encode()

    def _look(self) -> None:
        for kind in _STATS:
            try:
                data = json.loads((self.layout.xds / f"{kind}.json").read_bytes())
                version = data["version_info"]
            except (OSError, ValueError, KeyError):
                continue
            if version == self._read[kind]:
                continue
            self._read[kind] = version
            if kind in self.refuses:
                self.refused[kind] += 1
            else:
                self.versions[kind], self.content[kind] = version, data["resources"]
                self.taken.append((kind, data["resources"]))

    def _stats(self) -> dict[str, object]:
        found: dict[str, object] = {"listener_manager.total_listeners_active": int(bool(self.versions["lds"]))}
        for kind, prefix in _STATS.items():
            found |= {
                f"{prefix}.version_text": self.versions[kind],
                f"{prefix}.update_rejected": self.refused[kind],
                f"{prefix}.update_failure": 0,
                f"{prefix}.update_success": 9,
            }
        found |= {f"http.edge.downstream_{what}_active": n for what, n in self.clients.items()}
        return found | {"http.admin.downstream_cx_active": 77}

    def _cluster(self, cluster: dict) -> dict:
        (locality,) = cluster["load_assignment"]["endpoints"]
        paths = [host["endpoint"]["address"]["pipe"]["path"] for host in locality["lb_endpoints"]]
        return {
            "name": cluster["name"],
            "host_statuses": [
                {
                    "address": {"pipe": {"path": path}},
                    "stats": [{"name": "rq_active", "value": str(self.in_flight.get(path, 0))}, {"name": "rq_total"}],
                    "health_status": {"eds_health_status": "HEALTHY", "failed_active_health_check": path in self.sick},
                }
                for path in paths
            ],
        }


class FakeSupervisor:
    """Runs no process: a program that is a proxy becomes a `FakeEnvoy` at its admin socket."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.generation = 1
        self.running: dict[str, FakeEnvoy] = {}
        self.programs: list = []
        self.told: list[tuple[str, str]] = []
        self.refuses: set[str] = set()
        self._open = ExitStack()
        self._stops: dict[str, ExitStack] = {}

    def folder(self) -> Path:
        folder = self.layout.generations / str(self.generation)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def processes(self, **_):
        return {
            name: Process(name, RUNNING, 4194304 + n, 0, ended_before=False, spawn_error="")
            for n, name in enumerate(self.running)
        }

    def add(self, programs) -> None:
        for program in programs:
            self.programs.append(program)
            bootstrap = json.loads(Path(program.argv[2]).read_bytes())
            envoy = FakeEnvoy(self.layout)
            envoy.refuses |= self.refuses
            self.running[program.name] = envoy
            self._stops[program.name] = ExitStack()
            self._stops[program.name].enter_context(answering(bootstrap["admin"]["address"]["pipe"]["path"], envoy.handle))

    def stop(self, name: str) -> None:
        self.told.append(("stop", name))
        self.running.pop(name, None)
        if name in self._stops:
            self._stops.pop(name).close()

    def discard(self, name: str) -> None:
        self.told.append(("discard", name))

    def close(self) -> None:
        """Ends the servers of all that still run."""
        for stack in self._stops.values():
            stack.close()

    def found(self) -> list[Found]:
        """What the process table would say of the proxies that run."""
        return [Found(Kind.PROXY, name.partition(".")[2], p.pid, 0.0) for name, p in self.processes().items()]
