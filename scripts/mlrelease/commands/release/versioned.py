"""The version in the files, moved by bump-my-version inside a copy: its failure leaves nothing behind.

The repository's own configuration is used where it has one (`.bumpversion.toml`, `pyproject.toml`, …), so that a chart
or a package moves along; commits, tags and pushes stay this program's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.forge.scratch import Scratch
from mlrelease.model.release import Version

FILE = "VERSION"
CONFIGURATIONS = (".bumpversion.toml", ".bumpversion.cfg", "setup.cfg", "pyproject.toml")
"""Where bump-my-version looks, in its order."""

OWN = """\
[tool.bumpversion]

[[tool.bumpversion.files]]
filename = "VERSION"
regex = true
search = "^{current_version}$"
replace = "{new_version}"
"""
OWN_FILE = ".bumpversion.mlrelease.toml"
"""What is used where the repository has no configuration: the whole line, so that no other number is touched."""


def move_version(scratch: Scratch, before: Version, after: Version) -> None:
    """Lets every configured file, and VERSION in any case, say the new version.

    Raises `Error` in bump-my-version's own words when it cannot, or when VERSION says something else afterwards.
    """
    missing = scratch.read(FILE) is None
    if missing:
        scratch.write(FILE, f"{before}\n".encode())
    configuration = _configuration(scratch)
    if before != after:
        _run(scratch.path, configuration, before, after)
    scratch.remove(OWN_FILE)
    said = (scratch.read(FILE) or b"").decode(errors="replace").strip()
    if said != str(after):
        raise Error(
            f"{FILE} says {said[:40] or 'nothing'} after bump-my-version, not {after}",
            hint=f'{configuration.name}: add [[tool.bumpversion.files]] with filename = "{FILE}"',
        )


def _configuration(scratch: Scratch) -> Path:
    """The repository's configuration, else our own: in the copy, because bump-my-version looks for files beside it."""
    for name in CONFIGURATIONS:
        data = scratch.read(name)
        if data is not None and _configures(name, data.decode(errors="replace")):
            return scratch.path / name
    scratch.write(OWN_FILE, OWN.encode())
    return scratch.path / OWN_FILE


def _configures(name: str, text: str) -> bool:
    if name.endswith(".cfg"):
        return "[bumpversion" in text
    try:
        return "bumpversion" in tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as e:
        raise Error(f"{name} is not TOML: {e}", hint=f"mend {name}", where=name) from e


def _run(folder: Path, configuration: Path, before: Version, after: Version) -> None:
    if find_spec("bumpversion") is None:
        raise Error("this needs the package bump-my-version", hint="pip install bump-my-version")
    # -I: neither the folder nor PYTHONPATH brings modules of its own in.
    command = [sys.executable, "-I", "-m", "bumpversion", "bump", "--config-file", str(configuration)]
    command += ["--current-version", str(before), "--new-version", str(after)]
    command += ["--no-commit", "--no-tag", "--allow-dirty"]
    seconds = DEADLINES_S["release.version"]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "400", "TERM": "dumb"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as e:
        raise Error(f"bump-my-version did not end within {seconds:g} s", hint="see its hooks in the configuration") from e
    if done.returncode:
        raise Error(
            f"bump-my-version: {_said(done.stderr + done.stdout) or f'exit code {done.returncode}'}",
            hint=f"see {configuration.name}, and that {FILE} says {before}; nothing was changed",
        )


def _said(output: bytes) -> str:
    """The last line inside its box of an error, else its last line."""
    lines = [line.strip(" │|╭╰╮╯─") for line in output.decode(errors="replace").splitlines()]
    told = [line for line in lines if line and not re.match(r"(Usage:|Try |Error$)", line)]
    return told[-1] if told else ""
