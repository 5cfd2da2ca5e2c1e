"""Deployments on GitHub: begun once, nothing merged or waited for, older ones made inactive."""

from __future__ import annotations

import pytest
from mlrelease.forge.github import deployments
from mlrelease.forge.github.errors import ForbiddenError
from mlrelease.http.errors import HttpError
from support.github_desk import client
from support.github_server import lost, status


def begin(at, *, sha="", environment="production", payload=None):
    """A deployment of the tip of main."""
    return deployments.begin(
        at.github, sha=sha or at.main, environment=environment, description="2 to update", payload=payload or {"run": 7}
    ).number


def states(at, number):
    """The states of a deployment, oldest first."""
    return [found["state"] for found in reversed(at.state.statuses_of(number))]


def finished(at, *, environment="production", sha=""):
    """A deployment that went well."""
    number = begin(at, environment=environment, sha=sha)
    deployments.finish(at.github, number, "success", description="done")
    return number


def test_a_deployment_merges_nothing_and_waits_for_no_check(at):
    """Both are GitHub's defaults, and both would spoil a rollback."""
    at.branch("old")
    at.hub.commit(at.name, "main")
    at.github.post(f"statuses/{at.main}", {"state": "failure", "context": "unrelated"})
    number = begin(at, sha=at.branch("old"))
    made = at.state.deployments[0]
    assert (made["id"], made["environment"], made["payload"], made["description"]) == (
        number,
        "production",
        {"run": 7},
        "2 to update",
    )
    asked = next(call.body for call in reversed(at.hub.calls) if call.path.endswith("/deployments") and call.method == "POST")
    assert (asked["auto_merge"], asked["required_contexts"]) == (False, [])
    assert begin(at) != number  # and the red check of main stops nothing


def test_the_server_would_refuse_without_these_two(at):
    """So that the test above can fail."""
    at.branch("old")
    at.hub.commit(at.name, "main")
    with pytest.raises(HttpError, match="Conflict merging main"):
        at.github.post("deployments", {"ref": at.github.get("branches/old")["commit"]["sha"]})
    at.github.post(f"statuses/{at.main}", {"state": "failure", "context": "unrelated"})
    with pytest.raises(HttpError, match="status checks failed"):
        at.github.post("deployments", {"ref": at.main})


def test_an_unfinished_one_is_gone_on_with(at):
    """A job that was killed and run again."""
    number = begin(at)
    assert begin(at) == number
    deployments.set_state(at.github, number, "in_progress", description="x")
    assert begin(at) == number
    deployments.finish(at.github, number, "failure", description="x")
    assert begin(at) != number


def test_a_success_is_found_again_until_another_takes_its_place(at):
    """A job that is run again makes no second deployment of what is live."""
    number = finished(at)
    assert begin(at) == number
    assert states(at, number)[-1] == "success"
    finished(at, sha=at.branch("b"))
    assert begin(at) != number


def test_a_lost_answer_makes_no_second_one(at):
    """It is looked up."""
    at.hub.fault("POST */deployments", lost())
    number = begin(at)
    assert [made["id"] for made in at.state.deployments] == [number]


@pytest.mark.parametrize("other", [{"environment": "staging"}, {"sha": "other"}], ids=["environment", "commit"])
def test_another_deployment_is_another_one(at, other):
    """By environment and commit."""
    number = begin(at)
    sha = at.branch("x") if "sha" in other else ""
    assert begin(at, sha=sha, environment=other.get("environment", "production")) != number


def test_a_job_s_own_deployment_is_not_ours(at):
    """A job with `environment:` makes one by itself."""
    body = {"ref": at.main, "environment": "production", "auto_merge": False, "required_contexts": []}
    theirs = at.github.post("deployments", body)["id"]
    number = begin(at)
    assert number != theirs
    deployments.finish(at.github, number, "success", description="done")
    assert states(at, theirs) == []


def test_progress_is_told_once_each(at):
    """The state in which it is already is not written again."""
    number = begin(at)
    for word in ("queued", "queued", "in_progress", "in_progress"):
        deployments.set_state(at.github, number, word, description="x", log_url="https://ci.example/1")
    deployments.finish(at.github, number, "success", description="done", environment_url="https://api.example")
    assert states(at, number) == ["queued", "in_progress", "success"]
    last = at.state.statuses_of(number)[0]
    assert (last["description"], last["environment_url"], last["log_url"]) == ("done", "https://api.example", "")


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_older_ones_become_inactive_also_in_production(at, environment):
    """GitHub leaves those of production alone."""
    first, second = finished(at, environment=environment), finished(at, environment=environment, sha=at.branch("b"))
    elsewhere = finished(at, environment="elsewhere")
    third = finished(at, environment=environment, sha=at.branch("c"))
    assert [states(at, n)[-1] for n in (first, second, third, elsewhere)] == ["inactive", "inactive", "success", "success"]


def test_a_failure_leaves_the_older_one_live(at):
    """What ran goes on running."""
    first = finished(at)
    second = begin(at, sha=at.branch("b"))
    deployments.finish(at.github, second, "failure", description="rolled back")
    assert (states(at, first)[-1], states(at, second)[-1]) == ("success", "failure")


def test_failed_ones_stay_failed(at):
    """Only what counts as live becomes inactive."""
    failed = begin(at)
    deployments.finish(at.github, failed, "error", description="x")
    begun = begin(at, sha=at.branch("b"))
    finished(at, sha=at.branch("c"))
    assert (states(at, failed)[-1], states(at, begun)[-1]) == ("error", "inactive")


def test_looking_back_ends_at_the_first_inactive_one(at):
    """A thousand old deployments are not asked for one by one."""
    for n in range(4):
        finished(at, sha=at.branch(f"b{n}"))
    before = len(at.hub.calls)
    finished(at, sha=at.branch("last"))
    asked = [call for call in at.hub.calls[before:] if call.method == "GET" and call.path.endswith("/statuses")]
    assert len(asked) <= 5


def test_a_long_description_and_a_strange_address_are_what_github_takes(at):
    """140 characters, http(s)."""
    number = begin(at)
    deployments.set_state(at.github, number, "queued", description="x" * 500, log_url="file:///etc/passwd")
    (only,) = at.state.statuses_of(number)
    assert (len(only["description"]), only["log_url"]) == (140, "")


def test_a_commit_that_github_does_not_have_is_refused(at):
    """In its words."""
    with pytest.raises(HttpError, match="No ref found for"):
        begin(at, sha="0" * 40)


def test_a_token_that_may_not_deploy_is_told_which_right_it_needs(at):
    """`deployments: write` in the job."""
    token = at.hub.make_token("github-actions[bot]", kind="actions", permissions={"contents": "read", "deployments": "read"})
    with pytest.raises(ForbiddenError) as caught:
        deployments.begin(
            client(at.hub, at.name, token=token), sha=at.main, environment="production", description="", payload={}
        )
    assert "deployments=write" in caught.value.hint


def test_a_limit_on_the_way_is_waited_for(at):
    """And the state is written once."""
    number = begin(at)
    at.hub.fault("POST */statuses", status(429, Retry_After="1"))
    deployments.set_state(at.github, number, "queued", description="x")
    assert states(at, number) == ["queued"]
