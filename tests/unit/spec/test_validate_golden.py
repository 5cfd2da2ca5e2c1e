"""Golden cases: a repository's files and the whole report on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlrelease.forge.files import on_disk
from mlrelease.model.spec import SourceFile
from mlrelease.render import findings
from mlrelease.spec.load import load

CASES = Path(__file__).parents[2] / "golden" / "validate"


def read(root: Path) -> dict[str, SourceFile]:
    """The files as a checkout has them, links and all."""
    return on_disk(root, "environments")


@pytest.mark.parametrize("case", sorted(p.name for p in CASES.iterdir()))
def test_report_is_the_expected_one(case, update_golden):
    """Every finding of the case is reported at once, in order, in the form of the house."""
    report = findings.text(load(read(CASES / case)).findings)
    expected = CASES / case / "expected.txt"
    if update_golden:
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")


def test_every_case_but_the_clean_one_has_findings():
    """A golden file that was written empty by mistake would freeze nonsense."""
    empty = {p.parent.name for p in CASES.glob("*/expected.txt") if not p.read_text(encoding="utf-8")}
    assert empty == {"the-example-is-clean"}


def test_the_clean_case_is_the_example_of_the_repository():
    """The golden example is the one that users start from."""
    assert read(CASES / "the-example-is-clean") == read(CASES.parents[2])
