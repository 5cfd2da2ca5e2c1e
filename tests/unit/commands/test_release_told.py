"""What `release` and `release verify` print, in full."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from mlrelease.commands.release.restore import restore
from mlrelease.commands.release.verify import VerifyOptions, verify
from mlrelease.commands.rollback import RollbackOptions
from support.desk import told
from support.newcomer import golden
from support.pair import identity
from support.releasing import Shop
from support.world import git

pytestmark = pytest.mark.xdist_group("release-told")


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """v0.1.0 released with version 1; version 2 deployed since, and two fragments written."""
    with identity():
        shop = Shop(tmp_path_factory.mktemp("told") / "w").ready()
        shop.fragment("added-first.md", "The first.")
        shop.released()
        shop.deployed("wine", "2", rmse=68.9)
        shop.fragment("fixed-typo.md", "A typo.")
        shop.fragment("security-fix.md", "A hole,\nmended.")
        yield shop


@pytest.fixture
def shop(second, tmp_path):
    return second.copy(tmp_path / "w")


def said(report, shop, capsys, *, output="table"):
    """The text with commits, bundles and digests made equal from run to run."""
    text = told(report, shop, capsys, output=output)
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:DIGEST", text)
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", text)
    return re.sub(r"\b(?=[0-9a-f]*[0-9])(?:[0-9a-f]{12}|[0-9a-f]{9})\b", "ID", text)


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_dry_run_in_full(shop, capsys, update_golden, output):
    """The section as it would stand in the changelog."""
    report = shop.release("auto", dry_run=True)
    golden(f"release/dry-run.{output}.txt", said(report, shop, capsys, output=output), update=update_golden)


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_release_in_full(shop, capsys, update_golden, output):
    """What was released, where it went, and what to do next."""
    report = shop.released("minor")
    golden(f"release/released.{output}.txt", said(report, shop, capsys, output=output), update=update_golden)


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_refusal_in_full(shop, capsys, update_golden, output):
    """Every reason with what to do, and that nothing was changed."""
    shop.fragment("misc-x.md", "What?")
    shop.measured("wine", "3", rmse=60.0)
    shop.bump("wine", "3")
    (shop.laptop / "scratch.txt").write_text("x")
    git(shop.laptop, "tag", "v0.2.0")
    report = shop.release("minor")
    golden(f"release/refused.{output}.txt", said(report, shop, capsys, output=output), update=update_golden)


def test_a_release_that_was_begun_in_full(shop, capsys, update_golden):
    """Ended by the next run."""
    shop.released("minor", push=False)
    golden("release/ended.txt", said(shop.released("minor"), shop, capsys), update=update_golden)


def test_a_proof_in_full(shop, capsys, update_golden):
    """One line for each thing."""
    report = verify(shop.desk(), "v0.1.0", VerifyOptions())
    golden("release/verify.txt", said(report, shop, capsys), update=update_golden)


def test_a_proof_that_fails_in_full(shop, capsys, update_golden):
    """What is not as recorded, and what was not asked."""
    facts = shop.registry.facts["wine", "1"]
    shop.registry.facts["wine", "1"] = replace(facts, run_id="run-other")
    path = "releases/v0.1.0.yaml"
    shop.file(path, shop.read(path).replace("rmse: 71.2", "rmse: 60.0"))
    report = verify(shop.desk(), "v0.1.0", VerifyOptions())
    golden("release/verify-failed.txt", said(report, shop, capsys), update=update_golden)


def test_a_rollback_to_a_release_in_full(shop, capsys, update_golden):
    """From which version to which."""
    report = restore(shop.desk(), "production", RollbackOptions(to_release="v0.1.0"))
    golden("release/rollback.txt", said(report, shop, capsys), update=update_golden)


def test_the_changelog_after_two_releases_in_full(shop, update_golden):
    """As people read it."""
    shop.released("minor")
    golden("release/CHANGELOG.md", shop.read("CHANGELOG.md") + "\n", update=update_golden)


def test_the_record_in_full(shop, update_golden):
    """As an auditor reads it."""
    shop.released("minor")
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", shop.read("releases/v0.2.0.yaml"))
    text = re.sub(r"head: sha256:[0-9a-f]{64}", "head: sha256:DIGEST", text)
    golden("release/record.yaml", text + "\n", update=update_golden)
