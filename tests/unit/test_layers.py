"""Imports go one way, as CONTRIBUTING says; and the pure packages touch neither clock nor files nor network."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "scripts" / "mlrelease"
SAID = re.search(r"Imports go one way: (.+?)\. What", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
LAYERS = [re.findall(r"`(\w+)`", layer) for layer in SAID[1].split("→")]
"""From the verbs down to the values, as the page has them."""

RANK = {name: len(LAYERS) - number for number, names in enumerate(LAYERS) for name in names}
IMPURE = {"time", "subprocess", "socket", "requests", "http", "urllib.request", "threading", "random", "tempfile", "shutil"}


def imports(file):
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_page_names_folders_that_are_there():
    """And each once."""
    assert len(RANK) == sum(map(len, LAYERS)) > 8
    assert {name for name in RANK if not (PACKAGE / name).is_dir()} == set()


@pytest.mark.parametrize("name", RANK)
def test_no_import_goes_up(name):
    """What is below knows nothing of what uses it."""
    up = [
        f"{file.relative_to(PACKAGE)} imports {module}"
        for file in sorted((PACKAGE / name).rglob("*.py"))
        for module in imports(file)
        if module.startswith("mlrelease.") and RANK.get(module.split(".")[1], 0) > RANK[name]
    ]
    assert up == []


@pytest.mark.parametrize("name", [name for names in LAYERS[-2:] for name in names])
def test_the_pure_packages_import_nothing_that_acts(name):
    """Ids, moments and texts come in as arguments."""
    acting = [
        f"{file.relative_to(PACKAGE)} imports {module}"
        for file in sorted((PACKAGE / name).rglob("*.py"))
        for module in imports(file)
        if IMPURE & {module, module.split(".")[0]}
    ]
    assert acting == []
