"""What the target remembers between passes: a record per instance, the routing table, and where the folder is by default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mlrelease.errors import Error
from mlrelease.listing import listed
from mlrelease.model.bundle import BundleId
from mlrelease.model.live import RouteState
from mlrelease.targets.local.files import Layout, read_json, remove

KEPT_LOGS = 20
"""Logs of so many instances that are gone stay for reading."""


def default_state_dir(environment: str, repo_key: str) -> Path:
    """Where an environment keeps its state unless `target.state_dir` says otherwise.

    `/var/lib/mlrelease/…` for root as a systemd service (which sets INVOCATION_ID), else the user's state folder.
    """
    if os.geteuid() == 0 and os.environ.get("INVOCATION_ID"):
        base = Path("/var/lib")
    else:
        written = os.environ.get("XDG_STATE_HOME", "")
        # The XDG specification has relative paths ignored.
        base = Path(written) if Path(written).is_absolute() else Path.home() / ".local" / "state"
    return base / "mlrelease" / repo_key / environment


@dataclass(frozen=True, slots=True)
class Record:
    """One instance as it was meant. `generation` is the supervisord that owns it; `until` > 0 means kept warm.

    `served` says that it has been given traffic: what ends before that ended while loading. `pid` and
    `process_started` are those of its first process; supervisor may have started it anew since.
    """

    id: str
    service: str
    bundle: BundleId
    socket: str
    config: str
    launch: str
    generation: int
    created_at: float
    until: float = 0.0
    served: bool = False
    pid: int = 0
    process_started: float = 0.0


@dataclass(frozen=True, slots=True)
class Routed:
    """The route of one service, and the sockets behind each bundle: bundle → instance → socket."""

    weights: Mapping[BundleId, int]
    instances: Mapping[BundleId, Mapping[str, str]]
    prefix: str
    revision: str
    timeout_s: float

    @property
    def state(self) -> RouteState:
        """The part that an observation shows."""
        return RouteState(dict(self.weights), self.prefix, self.revision, self.timeout_s)


@dataclass(frozen=True, slots=True)
class Table:
    """All routes of an environment, with the content hashes of the files that say so to Envoy (`cds`, `rds`)."""

    services: Mapping[str, Routed] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "BundleId": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
}


def read_records(layout: Layout) -> dict[str, Record]:
    """All records by id. Raises `Error` that names a damaged one."""
    known = {f.name: _KINDS[str(f.type)] for f in fields(Record)}
    found: dict[str, Record] = {}
    for path in listed(layout.instances):
        data = read_json(path)
        if data is None:
            continue
        try:
            record = found[path.stem] = Record(**{key: value for key, value in data.items() if key in known})
            if record.id != path.stem or not all(isinstance(getattr(record, n), kind) for n, kind in known.items()):
                raise TypeError("a value of another kind")  # noqa: TRY301 - the same end as for a key that is missing
        except (TypeError, AttributeError) as e:
            raise Error("the record of an instance is damaged", hint="move it away and deploy again", where=str(path)) from e
    return found


def write_record(layout: Layout, record: Record) -> None:
    """Puts a record in its place."""
    layout.write_json(layout.instances / f"{record.id}.json", asdict(record))


def forget(layout: Layout, instance: str, socket: str) -> None:
    """Removes an instance's files, the record last: a pass that is killed here finds it and goes on."""
    remove(*config_files(layout, instance), *([socket] if socket else []), layout.instances / f"{instance}.json")


def config_files(layout: Layout, instance: str) -> tuple[Path, Path]:
    """The serving configuration of an instance, and the command with its environment."""
    return layout.configs / f"{instance}.json", layout.configs / f"{instance}.run"


def read_tables(layout: Layout) -> tuple[Table, ...]:
    """The present routing table and, while a change is under way, the one before. Empty before the first."""
    data = read_json(layout.routes)
    if data is None:
        return ()
    try:
        return tuple(_table(item) for item in data["tables"])
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as e:
        raise Error("routes.json is damaged", hint="move it away and deploy again", where=str(layout.routes)) from e


def write_tables(layout: Layout, *tables: Table) -> None:
    """Records the tables, newest first."""
    layout.write_json(layout.routes, {"schema": 1, "tables": [asdict(table) for table in tables]})


def prune_logs(layout: Layout, records: Mapping[str, Record]) -> None:
    """Removes the oldest logs of instances that are gone, so that deploys do not fill the disk."""
    remove(*old_logs(layout, records))


def old_logs(layout: Layout, records: Mapping[str, Record]) -> list[Path]:
    """The logs of instances that are gone, but for the newest `KEPT_LOGS` of them."""
    # The logs of proxy and supervisor have no dash in their name; every instance has.
    gone = [p for p in listed(layout.logs, "*-*.log*") if p.name.partition(".log")[0] not in records]
    kept: set[str] = set()
    old: list[Path] = []
    for path in sorted(gone, key=_modified, reverse=True):
        name = path.name.partition(".log")[0]
        if name in kept or len(kept) < KEPT_LOGS:
            kept.add(name)
        else:
            old.append(path)
    return old


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # another pass has removed it meanwhile


def _table(data: Any) -> Table:
    services = {
        name: Routed(
            weights={BundleId(b): int(w) for b, w in item["weights"].items()},
            instances={BundleId(b): dict(members) for b, members in item["instances"].items()},
            prefix=item["prefix"],
            revision=item["revision"],
            timeout_s=float(item["timeout_s"]),
        )
        for name, item in data["services"].items()
    }
    return Table(services, dict(data["hashes"]))
