"""The target `local`: what a pass may ask of this machine, each effect under the fence and confirmed."""

from __future__ import annotations

import http.client
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.ledger.fence import Fence
from mlrelease.log import get
from mlrelease.model.bundle import Bundle, BundleId
from mlrelease.model.live import Answer, Instance, Launch, Observation
from mlrelease.plan.drift import identity_mismatch
from mlrelease.serving.uds import ask, exchange
from mlrelease.targets.local import orphans, port
from mlrelease.targets.local.files import Layout, remove
from mlrelease.targets.local.instances import SERVER, Instances
from mlrelease.targets.local.look import Word, instance, listen_to, look, stray_socket, survey, tail
from mlrelease.targets.local.orphans import Found, Kind
from mlrelease.targets.local.proxy import Proxy
from mlrelease.targets.local.state import (
    Record,
    Routed,
    Table,
    forget,
    prune_logs,
    read_records,
    read_tables,
    write_record,
)
from mlrelease.targets.local.supervisor import Supervisor

_POLL_S = 0.01


class LocalTarget:
    """Implements `targets.interface.Target` for one environment. Touches nothing at construction."""

    exercises: tuple[str, ...] = ("model",)

    def __init__(
        self,
        environment: str,
        listen: str,
        state_dir: Path,
        *,
        now: Callable[[], float] = time.time,
        run_id: str = "",
        server: Sequence[str] = SERVER,
    ) -> None:
        # Resolved, because processes are told by the paths on their command lines.
        self._layout = Layout(state_dir.resolve())
        self._environment = environment
        self._listen = listen
        self._server = tuple(server)
        self._supervisor = Supervisor(self._layout)
        self._proxy = Proxy(self._layout, listen, self._supervisor)
        self._instances = Instances(self._layout, self._supervisor, server, now, run_id)
        self._fence = Fence(self._layout.root)
        self._number: int | None = None

    def observe(self, service: str = "") -> Observation:
        """What runs now, of one service or of all; an environment that was never deployed here has nothing, and no problems."""
        return look(self._layout, self._supervisor, self._proxy, self._server, service=service)

    def prepare(self, fence: int) -> None:
        """Claims the target, then: folders → supervisord → Envoy with the recorded routes → orphaned proxies ended."""
        port.parse(self._listen)
        self._layout.make()
        self._fence.claim(fence)
        self._number = fence
        with self._guard():
            self._end_other_supervisors()
            started = self._supervisor.ensure()
            self._proxy.ensure(self._found)
            if started:
                self._remove_old_generations()

    def start(self, launch: Launch) -> tuple[Instance, ...]:
        """Instances of these very settings: those that run already, traffic first, and new ones for the rest."""
        with self._guard():
            wanted = self._instances.launch_hash(launch)
            ground = survey(self._layout, self._supervisor, self._server)
            if ground.processes is None:
                raise Error("the supervisor is not running", hint="the next pass starts it again", where=str(self._layout.root))
            table = self._proxy.table()
            records = read_records(self._layout)
            same = [r for r in records.values() if (r.service, r.bundle) == (launch.bundle.service, launch.bundle.id)]
            same = [r for r in same if r.launch == wanted]
            words = {record.id: listen_to(record.socket) for record in same if ground.supervises(record)}
            fitting = []
            for record in same:
                if ground.supervises(record) and not ground.failure(record):
                    if not _has_turned(record, words[record.id], launch.bundle):
                        fitting.append(record)
                elif not ground.pid(record) and not _sockets(table, [record.id]):
                    # Ended by itself, or written by a pass that was killed before it could start it.
                    self._instances.bury(record, ground)
            fitting.sort(key=lambda r: (not _sockets(table, [r.id]), r.created_at, r.id))
            fitting = fitting[: launch.replicas]
            new = self._instances.add(launch, launch.replicas - len(fitting))
            prune_logs(self._layout, read_records(self._layout))
        log = get("target.local")
        for record in new:
            log.info("instance started", service=record.service, bundle=record.bundle, instance=record.id, pid=record.pid)
        ground = survey(self._layout, self._supervisor, self._server)
        return tuple(instance(self._layout, r, ground, table, words.get(r.id, Word())) for r in (*fitting, *new))

    def route(
        self,
        service: str,
        weights: Mapping[BundleId, int],
        *,
        instances: Iterable[str],
        prefix: str,
        revision: str,
        timeout_s: float,
    ) -> None:
        """Puts the service's traffic on these instances; what was in force stays when the proxy does not take it."""
        with self._guard():
            records = read_records(self._layout)
            members = _members(service, weights, list(instances), records)
            table = self._proxy.table()
            services = {name: routed for name, routed in table.services.items() if name != service}
            sockets: list[str] = []
            if weights:
                services[service] = Routed(dict(weights), members, prefix, revision, timeout_s)
                carrying = {b: m for b, m in members.items() if weights.get(b, 0) > 0}
                sockets = [socket for chosen in carrying.values() for socket in chosen.values()]
                for id_ in (i for chosen in carrying.values() for i in chosen):
                    if not records[id_].served:
                        write_record(self._layout, replace(records[id_], served=True))
            self._proxy.apply(Table(services), healthy=sockets)
        get("target.local").info("routed", service=service, weights=dict(weights), revision=revision)

    def keep(self, instances: Iterable[str], until: float) -> None:
        """Writes `until` into the records; unknown instances are gone already."""
        with self._guard():
            records = read_records(self._layout)
            for id_ in instances:
                if id_ in records and records[id_].until != until:
                    write_record(self._layout, replace(records[id_], until=until))

    def idle(self, instances: Iterable[str]) -> bool:
        """Whether no request is in flight from the proxy to any of these."""
        records = read_records(self._layout)
        return self._proxy.idle([records[i].socket for i in instances if i in records])

    def stop(self, instance: str, *, drain_s: float) -> None:
        """Ends one instance and removes what is known of it: clusters → in flight → SIGTERM → SIGKILL → record.

        Raises `Error` for the last instance of a bundle that has traffic. One that is gone already is fine.
        """
        record = read_records(self._layout).get(instance)
        socket = record.socket if record else stray_socket(self._layout, instance)
        with self._guard():
            self._leave_clusters(instance)
        if socket:
            self._wait_idle(socket, drain_s)
        with self._guard():
            supervised = instance in (self._supervisor.processes() or {})
            if supervised:
                self._supervisor.stop(instance)
        if supervised:
            self._supervisor.discard(instance)
        for found in self._found():
            if found.kind is Kind.INSTANCE and found.key == instance:
                with self._guard():
                    orphans.send_term(found)
                orphans.end(found, DEADLINES_S["instance.stop"])
        with self._guard():
            forget(self._layout, instance, socket)
        get("target.local").info("instance stopped", instance=instance, supervised=supervised)

    def ask(
        self,
        instance: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request to one instance over its socket. Raises `OSError` when there is no answer, or no such instance."""
        record = read_records(self._layout).get(instance)
        socket = record.socket if record else stray_socket(self._layout, instance)
        if not socket:
            raise FileNotFoundError(f"no instance {instance}")
        return ask(socket, method, path, body, headers, timeout_s=timeout_s)

    def ask_service(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request through the listener, below the service's prefix."""
        routed = next((t.services[service] for t in read_tables(self._layout) if service in t.services), None)
        prefix = routed.prefix if routed else f"/{service}/"
        address = port.parse(self._listen).reachable
        connection = http.client.HTTPConnection(*address, timeout=timeout_s)
        return exchange(connection, method, prefix.rstrip("/") + path, body, headers, timeout_s=timeout_s)

    def logs(self, instance: str, *, lines: int) -> Iterator[str]:
        """The last lines that an instance wrote, oldest first; those of one that is gone too, for a while."""
        return tail(self._layout, instance, lines)

    def down(self) -> None:
        """Proxy drained and ended → instances → supervisord → whatever is left. Logs, cache, ledger spool and fence stay.

        Without a `prepare` before it acts under the highest number that was claimed.
        """
        if not self._layout.root.exists():
            return
        if self._number is None:
            self._number = self._fence.highest()
        with self._guard():
            self._end_hung_supervisor()
            self._proxy.down(self._found())
        with self._guard():
            self._end_supervised()
            for found in self._found():
                orphans.end(found, DEADLINES_S["instance.stop"])
            for record in read_records(self._layout).values():
                forget(self._layout, record.id, record.socket)
            for folder in (self._layout.configs, self._layout.sockets, self._layout.generations, self._layout.staging):
                shutil.rmtree(folder, ignore_errors=True)
            remove(self._layout.supervisor)
        get("target.local").info("down", environment=self._environment)

    def _guard(self) -> AbstractContextManager[None]:
        if self._number is None:
            raise Error("the target was not prepared", hint="please report this")
        return self._fence.guard(self._number)

    def _found(self) -> tuple[Found, ...]:
        return orphans.find(self._layout, self._server)

    def _leave_clusters(self, instance: str) -> None:
        table = self._proxy.table()
        for service, routed in table.services.items():
            for bundle, members in routed.instances.items():
                if instance not in members:
                    continue
                left = {id_: socket for id_, socket in members.items() if id_ != instance}
                if not left and routed.weights.get(bundle, 0) > 0:
                    raise Error(
                        f"{instance} is the last instance of {service} for bundle {bundle}, which has traffic",
                        hint="route the traffic elsewhere first",
                    )
                changed = replace(routed, instances={**routed.instances, bundle: left})
                self._proxy.apply(Table({**table.services, service: changed}))
                return

    def _wait_idle(self, socket: str, drain_s: float) -> None:
        """Waits for the requests in flight, at most `drain_s`; the server itself finishes what is left on SIGTERM."""
        end = time.monotonic() + min(drain_s, DEADLINES_S["instance.drain"])
        try:
            while not self._proxy.idle([socket]) and time.monotonic() < end:
                time.sleep(_POLL_S)
        except Error as e:
            get("target.local").info("nothing to drain", reason=e.message)

    def _end_other_supervisors(self) -> None:
        """Ends a supervisord of another generation at once, its children living on: a pass was killed while starting it."""
        for found in self._found():
            if found.kind is Kind.SUPERVISOR and found.key != str(self._supervisor.generation):
                orphans.kill(found)

    def _end_hung_supervisor(self) -> None:
        """Ends a supervisord that does not answer, so that everything can be ended without it."""
        try:
            self._supervisor.processes()
        except Error as e:
            get("target.local").warning("supervisor ended", reason=e.message)
            for found in (f for f in self._found() if f.kind is Kind.SUPERVISOR):
                orphans.kill(found)

    def _end_supervised(self) -> None:
        """Ends all programs side by side, then supervisord."""
        names = list(self._supervisor.processes() or {})
        for name in names:
            self._supervisor.stop(name)
        for name in names:
            self._supervisor.discard(name)
        self._supervisor.shut_down()

    def _remove_old_generations(self) -> None:
        for folder in self._layout.generations.iterdir():
            if folder.name != str(self._supervisor.generation):
                shutil.rmtree(folder, ignore_errors=True)


def _sockets(table: Table, ids: Iterable[str]) -> list[str]:
    wanted = set(ids)
    return [
        socket
        for routed in table.services.values()
        for members in routed.instances.values()
        for id_, socket in members.items()
        if id_ in wanted
    ]


def _has_turned(record: Record, word: Word, bundle: Bundle) -> bool:
    """Whether it is no longer what it was started as: another by its own word, or silent although it has served before."""
    if word.identity is None:
        return record.served
    return bool(identity_mismatch(word.identity, bundle))


def _members(
    service: str, weights: Mapping[BundleId, int], ids: Sequence[str], records: Mapping[str, Record]
) -> dict[BundleId, dict[str, str]]:
    """Bundle → instance → socket. Raises `Error` when ids and weights do not fit each other."""
    members: dict[BundleId, dict[str, str]] = {bundle: {} for bundle in weights}
    for id_ in ids if weights else ():
        record = records.get(id_)
        if record is None or record.service != service or record.bundle not in weights:
            raise Error(f"{id_} is no instance of {service} for any of the bundles to route to", hint="please report this")
        members[record.bundle][id_] = record.socket
    if weights and not any(weights.values()):
        raise Error(f"all weights of {service} are 0", hint="please report this")
    for bundle, weight in weights.items():
        if weight > 0 and not members[bundle]:
            raise Error(f"bundle {bundle} of {service} would have traffic and no instance", hint="please report this")
    return members
