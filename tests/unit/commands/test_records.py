"""The deployment that `wait --record` keeps on GitHub: its states in order, and that no trouble with it changes the wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.commands.records import NoRecord, record_of, run_url
from mlrelease.commands.wait import WaitOptions, wait
from support.github_server import running_github
from support.pair import Pair, identity, staged
from support.watching import agent_of, watched
from support.world import git

NAME = "acme/models"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 serves in production; version 2 is proved in staging."""
    with identity():
        pair = Pair(tmp_path_factory.mktemp("made") / "p", approval="none").create()
        pair.run("staging")
        pair.run()
        staged(pair)
        agent_of(pair).once()
    return pair


@pytest.fixture
def pair(made, tmp_path):
    """A copy to be changed."""
    return made.copy(tmp_path / "p")


@pytest.fixture
def hub(tmp_path, pair):
    """A GitHub that knows the repository's commits, as they are when the test calls `push`."""
    with running_github(tmp_path) as hub:
        hub.repository(NAME)
        yield hub


def push(hub, pair):
    """What was pushed to the pair's remote is on GitHub too."""
    git(pair.laptop, "push", "--quiet", str(hub.git_path(NAME)), "+refs/remotes/origin/main:refs/heads/main")


def person(hub, pair, **variables):
    found = pair.person()
    run = {"GITHUB_RUN_ID": "77"}
    return replace(found, variables={**found.variables, **hub.environment_variables(NAME), **run, **variables})


def recorded(hub, pair, **options):
    return wait(
        person(hub, pair), "production", WaitOptions(**{"timeout_s": 0.0, "interval_s": 0.05, "record": True} | options)
    )


def deployments(hub):
    """Each deployment, oldest first: commit, environment, and its states, oldest first."""
    state = hub.state(NAME)
    return [(d["sha"], d["environment"], [s["state"] for s in reversed(state.statuses_of(d["id"]))]) for d in state.deployments]


def test_a_push_is_recorded_from_queued_to_success(pair, hub):
    """With the run's page to look at; nothing is merged for it and no check waited for."""
    tip = pair.bump("wine", "2")
    push(hub, pair)
    with watched(pair):
        assert recorded(hub, pair, timeout_s=30.0).exit_code == 0
    ((sha, environment, states),) = deployments(hub)
    assert (sha, environment) == (tip, "production")
    assert states[0] == "queued"
    assert states[-1] == "success"
    assert set(states) <= {"queued", "in_progress", "success"}
    (call,) = [c for c in hub.calls if c.method == "POST" and c.path.endswith("/deployments")]
    assert (call.body["auto_merge"], call.body["required_contexts"]) == (False, [])
    assert call.body["payload"] == {"tool": "mlrelease", "run_id": "run"}
    (last, *_) = hub.state(NAME).statuses_of(hub.state(NAME).deployments[0]["id"])
    assert last["log_url"] == f"{hub.html_url}/acme/models/actions/runs/77"
    assert last["description"].startswith(f"production at {tip[:9]}: wine succeeded")


def test_the_host_at_work_is_in_progress(pair, hub):
    """As long as a start in the ledger is not finished."""
    tip = pair.bump("wine", "2")
    push(hub, pair)
    from mlrelease.delivery import lock
    from mlrelease.history.fold import fold

    site = pair.site()
    history = fold("production", site.ledger.read("production").events)
    terms = {"actor": "agent", "revision": tip, "trigger": "agent", "services": ("wine",), "run_id": ""}
    lock.take(site, history, new_id=pair.ids, **terms)
    report = recorded(hub, pair)
    assert report.exit_code == 1
    assert deployments(hub) == [(tip, "production", ["queued", "in_progress", "error"])]


@pytest.mark.parametrize(
    ("prepare", "code", "end"),
    [("lies", 6, "failure"), ("held", 5, "failure"), ("nobody comes", 1, "error")],
    ids=["rolled back", "held", "nobody dealt with it"],
)
def test_a_bad_end_is_recorded_as_one(pair, hub, prepare, code, end):
    """What the exit code says, GitHub says; the one before stays what it was."""
    from mlrelease.commands.words import hold

    if prepare == "held":
        hold(pair.person(), "production", service="", reason="quarter end", until=0.0)
    tip = pair.bump("wine", "2")
    push(hub, pair)
    if prepare == "lies":
        pair.target.lie.add(pair.desired().spec.environments["production"].services["wine"].bundle.id)
        agent_of(pair).once()
    assert recorded(hub, pair).exit_code == code
    assert deployments(hub) == [(tip, "production", ["queued", end])]


