"""The installed workflows, executed by act on this machine: from a bad pin's red check to production, and back.

Real: the workflow files, git over HTTP, mlrelease, MLflow, the agent, Envoy, the model servers. Played by the local GitHub
and by `support/runner.py`: the API, the review of a protected environment (act knows none: the job is held at its first
step), which commit's workflow an event takes, and the merge button.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.estate import until
from support.github_server import Problem, running_github
from support.runner_estate import NAME, HubEstate

BUMP = "mlrelease/bump/staging/wine"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflows"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def estate(tmp_path_factory, mlflow_uri):
    """Version 1 pinned and approved in both environments, one agent for both, a protected branch."""
    root = tmp_path_factory.mktemp("w")
    with running_github(root) as hub:
        estate = HubEstate(root / "e", mlflow_uri, hub=hub).create()
        try:
            with estate.agents():
                until(lambda: estate.past("staging").verified, seconds=90, what="the proof in staging")
                estate.cli("approve", "production")
                until(lambda: estate.past().verified, seconds=90, what="the proof in production")
                hub.protect(NAME, checks=["validate/offline", "validate/online"])
                yield estate
        finally:
            estate.both_down()


def test_a_bad_pin_is_red_and_cannot_be_merged(estate):
    """The annotation stands at the file's line, both checks say no, and the button refuses."""
    estate.spoil("staging")
    number = estate.propose("bad", "Pin nonsense")
    offline, online = estate.checked(number)
    assert offline.jobs == {"offline": "failure"}, offline.text
    [found] = offline.annotations
    assert (found.level, found.file, found.title) == ("error", "environments/staging/models/wine.yaml", "pin-digest")
    assert found.line > 1
    assert "1 finding" in offline.summary
    assert online.jobs == {"online": "failure"}, online.text
    assert estate.checks(number)["validate/online"] == "failure"
    comments = [c["body"] for c in estate.hub.state(NAME).comments]
    assert any("digest is not a full sha256" in body for body in comments), online.text
    with pytest.raises(Problem):
        estate.merged(number)
    assert offline.left_behind == online.left_behind == ()


def test_two_bots_at_once_open_one_pull_request(estate):
    """Two pipelines announce the same version in the same second; the checks of what came of it are there."""
    runner = estate.runner()
    words = {"environment": "staging", "model": "wine", "version": "2"}
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(runner.repository_dispatch, "propose", "mlrelease-bump", **words) for _ in range(2)]
        runs = [future.result() for future in asked]
    pulls = {n: pull for n, pull in estate.hub.state(NAME).pulls.items() if pull["head"]["ref"] == BUMP}
    assert len(pulls) == 1, "\n\n".join(run.text for run in runs)
    assert any(run.green for run in runs), "\n\n".join(run.text for run in runs)
    [number] = pulls
    assert {"validate/offline": "success", "validate/online": "success"}.items() <= estate.checks(number).items()


def test_a_good_pin_is_merged_and_staging_deployed(estate):
    """Green, merged, applied by the agent, waited for; production has nothing to do, so nobody is asked."""
    [number] = [n for n, pull in estate.hub.state(NAME).pulls.items() if pull["head"]["ref"] == BUMP]
    sha = estate.merged(number)
    run = estate.runner().push("deploy")
    assert run.green, run.text
    assert set(run.jobs) == {"deploy-staging", "plan-production", "deploy-production", "all-green"}
    assert estate.serving(estate.staged_port) == "2"
    assert estate.serving() == "1"
    recorded = estate.past("staging").recorded["wine"]
    assert recorded.bundle.models[0].version == "2"
    made = [d for d in estate.hub.state(NAME).deployments if d["environment"] == "staging"]
    assert made[-1]["sha"] == sha
    assert "staging: deployments 2, failed changes 0 of " in run.summary


