"""Blank fields were replicated world-wide.

Unknown, null, empty and placeholder values are findings; the schemas are strict and closed.
"""

from __future__ import annotations

import pytest
from mlrelease.delivery.exit_codes import exit_code
from mlrelease.model.spec import SourceFile
from mlrelease.spec.load import load
from support.world import ENVIRONMENT, MODEL, SERVICE

ALSO = ("tests/unit/spec/test_mistakes.py::test_every_rule_has_a_case",)

FILES = {
    "environments/production/environment.yaml": ENVIRONMENT,
    "environments/production/services/wine.yaml": SERVICE.format(name="wine", image="ab12" * 16),
    "environments/production/models/wine.yaml": MODEL.format(name="wine", version="1", digest=f"sha256:{'cd34' * 16}"),
}
BLANKS = {
    "nothing": "",
    "null": " null",
    "a tilde": " ~",
    "empty quotes": ' ""',
    "spaces in quotes": ' "   "',
    "TODO": " TODO",
    "changeme": " changeme",
    "a name in angle brackets": " <version>",
}


def _lines():
    """Every `key: value` line of the three files, as (path, row)."""
    for path, text in FILES.items():
        for row, line in enumerate(text.splitlines()):
            if ": " in line and not line.lstrip().startswith("- "):
                yield path, row, line.partition(":")[0].strip()


def _findings(path, row, value):
    lines = FILES[path].splitlines()
    lines[row] = lines[row].partition(":")[0] + ":" + value
    changed = {**FILES, path: "\n".join(lines) + "\n"}
    return load({name: SourceFile(text.encode()) for name, text in changed.items()}).findings


def test_row_03_the_files_themselves_are_clean():
    """The files that the other tests spoil have no finding of their own."""
    assert load({name: SourceFile(text.encode()) for name, text in FILES.items()}).findings == ()


@pytest.mark.parametrize("value", BLANKS.values(), ids=BLANKS)
@pytest.mark.parametrize(("path", "row", "key"), list(_lines()), ids=[f"{p.split('/')[-2]} {k}" for p, _, k in _lines()])
def test_row_03_no_key_of_any_file_may_be_blank(path, row, key, value):
    """Whatever stands for nothing behind any key of any file is a finding on that line."""
    found = _findings(path, row, value)
    assert any(f.path == path and f.line == row + 1 for f in found), found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.split("/")[-1])
@pytest.mark.parametrize("line", ["replica: 2", "Version: 1", "x: {}"], ids=["a near miss", "another case", "a mapping"])
def test_row_03_no_file_takes_a_key_that_it_does_not_know(path, line):
    """A misspelt key is not quietly ignored."""
    text = FILES[path] + "\n" + line + "\n"
    found = load({**{n: SourceFile(t.encode()) for n, t in FILES.items()}, path: SourceFile(text.encode())}).findings
    assert [f.rule for f in found] == ["unknown-key"]
    assert found[0].line == len(text.splitlines())


def test_row_03_a_blank_pin_that_was_merged_all_the_same_moves_nothing(deployed):
    """The host judges the files again: a version that is null blocks its service, and what runs keeps running."""
    path = deployed.model_file("wine")
    path.write_text(path.read_text().replace('version: "1"', "version:"))
    deployed.commit("Oops")
    deployed.target.calls.clear()
    result = deployed.run()
    assert (exit_code(result), result.plan.changes[0].blocked_by) == (4, "findings")
    assert deployed.live() == {"wine": "1"}
    assert deployed.target.calls == []