def test_a_newer_success_makes_the_older_one_inactive(pair, hub):
    """Also in production, where GitHub leaves that to whoever writes."""
    push(hub, pair)
    before = pair.desired().revision
    assert recorded(hub, pair).exit_code == 0
    tip = pair.bump("wine", "2")
    push(hub, pair)
    agent_of(pair).once()
    assert recorded(hub, pair).exit_code == 0
    assert deployments(hub) == [
        (before, "production", ["queued", "success", "inactive"]),
        (tip, "production", ["queued", "success"]),
    ]


def test_a_newer_commit_makes_the_record_of_the_older_inactive(pair, hub):
    """It was superseded before any host came to it; the newer one has a record of its own."""
    from mlrelease.commands.github import github_of
    from mlrelease.commands.records import Deployments

    first = pair.bump("wine", "2")
    second = pair.commit("Only words")
    push(hub, pair)
    record = Deployments(github_of(person(hub, pair)), "production", run_id="run", log_url="")
    record.seen(first, working=False)
    record.seen(first, working=False)
    record.seen(second, working=True)
    record.ended(0, "done")
    assert deployments(hub) == [
        (first, "production", ["queued", "inactive"]),
        (second, "production", ["queued", "in_progress", "success"]),
    ]


def test_a_run_that_is_started_again_goes_on_with_the_unfinished_record(pair, hub):
    """A wait that was killed leaves no second deployment of the same commit."""
    from mlrelease.commands.github import github_of
    from mlrelease.commands.records import Deployments

    tip = pair.bump("wine", "2")
    push(hub, pair)
    Deployments(github_of(person(hub, pair)), "production", run_id="killed", log_url="").seen(tip, working=True)
    agent_of(pair).once()
    assert recorded(hub, pair).exit_code == 0
    assert deployments(hub) == [(tip, "production", ["queued", "in_progress", "success"])]


def test_a_wait_that_is_started_again_after_its_success_adds_nothing(pair, hub):
    """A job that a person runs again is harmless, here too; a failure since then is told."""
    from mlrelease.commands.github import github_of
    from mlrelease.commands.records import Deployments

    tip = pair.bump("wine", "2")
    push(hub, pair)
    agent_of(pair).once()
    for _ in range(2):
        assert recorded(hub, pair).exit_code == 0
    assert deployments(hub) == [(tip, "production", ["queued", "success"])]
    record = Deployments(github_of(person(hub, pair)), "production", run_id="again", log_url="")
    record.seen(tip, working=True)
    record.ended(1, "an instance is gone")
    assert deployments(hub) == [(tip, "production", ["queued", "success", "error"])]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda hub, pair: hub.revoke(hub.actions_token), "not recorded on GitHub"),
        (lambda hub, pair: hub.fault("POST /repos/*/deployments", 500, forever=True), "not recorded on GitHub"),
        (lambda hub, pair: None, "not recorded on GitHub"),
    ],
    ids=["the token was revoked", "GitHub answers 500 for ever", "GitHub does not know the commit"],
)
def test_a_record_that_cannot_be_written_is_a_warning_and_no_more(pair, hub, capsys, break_it, said):
    """What was deployed was deployed: the exit code is the receipt's."""
    pair.bump("wine", "2")
    break_it(hub, pair)
    agent_of(pair).once()
    report = recorded(hub, pair)
    assert report.exit_code == 0
    told = capsys.readouterr().err
    assert said in told
    assert hub.actions_token not in told
    assert not any("success" in states for _, _, states in deployments(hub))


def test_without_a_github_it_warns_and_waits_all_the_same(pair, capsys):
    """`--record` in a repository of another git host."""
    agent_of(pair).once()
    report = wait(pair.person(), "production", WaitOptions(timeout_s=0.0, record=True))
    assert report.exit_code == 0
    assert "not recorded on GitHub: this repository is not on GitHub" in capsys.readouterr().err


def test_unasked_nothing_is_posted(pair, hub):
    """Not even a question."""
    agent_of(pair).once()
    assert recorded(hub, pair, record=False).exit_code == 0
    assert hub.calls == []
    assert isinstance(record_of(person(hub, pair), "production", wanted=False), NoRecord)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/models"}, ""),
        (
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/models", "GITHUB_RUN_ID": "7"},
            "https://github.com/acme/models/actions/runs/7",
        ),
    ],
    ids=["a laptop", "no run", "a run"],
)
def test_the_page_of_the_run(variables, expected):
    """Where the log is, if there is one."""
    assert run_url(variables) == expected
