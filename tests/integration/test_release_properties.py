"""Random sequences of bumps, reverts, rollbacks and releases: no conflict, no pin lost, versions that only rise."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlrelease.commands.release.restore import restore
from mlrelease.commands.release.verify import VerifyOptions, verify
from mlrelease.commands.rollback import RollbackOptions
from mlrelease.model.bundle import model_key
from mlrelease.model.event import Unrejected
from mlrelease.model.release import Version
from support.pair import identity
from support.releasing import Shop, problems
from support.world import git

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("release-properties"), pytest.mark.timeout(300)]

STEPS = st.lists(st.sampled_from(["bump", "bump", "revert", "release", "release", "restore"]), min_size=4, max_size=6)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    with identity():
        shop = Shop(tmp_path_factory.mktemp("properties") / "w").ready()
        shop.released()
        yield shop


def pins(shop, revision="HEAD"):
    return git(shop.laptop, "ls-tree", "-r", revision, "environments/")


def released(shop):
    return sorted(Version.parse(name) for name in git(shop.origin, "tag").split())


def forgive(shop, upto):
    """Every rejection lifted, so that the next bump may move forward again."""
    values = tuple((model_key("wine"), str(shop.pin("wine", str(n)).digest)) for n in range(1, upto + 1))
    shop.site().ledger.append([Unrejected(shop.ids(), "production", shop.clock, "Test", "next", "wine", values)])


@given(steps=STEPS)
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_sequence_of_bumps_reverts_and_releases_conflicts_or_loses_a_pin(first, tmp_path_factory, steps):
    """After each step production is what git says; a revert of the newest pin is clean across any release."""
    shop = first.copy(tmp_path_factory.mktemp("case") / "w")
    numbers = itertools.count(2)
    newest = 1
    pin_commits: list[str] = []
    for step in steps:
        git(shop.laptop, "pull", "--quiet", "--ff-only")
        before, tags = pins(shop), released(shop)
        if step == "bump":
            newest = next(numbers)
            forgive(shop, newest)
            shop.measured("wine", str(newest), rmse=70.0 - newest)
            pin_commits.append(shop.bump("wine", str(newest)))
        elif step == "revert" and pin_commits:
            shop.revert(pin_commits.pop())  # raises where it conflicts
        elif step == "release":
            report = shop.release("auto")
            assert report.exit_code == 0 or "nothing to release" in problems(report), problems(report)
            assert pins(shop) == before
            assert released(shop)[: len(tags)] == tags
        elif step == "restore":
            restore(shop.desk(), "production", RollbackOptions(to_release=released(shop)[-1].tag))
            git(shop.laptop, "pull", "--quiet", "--ff-only")
            pin_commits = []  # what a rollback moved on from is not reverted
        shop.run()
        wanted = shop.desired().spec.environments["production"].services["wine"].bundle
        assert shop.history().bundle("wine") == wanted
    for version in released(shop):
        assert verify(shop.desk(), version.tag, VerifyOptions()).exit_code == 0
    headings = [line for line in shop.read("CHANGELOG.md").splitlines() if line.startswith("## [")]
    assert len(headings) == len(set(headings)) == len(released(shop)) + 1
