"""The environment's Envoy: brought up, given routes that it confirms, replaced without a lost request, taken down."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.log import get
from mlrelease.targets.local import envoy, orphans, port, xds
from mlrelease.targets.local.envoy import Admin, Status
from mlrelease.targets.local.files import Layout, read_json, remove
from mlrelease.targets.local.orphans import Found, Kind
from mlrelease.targets.local.routing import Routing
from mlrelease.targets.local.state import Table, write_tables
from mlrelease.targets.local.supervisor import Program, Supervisor, scrubbed_environment

_POLL_S = 0.003
_SLOW_POLL_S = 0.05
_CONNECTED = "03"


@dataclass(frozen=True, slots=True)
class Running:
    """The present Envoy as recorded: its token names program, bootstrap and admin socket."""

    token: str
    generation: int
    fingerprint: str


class Proxy:
    """One listener, the routes behind it, and the process that serves both. Reads nothing at construction."""

    def __init__(self, layout: Layout, listen: str, supervisor: Supervisor) -> None:
        self._layout = layout
        self._listen = listen
        self._routing = Routing(layout)
        self._supervisor = supervisor
        self.patience_s = DEADLINES_S["proxy.confirm"]

    @property
    def admin(self) -> Admin:
        """The present Envoy's admin; its calls raise `OSError` when none runs."""
        running = self._running()
        return Admin(self._socket(running.token if running else "none"))

    def look(self, *, timeout_s: float) -> tuple[Table, tuple[str, ...]]:
        """The routing table that is in force, and what is wrong with proxy or routes. Changes nothing."""
        try:
            status = self.admin.status(timeout_s=timeout_s)
        except TimeoutError:
            return self._routing.table(None), ("proxy: does not answer",)
        except OSError:
            return self._routing.table(None), ("proxy: not running",)
        table = self._routing.table(status)
        problems = []
        for kind in xds.RESOURCES:
            version, intact = self._routing.on_disk(kind)
            if not intact:
                problems.append("route: edited by hand")
            elif version.partition("-")[0] != table.hashes.get(kind):
                problems.append("route: not as recorded")
            elif version != status.versions[kind]:
                problems.append("route: not confirmed by the proxy")
        return table, tuple(dict.fromkeys(problems))

    def table(self) -> Table:
        """The routing table that is in force."""
        return self._routing.table(self._status())

    def ensure(self, found: Callable[[], Sequence[Found]]) -> None:
        """Sees to it that a supervised Envoy serves the recorded routes on the listener, confirmed.

        An Envoy without supervisor, or one started otherwise than now wanted, serves until the new one does; then it is
        drained and ended. Raises `Error` when the port is somebody else's or Envoy does not take its configuration.
        """
        listen = port.parse(self._listen)
        binary = envoy.find_binary()
        wanted = envoy.fingerprint(self._layout, binary)
        running, processes = self._running(), self._supervisor.processes() or {}
        fits = (
            running is not None
            and (running.generation, running.fingerprint) == (self._supervisor.generation, wanted)
            and (program := processes.get(_program(running.token))) is not None
            and program.runs
        )
        listening = self._routing.on_disk("lds")[0].partition("-")[0] == xds.content_hash(self._routing.listener(listen))
        if fits and listening:
            status = self._status()
            self._routing.mend(self._routing.table(status), listen, status)
            self._confirm_all(self.admin, DEADLINES_S["proxy.confirm"])
            self._end_others(found(), keep=running.token if running else "")
            return
        with port.locked(listen):
            proxies = [f for f in found() if f.kind is Kind.PROXY]
            port.check_free(listen, [f.pid for f in proxies])
            self._routing.mend(self.table(), listen)
            if fits:
                self._confirm_all(self.admin, DEADLINES_S["proxy.confirm"])
                return
            token = self._start(binary)
            self._layout.write_json(
                self._layout.proxy,
                {"token": token, "generation": self._supervisor.generation, "fingerprint": wanted},
            )
        self._end_others(found(), keep=token)

    def apply(self, table: Table, *, healthy: Collection[str] = ()) -> None:
        """Puts this table in force: clusters → the `healthy` sockets are → routes → clusters without those that left.

        Each step is confirmed by the proxy. When one is not, what was in force is put back and an `Error` says why.
        """
        listen = port.parse(self._listen)
        admin = self.admin
        try:
            old = self._routing.table(admin.status())
        except OSError as e:
            raise Error("the proxy is not running", hint="see the logs of the proxy; the next pass starts it again") from e
        self._routing.mend(old, listen)
        want, both = xds.members(table), xds.union(self._routing.members(old), xds.members(table))
        new = self._routing.hashed(table, listen)

        # (1): everything that may be routed to during the switch is a cluster, and healthy.
        try:
            self._put(admin, "cds", xds.clusters(both))
            self._await_healthy(admin, healthy)
        except Error as error:
            self._put_back(admin, old, ("cds",), error)
            raise
        # (2): the routes. Both tables are recorded: killed in here, the version that the proxy names tells which holds.
        write_tables(self._layout, new, old)
        try:
            self._put(admin, "rds", xds.routes(table))
        except Error as error:
            self._put_back(admin, old, ("rds", "cds"), error)
            raise
        # (3): what left the routes leaves the clusters; requests in flight there are finished.
        if both != want:
            self._put(admin, "cds", xds.clusters(want))
        write_tables(self._layout, new)

    def idle(self, sockets: Iterable[str]) -> bool:
        """Whether no request is in flight to these sockets. Raises `Error` when the proxy does not answer."""
        try:
            endpoints = self.admin.endpoints()
        except OSError as e:
            raise Error("the proxy does not answer", hint="the next pass starts it again") from e
        asked = set(sockets)
        if any(endpoints[s].in_flight for s in asked & endpoints.keys()):
            return False
        # Envoy has forgotten the others and closes their connections as the last answers come in.
        return not (asked - endpoints.keys()) & _connected()

    def down(self, found: Sequence[Found]) -> None:
        """Drains every Envoy of this state folder and ends it."""
        self._end_others(found, keep="", replaced=False)
        remove(self._layout.proxy, self._layout.routes, *(self._layout.xds / f"{kind}.json" for kind in xds.RESOURCES))

    def _start(self, binary: Path) -> str:
        """Starts an Envoy and returns its token once it has confirmed everything and listens."""
        token = secrets.token_hex(3)
        folder = self._supervisor.folder()
        file = folder / f"envoy-{token}.json"
        self._layout.write_json(file, envoy.bootstrap(self._layout, self._socket(token)))
        name = _program(token)
        program = Program(
            name=name,
            argv=envoy.command(binary, file),
            env=scrubbed_environment(),
            run_file=folder / f"{name}.run",
            log="access.log",
            keep_on=True,
            joined=False,
        )
        self._supervisor.add([program])
        try:
            self._confirm_all(Admin(self._socket(token)), DEADLINES_S["proxy.start"], starting=True)
        except Error as e:
            self._supervisor.stop(name)
            self._supervisor.discard(name)
            log = self._layout.logs / f"{name}.log"
            lines = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
            raise Error(f"{e.message}{''.join(f': {line}' for line in lines)}", hint=f"see {log}", where=self._listen) from e
        get("target.local").info("proxy started", listen=self._listen, token=token)
        return token

    def _end_others(self, found: Sequence[Found], *, keep: str, replaced: bool = True) -> None:
        """Drains and ends every Envoy of this state folder but one, supervised or not."""
        processes = self._supervisor.processes() or {}
        for other in (f for f in found if f.kind is Kind.PROXY and f.key != keep):
            self._drain(other, replaced=replaced)
            if _program(other.key) in processes:
                self._supervisor.stop(_program(other.key))
                self._supervisor.discard(_program(other.key))
            else:
                orphans.end(other, DEADLINES_S["supervisor.call"])
            remove(self._socket(other.key))
            get("target.local").info("proxy ended", pid=other.pid, token=other.key)
        for name in processes:
            # A program whose process could not be found has nothing to drain; it must not come back.
            if name.startswith(_program("")) and name != _program(keep) and name not in {_program(f.key) for f in found}:
                self._supervisor.stop(name)
                self._supervisor.discard(name)

    def _drain(self, proxy: Found, *, replaced: bool) -> None:
        """Lets clients go and requests end, bounded; an Envoy that does not answer any more cannot be drained.

        A replaced one stays for its whole time, for the kernel gives it new connections until its listener closes.
        """
        admin = Admin(self._socket(proxy.key))
        end = time.monotonic() + envoy.DRAIN_S + DEADLINES_S["instance.drain"]
        try:
            admin.drain()
            closed = time.monotonic() + envoy.DRAIN_S + 0.2
            while time.monotonic() < end:
                clients = admin.clients()
                if not clients.requests and (time.monotonic() > closed or not (replaced or clients.connections)):
                    return
                time.sleep(_SLOW_POLL_S)
        except OSError as e:
            get("target.local").warning("proxy cannot be drained", pid=proxy.pid, error=type(e).__name__)

    def _put(self, admin: Admin, kind: str, resources: list[dict[str, Any]]) -> None:
        """Moves one file into place and returns when Envoy names its version. Raises `Error` when it refuses it."""
        file = xds.versioned(resources, secrets.token_hex(4))
        refused = _asked(admin).refusals[kind]
        self._layout.write(self._layout.xds / f"{kind}.json", file.data)
        end = time.monotonic() + DEADLINES_S["proxy.confirm"]
        while True:
            try:
                status = admin.status()
            except OSError:
                status = None  # supervisor is restarting it; it reads the file as it comes up
            if status and status.versions[kind] == file.version:
                return
            if status and status.refusals[kind] > refused:
                raise Error(f"the proxy refused its {_NAMES[kind]}", hint=f"see the proxy's log in {self._layout.logs}")
            if time.monotonic() > end:
                raise Error(f"the proxy did not confirm its {_NAMES[kind]}", hint=f"see the proxy's log in {self._layout.logs}")
            time.sleep(_POLL_S)

    def _put_back(self, admin: Admin, old: Table, kinds: Sequence[str], why: Error) -> None:
        """Puts the old files back, confirmed. Raises `Error` with both reasons when that fails too."""
        resources = {"cds": xds.clusters(self._routing.members(old)), "rds": xds.routes(old)}
        try:
            for kind in kinds:
                self._put(admin, kind, resources[kind])
            write_tables(self._layout, old)
        except Error as e:
            raise Error(f"{why.message}; and what was in force could not be put back: {e.message}", hint=e.hint) from why
        get("target.local").warning("routes put back", reason=why.message)

    def _await_healthy(self, admin: Admin, sockets: Collection[str]) -> None:
        """Returns when the health check of each of these sockets passes at the proxy."""
        end = time.monotonic() + self.patience_s
        waiting = set(sockets)
        while waiting:
            try:
                endpoints = admin.endpoints()
            except OSError:
                endpoints = {}
            waiting = {s for s in sockets if s not in endpoints or not endpoints[s].healthy}
            if waiting and time.monotonic() > end:
                raise Error(
                    f"{len(waiting)} of {len(sockets)} instances are not healthy at the proxy",
                    hint="see the logs of the instances",
                    where=", ".join(sorted(Path(s).name for s in waiting)),
                )
            if waiting:
                time.sleep(_POLL_S)

    def _confirm_all(self, admin: Admin, deadline_s: float, *, starting: bool = False) -> None:
        """Returns when Envoy names the versions of all files and listens."""
        wanted = {kind: self._routing.on_disk(kind)[0] for kind in xds.RESOURCES}
        end = time.monotonic() + deadline_s
        while True:
            try:
                status = admin.status()
            except OSError:
                status = None
            if status and dict(status.versions) == wanted and status.listeners:
                return
            if status and starting and any(status.refusals.values()):
                raise Error("the proxy refused its configuration")
            if time.monotonic() > end:
                raise Error("the proxy did not come up in time" if starting else "the proxy did not confirm its configuration")
            time.sleep(_POLL_S)

    def _status(self) -> Status | None:
        try:
            return self.admin.status()
        except OSError:
            return None

    def _running(self) -> Running | None:
        data = read_json(self._layout.proxy)
        try:
            return Running(**data) if data else None
        except TypeError as e:
            raise Error(
                "proxy.json is damaged", hint="move it away; the next deploy starts a proxy", where=str(self._layout.proxy)
            ) from e

    def _socket(self, token: str) -> str:
        return self._layout.socket(f"a{token}")


_NAMES = {"lds": "listener", "cds": "clusters", "rds": "routes"}


def _program(token: str) -> str:
    return f"envoy.{token}"  # no service name has a dot, so no instance is called that


def _asked(admin: Admin) -> Status:
    try:
        return admin.status()
    except OSError as e:
        raise Error("the proxy does not answer", hint="the next pass starts it again") from e


def _connected() -> set[str]:
    """Paths of the unix sockets that somebody is connected to; an accepted connection carries the listener's path."""
    try:
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="surrogateescape").splitlines()[1:]
    except OSError:
        return set()  # no Linux: the server finishes on SIGTERM what is in flight
    columns = (line.split(maxsplit=7) for line in lines)
    return {c[7] for c in columns if len(c) == 8 and c[5] == _CONNECTED}
