"""`docs/safety.md` is made from this folder: one file per row, its docstring and its tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "safety.md"
MARK = "<!-- made from tests/safety by pytest --update-golden -->\n"
FILES = sorted(Path(__file__).parent.glob("test_row_*.py"))
ROWS = range(1, 20)
"""The rows of the design's table of what happened elsewhere."""

MISSING: dict[int, str] = {}
"""Rows that do not hold yet, and what is missing."""


def _row(path: Path) -> int:
    return int(path.name.split("_")[2])


def _parsed(path: Path) -> tuple[str, str, list[tuple[str, str]], list[str]]:
    """What happened, what holds here, (test, its sentence) and the tests elsewhere that show it too."""
    tree = ast.parse(path.read_text())
    happened, _, holds = (ast.get_docstring(tree) or "").partition("\n\n")
    tests = [(node.name, ast.get_docstring(node) or "") for node in tree.body if isinstance(node, ast.FunctionDef)]
    also: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ALSO":
            also = list(ast.literal_eval(node.value))
    return happened, holds, [(name, text) for name, text in tests if name.startswith("test_")], also


def _table() -> str:
    lines = ["| # | it happened | here | shown by |", "|---|---|---|---|"]
    for path in FILES:
        happened, holds, tests, also = _parsed(path)
        places = [f"`{path.relative_to(ROOT)}` ({len(tests)} tests)", *(f"`{name}`" for name in also)]
        lines.append(f"| {_row(path)} | {' '.join(happened.split())} | {' '.join(holds.split())} | {', '.join(places)} |")
    missing = [f"- {row}: {why}." for row, why in MISSING.items()]
    return "\n".join([*lines, *(["", "Not yet:", "", *missing] if missing else [])]) + "\n"


def test_every_row_has_its_file_or_is_said_to_be_missing():
    """No row of the table is passed over in silence, and none is both shown and missing."""
    shown = {_row(path) for path in FILES}
    assert shown | set(MISSING) == set(ROWS)
    assert not shown & set(MISSING)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_test_of_a_row_is_named_after_it(path):
    """So that a failing test says which promise it breaks; and each says in a sentence what it shows."""
    _, _, tests, _ = _parsed(path)
    assert tests
    for name, sentence in tests:
        assert name.startswith(f"test_row_{_row(path):02}_"), name
        assert sentence.endswith("."), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_test_named_elsewhere_exists(path):
    """A renamed test does not leave a promise without proof."""
    for reference in _parsed(path)[3]:
        file, _, name = reference.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), reference


def test_the_page_is_the_table(update_golden):
    """`docs/safety.md` below its mark is exactly what these files say."""
    head, mark, table = PAGE.read_text().partition(MARK)
    assert mark
    if update_golden:
        PAGE.write_text(head + mark + "\n" + _table())
        return
    assert table == "\n" + _table()
