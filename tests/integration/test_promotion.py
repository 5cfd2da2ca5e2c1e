"""Staging and production on one machine over one MLflow, both with an agent: promote, soak, approve, deploy, revert."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from mlrelease.history.fold import fold
from mlrelease.spec.edit import set_scalar
from support.estate import Estate, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("promotion"), pytest.mark.timeout(600)]

POLL_S = 0.5


@dataclass
class Two(Estate):
    """`production` promotes from `staging` and asks for approvals; each has its listener and its state folder."""

    staged_port: int = field(default_factory=free_port)

    def create(self, *, soak: str = "0s") -> Two:
        super().create()
        file = self.laptop / "environments/production/environment.yaml"
        folder = self.laptop / "environments/staging"
        for kind in ("services", "models"):
            (folder / kind).mkdir(parents=True)
            name = f"{kind}/wine.yaml"
            (folder / name).write_bytes((file.parent / name).read_bytes())
        text = file.read_text()
        staging = text.replace("environment: production", "environment: staging").replace("alias: production", "alias: staging")
        staging = staging.replace(str(self.port), str(self.staged_port)).replace(str(self.state), f"{self.state}g")
        (folder / "environment.yaml").write_text(staging)
        rules = f"environment: production\npromotes_from: staging\nsoak: {soak}\napproval: required"
        file.write_text(text.replace("environment: production", rules))
        self.commit("Staging before production")
        return self

    def stage(self, version: str) -> None:
        """Pins a version in staging and deploys it there; the pass fetches what it reads, and no checkout is looked at."""
        self.cli("bump", "staging", "wine", "--to", version, "--push")
        self.cli("deploy", "staging", cwd=self.host)

    def changes(self, environment: str = "production") -> dict:
        return self.json("plan", environment, expect=None)["changes"]["wine"]

    def past(self, environment: str = "production"):
        return fold(environment, self.site().ledger.read(environment).events)

    def serving(self) -> str:
        """The version of production's answers; empty when nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/identity", timeout=5) as answer:
                return json.load(answer)["models"][0]["version"]
        except OSError:
            return ""

    def wait_proved(self, version: str) -> None:
        """Until it answers in production and its receipt is there: what is planned next goes by the receipt."""
        until(lambda: self.serving() == version, seconds=90, what=f"version {version} answers in production")
        until(
            lambda: (now := self.past().bundle("wine")) is not None and now.versions()["wine"] == version,
            seconds=90,
            what=f"version {version} is recorded",
        )

    def both_down(self) -> None:
        workspace = self.workspace()
        for spec in workspace.desired().spec.environments.values():
            workspace.site(spec).target.down()
        self.down()


@pytest.fixture
def two(tmp_path_factory, mlflow_uri):
    """Version 1 pinned in both, deployed in staging; production is empty."""
    two = Two(tmp_path_factory.mktemp("p"), mlflow_uri).create()
    try:
        two.cli("deploy", "staging", cwd=two.host)
        yield two
    finally:
        two.both_down()


