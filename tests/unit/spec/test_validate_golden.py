"""Golden cases: a repository's files and the whole report on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlrelease.forge.files import on_disk
from mlrelease.model.finding import Finding
from mlrelease.model.spec import SourceFile
from mlrelease.plan.undeclared import undeclared
from mlrelease.render import findings
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES
from support.core import Story, environment, service

CASES = Path(__file__).parents[2] / "golden" / "validate"
WORLDS = CASES.with_name("validate-worlds")


def read(root: Path) -> dict[str, SourceFile]:
    """The files as a checkout has them, links and all."""
    return on_disk(root, "environments")


def judged(case: Path) -> tuple[Finding, ...]:
    """The findings in the case's files, with what its `outside.json` says of the world: variables, and services that run."""
    outside = json.loads(file.read_text()) if (file := case / "outside.json").exists() else {}
    files = read(case)
    histories = {}
    for name, services in outside.get("running", {}).items():
        story = Story()
        story.apply(environment(*(service(one, {f"{one}-model": "1"}) for one in services)))
        histories[name] = story.history
    return tuple(sorted({*load(files, outside.get("variables")).findings, *undeclared(files, histories)}))


@pytest.mark.parametrize("case", sorted(p.name for p in CASES.iterdir()))
def test_report_is_the_expected_one(case, update_golden):
    """Every finding of the case is reported at once, in order, in the form of the house."""
    report = findings.text(judged(CASES / case))
    expected = CASES / case / "expected.txt"
    if update_golden:
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")


def test_every_rule_has_a_case():
    """Files on disk for it, or, where no repository can hold them, what `test_validate_worlds` makes."""
    reports = [p.read_text(encoding="utf-8") for folder in (CASES, WORLDS) for p in folder.rglob("*.txt")]
    assert [rule for rule in RULES if not any(f"[{rule}]" in report for report in reports)] == []


def test_every_case_but_the_clean_one_has_findings():
    """A golden file that was written empty by mistake would freeze nonsense."""
    empty = {p.parent.name for p in CASES.glob("*/expected.txt") if not p.read_text(encoding="utf-8")}
    assert empty == {"the-example-is-clean"}


def test_the_clean_case_is_the_example_of_the_repository():
    """The golden example is the one that users start from."""
    assert read(CASES / "the-example-is-clean") == read(CASES.parents[2])
