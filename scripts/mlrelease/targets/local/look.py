"""One look at everything of a state folder, concurrently: records, processes, supervisor, proxy, and every instance's word."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.model.bundle import BundleId
from mlrelease.model.live import Identity, Instance, Observation, Role
from mlrelease.serving.uds import ask
from mlrelease.targets.local import orphans
from mlrelease.targets.local.files import Layout, read_json
from mlrelease.targets.local.orphans import Found, Kind
from mlrelease.targets.local.proxy import Proxy
from mlrelease.targets.local.state import Record, Table, config_files, read_records
from mlrelease.targets.local.supervisor import FATAL, Process, Supervisor

TAIL_LINES = 12
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Word:
    """What one instance said: None and False where it did not answer."""

    identity: Identity | None = None
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """What supervisor and the process table say; `processes` is None when no supervisord runs."""

    generation: int
    processes: Mapping[str, Process] | None
    found: Sequence[Found]

    def supervises(self, record: Record) -> bool:
        """Whether the present supervisord owns this instance's process."""
        process = (self.processes or {}).get(record.id)
        return record.generation == self.generation and process is not None and process.runs

    def pid(self, record: Record) -> int:
        """The process of the instance now, 0 when there is none."""
        process = (self.processes or {}).get(record.id)
        if process is not None and process.pid:
            return process.pid
        return next((f.pid for f in self.found if f.kind is Kind.INSTANCE and f.key == record.id), 0)

    def failure(self, record: Record) -> str:
        """Why the instance ended and is not coming back, empty while it may serve."""
        process = (self.processes or {}).get(record.id) if record.generation == self.generation else None
        when = "and is not started again" if record.served else "while loading"
        if process is None:
            return "" if self.pid(record) else "not running"
        if process.final:
            if process.state == FATAL and process.spawn_error:
                return f"could not be started: {process.spawn_error}"
            # supervisor has -1 for an end by a signal
            return f"exited {process.exit_status} {when}" if process.exit_status >= 0 else f"killed by a signal {when}"
        return f"killed by a signal {when}" if process.ended_before and not record.served else ""


def survey(layout: Layout, supervisor: Supervisor, server: Sequence[str]) -> Ground:
    """Supervisor's list and the process table."""
    return Ground(supervisor.generation, supervisor.processes(), orphans.find(layout, server))


def look(layout: Layout, supervisor: Supervisor, proxy: Proxy, server: Sequence[str], *, service: str = "") -> Observation:
    """What runs now, with a service only its instances. Raises `Error` only when the records themselves cannot be read.

    Changes nothing.
    """
    timeout_s = DEADLINES_S["instance.look"]
    everything = read_records(layout)
    records = {id_: record for id_, record in everything.items() if service in ("", record.service)}
    generation = supervisor.generation
    problems: list[str] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        words = {id_: pool.submit(listen_to, record.socket) for id_, record in records.items()}
        asked = pool.submit(supervisor.processes, timeout_s=timeout_s) if generation else None
        routed = pool.submit(proxy.look, timeout_s=timeout_s) if generation else None
        found = orphans.find(layout, server)
        processes: Mapping[str, Process] | None = None
        try:
            processes = asked.result() if asked else None
            if asked and processes is None:
                problems.append("supervisor: not running")
        except Error as e:
            problems.append(f"supervisor: {e.message}")
        table, wrong = routed.result() if routed else (Table(), ())
        ground = Ground(generation, processes, found)
        strays = [f for f in found if f.kind is Kind.INSTANCE and f.key not in everything]
        instances = [instance(layout, r, ground, table, words[r.id].result()) for r in records.values()]
        instances += [s for s in pool.map(lambda f: _stray(layout, f), strays) if service in ("", s.service)]
    return Observation(
        instances=tuple(instances),
        routes={name: r.state for name, r in table.services.items()},
        problems=(*problems, *wrong),
    )


def instance(layout: Layout, record: Record, ground: Ground, table: Table, word: Word) -> Instance:
    """One recorded instance as it is now."""
    routed = table.services.get(record.service)
    carries = routed is not None and any(
        record.id in members and routed.weights.get(bundle, 0) > 0 for bundle, members in routed.instances.items()
    )
    failure = ground.failure(record)
    return Instance(
        id=record.id,
        service=record.service,
        bundle=record.bundle,
        role=Role.ACTIVE if carries else Role.WARM if record.until else Role.CANDIDATE,
        ready=word.ready and not failure,
        supervised=ground.supervises(record),
        identity=word.identity,
        launch=record.launch,
        until=record.until,
        pid=ground.pid(record),
        failure=failure,
        log_tail=tuple(tail(layout, record.id, TAIL_LINES)) if failure else (),
    )


def listen_to(socket: str) -> Word:
    """What the instance behind a socket says of itself now."""
    timeout_s = DEADLINES_S["instance.look"]
    try:
        ready = ask(socket, "GET", "/ready", timeout_s=timeout_s).status == 200
        answer = ask(socket, "GET", "/identity", timeout_s=timeout_s)
    except OSError:
        return Word()
    return Word(_identity(answer.body) if answer.status == 200 else None, ready)


def tail(layout: Layout, instance_id: str, lines: int) -> Iterator[str]:
    """The last lines that an instance wrote, oldest first; none when it never wrote."""
    kept: deque[str] = deque(maxlen=max(lines, 0))
    for path in (layout.logs / f"{instance_id}.log.1", layout.logs / f"{instance_id}.log"):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                kept.extend(line.rstrip("\n") for line in file)
        except FileNotFoundError:
            continue
        except OSError as e:
            raise Error(f"the log cannot be read: {e.strerror}", where=str(path)) from e
    yield from kept


def stray_socket(layout: Layout, instance_id: str) -> str:
    """The socket that a left configuration names, empty when there is none."""
    config = _config(layout, instance_id)
    return str(config.get("listen", "")).removeprefix("unix:")


def _stray(layout: Layout, found: Found) -> Instance:
    config = _config(layout, found.key)
    socket = str(config.get("listen", "")).removeprefix("unix:")
    word = listen_to(socket) if socket else Word()
    identity = word.identity
    return Instance(
        id=found.key,
        service=identity.service if identity else str(config.get("service", "")),
        bundle=BundleId(identity.bundle if identity else str(config.get("bundle", ""))),
        role=Role.STRAY,
        ready=word.ready,
        supervised=False,
        identity=identity,
        pid=found.pid,
    )


def _config(layout: Layout, instance_id: str) -> dict[str, Any]:
    path: Path = config_files(layout, instance_id)[0]
    try:
        data = read_json(path)
    except Error:
        return {}  # a stray is ended by its process; a damaged file only leaves its name unknown
    return data if isinstance(data, dict) else {}


def _identity(body: bytes) -> Identity | None:
    try:
        data = json.loads(body)
        models = tuple(sorted((str(m["name"]), str(m["version"]), str(m["digest"])) for m in data["models"]))
        texts = {k: str(data[k]) for k in ("service", "bundle", "image", "instance", "runtime", "started_at")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Identity(**texts, models=models)
