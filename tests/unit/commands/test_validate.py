"""`validate` online, on a real clone and ledger: what stands and what is proposed, in the table, the notes and the exit code.

MLflow is a closed port: what needs it is errored. The gates themselves with a real one: tests/integration/test_gates.py.
"""

from __future__ import annotations

import pytest
from mlrelease.commands.validate import validate
from mlrelease.commands.workspace import open_workspace
from mlrelease.errors import Error
from support.world import World, git


@pytest.fixture
def world(tmp_path):
    """Version 1 runs; version 2 was merged, failed its verification and is rejected; MLflow does not answer."""
    world = World(tmp_path / "w").create()
    world.run()
    world.bump("wine", "2")
    world.target.wrong_through_proxy.add(world.desired().spec.environments["production"].services["wine"].bundle.id)
    assert world.run().receipts["wine"].outcome.value == "rolled_back"
    path = world.laptop / "environments/production/environment.yaml"
    path.write_text(path.read_text().replace("http://127.0.0.1:5000", "http://127.0.0.1:9"))
    world.commit("A port that nobody listens on")
    return world


def words(report):
    """Status by gate, as the JSON has it."""
    return {result["gate"]: result["status"] for result in report.data["gates"]}


def test_a_standing_pin_that_was_rejected_is_a_warning(world):
    """A note and a row, and no no: somebody else's pull request is not to blame."""
    report = validate(open_workspace(str(world.laptop), run_id="test"), offline=False)
    assert words(report) == {"exists": "errored", "digest": "errored", "rejected": "skipped"}
    (note,) = report.notes
    assert note.startswith("warning: production: the pin stands, though wine 2 is rejected by Test: through the proxy")
    assert [row[4:6] for row in report.rows] == [("exists", "errored"), ("digest", "errored"), ("rejected", "skipped")]
    assert report.exit_code == 1
    assert report.verdict == "0 findings in 1 environment, 1 service, 1 model; gates 1 of 3"


def test_a_proposed_pin_that_was_rejected_fails(world):
    """The same bytes in a commit that nobody has pushed: refused, whether or not MLflow answers."""
    path = world.model_file("wine")
    rejected = path.read_text()
    world.bump("wine", "1")
    path.write_text(rejected)
    report = validate(open_workspace(str(world.laptop), run_id="test"), offline=False)
    assert words(report)["rejected"] == "failed"
    assert report.notes == []
    reason = next(row[6] for row in report.rows if row[4] == "rejected")
    assert reason.startswith("wine 2 is rejected by Test: ")


def test_a_ledger_that_does_not_hold_together_stops_it(world):
    """An event is gone from the chain: what is recorded and rejected there cannot be told."""
    workspace = open_workspace(str(world.laptop), run_id="test")
    assert not workspace.ledger().read("production").broken
    git(world.host, "fetch", "--quiet", "origin", "mlrelease/ledger")
    git(world.host, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    first = min((world.host / "production/events").iterdir())
    git(world.host, "rm", "--quiet", str(first))
    git(world.host, "commit", "--quiet", "-m", "lost")
    git(world.host, "push", "--quiet", "origin", "HEAD:mlrelease/ledger")
    with pytest.raises(Error, match="the ledger of production does not hold together"):
        validate(workspace, offline=False)
