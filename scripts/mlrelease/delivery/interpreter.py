"""The interpreter that a service names as its runtime: can the reference server run there? Asked before it is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error

NEEDED = ("mlrelease.serving", "mlflow.pyfunc", "fastapi", "uvicorn", "uvloop", "httptools", "prometheus_client")

# Finds without importing: 0.1 s, where importing MLflow takes more than one. Only a dotted name imports its parent.
_LOOK = f"""
import importlib.util, json, sys
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
missing = [name for name in {NEEDED!r} if not has(name.split('.')[0]) or ('mlrelease' in name and not has(name))]
print(json.dumps({{"missing": missing, "version": list(sys.version_info[:2])}}))
"""

_OLDEST = (3, 11)


def interpreter_here(python: str) -> str:
    """The interpreter that loads a service's models on this machine: the one it names, or this program's where it names none.

    Raises `Error` where the one it names cannot be used here: it belongs to the host.
    """
    if python:
        check_interpreter(python)
    return python or sys.executable


def check_interpreter(python: str) -> None:
    """Raises `Error` that says what to do unless the reference server can run with the interpreter at this path."""
    path = Path(python)
    if not path.is_absolute():
        raise Error(f"runtime.python is not an absolute path: {python}", hint="for example /opt/models/.venv/bin/python")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise Error(
            f"runtime.python is not there or cannot be run: {python}",
            hint="make the environment on this host: python3 -m venv …, then pip install 'mlrelease[serve]' in it",
        )
    try:
        done = subprocess.run(
            [python, "-P", "-c", _LOOK], capture_output=True, timeout=DEADLINES_S["interpreter.look"], check=True, cwd="/"
        )
        said = json.loads(done.stdout)
        missing, (major, minor) = list(said["missing"]), map(int, said["version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as e:
        raise Error(
            f"runtime.python does not answer as an interpreter: {python} ({type(e).__name__})",
            hint=f"try it: {python} --version",
        ) from e
    if (major, minor) < _OLDEST:
        raise Error(f"runtime.python is Python {major}.{minor}, and 3.11 is the oldest that serves: {python}")
    if missing:
        raise Error(
            f"runtime.python cannot run the reference server: {python} has no {', '.join(missing)}",
            hint=f"{python} -m pip install 'mlrelease[serve]'",
        )
