"""The instances of a service as files and programs: what is written before one starts, and removed after it ended."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.model.bundle import canonical_json, sha256_digest
from mlrelease.model.live import Launch
from mlrelease.serving.config import ServeConfig
from mlrelease.targets.local import orphans
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.look import Ground
from mlrelease.targets.local.state import Record, config_files, forget, write_record
from mlrelease.targets.local.supervisor import Program, Supervisor, scrubbed_environment

SERVER = (sys.executable, "-m", "mlrelease.serving")
"""The reference server; its last argument is the configuration."""

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 unless the service says otherwise: replicas share the cores, and a row is too small for several threads."""

_POLL_S = 0.01


class Instances:
    """Brings instances up and buries them; holds no state but the folder's."""

    def __init__(
        self, layout: Layout, supervisor: Supervisor, server: Sequence[str], now: Callable[[], float], run_id: str
    ) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._server = tuple(server)
        self._now = now
        self._run_id = run_id

    def add(self, launch: Launch, count: int) -> list[Record]:
        """Starts so many new instances; returns when each has a process. Does not wait for ready."""
        hashed = self.launch_hash(launch)
        new = [self._record(launch, hashed) for _ in range(count)]
        self._supervisor.add([self._program(record, launch) for record in new])
        return [self._note_process(record) for record in new]

    def _record(self, launch: Launch, hashed: str) -> Record:
        """The files of a new instance, the record first: whatever happens then, nothing runs that is not known."""
        bundle = launch.bundle
        id_ = f"{bundle.service}-{bundle.id[:6]}-{secrets.token_hex(2)}"
        while (self._layout.instances / f"{id_}.json").exists():
            id_ = f"{bundle.service}-{bundle.id[:6]}-{secrets.token_hex(2)}"
        socket = self._layout.socket(secrets.token_hex(4))
        config = config_files(self._layout, id_)[0]
        record = Record(
            id=id_,
            service=bundle.service,
            bundle=bundle.id,
            socket=socket,
            config=str(config),
            launch=hashed,
            generation=self._supervisor.generation,
            created_at=self._now(),
        )
        write_record(self._layout, record)
        serving = ServeConfig(
            service=bundle.service,
            bundle=bundle.id,
            image=bundle.image.reference,
            instance=id_,
            runtime="",  # the server says for itself what it runs on
            listen=f"unix:{socket}",
            models=launch.artifacts,
            drain_s=DEADLINES_S["instance.drain"],
            run_id=self._run_id,
        )
        self._layout.write_json(config, serving.to_json())
        return record

    def _program(self, record: Record, launch: Launch) -> Program:
        config, run_file = config_files(self._layout, record.id)
        env = scrubbed_environment() | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONUNBUFFERED": "1"} | dict(launch.env)
        argv = [launch.python or self._server[0], *self._server[1:], str(config)]
        return Program(record.id, argv, env, run_file, log=f"{record.id}.log", keep_on=False)

    def _note_process(self, record: Record) -> Record:
        """The record with pid and start time, once supervisor has started the process."""
        end = time.monotonic() + DEADLINES_S["supervisor.call"]
        while True:
            process = (self._supervisor.processes() or {}).get(record.id)
            if process is not None and (process.pid or process.final):
                break
            if time.monotonic() > end:
                raise Error(f"supervisord does not start {record.id}", hint=f"see {self._layout.logs / 'supervisord.log'}")
            time.sleep(_POLL_S)
        noted = replace(record, pid=process.pid, process_started=orphans.start_time(process.pid))
        write_record(self._layout, noted)
        return noted

    def bury(self, record: Record, ground: Ground) -> None:
        """Removes what is left of an instance that does not run any more."""
        if record.id in (ground.processes or {}):
            self._supervisor.stop(record.id)
            self._supervisor.discard(record.id)
        forget(self._layout, record.id, record.socket)

    def launch_hash(self, launch: Launch) -> str:
        """A hash of the settings. Salted, because it is shown and the environment may hold a short secret."""
        salt = self._layout.root / "salt"
        if not salt.exists():
            self._layout.write(salt, secrets.token_hex(16).encode())
        content = {
            "image": launch.bundle.image.reference,
            "models": [[a.name, a.version, a.digest, str(a.path), a.golden, a.golden_rtol] for a in launch.artifacts],
            "env": sorted(launch.env),
        } | ({"python": launch.python} if launch.python else {})
        return sha256_digest(salt.read_bytes() + canonical_json(content))[7:19]
