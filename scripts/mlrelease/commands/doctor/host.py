"""Checks of the host of an environment: its port, its state folder, its agent, the interpreters of its services."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, skipped, warn
from mlrelease.commands.gc import in_words
from mlrelease.delivery.agent import agent_pid
from mlrelease.delivery.site import state_folder
from mlrelease.errors import Error
from mlrelease.model.spec import EnvironmentSpec

SCARCE, LITTLE = 1_000_000_000, 5_000_000_000
"""Bytes: less than one large model; less than the bundles that are kept for going back."""

FEW_FILES, ENOUGH_FILES = 1024, 4096
"""Open files: what a shell gives; what Envoy, some instances and their clients need."""

_LONGEST_NAME = len("/s/v123456.4194304")


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about this host, per environment."""
    if patient.environments:
        yield Check("open-files", open_files)
    for environment in patient.environments:
        for id_, ask in (
            ("state-dir", state_dir),
            ("disk", disk),
            ("filesystem", filesystem),
            ("port", port),
            ("interpreter", interpreter),
            ("agent", agent),
        ):
            yield Check(id_, lambda ask=ask, environment=environment: ask(patient, environment), environment.name)  # type: ignore[misc]


def open_files() -> Found:
    """How many files a process of this user may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = f"{soft} at most" + (f" (up to {hard} may be asked for)" if hard != soft else "")
    if soft < FEW_FILES:
        return bad(said, f"ulimit -n {ENOUGH_FILES}, or LimitNOFILE={ENOUGH_FILES} in the unit")
    if soft < ENOUGH_FILES:
        return warn(said, f"ulimit -n {ENOUGH_FILES}, or LimitNOFILE={ENOUGH_FILES} in the unit")
    return ok(said)


def state_dir(patient: Patient, environment: EnvironmentSpec) -> Found:
    """The state folder can be written, or made; sockets fit into its path."""
    folder = _folder(patient, environment)
    from mlrelease.targets.local.files import LONGEST_SOCKET_PATH  # noqa: PLC0415 - the target's, not `--help`'s

    over = len(os.fsencode(folder)) + _LONGEST_NAME - LONGEST_SOCKET_PATH
    fix = "set target.state_dir in environment.yaml"
    if over > 0:
        return bad(f"{folder}: {over} bytes too long for unix sockets", f"{fix} to a shorter path")
    place = _existing(folder)
    if not place.is_dir():
        return bad(f"{place} is no folder", fix)
    if not os.access(place, os.W_OK | os.X_OK):
        return bad(f"{place} may not be written by this user", f"{fix}, or give this user the folder")
    if place != folder:
        return ok(f"{folder} can be made")
    if folder.stat().st_mode & 0o077:
        return warn(f"{folder} can be read by others", f"chmod 700 {folder}")
    return ok(f"{folder}")


def disk(patient: Patient, environment: EnvironmentSpec) -> Found:
    """There is room for models, and for small files."""
    place = _existing(_folder(patient, environment))
    free = shutil.disk_usage(place).free
    about = os.statvfs(place)
    said = f"{in_words(free)} free at {place}"
    if about.f_files and about.f_favail * 100 < about.f_files:
        return bad(f"less than 1 % of the inodes are free at {place}", "remove small files there")
    if free < SCARCE:
        return bad(said, f"mlrelease gc {environment.name}, or a larger disk")
    return warn(said, f"mlrelease gc {environment.name}, or a larger disk") if free < LITTLE else ok(said)


def filesystem(patient: Patient, environment: EnvironmentSpec) -> Found:
    """All of the state folder lies on one file system."""
    folder = _folder(patient, environment)
    if not folder.is_dir():
        return skipped(f"does not run on this host (no {folder})")
    device = folder.stat().st_dev
    others = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and path.stat().st_dev != device]
    if others:
        return bad(f"on another file system than {folder}: {', '.join(others)}", "mount nothing below the state folder")
    return ok(f"{folder} is one file system")


def port(patient: Patient, environment: EnvironmentSpec) -> Found:
    """The environment's address is free, or its own proxy's."""
    from mlrelease.targets.local import port as ports  # noqa: PLC0415 - the target's, not `--help`'s
    from mlrelease.targets.local.files import Layout  # noqa: PLC0415
    from mlrelease.targets.local.orphans import Kind, find  # noqa: PLC0415

    folder = _folder(patient, environment)
    own = [f.pid for f in find(Layout(folder.resolve()), ()) if f.kind is Kind.PROXY] if folder.is_dir() else []
    listen = ports.parse(environment.target.listen)
    ports.check_free(listen, own)
    served = own and ports.own_listens(listen, own)
    return ok(f"{listen.text} is served by its proxy (pid {own[0]})" if served else f"{listen.text} is free")


def interpreter(_patient: Patient, environment: EnvironmentSpec) -> Found:
    """Each interpreter that a service names can run the reference server."""
    from mlrelease.delivery.interpreter import check_interpreter  # noqa: PLC0415

    named = {service.python for service in environment.services.values() if service.python}
    if not named:
        return skipped("no service names one: mlrelease's own is used")
    for python in sorted(named):
        check_interpreter(python)
    return ok(", ".join(sorted(named)))


def agent(patient: Patient, environment: EnvironmentSpec) -> Found:
    """An agent owns the environment on this host."""
    folder = _folder(patient, environment)
    if not folder.is_dir():
        return skipped(f"does not run on this host (no {folder})")
    pid = agent_pid(folder)
    return ok(f"pid {pid}") if pid else warn("no agent on this host", f"mlrelease agent {environment.name}")


def _folder(patient: Patient, environment: EnvironmentSpec) -> Path:
    try:
        return state_folder(environment, patient.workspace.git, patient.workspace.branch, patient.variables)
    except Error as error:
        raise Error(f"target.state_dir: {error.message}", hint=error.hint) from error


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())
