"""The files that Envoy reads its listener, clusters and routes from, beside the table that they were made of."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from mlrelease.log import get
from mlrelease.targets.local import port, xds
from mlrelease.targets.local.envoy import Status
from mlrelease.targets.local.files import Layout
from mlrelease.targets.local.state import Table, read_tables, write_tables


class Routing:
    """The files of one state folder. Which of them Envoy goes by, its `Status` tells."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def mend(self, table: Table, listen: port.Listen, status: Status | None = None) -> None:
        """Writes the files again when one is not what is recorded, or not what the proxy with this status goes by.

        All at once, for each move makes Envoy read them all.
        """
        taken = status.versions if status else {}
        wanted = self.hashed(table, listen)
        found = {kind: self.on_disk(kind) for kind in xds.RESOURCES}
        if not read_tables(self._layout) and all(intact for _, intact in found.values()):
            # The table was lost and the files were not: what they say goes on until a pass routes anew.
            return
        if wanted.hashes == table.hashes and all(
            # One that comes up has taken none yet: it is waited for.
            intact and version.partition("-")[0] == wanted.hashes[kind] and taken.get(kind, "") in ("", version)
            for kind, (version, intact) in found.items()
        ):
            return
        write_tables(self._layout, wanted)
        for kind, resources in self._resources(wanted, listen).items():
            self._layout.write(self._layout.xds / f"{kind}.json", xds.versioned(resources, secrets.token_hex(4)).data)
        get("target.local").info("routes written again", services=sorted(table.services))

    def hashed(self, table: Table, listen: port.Listen) -> Table:
        """The table with the hash of each file that says what it says."""
        hashes = {kind: xds.content_hash(resources) for kind, resources in self._resources(table, listen).items()}
        return replace(table, hashes=hashes)

    def _resources(self, table: Table, listen: port.Listen) -> dict[str, list[dict[str, Any]]]:
        return {
            "lds": self.listener(listen),
            "cds": xds.clusters(xds.members(table)),
            "rds": xds.routes(table),
        }

    def listener(self, listen: port.Listen) -> list[dict[str, Any]]:
        """The one listener, which reads its routes from here."""
        return xds.listener(listen.address, listen.port, str(self._layout.xds))

    def table(self, status: Status | None) -> Table:
        """The newest recorded table, or while a change was under way the one whose version is in force."""
        tables = read_tables(self._layout)
        in_force = (status.versions["rds"] if status else self.on_disk("rds")[0]).partition("-")[0]
        return next((t for t in tables if t.hashes.get("rds") == in_force), tables[0] if tables else Table())

    def members(self, table: Table) -> dict[str, dict[str, str]]:
        """The clusters of the table; where the table was lost, those of the file, which may carry traffic."""
        if read_tables(self._layout):
            return xds.members(table)
        try:
            return xds.read_members((self._layout.xds / "cds.json").read_bytes())
        except OSError:
            return {}

    def on_disk(self, kind: str) -> tuple[str, bool]:
        """The version that a file names, and whether its content is that version's."""
        try:
            return xds.read_version((self._layout.xds / f"{kind}.json").read_bytes())
        except OSError:
            return "", False
