"""MLflow 2.22 in an environment of its own, built once a machine: the oldest server that is supported."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

# Of both it needs what newer ones no longer bring: `pkg_resources`, and a pool that it imports.
REQUIREMENTS = ("mlflow==2.22.5", "setuptools<81", "sqlalchemy<2.1")
BUILD_S = 900.0  # 45 s where the packages are near
_OUT_OF_REACH = re.compile(r"No matching distribution|Could not find a version|Failed to establish|Name or service not known")


def old_python() -> Path:
    """The interpreter of that environment; skips the test where pip cannot reach anything to build it from."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME is an empty folder in tests
    folder = home / ".cache" / "mlrelease-tests" / f"mlflow-2.22-py{sys.version_info.major}{sys.version_info.minor}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one builder, the others find it done
        done = folder / "complete"
        if not done.exists() or done.read_text().split() != list(REQUIREMENTS):
            _build(folder)
    return folder / "bin" / "python"


def _build(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=BUILD_S)
    command = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        *REQUIREMENTS,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    if done.returncode and _OUT_OF_REACH.search(done.stderr):
        pytest.skip(f"MLflow 2.22 cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (folder / "complete").write_text("\n".join(REQUIREMENTS))