def test_production_waits_for_the_review_and_is_deployed(estate):
    """Promoted by the workflow's pull request; held until grace approves; her name stands in the ledger."""
    proposal = estate.runner().dispatch("propose", verb="promote", source="staging", environment="production")
    assert proposal.green, proposal.text
    [number] = [n for n, pull in estate.hub.state(NAME).pulls.items() if pull["head"]["ref"].startswith("mlrelease/promote/")]
    # its own token started no workflow: the checks came with it
    assert {"validate/offline": "success", "validate/online": "success"}.items() <= estate.checks(number).items(), proposal.text
    estate.merged(number)
    seen = []

    def grace(job, run_id):
        seen.append((job, estate.serving()))
        estate.hub.approve_run(NAME, run_id, "production", "grace")

    run = estate.runner().push("deploy", while_held=grace)
    assert run.green, run.text
    assert seen == [("approve-production", "1")]
    assert "approve-production" in run.jobs
    assert estate.serving() == "2"
    approvals = [event for event in estate.site().ledger.read("production").events if type(event).__name__ == "Approved"]
    assert approvals[-1].approver == "grace"
    assert "/actions/runs/" in approvals[-1].run_url


def test_a_revert_is_applied_and_proved_and_nobody_is_asked(estate):
    """The revert's pull request, merged: the old version answers, without a review of the environment."""
    estate.git("revert", "--no-edit", "HEAD")
    estate.git("branch", "--force", "undo")
    estate.git("reset", "--quiet", "--hard", "origin/main")
    estate.git("push", "--quiet", "origin", "undo")
    number = estate.hub.open_pull(NAME, head="undo", title="Revert", user="ann")
    offline, online = estate.checked(number)
    assert offline.green, offline.text
    assert online.green, online.text
    estate.merged(number)
    run = estate.runner().push("deploy")
    assert run.green, run.text
    assert "approve-production" not in run.jobs
    assert estate.serving() == "1"
    receipt = estate.past().recorded["wine"]
    assert receipt.bundle.models[0].version == "1"


def test_the_bot_does_not_bring_the_rejected_version_back(estate):
    """Asked for the newest version, which is the one just moved back from: no pull request, and a reason."""
    before = set(estate.hub.state(NAME).pulls)
    run = estate.runner().repository_dispatch("propose", "mlrelease-bump", environment="production", model="wine")
    assert set(estate.hub.state(NAME).pulls) == before, run.text
    assert "rejected" in run.text
    assert not any("validate" in job for job in run.jobs)


def test_an_old_run_that_is_run_again_changes_nothing(estate):
    """The event's commit pins version 2 in production: the tip is what is waited for, and version 1 goes on answering."""
    old = estate.git("rev-parse", "HEAD~1")
    run = estate.runner().run("push", "deploy", {"ref": "refs/heads/main", "after": old}, ref="refs/heads/main", at=old)
    assert run.green, run.text
    assert estate.serving() == "1"


def test_two_reconciles_at_once_find_everything_in_order(estate):
    """On a schedule: each asks the agent's heartbeat and the ledger, and has nothing to tell."""
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: estate.runner().schedule("reconcile"), range(2)))
    for run in runs:
        assert run.green, run.text


def test_a_release_is_proposed_merged_tagged_and_published(estate):
    """What production runs, in a record that is attested before the release is published."""
    proposal = estate.runner().dispatch("release", level="minor")
    assert proposal.green, proposal.text
    [number] = [n for n, pull in estate.hub.state(NAME).pulls.items() if pull["head"]["ref"] == "mlrelease/release"]
    sha = estate.merged(number)
    run = estate.runner().push("release")
    assert run.jobs == {"publish": "success"}, run.text
    [published] = estate.hub.state(NAME).releases
    assert not published["draft"]
    tag = published["tag_name"]
    assert estate.git("ls-remote", "--tags", "origin", f"refs/tags/{tag}^{{}}").split()[0] == sha
    assert (run.artifacts / "attested").read_text() == f"releases/{tag}.yaml\n"
    again = estate.runner().push("release")
    assert again.green, again.text
    assert len(estate.hub.state(NAME).releases) == 1


def test_a_rollback_from_the_page_of_the_workflow_is_proved(estate):
    """Staging serves 2; on call goes back to 1 at once, and the job ends with the host's proof."""
    run = estate.runner().dispatch("rollback", environment="staging", model="wine", to="1", now="true")
    assert run.green, run.text
    assert estate.serving(estate.staged_port) == "1"
