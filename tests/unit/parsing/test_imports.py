"""What a command line costs before its verb begins: neither help nor a refusal imports what only verbs need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("requests", "urllib3", "jwt", "yaml", "mlflow", "rich", "jinja2", "structlog", "tenacity", "numpy", "fastapi"),
    *("psutil", "ulid", "picklescan"),
}
OURS = ("mlrelease.commands", "mlrelease.delivery", "mlrelease.spec", "mlrelease.render", "mlrelease.forge", "mlrelease.http")
SHOWN = """
import json, sys
sys.argv = ["mlrelease"]
from mlrelease.cli import app, main
import typer
parser = typer.main.get_command(app)
for name, verb in parser.commands.items():
    for sub in [[], *([word] for word in getattr(verb, "commands", {}))]:
        try:
            parser([name, *sub, "--help"], standalone_mode=False)
        except typer.Exit:
            pass
try:
    parser(["--version"], standalone_mode=False)
except typer.Exit:
    pass
helped = sorted(sys.modules)
json.dump(helped, sys.stderr)
"""


@pytest.fixture(scope="module")
def loaded():
    """All modules of a process that showed the help of every verb, and its version."""
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("Usage: mlrelease ") > 30
    return set(json.loads(done.stderr))


def test_the_help_of_every_verb_imports_nothing_heavy(loaded):
    """`--help` is asked for more often than anything: a fifth of a second, of which Python is half."""
    assert loaded & HEAVY == set()


def test_the_help_of_every_verb_imports_no_verb(loaded):
    """Nor what verbs stand on: a defect in one of them cannot take the help away."""
    assert {name for name in loaded if name.startswith(OURS)} == set()
    assert "mlrelease.parsing.boundary" in loaded