def test_the_whole_way_of_a_version_to_production_and_back(two, tmp_path):
    """Blocked until proved in staging, until approved for exactly this; deployed by the agent's poll; reverted at once."""
    # (1): the first deploy waits for a yes too; given, it goes.
    two.cli("deploy", "production", cwd=two.host, expect=5)
    assert two.serving() == ""
    two.cli("approve", "production")
    with ExitStack() as stack:
        stack.enter_context(two.agent(interval=POLL_S))
        two.wait_proved("1")

        # (2): pinned in production before staging proved it: blocked, and no approval helps.
        two.pin("2")
        change = two.changes()
        assert (change["blocked_by"], change["change"]) == ("promotion", "update")
        assert "never verified in staging" in change["blocked"]
        refused = two.cli("approve", "production", expect=5)
        assert "nothing approved" in refused.stdout
        two.revert("HEAD")

        # (3): proved there, it is promoted, with its evidence in the commit, and waits for its approval.
        two.stage("2")
        promoted = two.cli("promote", "staging", "production", "--push")
        assert "1 pin promoted from staging" in promoted.stdout
        body = two.git("log", "-1", "--format=%b")
        entry = two.past("staging").recorded["wine"]
        assert f"receipt {entry.event}" in body
        assert "digest passed" in body
        assert "\nMLflow " in body
        commit = two.git("rev-parse", "HEAD")
        plan = tmp_path / "plan.json"
        plan.write_text(two.cli("--output", "json", "plan", "production", expect=5).stdout)
        waiting = json.loads(plan.read_text())["changes"]["wine"]
        assert waiting["blocked_by"] == "approval"
        assert waiting["gates"] != []
        assert two.serving() == "1"

        # (4): an approval that expires is none any more. The agent is busy with nothing: it writes nothing.
        height = two.past().height
        two.cli("hold", "production", "--reason", "freeze")
        two.cli("unhold", "production", "--reason", "over")
        assert two.past().height == height + 2

        # (5): approved as read, the agent's next look deploys it, and the alias follows.
        said = two.cli("approve", "production", "--plan", str(plan), "--run-url", "https://example.org/7", "--expires", "1h")
        assert "a rollback goes back to wine 1" in said.stdout
        two.wait_proved("2")
        assert two.past().approvals == ()

        # (6): a revert goes back by itself, with no yes.
        two.revert(commit)
        two.wait_proved("1")

        # (7): promoted again it is refused, until somebody lifts the rejection with a reason; then it waits for a new yes.
        again = two.cli("promote", "staging", "production", expect=5)
        assert "refused" in again.stdout
        assert "moved back" in again.stdout
        two.cli("unreject", "production", "wine", "2", "--reason", "it was the data")
        two.cli("promote", "staging", "production", "--push")
        assert two.changes()["blocked_by"] == "approval"
        assert two.serving() == "1"


def test_an_approval_fits_nothing_else_and_ends(two):
    """For another version, or too late, it is as none; a version rejected in staging after its proof passes no more."""
    host = two.host
    two.cli("approve", "production")
    two.cli("deploy", "production", cwd=host)

    # (1): one that expired.
    two.stage("2")
    two.cli("promote", "staging", "production", "--push")
    two.cli("approve", "production", "--expires", "1s")
    end = two.past().approvals[-1].expires_at
    until(lambda: time.time() > end, what="the approval expires")
    late = two.cli("deploy", "production", cwd=two.host, expect=5)
    assert "expired at" in late.stdout
    assert two.serving() == "1"

    # (2): approved, and then rejected in staging: the proof is gone, and the approval does not bring it back.
    two.cli("approve", "production")
    two.cli("reject", "staging", "wine", "2", "--reason", "biased")
    shut = two.cli("deploy", "production", cwd=two.host, expect=5)
    assert "rejected by" in shut.stdout
    assert two.serving() == "1"

    # (3): lifted there, the same approval is still good: nothing moved in production.
    two.cli("unreject", "staging", "wine", "2", "--reason", "it was the test set")
    two.cli("deploy", "production", cwd=two.host)
    assert two.serving() == "2"


def test_a_soak_is_served_before_anybody_can_approve(two):
    """The plan names the moment; until then there is nothing to approve, from then on it waits for a yes."""
    file = two.laptop / "environments/production/environment.yaml"
    two.cli("approve", "production")
    two.cli("deploy", "production", cwd=two.host)
    file.write_bytes(set_scalar(file.read_bytes(), ("soak",), "1h"))
    two.commit("Soak an hour")
    two.stage("2")
    promoted = two.cli("promote", "staging", "production", "--push")
    assert "not before" in promoted.stdout
    change = two.changes()
    proved = two.past("staging").recorded["wine"].at
    assert change["blocked_by"] == "soak"
    assert change["waits_until"] in change["blocked"]
    assert change["waits_until"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(proved + 3600)))
    assert "not before" in two.cli("approve", "production", expect=5).stdout
    checked = two.cli("validate", expect=None)
    assert "not before" in checked.stdout or checked.returncode == 0
    file.write_bytes(set_scalar(file.read_bytes(), ("soak",), "0s"))
    two.commit("No soak")
    assert two.changes()["blocked_by"] == "approval"
